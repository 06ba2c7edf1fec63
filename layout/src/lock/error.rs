//! Why a text is not a lockfile.

use std::fmt;

use super::data::VERSION;
use crate::digest::Digest;

/// A lockfile that can't be used, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockError {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong.
    pub problem: LockProblem,
}

/// What is wrong with a lockfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockProblem {
    /// Git left both sides of a merge in it.
    Conflict,
    /// Lines end in CR LF.
    CrLf,
    /// A newer maplock wrote it.
    NewerVersion(i64),
    /// A definition does not have the digest that stands beside it: somebody edited one of the two.
    Digest {
        /// The map.
        map: String,
        /// The digest in the file.
        written: Digest,
        /// That of the definition in the file.
        computed: Digest,
    },
    /// What the file says of a map does not have the checksum that stands there: somebody edited it, or git merged two
    /// changes of it into one that nobody made.
    Checksum {
        /// The map.
        map: String,
        /// The checksum in the file.
        written: String,
        /// That of what the file says.
        computed: String,
    },
    /// Anything else.
    Malformed(String),
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.problem)
    }
}

/// What to do about a text that is not as it was written. `HEAD` has the text before an edit, or before a merge that is not
/// committed; `HEAD^1` has that before one that is.
const RESTORE: &str = "the file was edited by hand, or git merged it wrongly; take it whole from a commit in which it was right (`git checkout HEAD -- maps.lock`, after a merge `git checkout HEAD^1 -- maps.lock`), run `cargo maplock update`, and accept again what is missing then";

impl fmt::Display for LockProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict => f.write_str(
                "merge conflict markers; take either side whole (`git checkout --ours maps.lock`), run `cargo maplock update`, and accept again what the other side had accepted",
            ),
            Self::CrLf => f.write_str(
                "lines end in CR LF; run `cargo maplock update`, and put `maps.lock text eol=lf` into .gitattributes so that git keeps LF",
            ),
            Self::NewerVersion(version) => write!(
                f,
                "version {version} is newer than this maplock, which knows version {}; install a newer cargo-maplock, and update `maplock-codegen` in Cargo.toml",
                VERSION
            ),
            Self::Digest { map, written, computed } => write!(
                f,
                "the definition of map `{map}` has digest {computed}, but {written} is written there: {RESTORE}"
            ),
            Self::Checksum { map, written, computed } => {
                write!(f, "the text about map `{map}` has checksum {computed}, but {written} is written there: {RESTORE}")
            }
            Self::Malformed(problem) => f.write_str(problem),
        }
    }
}

impl std::error::Error for LockError {}
