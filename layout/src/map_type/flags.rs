//! Flags of maps, by their names.

use super::Capacity;
use crate::map::MapDef;

/// Each CPU has its own list of free entries, instead of one for all.
pub const BPF_F_NO_COMMON_LRU: u32 = 1 << 1;

/// `BPF_F_*` of `map_create` in include/uapi/linux/bpf.h, Linux 6.19.
const NAMES: &[(u32, &str)] = &[
    (NO_PREALLOC, "BPF_F_NO_PREALLOC"),
    (BPF_F_NO_COMMON_LRU, "BPF_F_NO_COMMON_LRU"),
    (NUMA_NODE, "BPF_F_NUMA_NODE"),
    (0x8, "BPF_F_RDONLY"),
    (0x10, "BPF_F_WRONLY"),
    (0x20, "BPF_F_STACK_BUILD_ID"),
    (ZERO_SEED, "BPF_F_ZERO_SEED"),
    (0x80, "BPF_F_RDONLY_PROG"),
    (0x100, "BPF_F_WRONLY_PROG"),
    (0x200, "BPF_F_CLONE"),
    (0x400, "BPF_F_MMAPABLE"),
    (0x800, "BPF_F_PRESERVE_ELEMS"),
    (0x1000, "BPF_F_INNER_MAP"),
    (0x2000, "BPF_F_LINK"),
    (0x4000, "BPF_F_PATH_FD"),
    (0x8000, "BPF_F_VTYPE_BTF_OBJ_FD"),
    (0x1_0000, "BPF_F_TOKEN_FD"),
    (0x2_0000, "BPF_F_SEGV_ON_FAULT"),
    (0x4_0000, "BPF_F_NO_USER_CONV"),
];
const NO_PREALLOC: u32 = 0x1;
const NUMA_NODE: u32 = 0x4;
const ZERO_SEED: u32 = 0x40;

/// The flags that say where a map's memory is and how it is hashed, and nothing of what is in it: a daemon may set them when it loads
/// the map, and a map with others serves it as well.
pub const FLAGS_OF_MEMORY: u32 = NO_PREALLOC | NUMA_NODE | ZERO_SEED;

/// Flags by their names: `BPF_F_NO_PREALLOC | BPF_F_MMAPABLE`, or `0` for none. What has no name is in hexadecimal digits.
#[must_use]
pub fn flag_names(flags: u32) -> String {
    let mut rest = flags;
    let named = NAMES.iter().filter(|(bit, _)| flags & bit != 0);
    let mut words: Vec<_> = named.map(|(bit, name)| (rest &= !bit, (*name).to_owned()).1).collect();
    if rest != 0 || words.is_empty() {
        words.push(if rest == 0 { "0".to_owned() } else { format!("{rest:#x}") });
    }
    words.join(" | ")
}

impl MapDef {
    /// Without the flags that the daemon sets, but for those that the type demands.
    #[must_use]
    pub fn without_flags_of_memory(&self) -> Self {
        // `trie_alloc` and `bpf_local_storage_map_alloc_check` refuse a map without BPF_F_NO_PREALLOC.
        let is_demanded = self.map_type.is_trie() || self.map_type.row().capacity == Capacity::Nothing;
        let free = if is_demanded { FLAGS_OF_MEMORY & !NO_PREALLOC } else { FLAGS_OF_MEMORY };
        Self { flags: self.flags & !free, numa_node: 0, ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_told_by_name() {
        let told = [(0, "0"), (1, "BPF_F_NO_PREALLOC"), (0x401, "BPF_F_NO_PREALLOC | BPF_F_MMAPABLE")];
        for (flags, words) in told {
            assert_eq!(flag_names(flags), words);
        }
        assert_eq!(flag_names(0x8000_0002), "BPF_F_NO_COMMON_LRU | 0x80000000");
    }
}
