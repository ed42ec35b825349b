use async_trait::async_trait;
use reqwest::Method;
use twinfold_model::{FeatureGroupId, Position, QuarantinedRecord};
use twinfold_wire::rest::{PageBody, PositionBody, QuarantinedRecordBody};

use super::{RemoteRegistry, path};
use crate::remote::quarantine;
use crate::{Quarantine, Result};

/// Records of one request: the registry stores them in one transaction, and others wait for it.
const REPORT_RECORDS_MAX: usize = 1_000;
/// Twice as much in JSON. A record that is larger is reported alone.
const REPORT_BYTES_MAX: usize = 4 << 20;
/// A schema that does not fit may have thousands of fields to name.
const REASON_BYTES_MAX: usize = 4 << 10;

#[async_trait]
impl Quarantine for RemoteRegistry {
    async fn quarantined(
        &self,
        group: &FeatureGroupId,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Vec<QuarantinedRecord>> {
        let request = quarantine::page(&self.registry, group, after, limit);
        let page: PageBody<QuarantinedRecordBody> = self.registry.read(request).await?;
        let records = page.items.into_iter().map(QuarantinedRecord::try_from);
        Ok(records.collect::<Result<_, _>>()?)
    }

    async fn claim_replay(&self, group: &FeatureGroupId, replay: &str) -> Result<()> {
        let path = path::group(group, &format!("quarantine/replays/{replay}"));
        let request = self.registry.request(Method::PUT, &path);
        self.registry.answer(request).await.map(drop)
    }

    async fn end_replay(&self, group: &FeatureGroupId, replay: &str) -> Result<()> {
        let path = path::group(group, &format!("quarantine/replays/{replay}"));
        self.registry.delete(&path).await
    }

    async fn mark_replayed(
        &self,
        group: &FeatureGroupId,
        resource: &str,
        positions: &[Position],
    ) -> Result<()> {
        let bodies: Vec<_> = positions.iter().copied().map(PositionBody::from).collect();
        let path = path::group(group, "quarantine/replayed");
        let path = format!("{path}?resource={resource}");
        self.registry.post(&path, &bodies).await
    }
}

/// Neighbours that are reported in one request. A batch of nothing but bad records is larger than what the
/// registry takes at once, and may not wait for a person.
pub(super) fn reports(mut left: &[QuarantinedRecord]) -> Vec<&[QuarantinedRecord]> {
    let mut reports = Vec::new();
    while !left.is_empty() {
        let mut bytes = 0;
        let fitting = left.iter().take(REPORT_RECORDS_MAX).take_while(|record| {
            bytes += record.key.len() + record.value.len() + record.headers.len();
            bytes += record.reason.len().min(REASON_BYTES_MAX);
            bytes <= REPORT_BYTES_MAX
        });
        let (report, rest) = left.split_at(fitting.count().max(1));
        reports.push(report);
        left = rest;
    }
    reports
}

/// A record as it is reported.
pub(super) fn reported(record: &QuarantinedRecord) -> QuarantinedRecordBody {
    QuarantinedRecordBody {
        reason: cut(&record.reason),
        ..record.into()
    }
}

/// The reason, or its beginning and how long it was.
fn cut(reason: &str) -> String {
    if reason.len() <= REASON_BYTES_MAX {
        return reason.to_owned();
    }
    let kept = &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)];
    format!("{kept}… (cut off, {} bytes in all)", reason.len())
}

#[cfg(test)]
mod tests {
    use twinfold_model::{EventTime, Offset, PartitionId};

    use super::*;

    fn bad(offset: u64, bytes: usize) -> QuarantinedRecord {
        QuarantinedRecord {
            group: FeatureGroupId::new("default", "weather", 1).expect("valid"),
            resource: "default.weather_1".to_owned(),
            position: Position {
                partition: PartitionId(0),
                offset: Offset(offset),
            },
            key: Vec::new(),
            value: vec![0; bytes],
            headers: Vec::new(),
            code: "truncated".to_owned(),
            reason: "it ends early".to_owned(),
            quarantined_at: EventTime::from_micros(0),
            replayed_at: None,
        }
    }

    #[test]
    fn every_record_is_reported_once_and_few_at_a_time() {
        let huge = REPORT_BYTES_MAX + 1;
        // Less than half, for the reasons.
        let half = REPORT_BYTES_MAX / 2 - 64;
        let mut records: Vec<_> = [1, huge, half, half, half].into_iter().zip(0..).collect();
        records.extend((5..5 + 2 * REPORT_RECORDS_MAX as u64).map(|offset| (0, offset)));
        let records: Vec<_> = records
            .into_iter()
            .map(|(bytes, offset)| bad(offset, bytes))
            .collect();
        let reports = reports(&records);
        let sizes: Vec<_> = reports.iter().map(|report| report.len()).collect();
        assert_eq!(sizes, [1, 1, 2, REPORT_RECORDS_MAX, REPORT_RECORDS_MAX, 1]);
        assert_eq!(reports.concat(), records);
    }

    #[test]
    fn long_reasons_count_and_are_cut() {
        let with_reason = |offset, reason: &str| QuarantinedRecord {
            reason: reason.to_owned(),
            ..bad(offset, 0)
        };
        let long = format!("{}é", "x".repeat(REASON_BYTES_MAX - 1));
        let records = [0, 1].map(|offset| with_reason(offset, &long.repeat(2_000)));
        assert_eq!(reports(&records).len(), 1, "as it is cut, it is short");
        let half = REPORT_BYTES_MAX / 2;
        let large = [0, 1].map(|offset| QuarantinedRecord {
            value: vec![0; half],
            ..with_reason(offset, &long)
        });
        assert_eq!(reports(&large).len(), 2, "without reasons, both would fit");

        let body = reported(&large[0]);
        let said = "x… (cut off, 4097 bytes in all)";
        assert!(body.reason.ends_with(said), "{}", body.reason);
        assert_eq!(body.reason.len(), REASON_BYTES_MAX - 2 + said.len());
        let short = with_reason(0, &long[1..REASON_BYTES_MAX - 1]);
        assert_eq!(reported(&short).reason, short.reason);
    }
}
