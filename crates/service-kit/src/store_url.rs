use std::fmt;
use std::ops::Deref;

use serde::Deserialize;

/// Where a store is, as it stands in a configuration. It may hold passwords, so it is shown without what
/// comes after its scheme.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct StoreUrl(String);

/// The section of something that has nothing but a URL to be set.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UrlConfig {
    pub url: StoreUrl,
}

/// The rest is not shown: it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("found a url of scheme `{scheme}`, wanted http://host:port")]
pub struct NotHttp {
    scheme: String,
}

impl StoreUrl {
    /// Whether it is where an HTTP server may be.
    pub fn check_http(&self) -> Result<(), NotHttp> {
        match self.0.split_once("://") {
            Some(("http" | "https", host)) if !host.is_empty() => Ok(()),
            _ => Err(NotHttp {
                scheme: self.scheme().to_owned(),
            }),
        }
    }

    /// Empty when there is none.
    fn scheme(&self) -> &str {
        self.0.split_once("://").map_or("", |(scheme, _)| scheme)
    }
}

impl From<String> for StoreUrl {
    fn from(url: String) -> Self {
        Self(url)
    }
}

impl Deref for StoreUrl {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://…", self.scheme())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Config {
        url: StoreUrl,
    }

    #[test]
    fn a_url_is_read_whole_and_shown_without_secrets() {
        let text = "url = 'kafka://a:9092?client.sasl.password=hush'";
        let config: Config = toml::from_str(text).expect("readable");
        assert!(config.url.ends_with("=hush"));
        assert_eq!(format!("{config:?}"), "Config { url: kafka://… }");
    }

    #[test]
    fn where_no_http_server_can_be_is_told_without_secrets() {
        let checked = |url: &str| StoreUrl::from(url.to_owned()).check_http();
        assert_eq!(checked("http://127.0.0.1:8101"), Ok(()));
        for url in ["localhost:8101", "ftp://me:hush@host", "http://", ""] {
            let error = checked(url).expect_err(url).to_string();
            assert!(error.contains("wanted http://host:port"), "{error}");
            assert!(!error.contains("hush"), "{error}");
        }
    }
}
