//! The shared language of maplock, the lockfile for the layout of pinned eBPF maps.
//!
//! Bytes and strings in, values out: this crate reads no files and makes no system calls. Data flows one way:
//!
//! - [`btf`]: BTF bytes to records, and from there to a [`Layout`], a type resolved down to bytes;
//! - [`MapDef`]: one map's definition, with the layouts of its key and value, and its [`Digest`];
//! - [`observe()`] and [`observe_after`]: the maps of several objects, put together as a [`Config`] says;
//! - [`Lock`]: `maps.lock`, read and written;
//! - [`compare`]: two locks in, [`Finding`]s of [`rules`] out, and what becomes of each map ([`Disposition`]);
//! - [`epochs`]: accepting a finding, and taking that back;
//! - [`history`]: the way over epochs from a definition that a node holds, and the [`conversion`] that takes it;
//! - [`rehearsal`]: a conversion tried on entries, also on those of a dump (with the feature `json`);
//! - [`sum_places`]: which members of a value can be added up;
//! - [`values`]: keys and values as a person reads them.
#![forbid(unsafe_code)]

mod arms;
pub mod btf;
mod change;
pub mod config;
pub mod conversion;
pub mod counters;
mod diff;
mod differing;
mod digest;
#[cfg(feature = "json")]
pub mod dump;
mod epoch;
mod epoch_error;
pub mod epochs;
mod example;
mod finding;
pub mod history;
pub mod identity;
mod kernel_field;
mod layout;
mod leaves;
pub mod listing;
pub mod lock;
mod loss;
pub mod map;
pub mod map_type;
mod merging;
mod misreading;
mod must_fit;
mod name;
mod objects;
mod observe;
mod offer;
mod place;
mod program_use;
mod reading;
pub mod rehearsal;
mod renaming;
mod retyping;
mod ruler;
pub mod rules;
mod sections;
mod sentence;
mod sum;
mod three_way;
mod touched;
mod untold;
pub mod values;
mod versions;
mod way_back;
mod wide_enum;

pub use change::{Change, Outline, Part, Step, Subject, Typed};
pub use config::Config;
pub use diff::compare;
pub use differing::differing;
pub use digest::Digest;
pub use example::Example;
pub use finding::{Comparison, Disposition, Finding, Rename, Verdict, answers};
pub use kernel_field::{lock as lock_of, uncarried};
pub use layout::{Composite, CompositeKind, Enumeration, FlatMember, IntKind, Layout, Member, Shape, TooManyMembers};
pub use lock::Lock;
pub use loss::Loss;
pub use map::MapDef;
pub use must_fit::MustFit;
pub use name::Name;
pub use objects::ObjectMaps;
pub use observe::{Observation, disagreement, observe, observe_after};
pub use offer::Offer;
pub use place::Place;
pub use program_use::ProgramUse;
pub use reading::{Named, Reading, Risk};
pub use ruler::{Fate as SpanFate, Ruler, Span};
pub use sum::{SumError, SumPlace, sum_places};
pub use three_way::{Merged, merge_three};
pub use touched::{Accesses, Met, Touched, touched};
pub use untold::Untold;
pub use versions::{Adopted, said_version, versioned_as, without_versions};
pub use way_back::{Again, NoWayBack, WayBack};
