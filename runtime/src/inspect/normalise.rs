//! What the kernel and the loaders make of a declaration, so that a pinned map can be held against one.
//!
//! [`QUIRKS`] is the only place that knows: every comparison goes through [`normalise`]. What is *not* there because nothing
//! changes it: `BPF_F_NO_PREALLOC`, which tries and storage maps demand (`trie_alloc`, `bpf_local_storage_map_alloc_check`) and
//! no loader adds; `BPF_F_INNER_MAP` and `BPF_F_SEGV_ON_FAULT`, which are kept as given; `map_extra` of Bloom filters, which
//! stays 0 if the kernel takes 5 hash functions; the value of cpumap and devmap, 4 or 8 bytes as declared.

use std::io;

use maplock_layout::CompositeKind;
use maplock_layout::map::{MapDef, MapType};
use maplock_layout::map_type::{Capacity, Keys, Values};

use crate::sys::consts::{BPF_F_MMAPABLE, BPF_F_NO_COMMON_LRU, BPF_F_TOKEN_FD, BPF_F_VTYPE_BTF_OBJ_FD};

/// What the machine rounds by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node {
    /// CPUs that the machine could have.
    pub cpus: u32,
    /// Bytes of a page.
    pub page_size: u32,
}

impl Node {
    /// This machine.
    ///
    /// # Errors
    /// If the number of possible CPUs can't be read.
    pub fn this() -> io::Result<Self> {
        let page_size = u32::try_from(rustix::param::page_size()).map_err(io::Error::other)?;
        Ok(Self { cpus: crate::sys::possible_cpus()?, page_size })
    }
}

/// One thing that the kernel or a loader changes between a declaration and what the kernel tells of the map.
#[derive(Debug)]
pub struct Quirk {
    /// Its name.
    pub name: &'static str,
    /// Where it comes from: a function of the kernel, or of a loader.
    pub source: &'static str,
    /// Makes of a declaration what the kernel will tell; given what it tells in fact, if loaders differ.
    apply: fn(&mut MapDef, &MapDef, Node),
}

/// All of them.
pub static QUIRKS: &[Quirk] = &[
    Quirk {
        name: "flags that the kernel adds or does not keep",
        source: "`dev_map_init_map` adds BPF_F_RDONLY_PROG; `bpf_map_flags_retain_permanent` drops BPF_F_RDONLY and BPF_F_WRONLY, which belong to the descriptor",
        apply: |shown, _, _| shown.flags = shown.effective_flags(),
    },
    Quirk {
        name: "a token to create the map with",
        source: "`map_create` clears BPF_F_TOKEN_FD before the map is made (Linux 6.9)",
        apply: |shown, _, _| shown.flags &= !BPF_F_TOKEN_FD,
    },
    Quirk {
        name: "tables for the kernel's interfaces",
        source: "libbpf's `bpf_map__init_kern_struct_ops` takes the size of the kernel's own struct, and adds BPF_F_VTYPE_BTF_OBJ_FD where that is a module's",
        apply: |shown, observed, _| {
            if shown.map_type == MapType::STRUCT_OPS {
                shown.value_size = observed.value_size;
                shown.flags |= observed.flags & BPF_F_VTYPE_BTF_OBJ_FD;
            }
        },
    },
    Quirk {
        name: "LRU lists of each CPU",
        source: "`htab_map_alloc`: with BPF_F_NO_COMMON_LRU, max_entries is rounded up to a multiple of the possible CPUs, down where that overflows",
        apply: |shown, _, node| {
            if shown.map_type.row().capacity == Capacity::EvenOverCpus && shown.flags & BPF_F_NO_COMMON_LRU != 0 {
                let cpus = node.cpus.max(1);
                let up = shown.max_entries.checked_next_multiple_of(cpus);
                shown.max_entries = up.unwrap_or(shown.max_entries / cpus * cpus);
            }
        },
    },
    Quirk {
        name: "ring buffers in pages",
        source: "`ringbuf_map_alloc` wants a power of two of the node's pages; libbpf's `adjust_ringbuf_sz`, aya's `adjust_to_page_size` and cilium/ebpf round up",
        apply: |shown, _, node| {
            if shown.map_type.row().capacity == Capacity::Bytes {
                shown.max_entries = Capacity::ring_bytes(shown.max_entries, node.page_size);
            }
        },
    },
    Quirk {
        name: "a perf event array for each CPU",
        source: "libbpf's `map_set_def_max_entries` and aya's `max_entries_override` take 0 as the number of CPUs; cilium/ebpf's `fixupMagicFields` also what is more",
        apply: |shown, observed, node| {
            let is_all = shown.max_entries == 0 || shown.max_entries > node.cpus && observed.max_entries == node.cpus;
            if shown.map_type.row().capacity == Capacity::EachCpu && is_all {
                shown.max_entries = node.cpus;
            }
        },
    },
    Quirk {
        name: "a cpumap for each CPU",
        source: "cilium/ebpf's `fixupMagicFields` takes 0, and what is over the number of CPUs, as that number",
        apply: |shown, observed, node| {
            let is_all = shown.max_entries == 0 || shown.max_entries > node.cpus;
            if shown.map_type.row().capacity == Capacity::UpToEachCpu && is_all && observed.max_entries == node.cpus {
                shown.max_entries = node.cpus;
            }
        },
    },
    Quirk {
        name: "maps of descriptors without sizes",
        source: "cilium/ebpf's `fixupMagicFields`, libbpf's `parse_btf_map_def`: keys and values of 4 bytes, which is all that the kernel takes",
        apply: |shown, _, _| {
            let row = shown.map_type.row();
            if row.values == Values::Fd {
                if shown.value_size == 0 {
                    shown.value_size = 4;
                }
                if shown.key_size == 0 && row.keys == Keys::Number {
                    shown.key_size = 4;
                }
            }
        },
    },
    Quirk {
        name: "data sections that user space can map",
        source: "libbpf's `map_is_mmapable` sets BPF_F_MMAPABLE where a variable is not static, cilium/ebpf always, aya never",
        apply: |shown, observed, _| {
            if is_data_section(shown) {
                shown.flags = shown.flags & !BPF_F_MMAPABLE | observed.flags & BPF_F_MMAPABLE;
            }
        },
    },
    Quirk {
        name: "types of indexes and handles",
        source: "`map_check_no_btf` and its like: most types whose keys or values are an index or a kernel object keep no BTF",
        apply: |shown, observed, _| {
            if observed.key.is_none() && !shown.key_has_layout() {
                shown.key = None;
            }
            if observed.value.is_none() && !shown.value_has_layout() {
                shown.value = None;
            }
        },
    },
    Quirk {
        name: "the template of inner maps",
        source: "`bpf_map_get_info_by_fd` does not tell of `inner_map_meta`; an inner map is seen where the map has an entry",
        apply: |shown, observed, _| {
            if observed.inner.is_none() {
                shown.inner = None;
            }
        },
    },
    Quirk {
        name: "what no map tells",
        source: "`struct bpf_map_info` has neither a NUMA node nor pinning, and 15 bytes of the name",
        apply: |shown, observed, _| {
            shown.name.clone_from(&observed.name);
            (shown.numa_node, shown.pinning, shown.origin) = (observed.numa_node, observed.pinning, observed.origin);
            shown.tags.clone_from(&observed.tags);
        },
    },
];

/// True for the map that a loader makes of global variables.
fn is_data_section(def: &MapDef) -> bool {
    let is_section = |of: &maplock_layout::Composite| of.kind() == CompositeKind::Section;
    def.map_type == MapType::ARRAY
        && def.max_entries == 1
        && (def.name.starts_with('.')
            || def.value.as_deref().and_then(|value| value.composite()).is_some_and(is_section))
}

/// A map that the kernel has, in the words of a declaration: whatever the kernel tells as it would for a map that was made as
/// `declared` says is as declared, all else is as the kernel tells it.
#[must_use]
pub fn normalise(observed: &MapDef, declared: &MapDef, node: Node) -> MapDef {
    by(QUIRKS.iter(), observed, declared, node)
}

fn by<'q>(quirks: impl Iterator<Item = &'q Quirk> + Clone, observed: &MapDef, declared: &MapDef, node: Node) -> MapDef {
    let mut shown = declared.clone();
    for quirk in quirks.clone() {
        (quirk.apply)(&mut shown, observed, node);
    }
    /// What the kernel tells, or what was declared if that is why.
    fn words<T: PartialEq + Clone>(observed: &T, shown: &T, declared: &T) -> T {
        if observed == shown { declared.clone() } else { observed.clone() }
    }
    MapDef {
        name: words(&observed.name, &shown.name, &declared.name),
        map_type: observed.map_type,
        key_size: words(&observed.key_size, &shown.key_size, &declared.key_size),
        value_size: words(&observed.value_size, &shown.value_size, &declared.value_size),
        max_entries: words(&observed.max_entries, &shown.max_entries, &declared.max_entries),
        flags: words(&observed.flags, &shown.flags, &declared.flags),
        map_extra: words(&observed.map_extra, &shown.map_extra, &declared.map_extra),
        version: words(&observed.version, &shown.version, &declared.version),
        numa_node: words(&observed.numa_node, &shown.numa_node, &declared.numa_node),
        pinning: words(&observed.pinning, &shown.pinning, &declared.pinning),
        origin: words(&observed.origin, &shown.origin, &declared.origin),
        tags: words(&observed.tags, &shown.tags, &declared.tags),
        // Layouts are not compared here: where both sides have one, what they differ in is the diff's to tell.
        key: if shown.key.is_none() && observed.key.is_none() { declared.key.clone() } else { observed.key.clone() },
        value: if shown.value.is_none() && observed.value.is_none() {
            declared.value.clone()
        } else {
            observed.value.clone()
        },
        inner: match (&observed.inner, &declared.inner) {
            (Some(observed), Some(declared)) => Some(Box::new(by(quirks, observed, declared, node))),
            (Some(observed), None) => Some(observed.clone()),
            (None, declared) if shown.inner.is_none() => declared.clone(),
            (None, _) => None,
        },
    }
}

/// True if the kernel takes one map for the other: type, sizes, flags and extra data agree. Capacity and layouts aside.
#[must_use]
pub fn attributes_agree(observed: &MapDef, declared: &MapDef, node: Node) -> bool {
    let words = normalise(observed, declared, node);
    words.map_type == declared.map_type
        && (words.key_size, words.value_size) == (declared.key_size, declared.value_size)
        && words.effective_flags() == declared.effective_flags()
        && words.map_extra == declared.map_extra
}

/// The capacity with which a map is created that is declared as `def`: what a loader would ask for, and what [`normalise`] takes
/// for as declared.
#[must_use]
pub(crate) fn created_max_entries(def: &MapDef, node: Node) -> u32 {
    let told = MapDef { max_entries: if def.max_entries == 0 { node.cpus } else { def.max_entries }, ..def.clone() };
    let mut created = def.clone();
    for quirk in QUIRKS {
        (quirk.apply)(&mut created, &told, node);
    }
    created.max_entries
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use maplock_layout::map::{MapType as T, Pinning};
    use maplock_layout::{Composite, IntKind, Layout, Shape};

    use super::*;

    const NODE: Node = Node { cpus: 6, page_size: 4096 };

    /// A definition of type, key, value, entries and flags.
    fn def(map_type: T, key_size: u32, value_size: u32, max_entries: u32, flags: u32) -> MapDef {
        MapDef { key_size, value_size, max_entries, flags, ..MapDef::new("m", map_type) }
    }

    fn int() -> Arc<Layout> {
        Arc::new(Layout::new(4, Shape::Int(IntKind::Unsigned)))
    }

    fn section() -> Arc<Layout> {
        let section = Composite::new(CompositeKind::Section, Some(".data".into()), Vec::new()).expect("few members");
        Arc::new(Layout::new(8, Shape::Composite(Arc::new(section))))
    }

    /// What is declared, and what the kernel tells of it: by the quirk that makes the difference.
    fn pairs() -> Vec<(&'static str, MapDef, MapDef)> {
        let typed = |map_type| MapDef { key: Some(int()), value: Some(int()), ..def(map_type, 4, 4, 8, 0) };
        let holder = |inner| MapDef { inner, ..def(T::ARRAY_OF_MAPS, 4, 4, 8, 0) };
        let pinned = MapDef { numa_node: 1, pinning: Pinning::ByName, ..def(T::HASH, 4, 4, 8, 4) };
        let data = |flags, value| MapDef { value, ..def(T::ARRAY, 4, 8, 1, flags) };
        let bss = |flags| MapDef { name: ".bss".to_owned(), ..def(T::ARRAY, 4, 8, 1, flags) };
        let flags = "flags that the kernel adds or does not keep";
        let tables = "tables for the kernel's interfaces";
        let ring = "ring buffers in pages";
        let perf = "a perf event array for each CPU";
        let lru = "LRU lists of each CPU";
        let sections = "data sections that user space can map";
        let handles = "types of indexes and handles";
        let sizes = "maps of descriptors without sizes";
        vec![
            (flags, def(T::DEVMAP, 4, 4, 8, 0), def(T::DEVMAP, 4, 4, 8, 0x80)),
            (flags, def(T::DEVMAP_HASH, 4, 8, 8, 0), def(T::DEVMAP_HASH, 4, 8, 8, 0x80)),
            (flags, def(T::HASH, 4, 4, 8, 0x9), def(T::HASH, 4, 4, 8, 0x1)),
            (flags, def(T::ARRAY, 4, 4, 8, 0x410), def(T::ARRAY, 4, 4, 8, 0x400)),
            ("a token to create the map with", def(T::HASH, 4, 4, 8, 0x1_0000), def(T::HASH, 4, 4, 8, 0)),
            (tables, def(T::STRUCT_OPS, 4, 40, 1, 0x2000), def(T::STRUCT_OPS, 4, 256, 1, 0xa000)),
            (lru, def(T::LRU_HASH, 4, 4, 100, 2), def(T::LRU_HASH, 4, 4, 102, 2)),
            (lru, def(T::LRU_PERCPU_HASH, 4, 4, u32::MAX, 2), def(T::LRU_PERCPU_HASH, 4, 4, u32::MAX / 6 * 6, 2)),
            (ring, def(T::RINGBUF, 0, 0, 1, 0), def(T::RINGBUF, 0, 0, 4096, 0)),
            (ring, def(T::USER_RINGBUF, 0, 0, 10_000, 0), def(T::USER_RINGBUF, 0, 0, 16_384, 0)),
            (perf, def(T::PERF_EVENT_ARRAY, 4, 4, 0, 0), def(T::PERF_EVENT_ARRAY, 4, 4, 6, 0)),
            (perf, def(T::PERF_EVENT_ARRAY, 4, 4, 128, 0), def(T::PERF_EVENT_ARRAY, 4, 4, 6, 0)),
            ("a cpumap for each CPU", def(T::CPUMAP, 4, 4, 0, 0), def(T::CPUMAP, 4, 4, 6, 0)),
            ("a cpumap for each CPU", def(T::CPUMAP, 4, 8, 64, 0), def(T::CPUMAP, 4, 8, 6, 0)),
            (sizes, def(T::PERF_EVENT_ARRAY, 0, 0, 8, 0), def(T::PERF_EVENT_ARRAY, 4, 4, 8, 0)),
            (sizes, def(T::HASH_OF_MAPS, 8, 0, 8, 0), def(T::HASH_OF_MAPS, 8, 4, 8, 0)),
            (sections, data(0x400, Some(section())), data(0, Some(section()))),
            (sections, bss(0), bss(0x400)),
            (handles, typed(T::PROG_ARRAY), def(T::PROG_ARRAY, 4, 4, 8, 0)),
            (handles, typed(T::XSKMAP), def(T::XSKMAP, 4, 4, 8, 0)),
            ("the template of inner maps", holder(Some(Box::new(typed(T::ARRAY)))), holder(None)),
            ("what no map tells", pinned, def(T::HASH, 4, 4, 8, 4)),
        ]
    }

    #[test]
    fn what_the_kernel_tells_of_a_declared_map_is_that_declaration() {
        for (quirk, declared, observed) in pairs() {
            let observed = MapDef { name: "m".to_owned(), ..observed };
            assert_eq!(normalise(&observed, &declared, NODE), declared, "{quirk}");
        }
    }

    #[test]
    fn a_ring_is_rounded_by_the_pages_of_its_machine() {
        for (page_size, of_kernel) in [(4 << 10, 8 << 10), (16 << 10, 16 << 10), (64 << 10, 64 << 10)] {
            let node = Node { page_size, ..NODE };
            let declared = MapDef { name: "m".to_owned(), ..def(T::RINGBUF, 0, 0, 5000, 0) };
            let observed = |max_entries| MapDef { max_entries, ..declared.clone() };
            assert_eq!(normalise(&observed(of_kernel), &declared, node), declared, "pages of {page_size}");
            assert_ne!(normalise(&observed(of_kernel * 2), &declared, node), declared, "pages of {page_size}");
        }
    }

    #[test]
    fn each_quirk_is_needed_and_has_a_pair() {
        for (name, declared, observed) in pairs() {
            let others = QUIRKS.iter().filter(|quirk| quirk.name != name);
            assert_ne!(by(others, &observed, &declared, NODE), declared, "{name} makes no difference");
        }
        let tested: BTreeSet<_> = pairs().iter().map(|(name, ..)| *name).collect();
        assert_eq!(tested, QUIRKS.iter().map(|quirk| quirk.name).collect());
    }

    #[test]
    fn what_no_quirk_explains_stays_as_the_kernel_tells_it() {
        let declared = [
            def(T::LRU_HASH, 4, 4, 100, 2),
            def(T::RINGBUF, 0, 0, 10_000, 0),
            def(T::PERF_EVENT_ARRAY, 4, 4, 128, 0),
            def(T::CPUMAP, 4, 4, 64, 0),
            def(T::HASH, 4, 4, 100, 1),
            MapDef { value: Some(int()), ..def(T::HASH, 4, 4, 100, 0) },
        ];
        for declared in declared {
            let observed = MapDef { value: None, ..def(declared.map_type, 8, 12, 7, 0x4) };
            let words = normalise(&observed, &declared, NODE);
            assert_eq!((words.key_size, words.value_size, words.max_entries, words.flags), (8, 12, 7, 0x4));
            assert_eq!(words.value, None);
        }
    }

    #[test]
    fn an_array_that_is_no_data_section_must_be_mappable_as_declared() {
        let (declared, observed) = (def(T::ARRAY, 4, 8, 1, 0x400), def(T::ARRAY, 4, 8, 1, 0));
        assert_eq!(normalise(&observed, &declared, NODE).flags, 0);
        assert!(!attributes_agree(&observed, &declared, NODE));
    }

    #[test]
    fn inner_maps_are_normalised_too() {
        let holder = |inner| MapDef { inner: Some(Box::new(inner)), ..def(T::HASH_OF_MAPS, 4, 4, 8, 0) };
        let declared = holder(MapDef { name: "m.inner".to_owned(), ..def(T::LRU_HASH, 4, 4, 100, 2) });
        let observed = holder(def(T::LRU_HASH, 4, 4, 102, 2));
        assert_eq!(normalise(&observed, &declared, NODE), declared);
    }
}
