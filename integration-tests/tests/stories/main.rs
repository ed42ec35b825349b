//! The stories in each way to run the platform in this process, and what only one of the ways can show. On a
//! deployment they are in `deployed`.

mod embedded;
mod pages;
mod remote;

/// On Kafka, Cassandra, PostgreSQL and S3.
mod real_engines {
    twinfold_integration_tests::platform_stories!(OnRealEngines);
}
