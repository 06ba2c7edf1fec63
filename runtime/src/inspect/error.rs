//! What can't be looked at.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use crate::error::{Error, ErrorKind};

/// A pin or directory that can't be looked at.
#[derive(Debug)]
pub struct InspectError {
    /// Where.
    pub path: PathBuf,
    /// What was tried: a phrase such as `cannot be opened`.
    pub problem: String,
    /// Why not.
    pub error: Option<io::Error>,
}

impl InspectError {
    pub(super) fn new(path: &Path, problem: &str, error: io::Error) -> Self {
        Self { path: path.to_owned(), problem: problem.to_owned(), error: Some(error) }
    }
}

impl fmt::Display for InspectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.path.display(), self.problem)?;
        match &self.error {
            Some(error) => write!(f, ": {error}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for InspectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.as_ref().map(|error| error as _)
    }
}

impl From<InspectError> for Error {
    fn from(error: InspectError) -> Self {
        let InspectError { path, problem, error } = error;
        let message = format!("`{}` {problem}", path.display());
        match error {
            Some(source) => Self::kernel(message, source),
            None => Self::new(ErrorKind::Place, message),
        }
    }
}
