//! The staged maps, handed to a loader.
//!
//! A loader left to itself opens pins by path: aya without any check, libbpf by sizes. Here it is given maps that were checked, and
//! nothing else. Any other loader takes descriptors: [`Staged::map`](crate::Staged::map) is `AsFd`.

#[cfg(feature = "aya")]
mod aya;
#[cfg(feature = "libbpf-rs")]
mod libbpf;
