//! Entries from one map to another in another layout, while programs write them.
//!
//! The two passes are those of [`super`]. The snapshot keeps what an
//! entry was when it was last settled; what changed since is the difference of two entries, both converted:
//!
//! - counts are added as differences, with one atomic instruction each. A difference may be negative: a gauge fell, a counter was full and
//!   began again, an entry was deleted and made anew. If it would bring an unsigned count below nothing (what is there is
//!   less than what is taken away), for example if the entry was made anew on both sides, the count stays what new programs counted, and the
//!   entry is counted in [`Settled::not_carried`];
//! - other words follow by compare-and-exchange, if new programs left all of them as the snapshot, converted, says.
//!
//! So the old map always holds all that the old programs wrote, and is whole if no way leads back to it.
//!
//! The snapshot is of either side. In an upgrade it is of the *old* map: its entries as they were copied. If a way leads back
//! ([`Convert::back`](types::Convert::back)), the same conversion turned round, with the same snapshot, which is then of the *new* map of that direction,
//! carries back what the new programs wrote: into the members that the way back tells, over what the snapshot has for the others.
//!
//! Entries are converted by programs whose instructions are emitted from the steps; if the conversion is code that somebody
//! wrote, in user space, and a program applies what it came to.

mod apply;
mod chain;
mod drive;
#[cfg(test)]
pub(super) mod emitted;
mod entries;
#[cfg(test)]
mod interpreted;
pub mod migrate;
mod parts;
mod programs;
mod steps;
mod supply;
pub(super) mod types;
pub(super) mod way;
mod which;

pub(super) use drive::ConvertPass;
