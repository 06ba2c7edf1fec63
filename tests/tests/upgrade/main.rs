//! Upgrades on the real kernel, read back from the kernel.

mod every_type;
mod hooks;
mod loaders;
mod pins;
mod releases;
mod undo;
mod whole;
