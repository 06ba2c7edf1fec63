//! Upgrades on the real kernel, read back from the kernel.

mod every_type;
mod pins;
mod releases;
mod whole;
