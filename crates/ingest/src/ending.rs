use std::future::Future;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

/// How long others have for each answer once we are told to stop. Who is there needs milliseconds; who is not
/// would take all the time that there is to end in.
const PATIENCE: Duration = Duration::from_secs(2);

/// What `call` answers; `None` when there is no answer for a while after `shutdown`. What the call was to
/// bring about may have come about all the same.
pub(crate) async fn answered<F: Future>(
    call: F,
    shutdown: &CancellationToken,
) -> Option<F::Output> {
    let patience = async {
        shutdown.cancelled().await;
        tokio::time::sleep(PATIENCE).await;
    };
    tokio::select! {
        biased;
        answer = call => Some(answer),
        () = patience => None,
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn who_answers_is_heard_and_who_does_not_is_given_up() {
        let shutdown = CancellationToken::new();
        assert_eq!(answered(ready(1), &shutdown).await, Some(1));
        shutdown.cancel();
        assert_eq!(answered(ready(2), &shutdown).await, Some(2));
        assert_eq!(answered(pending::<()>(), &shutdown).await, None);
    }
}
