//! A file of the package that can't be used.

use std::path::Path;
use std::{fmt, io};

/// Why a manifest or a lockfile can't be used: with its path, and the line if that is known.
#[derive(Debug)]
pub struct FileError {
    message: String,
    source: Option<io::Error>,
}

impl FileError {
    pub(crate) fn unreadable(path: &Path, error: io::Error) -> Self {
        Self { message: format!("{}: {error}", path.display()), source: Some(error) }
    }

    pub(crate) fn at(path: &Path, line: impl fmt::Display, problem: impl fmt::Display) -> Self {
        Self { message: format!("{}:{line}: {problem}", path.display()), source: None }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for FileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}
