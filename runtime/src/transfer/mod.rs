//! Entries from one map to another, while programs write them.
//!
//! # The scheme
//!
//! Two passes over two maps of one kind, `from` (the old one) and `to` (the new one), with the links switched between them:
//!
//! 1. [`Transfer::copy`], while old programs write `from` and nobody uses `to`. Members that are added up ([`Sum`]) start as 0
//!    in `to`; all other bytes are copied, and the same bytes are kept in a third map, the snapshot `base`.
//! 2. [`Transfer::settle`], when nothing writes `from` any more (the links were switched, and
//!    [`wait_for_running_programs`](crate::sys::wait_for_running_programs) returned) and new programs write `to` at full speed.
//!    What takes long and can be done before the switch is in [`Transfer::prepare`].
//!    - A *sum* is taken out of `from` (exchanged with 0) and added to what is in `to`, each with one atomic instruction: both
//!      maps together hold all counts at any time.
//!    - *Other bytes* that old programs changed since the copy (`from` is not `base`) follow into `to`, word by word, each by a
//!      compare-and-exchange that expects the snapshot's: what new programs wrote is never overwritten. Where they wrote any word
//!      of an entry, all of its words are theirs ([`Settled::kept_new`]).
//!    - A key that old programs *inserted* is inserted, never over an entry of the new programs. One that old programs *deleted*
//!      is deleted, unless new programs wrote it. One that new programs deleted stays deleted, and its counts go with it.
//!
//! A program for one entry runs to its end whatever happens to the process, and `from` and `base` record what was done. So
//! `settle` may be killed at any point and run again, and a second run changes nothing. It is symmetric: with `from` and `to`
//! exchanged, and the same `base`, it brings back what new programs wrote, after a switch that failed and before or after a
//! first `settle`: that is also the roll-back. One thing can't be told apart then: a key that new programs deleted stays where it
//! holds counts that were never taken out of it.
//!
//! Without a `base`, which is enough where all bytes of a value are added up ([`needs_base`]), deletions are known from less: a key
//! of `from` with counts is inserted where `to` lacks it, and a key of `to` without counts that `from` lacks is deleted.
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
//! An LRU map evicts also where it is not full: each CPU takes free entries in lots of up to 128. Give the new map room for
//! the entries and 128 more for each CPU; [`Copied::lost`] tells how many were evicted. Recency is not carried over.
//!
//! Values of kernel objects in a value (`bpf_timer`, kptrs, lists) can't be carried over; such bytes, and those of a
//! `bpf_spin_lock`, start as zero in the new map. The programs here may not look at them: `settle` then works by system calls.
//!
//! # What is exact
//!
//! [`Settled::exact`] is false where a step was not one atomic instruction, so that a write of a new program at that very moment
//! can be lost: in user space ([`Method::Batch`], [`Method::OneByOne`]), which the kernel's age or the value asks for; for bytes that
//! are no word of 4 or 8 bytes (the last 1 to 3 of a value), and for values of LPM tries that their keys leave unaligned. Per-CPU
//! values are settled on their own CPU, where a program in a softirq is never interrupted by ours. A program in process context
//! that counts with a plain `x++` can be, on a preemptible kernel only. Counters that programs of several CPUs share are exact if the
//! programs count with atomic instructions. And it is false where a count of a converted entry would have gone below nothing, which is
//! then counted as well ([`Settled::not_carried`]).
//!
//! Not told by `exact`: a key that old programs deleted is looked at before it is deleted, and a write between the two goes with it;
//! and an entry of a preallocated hash that new programs delete in the moment between the look-up and the addition may be
//! another key's by then, which gets the count.

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
mod pieces;
mod settle;
mod types;

pub use base::{needs_base, new_base};
pub use clear::clear;
pub use convert::migrate;
pub use convert::types::{Convert, Side, can_convert};
pub use convert::way::{NoSuchCode, Way};
pub use copy::snapshot;
pub use count::count;
pub use error::TransferError;
pub use settle::Prepared;
pub use types::{Copied, Method, Settled, Sum, Transfer, TransferOptions, evicts};
