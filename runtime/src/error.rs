//! What can go wrong in an upgrade, with what a person needs to act.

use std::fmt;
use std::io;

/// Why an upgrade did not happen. Unless the message says otherwise, the live generation is as it was before.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<io::Error>,
}

/// What sort of trouble it is, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The plan refuses a map: somebody must decide.
    Refused,
    /// Another process upgrades these pins.
    Busy,
    /// A map is not what the spec says, or nothing tells what it is.
    Layout,
    /// The directory is no place for pins, or not in the state that the call asks for.
    Place,
    /// The caller asked for what can't be: an unknown hook or map, a program on unchecked maps.
    Usage,
    /// A privilege is missing.
    Privilege,
    /// The kernel said no.
    Kernel,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// What was tried, and what the kernel said.
    pub(crate) fn kernel(message: impl Into<String>, source: io::Error) -> Self {
        let denied = source.kind() == io::ErrorKind::PermissionDenied;
        let kind = if denied { ErrorKind::Privilege } else { ErrorKind::Kernel };
        Self { kind, message: message.into(), source: Some(source) }
    }

    /// What sort of trouble it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The same, with half a sentence more at the end.
    pub(crate) fn and(mut self, more: &str) -> Self {
        match &self.source {
            Some(source) => self.message = format!("{}: {source}{more}", self.message),
            None => self.message.push_str(more),
        }
        self.source = None;
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}

/// Says what was tried where the kernel says no.
pub(crate) trait Trying<T> {
    fn trying(self, what: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T> Trying<T> for io::Result<T> {
    fn trying(self, what: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|error| Error::kernel(what(), error))
    }
}
