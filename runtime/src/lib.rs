//! Upgrades of pinned eBPF maps: reuse, grow, convert or swap them under live traffic, all of them or none.
//!
//! A daemon's pinned maps outlive it. When its next release changes a key or value, the new programs would read the old bytes with
//! the new layout, and the kernel, which compares sizes only, would let them. This crate holds what is pinned against the
//! layouts that the release was built with, and takes the state over:
//!
//! ```no_run
//! # fn f(spec: maplock::Spec, cgroup: std::fs::File) -> Result<(), Box<dyn std::error::Error>> {
//! use maplock::{AttachType, Hook, Options};
//!
//! let upgrade = Options::new(spec, "/sys/fs/bpf/minimesh").begin()?; // waits for another upgrade, recovers from a crash
//! println!("{}", upgrade.plan());
//! let mut staged = upgrade.stage()?; // maps made, grown, linked, beside the live ones
//! # let prog: std::os::fd::OwnedFd = todo();
//! // .. the loader loads the new programs onto the staged maps ..
//! staged.hook("connect4", &prog, Hook::cgroup(&cgroup, AttachType::CGROUP_INET4_CONNECT)?)?;
//! let report = staged.commit()?; // links switched, pins exchanged; dropped instead: nothing happened
//! # Ok(()) }
//! # fn todo() -> std::os::fd::OwnedFd { unreachable!() }
//! ```
//!
//! - [`Spec`]: what the release was built with;
//! - [`Plan`]: what will be done to each map and why, by the actions of [`plan`];
//! - [`Policies`]: what to do if the lock's history has no answer;
//! - [`Staged`]: the new generation beside the live one, committed or dropped as a whole;
//! - [`Rollback`], [`confirm`]: back to the kept generation, or away with it;
//! - [`Recovery`]: the end of an upgrade that no start completes;
//! - [`Report`]: what was done; [`metrics`]: what is pinned, for Prometheus;
//! - [`handles`]: the maps' entries, typed, once the layout was verified.
//!
//! A *generation* is the set of maps and links that one release runs on: a directory on bpffs.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![deny(unsafe_code)]

/// Declares the module that the package's build script generated: the spec, the key and value types of each map, and
/// `upgrade`, if `Builder::runtime(true)` asked for it.
///
/// ```text
/// // build.rs
/// maplock_codegen::Builder::new().object("flowtop", path).module("flowtop").runtime(true).generate()
///
/// // src/main.rs
/// maplock::include_maps!("flowtop"); // mod flowtop
///
/// let upgrade = flowtop::upgrade("/sys/fs/bpf/flowtop").begin()?;
/// ```
///
/// Without a name, it is the module `maps`, as it is without `Builder::module`.
#[macro_export]
macro_rules! include_maps {
    () => {
        $crate::include_maps!("maps");
    };
    ($module:literal) => {
        ::core::include!(::core::concat!(::core::env!("OUT_DIR"), "/", $module, ".mod.rs"));
    };
}

mod entry;
mod error;
#[doc(hidden)]
pub mod generated;
mod generation;
pub mod handles;
mod inspect;
mod loaders;
pub mod plan;
mod sys;
mod transfer;
mod upgrade;

#[doc(hidden)]
pub use entry::derive as __derive;
pub use entry::{MapKey, MapValue};
pub use error::{Error, ErrorKind, missing_privilege};
pub use generation::records::Recovered;
pub use inspect::metrics;
pub use maplock_layout as layout;
pub use maplock_macros::{MapKey, MapValue};
pub use plan::Plan;
pub use plan::policy::{OnMismatch, OnMissing, Policies, Policy};
pub use plan::spec::{Spec, SpecError};
pub use sys::{Map, MapInfo};
pub use transfer::migrate::{Entries, Migrate, MigrateError, Migrations};
pub use upgrade::begin::{Options, Upgrade};
pub use upgrade::confirm::{confirm, confirm_but};
pub use upgrade::hooks::{AttachType, Hook};
pub use upgrade::inputs::dry_run;
pub use upgrade::recovery::Recovery;
pub use upgrade::report::{LinkReport, MapReport, Progress, Report};
pub use upgrade::rollback::Rollback;
pub use upgrade::stage::Staged;
pub use upgrade::taken_back::LeftBehind;
pub use upgrade::way_out::WayOut;
pub use zerocopy;

/// What maplock's own tools, tests and benchmarks need besides: no part of the interface, and different in the next version.
#[doc(hidden)]
pub mod internals {
    pub mod inspect {
        pub use crate::inspect::*;
    }
    pub mod meta {
        pub use crate::generation::meta::*;
    }
    pub mod normalise {
        pub use crate::inspect::normalise::*;
    }
    pub mod missing {
        pub use crate::generation::missing::*;
    }
    pub mod rehearse {
        pub use crate::plan::rehearse::*;
    }
    pub mod sample {
        pub use crate::plan::sample::*;
    }
    pub mod sys {
        pub use crate::sys::*;
    }
    pub mod transfer {
        pub use crate::transfer::*;
    }
    pub use crate::generation::names::pin_name;
}

/// The page for those who write a daemon, whose code is tested with the crate.
#[cfg(all(doctest, feature = "aya", feature = "libbpf-rs"))]
#[doc = include_str!("../../docs/daemon.md")]
struct DaemonPage;

/// The page on handles.
#[cfg(all(doctest, feature = "aya", feature = "libbpf-rs"))]
#[doc = include_str!("../../docs/handles.md")]
struct HandlesPage;

/// The page for those who read the maps of a daemon.
#[cfg(all(doctest, feature = "aya", feature = "libbpf-rs"))]
#[doc = include_str!("../../docs/readers.md")]
struct ReadersPage;

/// The page on conversions.
#[cfg(doctest)]
#[doc = include_str!("../../docs/migrate.md")]
struct MigratePage;

/// The page on the derives, whose code is tested with the crate.
#[cfg(doctest)]
#[doc = include_str!("../../docs/derive.md")]
struct DerivePage;
