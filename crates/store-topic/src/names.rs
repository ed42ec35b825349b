//! Names of topics and consumers. They become names of files and of consumer groups; what begins with
//! a dot is the backend's.

use crate::{Error, Result};

const NAME_CHARS_MAX: usize = 200;

pub(crate) fn check_topic_name(name: &str) -> Result<()> {
    if is_valid_name(name) {
        return Ok(());
    }
    Err(Error::InvalidTopicName {
        found: name.to_owned(),
    })
}

pub(crate) fn check_consumer_name(name: &str) -> Result<()> {
    if is_valid_name(name) {
        return Ok(());
    }
    Err(Error::InvalidConsumerName {
        found: name.to_owned(),
    })
}

pub(crate) fn is_valid_name(name: &str) -> bool {
    let is_valid = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
    (1..=NAME_CHARS_MAX).contains(&name.len())
        && !name.starts_with('.')
        && name.bytes().all(is_valid)
}
