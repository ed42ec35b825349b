use std::fmt;
use std::ops::Deref;

use serde::Deserialize;

/// Where a store is, as it stands in a configuration. It may hold passwords, so it is shown without what
/// comes after its scheme.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct StoreUrl(String);

/// The section of something that has nothing but a URL to be set.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UrlConfig {
    pub url: StoreUrl,
}

impl Deref for StoreUrl {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.0.split_once("://").map_or("", |(scheme, _)| scheme);
        write!(f, "{scheme}://…")
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
}
