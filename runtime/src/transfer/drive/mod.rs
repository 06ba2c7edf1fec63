//! One driver for all transfers that programs do: it owns counts, CPUs, chunks, retries and threads. What an entry becomes is the
//! programs' part, which are supplied by [`programs::Programs`]: for entries as they are ([`same`]), and for those that are converted
//! (`convert/supply.rs`).

pub(super) mod counts;
pub(super) mod driver;
pub(super) mod programs;
pub(super) mod recorded;
pub(super) mod run;
pub(super) mod same;
