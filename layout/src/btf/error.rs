//! What can be wrong with BTF, and where.

use std::fmt;

/// Why bytes are not usable BTF. Every variant that speaks of one type carries its `id` and the byte `offset` of its
/// record, counted from the start of the BTF blob, so that a hex dump shows the culprit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BtfError {
    /// The header is missing, truncated or not BTF.
    Header {
        /// Byte offset of the field that is wrong.
        offset: usize,
        /// What is wrong.
        problem: String,
    },
    /// A type's record is malformed, or says what cannot be.
    Type {
        /// The type's id.
        id: u32,
        /// Byte offset of its record.
        offset: usize,
        /// What is wrong.
        problem: String,
    },
    /// A type id beyond the table, named by the record at `offset`.
    NoSuchType {
        /// The id that does not exist.
        id: u32,
        /// Number of types, `void` included.
        types: u32,
    },
}

impl fmt::Display for BtfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header { offset, problem } => write!(f, "BTF header at byte {offset}: {problem}"),
            Self::Type { id, offset, problem } => write!(f, "BTF type {id} at byte {offset}: {problem}"),
            Self::NoSuchType { id, types } => write!(f, "BTF type {id} does not exist: the last is {}", types - 1),
        }
    }
}

impl std::error::Error for BtfError {}
