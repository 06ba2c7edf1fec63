//! Why an upgrade could not be tried. What a try has found is an [`Outcome`](crate::Outcome).

use std::fmt;

/// Why an upgrade could not be tried.
#[derive(Debug)]
pub struct Error {
    message: String,
    is_interrupted: bool,
}

impl Error {
    pub(crate) fn new(what: impl fmt::Display) -> Self {
        Self { message: what.to_string(), is_interrupted: false }
    }

    /// What was tried, and why it could not be.
    pub(crate) fn because(what: impl fmt::Display, cause: impl fmt::Display) -> Self {
        Self::new(format_args!("{what}: {cause}"))
    }

    pub(crate) fn interrupted() -> Self {
        Self { message: "interrupted; what was made for it is removed".to_owned(), is_interrupted: true }
    }

    /// True if it was asked to stop.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        self.is_interrupted
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
