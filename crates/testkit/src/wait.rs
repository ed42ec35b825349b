use std::future::Future;
use std::time::Duration;

const POLL_EVERY: Duration = Duration::from_millis(5);

/// Waits until `condition` holds; panics when it does not within `deadline`.
pub async fn eventually<F, C>(deadline: Duration, mut condition: C)
where
    C: FnMut() -> F,
    F: Future<Output = bool>,
{
    let polling = async {
        while !condition().await {
            tokio::time::sleep(POLL_EVERY).await;
        }
    };
    if tokio::time::timeout(deadline, polling).await.is_err() {
        panic!("the condition did not hold within {deadline:?}");
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn waits_as_long_as_it_takes() {
        let asked = Cell::new(0);
        eventually(Duration::from_secs(5), || async {
            asked.set(asked.get() + 1);
            asked.get() == 3
        })
        .await;
        assert_eq!(asked.get(), 3);
    }

    #[tokio::test]
    async fn gives_up_at_the_deadline() {
        let never = tokio::spawn(eventually(Duration::from_millis(20), || async { false }));
        assert!(never.await.expect_err("panicked").is_panic());
    }
}
