//! The story that `cargo run -p minimesh` tells, in two halves.

pub mod build;
pub mod upgrade;
