//! Programs, instruction by instruction: an assembler, what they share, and those that carry entries over as they are.

pub(super) mod asm;
#[cfg(test)]
mod emitted;
#[cfg(test)]
pub(super) mod examples;
pub(super) mod inputs;
mod merge;
pub(super) mod programs;
pub(super) mod records;
pub(super) mod writer;
