//! For build scripts: eBPF objects in, checked Rust out.
//!
//! [`Builder`] is all that a `build.rs` needs. The rest is what `cargo maplock` is made of: [`Object`] reads the maps of
//! one compiled object, [`Inputs`] those of a package, [`gate`] holds them against the lock, and [`report`] tells a
//! person what was found.
#![forbid(unsafe_code)]

mod builder;
mod clang;
mod comments;
pub mod counters;
mod declarations;
mod file_error;
pub mod gate;
mod included;
mod inputs;
mod manifest;
mod object_file;
mod owner;
pub mod report;
mod rust_module;
mod source_text;
mod ways;
mod wrote;

pub use builder::{BUILT_FILE, BuildError, Builder, LINES_FILE, OBJECTS_FILE, OBJECTS_VARIABLE};
pub use file_error::FileError;
pub use inputs::{InputError, InputObject, Inputs, object_name};
pub use manifest::Manifest;
pub use object_file::{Locations, Object, ObjectError, Programs, SourceLine, TypesObject};

/// The page of the package, whose code is tested.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Page;
