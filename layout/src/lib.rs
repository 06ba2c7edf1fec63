//! The shared language of maplock, the lockfile for the layout of pinned eBPF maps.
//!
//! Bytes and strings in, values out: this crate reads no files and makes no system calls. Data flows one way:
//!
//! - [`btf`]: BTF bytes to records, and from there to a [`Layout`], a type resolved down to bytes;
//! - [`MapDef`]: one map's definition, with the layouts of its key and value, and its [`Digest`];
//! - [`mod@observe`]: the maps of several objects, put together as a [`Config`] says;
//! - [`Lock`]: `maps.lock`, read and written;
//! - [`compare`]: two locks in, [`Finding`]s of [`rules`] out, and what becomes of each map ([`Disposition`]);
//! - [`epochs`]: accepting a finding, and taking that back;
//! - [`sum_places`]: which members of a value can be added up.
#![forbid(unsafe_code)]

pub mod btf;
pub mod config;
pub mod conversion;
pub mod diff;
pub mod digest;
pub mod epochs;
pub mod finding;
mod kernel_field;
pub mod layout;
pub mod lock;
pub mod map;
pub mod map_type;
mod name;
pub mod observe;
pub mod rules;
mod sum;

pub use config::Config;
pub use diff::compare;
pub use digest::Digest;
pub use finding::{Comparison, Disposition, Finding, Place, Verdict};
pub use kernel_field::uncarried;
pub use layout::Layout;
pub use lock::Lock;
pub use map::MapDef;
pub use name::Name;
pub use observe::{ObjectMaps, Observation, observe};
pub use sum::{SumError, SumPlace, sum_places};
