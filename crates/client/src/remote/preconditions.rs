use reqwest::RequestBuilder;
use reqwest::header::IF_MATCH;

use crate::Expected;

/// A request for a change that is meant for some states alone.
pub(super) fn tied(request: RequestBuilder, expected: &Expected) -> RequestBuilder {
    match expected {
        Expected::Anything => request,
        Expected::OneOf(wanted) => {
            let tags: Vec<String> = wanted.iter().map(|name| tag(name)).collect();
            request.header(IF_MATCH, tags.join(", "))
        }
    }
}

/// A name as an entity tag. A weak tag that a caller of ours sent is its own name, which nothing has.
fn tag(name: &str) -> String {
    if name.starts_with("W/\"") {
        name.to_owned()
    } else {
        format!("\"{name}\"")
    }
}
