//! The stories on Kafka, Cassandra, PostgreSQL and S3.

use twinfold_embedded::Config;
use twinfold_integration_tests::Deployment;

mod stories;

async fn deployment() -> Deployment {
    Deployment::on_real_engines(|_| ()).await
}

async fn deployment_with(configure: fn(&mut Config)) -> Deployment {
    Deployment::on_real_engines(configure).await
}
