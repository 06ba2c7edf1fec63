//! Entries from one map to another, also while programs write them.

/// A member of the value whose counts are added up: an integer, aligned to its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sum {
    /// Bytes from the start of the value.
    pub offset: u32,
    /// Width in bytes: 4 or 8.
    pub width: u32,
}
