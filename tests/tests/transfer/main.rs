//! Entries from one map to another, on the real kernel.
//!
//! `copy` has every type and size, `settle` the cases of the three-way settlement one by one, `model` all of them at random, `recorded` those of
//! large maps, `alike` what is the same for entries as they are and for those that are converted, `killed` and `live` what may not lose a
//! count, `takes` what the kernel can do of it.

mod alike;
mod convert;
mod copy;
mod killed;
mod kinds;
mod live;
mod model;
mod recorded;
mod settle;
mod support;
mod takes;
