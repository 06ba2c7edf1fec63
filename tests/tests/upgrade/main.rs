//! Upgrades on the real kernel, read back from the kernel.

mod releases;
mod whole;
