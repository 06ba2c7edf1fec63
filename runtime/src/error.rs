//! What can go wrong in an upgrade, with what a person needs to act.

use std::fmt;
use std::io;

use crate::sys::privileges;

/// Why an upgrade did not happen. Unless the message says otherwise, the live generation is as it was before.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Cause>,
    /// Half a sentence on the privilege that this process lacks.
    hint: String,
    /// Half a sentence behind all of it.
    more: String,
}

type Cause = Box<dyn std::error::Error + Send + Sync>;

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
        Self { kind, message: message.into(), source: None, hint: String::new(), more: String::new() }
    }

    /// What was tried, and what the kernel said.
    pub(crate) fn kernel(message: impl Into<String>, source: io::Error) -> Self {
        Self::because(ErrorKind::Kernel, message, source)
    }

    /// What was tried, and why it could not be. Of whatever kind it is called: if a privilege is missing at the bottom of it, that is
    /// what it is.
    pub(crate) fn because(kind: ErrorKind, message: impl Into<String>, source: impl Into<Cause>) -> Self {
        let source = source.into();
        let kind = if is_denied(&*source) { ErrorKind::Privilege } else { kind };
        // One that is an error of ours has said it.
        let has_said = causes(&*source).any(|cause| cause.is::<Self>());
        let hint = io_of(&*source).filter(|_| !has_said).and_then(privileges::hint).unwrap_or_default();
        Self { source: Some(source), hint, ..Self::new(kind, message) }
    }

    /// The privilege that this process lacks, by name.
    pub(crate) fn needs(capability: &str, message: impl fmt::Display) -> Self {
        let user = privileges::user();
        Self::new(ErrorKind::Privilege, format!("{message}; this process, of user {user}, lacks {capability}"))
    }

    /// What the kernel said, if it is the kernel that said no. The whole message is that of this error, which therefore has no
    /// [`source`](std::error::Error::source): whoever prints a chain of errors would print it twice.
    #[must_use]
    pub fn io(&self) -> Option<&io::Error> {
        self.source.as_deref().and_then(|source| io_of(source))
    }

    /// What sort of trouble it is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The same, with half a sentence more at the end.
    pub(crate) fn and(mut self, more: &str) -> Self {
        self.more.push_str(more);
        self
    }
}

/// The privilege that this process may lack, if a loader's error is no more than a number: a phrase that names the
/// capability; `None` if none is missing. Without CAP_NET_ADMIN the kernel does not load programs of networks and cgroups
/// (EPERM). Without CAP_PERFMON the verifier refuses programs that it takes otherwise (E2BIG, ENOSPC). If a seccomp filter
/// denies bpf(2), the phrase says so.
///
/// ```
/// let refused = std::io::Error::from_raw_os_error(2); // ENOENT: that is no matter of privileges.
/// assert_eq!(maplock::missing_privilege(&refused), None);
/// ```
#[must_use]
pub fn missing_privilege(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let hint = io_of(error).and_then(privileges::hint_of_load)?;
    Some(hint.trim_start_matches("; ").to_owned())
}

/// An error and what caused it.
fn causes<'e>(
    error: &'e (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'e (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

/// What the kernel said, however much was said of it since.
fn io_of<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e io::Error> {
    causes(error).find_map(|cause| match cause.downcast_ref::<Error>() {
        Some(error) => error.io(),
        None => cause.downcast_ref(),
    })
}

/// True if the kernel said EPERM or EACCES, however much was said of it since.
fn is_denied(error: &(dyn std::error::Error + 'static)) -> bool {
    let is_ours = |cause: &Error| cause.kind() == ErrorKind::Privilege;
    io_of(error).is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
        || causes(error).filter_map(|cause| cause.downcast_ref()).any(is_ours)
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(source) = &self.source {
            write!(f, ": {source}")?;
        }
        f.write_str(&self.hint)?;
        f.write_str(&self.more)
    }
}

impl std::error::Error for Error {}

/// Says what was tried if the kernel says no.
pub(crate) trait Trying<T> {
    fn trying(self, what: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T> Trying<T> for io::Result<T> {
    fn trying(self, what: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|error| Error::kernel(what(), error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::TransferError;

    fn transfer(error: libc::c_int) -> TransferError {
        TransferError::Kernel {
            map: "stats".to_owned(),
            what: "reading an entry",
            source: io::Error::from_raw_os_error(error),
        }
    }

    #[test]
    fn a_missing_privilege_stays_one_through_every_layer() {
        for (number, kind) in [
            (libc::EPERM, ErrorKind::Privilege),
            (libc::EACCES, ErrorKind::Privilege),
            (libc::ENOMEM, ErrorKind::Kernel),
        ] {
            let error = Error::because(ErrorKind::Kernel, "can't copy map `stats`", transfer(number));
            let error = error.and("; what is staged stays");
            assert_eq!(error.kind(), kind, "{error}");
            let outer = Error::because(ErrorKind::Place, "the upgrade did not happen", error);
            assert_eq!(outer.kind() == ErrorKind::Privilege, kind == ErrorKind::Privilege, "{outer}");
        }
    }

    #[test]
    fn what_the_kernel_said_outlives_what_is_added_to_the_message_and_is_said_once() {
        let error = Error::because(ErrorKind::Kernel, "can't copy map `stats`", transfer(libc::ENOMEM)).and("; go on");
        let shown =
            "can't copy map `stats`: map `stats`: reading an entry: Cannot allocate memory (os error 12); go on";
        assert_eq!(error.to_string(), shown);
        let outer = Error::because(ErrorKind::Place, "the upgrade did not happen", error);
        assert_eq!(outer.io().and_then(io::Error::raw_os_error), Some(libc::ENOMEM));
        let chain: Vec<_> = causes(&outer).map(ToString::to_string).collect();
        assert_eq!(chain, [format!("the upgrade did not happen: {shown}")]);
    }
}
