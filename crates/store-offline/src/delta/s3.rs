//! Buckets of S3 and of servers that speak its protocol.

use std::sync::Arc;
use std::time::Duration;

use deltalake_core::DeltaResult;
use deltalake_core::logstore::{
    LogStoreFactory, LogStoreRef, ObjectStoreRef, StorageConfig, default_logstore,
    logstore_factories,
};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::path::Path as Key;
use object_store::{ClientConfigKey, ObjectStore, RetryConfig};
use url::Url;

use crate::{Error, Result};

/// Delta's own log, kept by conditional PUT: its library asks a registry who keeps logs at such addresses.
#[derive(Debug)]
struct Logs;

impl LogStoreFactory for Logs {
    fn with_options(
        &self,
        table: ObjectStoreRef,
        bucket: ObjectStoreRef,
        location: &Url,
        options: &StorageConfig,
    ) -> DeltaResult<LogStoreRef> {
        Ok(default_logstore(table, bucket, location, options))
    }
}

const REQUEST_TIMEOUT: &str = "30s";
/// How long one request may be tried again while the server is failing or slow.
const RETRY_TIMEOUT: Duration = Duration::from_secs(60);

/// Where histories are, and how to get there. What is `None` is taken from the environment as every
/// client of S3 does it: `AWS_REGION`, `AWS_ENDPOINT_URL`, `AWS_ACCESS_KEY_ID`, a role, and so on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct S3Options {
    pub bucket: String,
    /// Before the names of all tables; may be empty.
    pub prefix: String,
    pub endpoint: Option<String>,
    pub region: Option<String>,
    pub credentials: Option<S3Credentials>,
}

#[derive(Clone, PartialEq, Eq)]
pub struct S3Credentials {
    pub access_key_id: String,
    pub secret_access_key: String,
}

impl std::fmt::Debug for S3Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("S3Credentials")
            .field("access_key_id", &self.access_key_id)
            .finish_non_exhaustive()
    }
}

impl S3Options {
    /// Reads `s3://bucket/prefix?endpoint=…&region=…`.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        // What stands behind the question mark may be secret.
        let place = text.split('?').next().unwrap_or_default();
        let unsupported = || Error::UnsupportedUrl {
            found: place.to_owned(),
        };
        let url = Url::parse(text).map_err(|_| unsupported())?;
        let mut options = Self {
            bucket: url.host_str().ok_or_else(unsupported)?.to_owned(),
            prefix: url.path().trim_matches('/').to_owned(),
            ..Self::default()
        };
        let (mut access_key_id, mut secret_access_key) = (None, None);
        for (name, value) in url.query_pairs() {
            let setting = match &*name {
                "endpoint" => &mut options.endpoint,
                "region" => &mut options.region,
                "access_key_id" => &mut access_key_id,
                "secret_access_key" => &mut secret_access_key,
                _ => {
                    return Err(Error::InvalidSetting {
                        found: name.into_owned(),
                        wanted: "endpoint, region, access_key_id or secret_access_key",
                    });
                }
            };
            *setting = Some(value.into_owned());
        }
        options.credentials = match (access_key_id, secret_access_key) {
            (Some(access_key_id), Some(secret_access_key)) => Some(S3Credentials {
                access_key_id,
                secret_access_key,
            }),
            (None, None) => None,
            // With half of it the bucket would be opened as somebody else, whom the environment names.
            _ => {
                return Err(Error::InvalidSetting {
                    found: "one of access_key_id and secret_access_key".to_owned(),
                    wanted: "both or none",
                });
            }
        };
        Ok(options)
    }

    /// The address of everything below the prefix, as Delta wants it.
    pub(super) fn root(&self) -> Result<Url> {
        let mut text = format!("s3://{}/", self.bucket);
        if !self.prefix.is_empty() {
            text.push_str(self.prefix.trim_matches('/'));
            text.push('/');
        }
        Url::parse(&text).map_err(|_| Error::UnsupportedUrl { found: text })
    }

    pub(crate) fn key(&self) -> Key {
        Key::from(self.prefix.as_str())
    }

    pub(crate) fn connect(&self) -> Result<Arc<dyn ObjectStore>> {
        let scheme = Url::parse("s3://").map_err(|_| Error::UnsupportedUrl {
            found: "s3://".to_owned(),
        })?;
        logstore_factories().insert(scheme, Arc::new(Logs));
        // A commit is the first object of its name or none: the server decides.
        let mut builder = AmazonS3Builder::from_env()
            .with_bucket_name(&self.bucket)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_retry(RetryConfig {
                retry_timeout: RETRY_TIMEOUT,
                ..RetryConfig::default()
            });
        // One by one: options as a whole would take the place of what the environment says of them.
        let timeout = AmazonS3ConfigKey::Client(ClientConfigKey::Timeout);
        builder = builder.with_config(timeout, REQUEST_TIMEOUT);
        if let Some(endpoint) = &self.endpoint {
            builder = builder
                .with_endpoint(endpoint)
                .with_allow_http(endpoint.starts_with("http://"));
        }
        if let Some(region) = &self.region {
            builder = builder.with_region(region);
        }
        if let Some(credentials) = &self.credentials {
            builder = builder
                .with_access_key_id(&credentials.access_key_id)
                .with_secret_access_key(&credentials.secret_access_key);
        }
        Ok(Arc::new(builder.build()?))
    }
}
