//! What a change requires of what is stored.

use twinfold_model::ResourceState;

use crate::columns::state_columns;
use crate::{Error, GroupRecord, NewSchema, Result, SchemaRecord};

/// Of a schema in an error, which a schema can make as long as it likes.
const TEXT_CHARS_MAX: usize = 300;

impl GroupRecord {
    pub(crate) fn require_revision(&self, wanted: u64) -> Result<()> {
        if self.revision == wanted {
            return Ok(());
        }
        Err(Error::StaleRevision {
            name: self.group.id().to_string(),
            found: self.revision,
            wanted,
        })
    }

    pub(crate) fn require_state(
        &self,
        wanted: &'static str,
        accepts: impl Fn(&ResourceState) -> bool,
    ) -> Result<()> {
        if accepts(&self.state) {
            return Ok(());
        }
        Err(Error::WrongState {
            name: self.group.id().to_string(),
            found: state_columns(&self.state).0.to_owned(),
            wanted,
        })
    }
}

impl NewSchema {
    /// A schema that was registered elsewhere stands there under the subject that it gets here.
    pub(crate) fn require_subject(&self, wanted: &str) -> Result<()> {
        match &self.registration {
            Some(elsewhere) if elsewhere.subject != wanted => Err(Error::OtherSubject {
                id: elsewhere.id.0,
                found: elsewhere.subject.clone(),
                wanted: wanted.to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// The schema as it is known, if that is this one: a guid has one id, and an id one guid.
    pub(crate) fn require_same(&self, known: SchemaRecord) -> Result<SchemaRecord> {
        let given = self.registration.as_ref().map(|given| given.id);
        let id = given.unwrap_or(known.id);
        if known.guid == self.guid && known.id == id {
            return Ok(known);
        }
        Err(Error::SchemaIdTaken {
            id: id.0,
            given: cut(&self.avro_json),
            known_id: known.id.0,
            known: cut(&known.avro_json),
        })
    }
}

fn cut(text: &str) -> String {
    text.chars().take(TEXT_CHARS_MAX).collect()
}
