//! Why something could not be done.

use std::borrow::Cow;
use std::error;
use std::fmt;

/// Another error, or a phrase of ours.
type Cause = Box<dyn error::Error + Send + Sync>;

/// An error for a person: what could not be done, why, and what to do about it.
#[derive(Debug)]
pub(crate) struct Error {
    /// A phrase, lower case, without a full stop.
    pub(crate) what: String,
    cause: Option<Cause>,
    /// What to do: one thing each, which may have several lines.
    pub(crate) help: Vec<String>,
}

impl Error {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), cause: None, help: Vec::new() }
    }

    #[must_use]
    pub(crate) fn because(mut self, cause: impl Into<Cause>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    #[must_use]
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// Why; may have several lines.
    pub(crate) fn cause(&self) -> Option<String> {
        self.cause.as_ref().map(|cause| cause.to_string().trim().to_owned())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as &(dyn error::Error + 'static))
    }
}

/// Why a word on the command line is no answer: a phrase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NoAnswer(Cow<'static, str>);

impl<T: Into<Cow<'static, str>>> From<T> for NoAnswer {
    fn from(phrase: T) -> Self {
        Self(phrase.into())
    }
}

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl error::Error for NoAnswer {}

#[cfg(test)]
mod tests {
    use std::error::Error as _;
    use std::io;

    use super::*;

    #[test]
    fn an_error_keeps_what_caused_it() {
        let error = Error::new("could not read maps.lock").because(io::Error::from(io::ErrorKind::PermissionDenied));
        let source =
            error.source().and_then(|source| source.downcast_ref::<io::Error>()).expect("an error of the system");
        assert_eq!(source.kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(error.cause().as_deref(), Some("permission denied"));
        assert!(Error::new("no manifest").source().is_none());
    }
}
