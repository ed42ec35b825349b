//! Neighbouring fields of a fixed width: any bytes are a value, so that only their branches are looked at.
//! Rows of many numbers are mostly these.

use super::Cursor;
use super::plan::{Reader, Slot, Step, Union};

/// What a field needs to be passed without being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Width {
    /// The byte before a value that says that it is not null; `None` where no union stands.
    branch: Option<u8>,
    bytes: usize,
}

/// The fields from one on that are passed alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stretch {
    width: Width,
    /// The first step behind it.
    end: usize,
}

/// For each step the stretch that begins there, if one does.
#[derive(Debug)]
pub(super) struct Stretches(Vec<Option<Stretch>>);

impl Stretches {
    /// Of the steps that `may_pass`: what is wanted of the others is their value.
    pub(super) fn of(steps: &[Step], may_pass: impl Fn(usize) -> bool) -> Self {
        let mut stretches: Vec<Option<Stretch>> = vec![None; steps.len()];
        for (index, step) in steps.iter().enumerate().rev() {
            let width = width(step).filter(|_| may_pass(index));
            let behind = stretches.get(index + 1).copied().flatten();
            stretches[index] = width.map(|width| Stretch {
                width,
                end: behind
                    .filter(|behind| behind.width == width)
                    .map_or(index + 1, |behind| behind.end),
            });
        }
        Self(stretches)
    }

    /// Passes values from a step on; gives the first step that has to be read: another kind of field, a
    /// null, or bytes that are missing.
    #[inline]
    pub(super) fn pass(&self, from: usize, cursor: &mut Cursor<'_>) -> usize {
        let mut step = from;
        while let Some(Some(Stretch { width, end })) = self.0.get(step) {
            while step < *end {
                if !cursor.pass(width.branch, width.bytes) {
                    return step;
                }
                step += 1;
            }
        }
        step
    }
}

fn width(step: &Step) -> Option<Width> {
    let Step::Read(_, Slot { union, reader, .. }) = step else {
        return None;
    };
    let bytes = match reader {
        Reader::Float | Reader::FloatToDouble => size_of::<f32>(),
        Reader::Double => size_of::<f64>(),
        _ => return None,
    };
    let branch = match union {
        Union::None => None,
        // A zigzag integer of one byte.
        Union::NullAt(null) => Some((1 - null) << 1),
        Union::AlwaysNull => return None,
    };
    Some(Width { branch, bytes })
}

#[cfg(test)]
mod tests {
    use twinfold_model::{Feature, FeatureType};

    use super::super::plan::RecordPlan;
    use super::*;

    const WRITER: &str = r#"{"type": "record", "name": "row", "fields": [
        {"name": "a", "type": ["null", "double"]},
        {"name": "b", "type": ["null", "double"]},
        {"name": "c", "type": ["float", "null"]},
        {"name": "d", "type": "string"},
        {"name": "e", "type": "double"}
    ]}"#;

    fn steps() -> Vec<Step> {
        let (double, float) = (FeatureType::Double, FeatureType::Float);
        let types = [
            double.clone(),
            double.clone(),
            float,
            FeatureType::String,
            double,
        ];
        let features = ["a", "b", "c", "d", "e"].into_iter().zip(types);
        let features: Vec<Feature> = features
            .map(|(name, feature_type)| Feature::new(name, feature_type).expect("a feature"))
            .collect();
        RecordPlan::compile(WRITER, &features)
            .expect("a plan")
            .steps
    }

    /// The step that has to be read, and how many bytes are left for it.
    fn passed(may_pass: impl Fn(usize) -> bool, from: usize, body: &[u8]) -> (usize, usize) {
        let mut cursor = Cursor::new(body);
        let step = Stretches::of(&steps(), may_pass).pass(from, &mut cursor);
        (step, cursor.remaining())
    }

    #[test]
    fn values_are_passed_up_to_the_first_field_that_has_to_be_read() {
        let mut body = vec![2; 9 + 9];
        body.extend([0; 5]);
        assert_eq!(passed(|_| true, 0, &body), (3, 0));
        assert_eq!(passed(|_| true, 1, &body[9..]), (3, 0));
        assert_eq!(passed(|step| step != 1, 0, &body), (1, 14));
        assert_eq!(passed(|_| true, 3, b"\x02x"), (3, 2));
        assert_eq!(passed(|_| true, 4, &[7; 8]), (5, 0));
    }

    #[test]
    fn a_null_another_branch_and_missing_bytes_are_left_to_be_read() {
        let value = [2; 9];
        for rest in [&[0][..], &[4; 9], &[2; 8], &[]] {
            let body = [&value[..], rest].concat();
            assert_eq!(passed(|_| true, 0, &body), (1, rest.len()));
        }
        assert_eq!(passed(|_| true, 4, &[7; 7]), (4, 7));
    }
}
