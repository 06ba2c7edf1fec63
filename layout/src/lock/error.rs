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
    /// Anything else.
    Malformed(String),
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.problem)
    }
}

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
                "version {version} is newer than this maplock, which knows version {}; run `cargo install cargo-maplock`, and update `maplock-codegen` in Cargo.toml",
                VERSION
            ),
            Self::Digest { map, written, computed } => write!(
                f,
                "the definition of map `{map}` has digest {computed}, but {written} is written there: the file was edited by hand, or merged; restore it (`git checkout maps.lock`), then run `cargo maplock update` or `cargo maplock accept {map}`"
            ),
            Self::Malformed(problem) => f.write_str(problem),
        }
    }
}

impl std::error::Error for LockError {}
