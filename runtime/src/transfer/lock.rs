//! The lock in a value, which programs hold while they write it.

use maplock_layout::btf::{Btf, Resolver};
use maplock_layout::lock_of;

use crate::sys::{self, Map};

/// Where it is: its bytes are the kernel's, and no program may look at them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lock {
    pub(super) start: u32,
    pub(super) end: u32,
    /// True if our programs take it too, so that nobody writes the value between a look and a write.
    pub(super) is_taken: bool,
}

impl Lock {
    /// That of the values of a map, as its BTF tells. `None` too if that can't be read: the kernel refuses programs that would look at it.
    pub(super) fn of(map: &Map) -> Option<Self> {
        let info = map.info();
        if info.btf_id == 0 || info.btf_value_type_id == 0 {
            return None;
        }
        let bytes = sys::Btf::from_id(info.btf_id).and_then(|btf| btf.bytes()).ok()?;
        let names: [&[u8]; 2] = [b"\0bpf_spin_lock\0", b"\0bpf_res_spin_lock\0"];
        // Most objects know no lock: their types need not be read.
        if !names.iter().any(|name| bytes.windows(name.len()).any(|window| window == *name)) {
            return None;
        }
        let btf = Btf::parse(&bytes).ok()?;
        let value = Resolver::new(&btf).resolve(info.btf_value_type_id).ok()?;
        let (start, size, name) = lock_of(&value)?;
        let start = u32::try_from(start).ok()?;
        Some(Self { start, end: start + u32::try_from(size).ok()?, is_taken: name == "bpf_spin_lock" })
    }
}
