//! Text for a terminal.

pub(crate) mod locks;
pub(crate) mod structs;
