//! Traffic through the mesh, and the truth about it: who answers, who asks, and how often each was counted.

pub mod alone;
mod backends;
pub mod client;
mod ledger;

pub use backends::Backends;
pub use client::{Client, Counts, Target};
pub use ledger::Ledger;
