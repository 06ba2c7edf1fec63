//! Helpers of the tests that span crates; the tests are under `tests/tests`.
//!
//! What maplock reads from an object is held against two programs that share no line with it: libbpf ([`libbpf`]) for
//! the maps and their attributes, and bpftool ([`types`]) for every type that a map reaches. [`agree`] holds the
//! comparisons, and [`kernel`] makes what tests of the running kernel need.
//!
//! What needs a compiler alone is a package of its own, `maplock-layout-tests` in `tests/layouts`, which is quicker to build.
//!
//! [`shapes`] are layouts that are written by hand.
//!
//! [`generations`] is a daemon in two releases, [`traffic`] what its programs count, [`truth`] what must be there after
//! whatever happened to it, and [`trace`] what makes things happen, at each of its system calls.

pub mod agree;
pub mod container;
pub mod generations;
pub mod kernel;
pub mod libbpf;
mod program;
pub mod shapes;
#[cfg(target_arch = "x86_64")]
pub mod trace;
pub mod traffic;
pub mod truth;
pub mod types;

pub use maplock_layout_tests::{lock, lock_text, maps_of, toolchain};
