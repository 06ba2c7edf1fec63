//! What was asked and could not be done. Whoever reads the output alone must see that: what says nothing reads as if nothing were wrong.

use crate::error::Error;

/// What did not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Undone {
    /// Two sides were not held against each other.
    Compared,
    /// No lock, and no page of one, was written.
    Written,
    /// Nothing else was found out.
    Told,
}

impl Undone {
    /// For a person.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Compared => "nothing was compared",
            Self::Written => "nothing was written",
            Self::Told => "nothing was found out",
        }
    }

    /// For a program.
    pub(crate) const fn result(self) -> &'static str {
        match self {
            Self::Compared => "not-compared",
            Self::Written => "not-written",
            Self::Told => "not-done",
        }
    }
}

/// A whole run that could not be done, for a format to tell.
pub(crate) struct Failure<'a> {
    pub(crate) undone: Undone,
    pub(crate) error: &'a Error,
}
