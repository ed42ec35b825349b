use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Stands before an S3 server and answers in its place, as servers in trouble do.
///
/// Requests are passed on as they came, with the host that they were signed for.
#[derive(Debug)]
pub struct S3Proxy {
    address: SocketAddr,
    gate: Arc<Gate>,
    _serving: JoinSet<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum S3Trouble {
    /// Nothing is carried out.
    InternalError,
    Unavailable,
    /// Everything is carried out, this much later.
    Slow(Duration),
    /// Every other write is carried out and answered with an error.
    LostAnswers,
}

#[derive(Debug)]
struct Gate {
    upstream: String,
    client: reqwest::Client,
    trouble: Mutex<Option<S3Trouble>>,
    writes: AtomicU64,
}

/// More than any part of an upload.
const BODY_BYTES_MAX: usize = 64 << 20;
/// What belongs to a connection, and not to what goes over it.
const HOP_HEADERS: [&str; 4] = [
    "connection",
    "content-length",
    "expect",
    "transfer-encoding",
];

impl S3Proxy {
    /// In front of the server at `upstream` (`http://host:port`).
    pub async fn start(upstream: &str) -> Self {
        let gate = Arc::new(Gate {
            upstream: upstream.to_owned(),
            client: reqwest::Client::builder()
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .expect("a client"),
            trouble: Mutex::default(),
            writes: AtomicU64::new(0),
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let router = Router::new().fallback(pass).with_state(Arc::clone(&gate));
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let served = axum::serve(listener, router).await;
            served.expect("serves until it is dropped");
        });
        Self {
            address,
            gate,
            _serving: serving,
        }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on; `None` ends it.
    pub fn trouble(&self, trouble: Option<S3Trouble>) {
        *self.gate.trouble() = trouble;
    }
}

impl Gate {
    fn trouble(&self) -> MutexGuard<'_, Option<S3Trouble>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn forward(&self, request: Request) -> Result<Response, Box<dyn Error + Send + Sync>> {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, BODY_BYTES_MAX).await?;
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let forwarded = self
            .client
            .request(parts.method.clone(), format!("{}{path}", self.upstream))
            .headers(without_hop(parts.headers))
            .body(body);
        let answer = forwarded.send().await?;
        let (status, mut headers) = (answer.status(), answer.headers().clone());
        let content = answer.bytes().await?;
        // The answer to HEAD has the length of what it does not bring.
        if parts.method != Method::HEAD {
            headers = without_hop(headers);
        }
        let mut response = Response::new(Body::from(content));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }
}

async fn pass(State(gate): State<Arc<Gate>>, request: Request) -> Response {
    let is_write = !matches!(*request.method(), Method::GET | Method::HEAD);
    let trouble = *gate.trouble();
    match trouble {
        Some(S3Trouble::InternalError) => {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
        Some(S3Trouble::Unavailable) => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        Some(S3Trouble::Slow(delay)) => tokio::time::sleep(delay).await,
        Some(S3Trouble::LostAnswers) | None => {}
    }
    let answer = match gate.forward(request).await {
        Ok(answer) => answer,
        Err(error) => return (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    };
    if trouble == Some(S3Trouble::LostAnswers)
        && is_write
        && gate
            .writes
            .fetch_add(1, Ordering::Relaxed)
            .is_multiple_of(2)
    {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    answer
}

fn without_hop(mut headers: HeaderMap) -> HeaderMap {
    for name in HOP_HEADERS {
        headers.remove(name);
    }
    headers
}
