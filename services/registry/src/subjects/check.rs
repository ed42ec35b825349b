use serde_json::Value as Json;
use twinfold_model::FeatureGroup;
use twinfold_store_metadata::{Error as MetadataError, GroupRecord, SchemaOrigin, SchemaVersion};
use twinfold_wire::record::Inspector;

use super::{Candidate, Level, SchemaError, Seen, Subject, VersionName};
use crate::{Registry, Result, avro};

/// Which versions a schema is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Against {
    /// Those that the compatibility of the subject asks for.
    Compatibility,
    One(VersionName),
}

impl Registry {
    /// Why a schema could not become a version of the subject; empty when it could.
    pub async fn incompatibilities(
        &self,
        subject: &Subject,
        candidate: &Candidate,
        against: Against,
    ) -> Result<Vec<String>> {
        let group = self.group_of(subject).await?;
        let level = self.effective_compatibility(&subject.scopes()[0]).await?;
        let mut live = self.all_versions(subject).await?;
        live.retain(|version| !version.is_deleted);
        let earlier = match against {
            Against::Compatibility => asked_for(level, &live),
            // Where there is no version yet, every schema is fine.
            Against::One(VersionName::Latest) => live.last().into_iter().collect(),
            Against::One(number) => {
                let one = self.version(subject, number, Seen::Live).await?;
                return reasons(group.as_ref(), candidate, level, &[&one]);
            }
        };
        reasons(group.as_ref(), candidate, level, &earlier)
    }

    pub(super) async fn require_compatible(
        &self,
        subject: &Subject,
        group: Option<&GroupRecord>,
        candidate: &Candidate,
        live: &[SchemaVersion],
    ) -> Result<()> {
        let level = self.effective_compatibility(&subject.scopes()[0]).await?;
        let reasons = reasons(group, candidate, level, &asked_for(level, live))?;
        if reasons.is_empty() {
            return Ok(());
        }
        Err(SchemaError::Incompatible {
            subject: subject.to_string(),
            reasons,
        }
        .into())
    }
}

/// Why rows written with a schema cannot be read as rows of the group. It is what consumers check when they
/// meet the first such row.
pub(crate) fn unreadable_as_rows(group: &FeatureGroup, avro_json: &str) -> Option<String> {
    let inspector = Inspector::compile(avro_json, group);
    inspector.err().map(|error| error.to_string())
}

fn asked_for(level: Level, live: &[SchemaVersion]) -> Vec<&SchemaVersion> {
    match level {
        Level::None => Vec::new(),
        _ if level.is_transitive() => live.iter().collect(),
        _ => live.last().into_iter().collect(),
    }
}

fn reasons(
    group: Option<&GroupRecord>,
    candidate: &Candidate,
    level: Level,
    earlier: &[&SchemaVersion],
) -> Result<Vec<String>> {
    let mut reasons = Vec::new();
    if let Some(group) = group
        && let Some(reason) = unreadable_as_rows(&group.group, &candidate.new.avro_json)
    {
        let id = group.group.id();
        reasons.push(format!(
            "rows of feature group `{id}` cannot be read: {reason}"
        ));
    }
    for version in earlier {
        // A group reads rows by the names of its features, whatever its own schema looks like to Avro.
        if group.is_none() || version.origin == SchemaOrigin::Producer {
            compare(candidate, level, version, &mut reasons)?;
        }
    }
    Ok(reasons)
}

fn compare(
    candidate: &Candidate,
    level: Level,
    version: &SchemaVersion,
    reasons: &mut Vec<String>,
) -> Result<()> {
    let earlier = stored(version)?;
    let number = version.version;
    if level.is_backward() {
        let found = avro::unreadable(&candidate.schema, &earlier).into_iter();
        reasons
            .extend(found.map(|reason| format!("it does not read version {number} at {reason}")));
    }
    if level.is_forward() {
        let found = avro::unreadable(&earlier, &candidate.schema).into_iter();
        reasons
            .extend(found.map(|reason| format!("version {number} does not read it at {reason}")));
    }
    Ok(())
}

fn stored(version: &SchemaVersion) -> Result<avro::Schema> {
    let corrupt = |reason| MetadataError::Corrupt {
        what: "schema",
        name: version.schema.id.0.to_string(),
        reason,
    };
    let json: Json = serde_json::from_str(&version.schema.avro_json)
        .map_err(|error| corrupt(error.to_string()))?;
    Ok(avro::Schema::parse(&json).map_err(corrupt)?)
}
