use std::fmt;

use super::name::Scope;
use super::{SchemaError, Subject};
use crate::{Registry, Result};

/// How the versions of a subject must follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    None,
    Backward,
    BackwardTransitive,
    Forward,
    ForwardTransitive,
    Full,
    FullTransitive,
}

impl Level {
    pub const ALL: [Self; 7] = [
        Self::None,
        Self::Backward,
        Self::BackwardTransitive,
        Self::Forward,
        Self::ForwardTransitive,
        Self::Full,
        Self::FullTransitive,
    ];
    /// Where nothing is set.
    pub const DEFAULT: Self = Self::Backward;

    pub fn parse(found: &str) -> Result<Self, SchemaError> {
        let mut all = Self::ALL.into_iter();
        all.find(|level| level.name().eq_ignore_ascii_case(found))
            .ok_or_else(|| SchemaError::InvalidCompatibility {
                found: found.to_owned(),
            })
    }

    fn name(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Backward => "BACKWARD",
            Self::BackwardTransitive => "BACKWARD_TRANSITIVE",
            Self::Forward => "FORWARD",
            Self::ForwardTransitive => "FORWARD_TRANSITIVE",
            Self::Full => "FULL",
            Self::FullTransitive => "FULL_TRANSITIVE",
        }
    }

    /// A new schema reads what earlier ones wrote.
    pub fn is_backward(self) -> bool {
        matches!(
            self,
            Self::Backward | Self::BackwardTransitive | Self::Full | Self::FullTransitive
        )
    }

    /// Earlier schemas read what a new one writes.
    pub fn is_forward(self) -> bool {
        matches!(
            self,
            Self::Forward | Self::ForwardTransitive | Self::Full | Self::FullTransitive
        )
    }

    /// All earlier versions count, not the newest alone.
    pub fn is_transitive(self) -> bool {
        matches!(
            self,
            Self::BackwardTransitive | Self::ForwardTransitive | Self::FullTransitive
        )
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether a subject takes changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    ReadWrite,
    ReadOnly,
    /// Set for all subjects, it overrules what is set for one.
    ReadOnlyOverride,
}

impl Mode {
    pub const ALL: [Self; 3] = [Self::ReadWrite, Self::ReadOnly, Self::ReadOnlyOverride];

    pub fn parse(found: &str) -> Result<Self, SchemaError> {
        let mut all = Self::ALL.into_iter();
        all.find(|mode| mode.name().eq_ignore_ascii_case(found))
            .ok_or_else(|| SchemaError::InvalidMode {
                found: found.to_owned(),
            })
    }

    fn name(self) -> &'static str {
        match self {
            Self::ReadWrite => "READWRITE",
            Self::ReadOnly => "READONLY",
            Self::ReadOnlyOverride => "READONLY_OVERRIDE",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Registry {
    /// What is set for the scope itself.
    pub async fn compatibility(&self, scope: &Scope) -> Result<Option<Level>> {
        let settings = self.metadata().subject_settings(scope.as_str()).await?;
        let level = settings.compatibility.as_deref().map(Level::parse);
        Ok(level.transpose()?)
    }

    /// What counts for the scope: what is set for it, or for what it lies in.
    pub async fn effective_compatibility(&self, scope: &Scope) -> Result<Level> {
        for scope in scope.wider() {
            if let Some(level) = self.compatibility(&scope).await? {
                return Ok(level);
            }
        }
        Ok(Level::DEFAULT)
    }

    /// Sets the level, or forgets it. Returns what was set before.
    pub async fn set_compatibility(
        &self,
        scope: &Scope,
        level: Option<Level>,
    ) -> Result<Option<Level>> {
        self.require_writable(scope, "a change of the compatibility")
            .await?;
        let before = self.compatibility(scope).await?;
        let name = level.map(Level::name);
        let metadata = self.metadata();
        metadata.set_compatibility(scope.as_str(), name).await?;
        Ok(before)
    }

    /// What is set for the scope itself.
    pub async fn mode(&self, scope: &Scope) -> Result<Option<Mode>> {
        let settings = self.metadata().subject_settings(scope.as_str()).await?;
        Ok(settings.mode.as_deref().map(Mode::parse).transpose()?)
    }

    /// What counts for the scope: what is set for it, or for what it lies in.
    pub async fn effective_mode(&self, scope: &Scope) -> Result<Mode> {
        let of_all = self.mode(&Scope::ALL).await?;
        if of_all == Some(Mode::ReadOnlyOverride) {
            return Ok(Mode::ReadOnlyOverride);
        }
        for scope in scope.wider() {
            if let Some(mode) = self.mode(&scope).await? {
                return Ok(mode);
            }
        }
        Ok(Mode::ReadWrite)
    }

    /// Sets the mode, or forgets it. Returns what was set before.
    pub async fn set_mode(&self, scope: &Scope, mode: Option<Mode>) -> Result<Option<Mode>> {
        let before = self.mode(scope).await?;
        let name = mode.map(Mode::name);
        self.metadata().set_mode(scope.as_str(), name).await?;
        Ok(before)
    }

    pub(super) async fn require_writable(&self, scope: &Scope, what: &'static str) -> Result<()> {
        match self.effective_mode(scope).await? {
            Mode::ReadWrite => Ok(()),
            mode => Err(SchemaError::NotPermitted {
                what,
                reason: format!("`{}` is {mode}", scope.as_str()),
            }
            .into()),
        }
    }

    /// Forgets what is set for a subject that goes.
    pub(super) async fn forget_settings(&self, subject: &Subject) -> Result<()> {
        let metadata = self.metadata();
        metadata.set_compatibility(subject.as_str(), None).await?;
        metadata.set_mode(subject.as_str(), None).await?;
        Ok(())
    }
}
