use std::fmt::Write as _;

use twinfold_model::Name;

use crate::Result;

/// A name as one segment of a path, with everything escaped that could mean something there.
pub fn segment(what: &'static str, name: &str) -> Result<String> {
    if matches!(name, "" | "." | "..") {
        // No path can say these, even escaped, and nothing can bear them.
        Name::new(what, name)?;
    }
    let mut segment = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') {
            segment.push(char::from(byte));
        } else {
            let _infallible = write!(segment, "%{byte:02X}");
        }
    }
    Ok(segment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_is_one_segment() {
        for (name, wanted) in [
            ("weather_2", "weather_2"),
            ("a/b", "a%2Fb"),
            ("a?b#c d%", "a%3Fb%23c%20d%25"),
            ("é.", "%C3%A9%2E"),
        ] {
            assert_eq!(segment("feature group", name).expect(name), wanted);
        }
        for name in ["", ".", ".."] {
            assert!(segment("feature group", name).is_err(), "`{name}`");
        }
    }
}
