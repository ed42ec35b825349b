//! Which state a request is meant for, as its headers say it, and which one an answer shows.

use axum::Json;
use axum::http::header::{ETAG, IF_MATCH};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use twinfold_client::Expected;

use crate::Failure;

/// A body with the [revision](twinfold_client::revision) that it shows, to which a later change can be tied.
#[derive(Debug)]
pub struct Tagged<B> {
    pub revision: String,
    pub body: B,
}

impl<B: Serialize> IntoResponse for Tagged<B> {
    fn into_response(self) -> Response {
        let etag = format!("\"{}\"", self.revision);
        ([(ETAG, etag)], Json(self.body)).into_response()
    }
}

/// What the header `If-Match` wants to find.
pub fn expected(headers: &HeaderMap) -> Result<Expected, Failure> {
    let mut wanted = Vec::new();
    for header in headers.get_all(IF_MATCH) {
        let text = header.to_str().map_err(|_| unreadable(header))?;
        if text.trim() == "*" {
            return Ok(Expected::Anything);
        }
        wanted.extend(tags(text).ok_or_else(|| unreadable(header))?);
    }
    match headers.get(IF_MATCH) {
        None => Ok(Expected::Anything),
        // Nothing but empty elements: taken for no header it would tie a change to nothing.
        Some(header) if wanted.is_empty() => Err(unreadable(header)),
        Some(_) => Ok(Expected::OneOf(wanted)),
    }
}

/// The tags of a list, without their quotes; its elements may be empty. A weak one keeps all of its text, and
/// so matches nothing: a change is tied to the very state that was seen.
fn tags(list: &str) -> Option<Vec<String>> {
    let mut tags = Vec::new();
    let mut rest = list;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return Some(tags);
        }
        let weak = rest.strip_prefix("W/");
        let quoted = weak.unwrap_or(rest).strip_prefix('"')?;
        let (tag, behind) = quoted.split_once('"')?;
        tags.push(match weak {
            None => tag.to_owned(),
            Some(_) => format!("W/\"{tag}\""),
        });
        rest = behind.trim_start();
        if !rest.is_empty() && !rest.starts_with(',') {
            return None;
        }
    }
}

fn unreadable(header: &HeaderValue) -> Failure {
    Failure::Unreadable(format!(
        "header if-match: found {header:?}, wanted `*` or entity tags in quotes"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(lines: &[&'static str]) -> Result<Expected, Failure> {
        let lines = lines.iter().copied().map(HeaderValue::from_static);
        expected(&lines.map(|line| (IF_MATCH, line)).collect())
    }

    #[test]
    fn tags_are_taken_from_every_line() {
        let one_of =
            |tags: &[&str]| Expected::OneOf(tags.iter().map(ToString::to_string).collect());
        let cases: [(&[&'static str], Expected); 9] = [
            (&[], Expected::Anything),
            (&["*"], Expected::Anything),
            (&[r#""a.1""#], one_of(&["a.1"])),
            (&[r#" "a.1" ,"b,2" "#], one_of(&["a.1", "b,2"])),
            (&[r#""a.1""#, r#""b.2""#], one_of(&["a.1", "b.2"])),
            (&[r#"W/"a.1", "a.2""#], one_of(&[r#"W/"a.1""#, "a.2"])),
            (&[r#""a.1","#], one_of(&["a.1"])),
            (&[r#" , "a.1",, "b.2" ,"#], one_of(&["a.1", "b.2"])),
            (&["", r#""a.1""#], one_of(&["a.1"])),
        ];
        for (lines, wanted) in cases {
            let found = found(lines).expect("readable");
            assert_eq!(found, wanted, "{lines:?}");
        }
        for line in [
            "",
            "a.1",
            r#""a.1"#,
            ",",
            r#""a.1","b"#,
            r#""a.1" "a.2""#,
            r#"w/"a.1""#,
        ] {
            assert!(found(&[line]).is_err(), "{line}");
        }
    }
}
