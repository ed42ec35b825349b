//! Lists in pages: `limit` and `page_token` in, `next_page_token` out. What a token says is nobody else's
//! business, so it may change.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;
use serde::de::DeserializeOwned;
use twinfold_model::{Error as ModelError, Offset, PartitionId, Position};
use twinfold_wire::rest::{PAGE_ITEMS_MAX, PageBody};

/// Of one page, unless it is said otherwise.
const ITEMS: usize = 100;

/// Which part of a list is wanted, as it stands among the query parameters.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Paging {
    /// How many items; 100 unless told, 1,000 at most.
    pub limit: Option<usize>,
    /// The `next_page_token` of the page before.
    pub page_token: Option<String>,
}

impl Paging {
    /// How many items are wanted at most.
    pub fn limit(&self) -> Result<usize, ModelError> {
        match self.limit {
            None => Ok(ITEMS),
            Some(limit) if (1..=PAGE_ITEMS_MAX).contains(&limit) => Ok(limit),
            Some(limit) => Err(ModelError::InvalidQuery {
                reason: format!("found limit {limit}, wanted 1 to {PAGE_ITEMS_MAX}"),
            }),
        }
    }

    /// The key of the last item of the page before.
    pub fn after<K: DeserializeOwned>(&self) -> Result<Option<K>, ModelError> {
        let Some(token) = &self.page_token else {
            return Ok(None);
        };
        let key = from_hex(token).and_then(|bytes| serde_json::from_slice(&bytes).ok());
        match key {
            Some(key) => Ok(Some(key)),
            None => Err(ModelError::InvalidQuery {
                reason: format!("found page token `{token}`, wanted one of an answer to this list"),
            }),
        }
    }

    /// The wanted part of a list that is ordered by its keys.
    pub fn page<T, B, K>(
        &self,
        all: &[T],
        key: impl Fn(&T) -> K,
        body: impl Fn(&T) -> B,
    ) -> Result<PageBody<B>, ModelError>
    where
        K: Ord + Serialize + DeserializeOwned,
    {
        let (after, limit) = (self.after::<K>()?, self.limit()?);
        let first = match after {
            None => 0,
            Some(after) => all.partition_point(|item| key(item) <= after),
        };
        let end = all.len().min(first + limit);
        let last = all[first..end].last().filter(|_| end < all.len());
        Ok(PageBody {
            items: all[first..end].iter().map(body).collect(),
            next_page_token: last.map(|last| token(&key(last))),
        })
    }
}

/// The position behind which a list begins, as it stands among the query parameters.
pub fn after_position(
    after_partition: Option<u32>,
    after_offset: Option<u64>,
) -> Result<Option<Position>, ModelError> {
    match (after_partition, after_offset) {
        (None, None) => Ok(None),
        (Some(partition), Some(offset)) => Ok(Some(Position {
            partition: PartitionId(partition),
            offset: Offset(offset),
        })),
        _ => Err(ModelError::InvalidQuery {
            reason: "found one of `after_partition` and `after_offset`, wanted both or none"
                .to_owned(),
        }),
    }
}

/// What asks for the page behind the item with this key.
pub fn token(key: &impl Serialize) -> String {
    let json = serde_json::to_vec(key).expect("keys are names and numbers");
    json.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || text.len() % 2 == 1 {
        return None;
    }
    let bytes = (0..text.len()).step_by(2);
    bytes
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(limit: usize, page_token: Option<String>) -> PageBody<u32> {
        let paging = Paging {
            limit: Some(limit),
            page_token,
        };
        let all = [1, 2, 5, 9, 10];
        paging
            .page(&all, |item| *item, |item| *item)
            .expect("valid")
    }

    #[test]
    fn pages_follow_one_another_to_the_end() {
        for limit in 1..7 {
            let (mut found, mut token) = (Vec::new(), None);
            loop {
                let page = page(limit, token);
                assert!(page.items.len() <= limit);
                found.extend(page.items);
                token = page.next_page_token;
                if token.is_none() {
                    break;
                }
            }
            assert_eq!(found, [1, 2, 5, 9, 10], "{limit}");
        }
    }

    #[test]
    fn an_item_that_is_gone_does_not_end_the_list() {
        assert_eq!(page(2, Some(token(&3_u32))).items, [5, 9]);
        assert!(page(2, Some(token(&10_u32))).items.is_empty());
    }

    #[test]
    fn other_tokens_and_limits_are_refused() {
        for page_token in ["no", "7", "22", "é"] {
            let paging = Paging {
                limit: None,
                page_token: Some(page_token.to_owned()),
            };
            let error = paging.after::<u32>().expect_err(page_token).to_string();
            assert!(error.contains(page_token), "{error}");
        }
        for limit in [0, PAGE_ITEMS_MAX + 1] {
            let paging = Paging {
                limit: Some(limit),
                page_token: None,
            };
            assert!(paging.limit().is_err(), "{limit}");
        }
    }
}
