//! Upgrades on the real kernel, read back from the kernel.

mod by_hand;
mod converted_back;
mod every_type;
#[cfg(target_arch = "x86_64")]
mod exact;
mod hooks;
mod kept;
mod kinds;
mod loaders;
mod lock;
mod looked_at;
mod meaning;
#[cfg(target_arch = "x86_64")]
mod meanwhile;
mod objects;
mod optional;
mod owners;
mod pins;
mod privileges;
mod race;
mod releases;
mod renamed_hooks;
mod renames;
mod report;
mod restart;
mod several;
mod shown;
mod spin;
mod strangers;
mod tail_calls;
mod undo;
mod way_back;
mod way_out;
mod whole;
#[cfg(target_arch = "x86_64")]
mod without_btf;
