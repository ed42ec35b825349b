use std::collections::HashSet;

use twinfold_model::{DISTINCT_VALUES_BYTES_MAX, DISTINCT_VALUES_MAX};

/// The distinct values of a column while they are few. Whether they are too many depends on the values and
/// not on the order in which they come.
pub(super) struct Distinct {
    /// None once there were too many.
    values: Option<HashSet<Box<str>>>,
    bytes: usize,
}

impl Distinct {
    pub(super) fn new() -> Self {
        Self {
            values: Some(HashSet::new()),
            bytes: 0,
        }
    }

    pub(super) fn add(&mut self, value: &str) {
        let Some(values) = &mut self.values else {
            return;
        };
        if values.contains(value) {
            return;
        }
        self.bytes += value.len();
        if values.len() == DISTINCT_VALUES_MAX || self.bytes > DISTINCT_VALUES_BYTES_MAX {
            self.values = None;
        } else {
            values.insert(value.into());
        }
    }

    pub(super) fn join(&mut self, other: Self) {
        match other.values {
            None => self.values = None,
            Some(values) => values.iter().for_each(|value| self.add(value)),
        }
    }

    pub(super) fn count(&self) -> Option<u64> {
        self.values.as_ref().map(|values| values.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: impl IntoIterator<Item = String>) -> Distinct {
        let mut distinct = Distinct::new();
        for value in values {
            distinct.add(&value);
        }
        distinct
    }

    fn numbers(count: usize) -> impl Iterator<Item = String> {
        (0..count).map(|number| number.to_string())
    }

    #[test]
    fn values_are_counted_up_to_the_bound() {
        assert_eq!(of([]).count(), Some(0));
        let all = || numbers(DISTINCT_VALUES_MAX);
        assert_eq!(of(all().chain(all())).count(), Some(1_000));
        assert_eq!(of(numbers(DISTINCT_VALUES_MAX + 1)).count(), None);
    }

    #[test]
    fn so_are_their_bytes() {
        let text = |letter: &str, bytes: usize| letter.repeat(bytes);
        let half = DISTINCT_VALUES_BYTES_MAX / 2;
        let fitting = [text("a", half), text("b", half), String::new()];
        assert_eq!(of(fitting).count(), Some(3));
        let too_long = [text("a", half), text("b", half + 1)];
        assert_eq!(of(too_long).count(), None);
    }

    #[test]
    fn parts_join_to_the_whole() {
        let mut joined = of(numbers(600));
        joined.join(of(numbers(1_000)));
        assert_eq!(joined.count(), Some(1_000));
        joined.join(of(["another".to_owned()]));
        assert_eq!(joined.count(), None);
        let mut joined = of([]);
        joined.join(of(numbers(1_001)));
        assert_eq!(joined.count(), None);
    }
}
