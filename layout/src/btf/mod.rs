//! Zero-copy reader of the BPF Type Format, and a writer for what one map needs of it.
//!
//! [`Btf::parse`] checks the header and walks the type section once to learn where each record starts; nothing is
//! copied. Records are decoded when asked for, and [`Resolver`] turns the few that a map reaches into [`crate::Layout`]s.
//! [`encode()`] writes those as BTF again.
//!
//! Source of every number here: the kernel's `Documentation/bpf/btf.rst` and `include/uapi/linux/btf.h`.

mod encode;
mod error;
mod kind;
mod reader;
mod record;
mod resolve;
mod version_tag;

pub use encode::{EncodeError, Encoded, encode, encode_untagged};
pub use error::BtfError;
pub use kind::{BtfKind, Endian};
pub use reader::Btf;
pub use record::{BtfMember, BtfSecinfo, BtfType, Linkage};
pub use resolve::Resolver;
pub use version_tag::VersionTag;
