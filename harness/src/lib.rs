//! Tries an upgrade of pinned eBPF maps on the kernel that runs: `maplock test-upgrade` as a library.
//!
//! Two versions of a daemon are started one after the other, while a command makes traffic. Between the steps, every entry of every map is
//! held against what it was. The newer daemon is killed at random, started again, and rolled back.
//!
//! ```no_run
//! use maplock_harness::TestUpgrade;
//!
//! let outcome = TestUpgrade::new("daemon-1.0 --pins $MAPLOCK_PINS", "daemon-1.1 --pins $MAPLOCK_PINS", "ping -i 0.01 10.0.0.1")
//!     .kills(20)
//!     .run()
//!     .expect("root, a bpffs and cgroup v2");
//! assert!(!outcome.fails(), "{outcome}");
//! ```
//!
//! All of it is in namespaces and a cgroup of its own, which end with it. The parts serve tests of another shape: [`World`] is that place,
//! [`Picture`] is what the maps of a generation hold, and [`Picture::compare`] holds two of them against each other.
#![forbid(unsafe_code)]

mod compare;
mod driver;
mod error;
mod expected;
mod group;
mod outcome;
mod picture;
mod running;
mod show;
mod steps;
mod test;
mod traffic;
mod world;

pub use compare::{Compared, Difference, How, Mode, Side};
pub use error::Error;
pub use expected::Expected;
pub use group::Group;
pub use outcome::{Failure, Killed, Outcome, Phase, When};
pub use picture::{Entry, MapPicture, Picture};
pub use test::TestUpgrade;
pub use world::{BPFFS, World};
