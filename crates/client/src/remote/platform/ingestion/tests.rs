use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use twinfold_service_kit::ManualClock;
use twinfold_testkit::{rows, weather_group};
use twinfold_wire::rest::{ErrorBody, LimitsBody, PlatformBody};

use super::*;

const BOTH: WaitTarget = WaitTarget {
    online: true,
    offline: true,
};

/// A platform that answers with these, one after the other; it breaks the connection where there is none.
/// When all are given, it says what was asked for.
async fn platform(
    answers: Vec<Option<(u16, String)>>,
) -> (RemotePlatform, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    let limits = LimitsBody {
        rows_bytes_max: 1 << 20,
        entries_max: 1,
        wait_ms_max: 1,
    };
    let root = PlatformBody {
        project: "default".to_owned(),
        partitions_default: 1,
        limits,
    };
    let root = serde_json::to_string(&root).expect("serializable");
    let serving = tokio::spawn(async move {
        let mut asked = Vec::new();
        for answer in [vec![Some((200, root))], answers].concat() {
            let (stream, _) = listener.accept().await.expect("asked");
            if let Some((status, body)) = answer {
                asked.push(serve_one(stream, status, &body).await);
            }
        }
        asked
    });
    let url = format!("http://{address}");
    let platform = RemotePlatform::connect(&url).await.expect("it answers");
    (platform, serving)
}

/// The first line of the request.
async fn serve_one(stream: TcpStream, status: u16, body: &str) -> String {
    let mut stream = BufReader::new(stream);
    let asked = read_line(&mut stream).await;
    let (mut length, mut is_chunked) = (0, false);
    loop {
        let header = read_line(&mut stream).await.to_ascii_lowercase();
        if let Some(found) = header.strip_prefix("content-length:") {
            length = found.trim().parse().expect("a number");
        }
        is_chunked |= header.starts_with("transfer-encoding:");
        if header.is_empty() {
            break;
        }
    }
    skip(&mut stream, length).await;
    while is_chunked {
        let size = read_line(&mut stream).await;
        let size = usize::from_str_radix(&size, 16).expect("a size");
        skip(&mut stream, size + "\r\n".len()).await;
        is_chunked = size > 0;
    }
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status} Said\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    let answer = [head.as_bytes(), body.as_bytes()].concat();
    stream.write_all(&answer).await.expect("heard");
    stream.shutdown().await.expect("heard");
    asked
}

async fn read_line(stream: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    stream.read_line(&mut line).await.expect("a line");
    line.trim_end().to_owned()
}

async fn skip(stream: &mut BufReader<TcpStream>, bytes: usize) {
    let mut skipped = vec![0; bytes];
    stream.read_exact(&mut skipped).await.expect("a body");
}

fn said(status: u16, error: &Error) -> Option<(u16, String)> {
    let body = serde_json::to_string(&ErrorBody::from(error)).expect("serializable");
    Some((status, body))
}

fn behind(state: &str) -> Error {
    Error::Timeout {
        action: "waiting for the stores".into(),
        seconds: 0.001,
        state: state.to_owned(),
    }
}

fn receipt() -> Receipt {
    let group = FeatureGroupId::new("default", "weather", 1).expect("valid");
    let resource = group.resource_name(1);
    Receipt::new(group, resource, [7; 16])
}

#[tokio::test]
async fn a_wait_outlives_a_platform_that_restarts() {
    let restarting = Some((503, "<html>no backend".to_owned()));
    let answers = vec![
        said(504, &behind("online is behind")),
        None,
        restarting,
        Some((204, String::new())),
    ];
    let (platform, serving) = platform(answers).await;
    let receipt = receipt();
    let waited = platform.wait(&receipt, BOTH, Duration::from_secs(60));
    waited.await.expect("it is back");
    serving.await.expect("every answer was asked for");
}

#[tokio::test]
async fn what_will_not_pass_ends_a_wait() {
    let gone = Error::NotFound {
        what: "ingestion".into(),
        name: "7".to_owned(),
        hint: String::new(),
    };
    let (platform, serving) = platform(vec![None, said(404, &gone)]).await;
    let receipt = receipt();
    let waited = platform.wait(&receipt, BOTH, Duration::from_secs(60));
    let error = waited.await.expect_err("gone");
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
    serving.await.expect("every answer was asked for");
}

#[tokio::test]
async fn a_wait_that_is_over_says_what_was_heard_last() {
    let (platform, serving) = platform(vec![said(504, &behind("online is behind"))]).await;
    let receipt = receipt();
    let waited = platform.wait(&receipt, BOTH, Duration::from_millis(700));
    let error = waited.await.expect_err("over");
    let Error::Timeout { seconds, state, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(seconds, 0.7);
    assert!(
        state.starts_with("online is behind, then platform: "),
        "{state}"
    );
    serving.await.expect("every answer was asked for");
}

#[tokio::test]
async fn rows_and_deletes_without_a_time_have_that_of_their_caller() {
    let receipt = serde_json::to_string(&ReceiptBody::from(&receipt())).expect("serializable");
    let answers = vec![Some((200, receipt)); 3];
    let (mut platform, serving) = platform(answers).await;
    platform.clock = Arc::new(ManualClock::at(7));
    let group = weather_group();
    let some = || vec![rows(&group, 1, 2)];
    let inserted = platform.insert(group.id(), some(), &|_| ()).await;
    inserted.expect("taken in");
    for at in [None, Some(EventTime::from_micros(3))] {
        let deleted = platform.delete(group.id(), some(), at).await;
        deleted.expect("taken in");
    }
    let asked = serving.await.expect("every answer was asked for");
    let of_rows = [
        "/rows?at_us=7 ",
        "/deletions?at_us=7 ",
        "/deletions?at_us=3 ",
    ];
    for (line, wanted) in asked[1..].iter().zip(of_rows) {
        assert!(line.contains(wanted), "{line}");
    }
}
