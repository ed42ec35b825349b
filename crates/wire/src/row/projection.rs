use twinfold_model::{Feature, Value};

use crate::Result;
use crate::record::plan::{RecordPlan, Step};
use crate::record::{Cursor, Defect};

/// Reads chosen features from the bodies of one writer, in the order they are wanted.
#[derive(Debug)]
pub struct Projection {
    plan: RecordPlan,
    /// Steps to walk; what follows the last wanted feature is not looked at.
    steps: usize,
    features: usize,
}

impl Projection {
    pub fn compile(writer_avro_json: &str, wanted: &[Feature]) -> Result<Self> {
        let plan = RecordPlan::compile(writer_avro_json, wanted)?;
        let steps = plan
            .steps
            .iter()
            .rposition(|step| matches!(step, Step::Read(..)))
            .map_or(0, |last| last + 1);
        Ok(Self {
            plan,
            steps,
            features: wanted.len(),
        })
    }

    /// Appends one value per wanted feature; a feature that the writer lacked has its default.
    /// On a defect `out` is as it was.
    pub fn decode(&self, body: &[u8], out: &mut Vec<Value>) -> Result<(), Defect> {
        let start = out.len();
        out.resize(start + self.features, Value::Null);
        let values = &mut out[start..];
        for (index, value) in &self.plan.absent {
            values[*index] = value.clone();
        }
        let mut cursor = Cursor::new(body);
        for step in &self.plan.steps[..self.steps] {
            let read = self
                .plan
                .step(step, &mut cursor, |index| &mut values[index]);
            if let Err(fault) = read {
                out.truncate(start);
                return Err(*fault);
            }
        }
        Ok(())
    }
}
