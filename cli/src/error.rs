//! Why something could not be done.

use std::fmt;

/// An error for a person: what could not be done, why, and what to do about it.
#[derive(Debug)]
pub(crate) struct Error {
    /// A phrase, lower case, without a full stop.
    pub(crate) what: String,
    /// Why; may have several lines.
    pub(crate) cause: Option<String>,
    /// What to do: one thing each, which may have several lines.
    pub(crate) help: Vec<String>,
}

impl Error {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), cause: None, help: Vec::new() }
    }

    #[must_use]
    pub(crate) fn because(mut self, cause: impl fmt::Display) -> Self {
        self.cause = Some(cause.to_string().trim().to_owned());
        self
    }

    #[must_use]
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }
}
