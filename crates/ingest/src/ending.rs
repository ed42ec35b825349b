use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// What `call` answers; `None` when there is no answer within `patience` after `shutdown`. What the call was
/// to bring about may have come about all the same.
pub(crate) async fn answered<F: Future>(
    call: F,
    shutdown: &CancellationToken,
    patience: Duration,
) -> Option<F::Output> {
    let enough = async {
        shutdown.cancelled().await;
        tokio::time::sleep(patience).await;
    };
    tokio::select! {
        biased;
        answer = call => Some(answer),
        () = enough => None,
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn who_answers_is_heard_and_who_does_not_is_given_up() {
        let (shutdown, patience) = (CancellationToken::new(), Duration::ZERO);
        assert_eq!(answered(ready(1), &shutdown, patience).await, Some(1));
        shutdown.cancel();
        assert_eq!(answered(ready(2), &shutdown, patience).await, Some(2));
        assert_eq!(answered(pending::<()>(), &shutdown, patience).await, None);
    }
}
