//! Upgrades of pinned eBPF maps: reuse, grow or swap them in one atomic step, under live traffic.
#![deny(unsafe_code)]

pub mod inspect;
pub mod meta;
pub mod normalise;
pub mod plan;
pub mod policy;
pub mod report;
pub mod spec;
pub mod sys;
mod table;
pub mod transfer;

pub use maplock_layout as layout;
pub use meta::Meta;
pub use plan::Plan;
pub use policy::{OnMismatch, Policies, Policy};
pub use report::Report;
pub use spec::Spec;
