//! The system calls, each behind a safe function: bpf(2), membarrier(2), inotify(7), rtnetlink(7), signals, and the calls on bpffs.
//!
//! This is the only module of the crate that holds `unsafe`. It knows nothing of locks, plans or generations. Public for
//! maplock's own tools and tests; no part of it is stable.
#![allow(unsafe_code, reason = "system calls")]

mod batch;
pub mod bpffs;
mod btf;
pub mod consts;
mod cpus;
mod fdinfo;
mod functions;
mod insn;
mod link;
mod map;
mod memlock;
mod mmap;
mod named;
mod netlink;
mod notify;
mod object;
pub mod privileges;
mod prog;
mod ring;
mod signals;
mod syscall;
mod trie;
mod vmlinux;
mod wait;

pub use batch::{Batch, has_no_batches};
pub use btf::Btf;
pub use cpus::{Tour, online_cpus, possible_cpu_numbers, possible_cpus, run_on_cpu};
pub use fdinfo::FdInfo;
pub use insn::Insn;
pub use link::{Link, LinkInfo, LinkTarget, LinkType, NewLink, has_device, has_tcx};
pub use map::{Map, MapInfo, NewMap};
pub use mmap::Mmap;
pub use netlink::{ByNetlink, NetlinkHook, by_netlink};
pub use notify::Notify;
pub use object::Object;
pub use prog::{NewProg, Prog, ProgInfo, has_atomic_fetch};
pub use ring::Ring;
pub use signals::Signals;
pub use trie::tries_heed_noexist;
pub use vmlinux::vmlinux_btf;
pub use wait::wait_for_running_programs;
