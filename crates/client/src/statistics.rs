//! How an HTTP interface says that a dataset has no statistics, and how its client hears it.

use crate::{Error, Result};

const WHAT: &str = "statistics record";

/// The failure to say about a dataset that is there without statistics.
pub fn no_statistics(project: &str, name: &str, version: u32) -> Error {
    Error::NotFound {
        what: WHAT.into(),
        name: format!("{project}.{name}_{version}"),
        hint: "; the training dataset was made before statistics were kept".to_owned(),
    }
}

/// What an answer says, where that failure is none.
pub(crate) fn if_kept<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Ok(statistics) => Ok(Some(statistics)),
        Err(Error::NotFound { what, .. }) if what == WHAT => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinfold_wire::rest::ErrorBody;

    #[test]
    fn no_statistics_are_told_from_no_dataset() {
        let none = no_statistics("default", "delays", 1);
        assert_eq!(
            none.to_string(),
            "statistics record `default.delays_1` does not exist; the training dataset was made before \
             statistics were kept"
        );
        let details = ErrorBody::from(&none).details.expect("details");
        let heard = Error::try_from(details).expect("understood");
        assert!(matches!(if_kept::<u64>(Err(heard)), Ok(None)));
        let no_dataset = Error::NotFound {
            what: "training dataset".into(),
            name: "default.delays_1".to_owned(),
            hint: String::new(),
        };
        assert!(if_kept::<u64>(Err(no_dataset)).is_err());
        assert!(matches!(if_kept(Ok(3)), Ok(Some(3))));
    }
}
