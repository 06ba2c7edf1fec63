//! minimesh, the demo of maplock: a service mesh in one eBPF program, in four releases, and a daemon that upgrades from any of them
//! to any other under traffic.
//!
//! A library for the tests' sake: the test of live upgrades needs its traffic, and drives a daemon that may be another.

pub mod config;
pub mod daemon;
pub mod entries;
mod kmesh_way;
pub mod log;
#[allow(missing_docs, reason = "generated")]
mod maps {
    include!(concat!(env!("OUT_DIR"), "/maps.rs"));
}
pub mod ready;
pub mod release;
pub mod story;
pub mod traffic;
pub mod web;
