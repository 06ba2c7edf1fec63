//! What can go wrong with an entry.

use std::fmt;
use std::io;

/// What E2BIG is about, of tries ENOSPC.
pub(super) const FULL: &str = "it is full: ";

/// An operation on a map that failed: which map, what was tried, and what the kernel said.
#[derive(Debug)]
pub struct MapError {
    map: String,
    tried: String,
    hint: &'static str,
    source: io::Error,
}

impl MapError {
    pub(super) fn new(map: &str, tried: impl Into<String>, source: io::Error) -> Self {
        Self { map: map.to_owned(), tried: tried.into(), hint: "", source }
    }

    /// For a key, whose bytes are told.
    #[cold]
    pub(super) fn of_key(map: &str, tried: &str, key: &[u8], source: io::Error) -> Self {
        Self::new(map, format!("{tried} {}", Hex(key)), source)
    }

    /// With what is likely the reason.
    pub(super) fn hint(mut self, hint: &'static str) -> Self {
        self.hint = hint;
        self
    }

    /// Name of the map in the spec.
    #[must_use]
    pub fn map(&self) -> &str {
        &self.map
    }

    /// What the kernel said.
    #[must_use]
    pub fn io(&self) -> &io::Error {
        &self.source
    }

    /// True if an entry was not written since the map is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self.source.raw_os_error(), Some(libc::E2BIG | libc::ENOSPC))
    }
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { map, tried, hint, source } = self;
        write!(f, "map `{map}`: can't {tried}: {hint}{source}")
    }
}

/// What the kernel said is in the message, and [`MapError::io`] has it.
impl std::error::Error for MapError {}

/// Bytes as they lie in memory: `0x01 02 0a`.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// More of a key helps nobody.
        const MOST: usize = 64;
        f.write_str("0x")?;
        for (at, byte) in self.0.iter().take(MOST).enumerate() {
            write!(f, "{}{byte:02x}", if at == 0 { "" } else { " " })?;
        }
        if self.0.len() > MOST { f.write_str(" ..") } else { Ok(()) }
    }
}
