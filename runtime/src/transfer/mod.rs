//! Entries from one map to another, while programs write them.
//!
//! # The scheme
//!
//! Passes over two maps of one kind, `from` (the old one) and `to` (the new one), and a third, the snapshot `base`, which has each entry as
//! it was when it was last carried over. Between them, the links are switched:
//!
//! 1. [`Transfer::copy`], while old programs write `from` and nobody uses `to`: each entry is written to `to` and to `base`.
//! 2. [`Prepared::catch_up`], before the switch: rounds of the next pass, while old programs go on. What they wrote since the copy is in `to`
//!    before a new program sees it, and little is left to settle. Then what `base` has is recorded in the order of `from`, if that is a large
//!    hash. What takes long, the loading of programs, is in [`Transfer::prepare`].
//! 3. [`Transfer::settle`], when nothing writes `from` any more (the links were switched, and
//!    [`wait_for_running_programs`](crate::sys::wait_for_running_programs) returned) and new programs write `to` at full speed. An entry that
//!    is as in `base` costs a comparison: of a large hash with its record (`emit/records.rs`), of others after a look-up in `base`.
//!
//! # The rule
//!
//! One for all types, for programs, system calls and conversions; `emit/merge.rs` and `calls/merge.rs` have it. `base` follows in each case,
//! in the same run of a program, so that nothing is done twice:
//!
//! | `from`, against `base` | `to` | what is done | counted as |
//! |---|---|---|---|
//! | as it was | any | nothing | |
//! | changed | there | *sums*: the difference is added, atomically; *other bytes*: follow if all of them are as in `base` | `added`, `changed` |
//! | | there, other bytes changed, also in the same way | these stay as new programs wrote them | `kept_new` |
//! | | absent: new programs deleted it | it stays deleted | `dropped`, if sums differ |
//! | inserted | absent | it is inserted | `inserted` |
//! | | there: both made it | sums are added, other bytes are those of the new programs (of a CPU: if they are not 0) | `maybe_another`, `kept_new` |
//! | deleted | as in `base` | it is deleted | `deleted` |
//! | | changed by new programs | sums of `base` are taken from it: it holds what they counted | `kept_new` |
//! | | absent | nothing | |
//!
//! An unsigned sum never goes below nothing. It is lowered if old programs lowered it, or deleted the entry and made it anew; if `to`
//! holds less than that, new programs have made the entry anew too, and what they counted stays ([`Settled::not_carried`]).
//!
//! Entries do not tell who deleted a key and made it anew. So two things are done that do the least harm, and are counted:
//! - A difference is added also if `to` has less than `base` ([`Settled::maybe_another`]). Gauges are lowered all the time, and if an
//!   entry was made anew by new programs, it counts too much what old programs counted between the last round and the switch.
//! - A key that only `from` has is inserted ([`Settled::inserted`]). That new programs made the same key in the moment of the switch, and
//!   deleted it, is rarer than that they have not met it, and then its counts would be lost.
//!
//! `settle` by programs may be killed at any point and run again, and a second run changes nothing; by system calls, what it was at
//! when it was killed may be counted twice. It is symmetric: with `from` and `to` exchanged, and
//! the same `base`, it brings back what new programs wrote, after a switch that failed and before or after a first `settle`: that is also the
//! roll-back.
//!
//! # What becomes of each type of map
//!
//! | types | [`Behaviour`](maplock_layout::map_type::Behaviour) | how |
//! |---|---|---|
//! | hash, lru_hash, percpu_hash, lru_percpu_hash | `Copied` | by an iterator program, in chunks of about a millisecond |
//! | array, percpu_array | `Copied` | by a program that loops over indexes, in chunks; nothing is inserted or deleted |
//! | lpm_trie | `Copied` | copied by batch calls, settled by a program for the keys that batch calls read |
//! | queue, stack | `MovedAtSettle` | by a program; old entries are behind (stack: above) those of new programs |
//! | array_of_maps, hash_of_maps | `InnerMapsById` | outer entries by batch calls; both share the inner maps |
//! | devmap, devmap_hash, cpumap | `OneByOne` | programs given by id are opened |
//! | prog_array, perf_event_array, cgroup_array | `Refilled` | nothing: the loader fills the new one |
//! | all others | `NotCopyable` | their [row](maplock_layout::map_type) says why |
//!
//! An LRU map evicts also if it is not full: each CPU takes free entries in lots of up to 128. Give the new map room for
//! the entries and 128 more for each CPU; [`Copied::lost`] tells how many were evicted. Recency is not carried over.
//!
//! Values of kernel objects in a value (`bpf_timer`, kptrs, lists) can't be carried over; such bytes, and those of a
//! `bpf_spin_lock`, start as zero in the new map. The programs here may not look at them. A `bpf_spin_lock` they leave out, and hold
//! while they settle the value; of others, `settle` works by system calls.
//!
//! # What is exact
//!
//! [`Settled::inexact`] says if a step is no atomic instruction, so that a write of a new program at that very moment can be lost, and why
//! ([`Inexact`]). [`Prepared::inexact`] says the same before anything is settled: a plan prepares empty maps of the same kind. A count of 8 bytes
//! in an LPM trie of IPv4 prefixes lies on 4 bytes, and is added in two halves. Per-CPU values are settled on their own CPU, where a
//! program in a softirq is never interrupted by ours. A program in process context that counts with a plain `x++` can be, on a
//! preemptible kernel only. Counters that programs of several CPUs share are exact if the programs count with atomic instructions.
//!
//! Not told by that: what the other counts of [`Settled`] say; a key that old programs deleted is looked at before it is deleted, and a
//! write between the two goes with it; and an entry of a preallocated hash that new programs delete in the moment between the look-up and
//! the addition may be another key's by then, which gets the count.

mod base;
mod calls;
mod carrier;
mod check;
mod clear;
mod convert;
mod copy;
mod count;
mod drive;
mod emit;
mod error;
mod inexact;
mod lock;
mod look;
mod pieces;
mod read;
mod settle;
mod types;

pub use base::{base_for_probe, base_room, needs_base, new_base, record_bytes};
pub use clear::clear;
pub use convert::migrate;
pub use convert::types::{Convert, Side, can_convert};
pub use convert::way::{NoSuchCode, Way};
pub use copy::snapshot;
pub use count::count;
pub use error::TransferError;
pub use inexact::Inexact;
pub use look::Found;
pub(crate) use look::look;
pub use read::{each_entry, significant};
pub use settle::Prepared;
pub use types::{Copied, Method, Settled, Sum, Transfer, TransferOptions, evicts};
