//! A generation as it lies on bpffs: where it is, what it says of itself, and how its maps came to be.

pub(crate) mod derivation;
pub(crate) mod directory;
pub(crate) mod exclusive;
pub(crate) mod kept;
pub(crate) mod live;
pub(crate) mod meta;
pub(crate) mod missing;
pub(crate) mod names;
pub(crate) mod origin;
pub(crate) mod pinned_lock;
pub(crate) mod records;
pub(crate) mod site;
pub(crate) mod text;
pub(crate) mod watch;
