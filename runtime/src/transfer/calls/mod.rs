//! Entries carried over by system calls, if no program can do it.

pub(super) mod merge;
pub(super) mod objects;
pub(super) mod plain;
pub(super) mod queues;
