use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use twinfold_http_kit::Failure;
use twinfold_wire::arrow_stream;

const JSON: &str = "application/json";

/// What a body says it is, where it may be one or the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MediaType {
    Json,
    /// An Arrow stream.
    Rows,
}

impl MediaType {
    /// JSON unless something is said. Parameters, such as a charset, make no other type.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Failure> {
        let Some(header) = headers.get(CONTENT_TYPE) else {
            return Ok(Self::Json);
        };
        let text = header.to_str().unwrap_or_default();
        let essence = text.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case(JSON) {
            Ok(Self::Json)
        } else if essence.eq_ignore_ascii_case(arrow_stream::CONTENT_TYPE) {
            Ok(Self::Rows)
        } else {
            Err(Failure::Refused {
                status: StatusCode::UNSUPPORTED_MEDIA_TYPE,
                code: "unsupported_media_type",
                message: format!(
                    "header content-type: found {header:?}, wanted {JSON} or {}",
                    arrow_stream::CONTENT_TYPE
                ),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn of(text: &'static str) -> Result<MediaType, Failure> {
        let header = (CONTENT_TYPE, HeaderValue::from_static(text));
        MediaType::of(&HeaderMap::from_iter([header]))
    }

    #[test]
    fn a_type_is_known_in_any_case_and_with_parameters() {
        let unsaid = MediaType::of(&HeaderMap::new()).expect("known");
        assert_eq!(unsaid, MediaType::Json);
        for json in [
            "application/json",
            "Application/JSON ; charset=utf-8",
            "application/json;",
        ] {
            assert_eq!(of(json).expect(json), MediaType::Json);
        }
        for rows in [
            arrow_stream::CONTENT_TYPE,
            "application/vnd.apache.Arrow.stream;v=1",
        ] {
            assert_eq!(of(rows).expect(rows), MediaType::Rows);
        }
    }

    #[test]
    fn another_type_is_refused_by_name() {
        for other in ["text/csv", "", "application/jsonp", ";application/json"] {
            let Err(Failure::Refused {
                status, message, ..
            }) = of(other)
            else {
                panic!("`{other}` was taken");
            };
            assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
            assert!(
                message.contains(other) && message.contains(JSON),
                "{message}"
            );
        }
    }
}
