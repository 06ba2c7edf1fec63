//! A map's definition.

use std::fmt;
use std::sync::Arc;

use crate::layout::Layout;

/// What an object, a lockfile or the kernel says of one map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapDef {
    /// Its name in the object: all of it, where the kernel keeps 15 bytes.
    pub name: String,
    /// `BPF_MAP_TYPE_*`.
    pub map_type: MapType,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value; of one CPU's value in a per-CPU map.
    pub value_size: u32,
    /// Capacity in entries; in bytes for ring buffers, in pages for an arena.
    pub max_entries: u32,
    /// `BPF_F_*`, as declared. Compare [`Self::effective_flags`].
    pub flags: u32,
    /// Extra data for some types, such as the number of hash functions of a Bloom filter.
    pub map_extra: u64,
    /// NUMA node of its memory, which counts where the flags say `BPF_F_NUMA_NODE`.
    pub numa_node: u32,
    /// How the loader is asked to pin it.
    pub pinning: Pinning,
    /// Where the definition was read from.
    pub origin: Origin,
    /// Layout of the key, where the object tells it.
    pub key: Option<Arc<Layout>>,
    /// Layout of the value, where the object tells it.
    pub value: Option<Arc<Layout>>,
    /// Definition of the maps that this map holds, for maps in maps.
    pub inner: Option<Box<MapDef>>,
    /// Texts of the declaration tags on the map.
    pub tags: Vec<Arc<str>>,
}

impl MapDef {
    /// A definition that says nothing but its name and type.
    #[must_use]
    pub fn new(name: impl Into<String>, map_type: MapType) -> Self {
        Self {
            name: name.into(),
            map_type,
            key_size: 0,
            value_size: 0,
            max_entries: 0,
            flags: 0,
            map_extra: 0,
            numa_node: 0,
            pinning: Pinning::None,
            origin: Origin::Declared,
            key: None,
            value: None,
            inner: None,
            tags: Vec::new(),
        }
    }

    /// The flags that the map has in the kernel, which adds one to some types and drops those that belong to the file
    /// descriptor.
    #[must_use]
    pub fn effective_flags(&self) -> u32 {
        // BPF_F_RDONLY and BPF_F_WRONLY restrict the descriptor that creation returns (`bpf_map_flags_retain_permanent`).
        const DESCRIPTOR_ONLY: u32 = 0x8 | 0x10;
        // `dev_map_init_map`: lookups hand out the device, so programs must not write it.
        const RDONLY_PROG: u32 = 0x80;
        let added = if matches!(self.map_type, MapType::DEVMAP | MapType::DEVMAP_HASH) { RDONLY_PROG } else { 0 };
        self.flags & !DESCRIPTOR_ONLY | added
    }

    /// True where the kernel compares the number of entries when the map is put into another: arrays without
    /// `BPF_F_INNER_MAP`, whose bound is compiled into programs (`array_map_meta_equal`), and AF_XDP socket maps
    /// (`xsk_map_meta_equal`).
    #[must_use]
    pub fn inner_capacity_is_fixed(&self) -> bool {
        const INNER_MAP: u32 = 0x1000;
        match self.map_type {
            MapType::ARRAY => self.flags & INNER_MAP == 0,
            MapType::XSKMAP => true,
            _ => false,
        }
    }

    /// True where keys are data of the user's own, not an index, and so have a layout worth knowing.
    #[must_use]
    pub fn key_has_layout(&self) -> bool {
        use MapType as T;
        matches!(
            self.map_type,
            T::HASH | T::PERCPU_HASH | T::LRU_HASH | T::LRU_PERCPU_HASH | T::LPM_TRIE | T::HASH_OF_MAPS | T::SOCKHASH
        )
    }

    /// True where values are data of the user's own, not a handle of a kernel object.
    #[must_use]
    pub fn value_has_layout(&self) -> bool {
        use MapType as T;
        matches!(
            self.map_type,
            T::HASH
                | T::ARRAY
                | T::PERCPU_HASH
                | T::PERCPU_ARRAY
                | T::LRU_HASH
                | T::LRU_PERCPU_HASH
                | T::LPM_TRIE
                | T::QUEUE
                | T::STACK
                | T::BLOOM_FILTER
                | T::SK_STORAGE
                | T::INODE_STORAGE
                | T::TASK_STORAGE
                | T::CGRP_STORAGE
                | T::CGROUP_STORAGE
                | T::PERCPU_CGROUP_STORAGE
        )
    }
}

impl MapType {
    /// True where the kernel keeps BTF that a map of this type is created with. Of the others, some fail with it and
    /// some forget it: maps in maps, perf event and cgroup arrays, stack traces, device, socket, CPU and AF_XDP maps
    /// (ENOTSUPP, from `map_check_no_btf`), queues and stacks (EINVAL, for their key), ring buffers and arenas. Measured on
    /// Linux 6.18.
    ///
    /// Bloom filters take a value's type only, global data no key's.
    #[must_use]
    pub fn keeps_btf(self) -> bool {
        matches!(
            self,
            Self::HASH
                | Self::LRU_HASH
                | Self::PERCPU_HASH
                | Self::LRU_PERCPU_HASH
                | Self::ARRAY
                | Self::PERCPU_ARRAY
                | Self::LPM_TRIE
                | Self::PROG_ARRAY
                | Self::REUSEPORT_SOCKARRAY
                | Self::BLOOM_FILTER
                | Self::SK_STORAGE
                | Self::INODE_STORAGE
                | Self::TASK_STORAGE
                | Self::CGRP_STORAGE
                | Self::CGROUP_STORAGE
                | Self::PERCPU_CGROUP_STORAGE
        )
    }
}

/// Where a definition was read from, which decides whether it can be pinned state at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The `.maps` section or a lockfile.
    Declared,
    /// A legacy `maps` section.
    Legacy,
    /// A section of global variables, which the loader turns into a map.
    GlobalData,
    /// A `.struct_ops` section: a table of programs for the kernel.
    StructOps,
}

/// How the loader is asked to pin a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pinning {
    /// `LIBBPF_PIN_NONE`, or nothing said.
    None,
    /// `LIBBPF_PIN_BY_NAME`.
    ByName,
    /// A number that a project gave a meaning of its own, such as iproute2's `PIN_GLOBAL_NS` (2) or Cilium's 16.
    Other(u32),
}

impl Pinning {
    /// From the number in the object.
    #[must_use]
    pub fn from_number(number: u32) -> Self {
        match number {
            0 => Self::None,
            1 => Self::ByName,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for Pinning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::ByName => f.write_str("by_name"),
            Self::Other(number) => write!(f, "{number}"),
        }
    }
}

/// `BPF_MAP_TYPE_*`, also one that is newer than this crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MapType(pub u32);

macro_rules! map_types {
    ($($constant:ident = $number:literal, $name:literal;)*) => {
        #[allow(missing_docs, reason = "the names are the kernel's")]
        impl MapType {
            $(pub const $constant: Self = Self($number);)*

            /// The kernel's name in lower case, such as `lru_hash`; `None` for a number that has none here.
            #[must_use]
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some($name),)*
                    _ => None,
                }
            }

            /// The type of that name, or of that number in digits.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$constant),)*
                    _ => name.parse().ok().map(Self),
                }
            }
        }
    };
}

// `enum bpf_map_type` of include/uapi/linux/bpf.h, Linux 6.19.
map_types! {
    UNSPEC = 0, "unspec";
    HASH = 1, "hash";
    ARRAY = 2, "array";
    PROG_ARRAY = 3, "prog_array";
    PERF_EVENT_ARRAY = 4, "perf_event_array";
    PERCPU_HASH = 5, "percpu_hash";
    PERCPU_ARRAY = 6, "percpu_array";
    STACK_TRACE = 7, "stack_trace";
    CGROUP_ARRAY = 8, "cgroup_array";
    LRU_HASH = 9, "lru_hash";
    LRU_PERCPU_HASH = 10, "lru_percpu_hash";
    LPM_TRIE = 11, "lpm_trie";
    ARRAY_OF_MAPS = 12, "array_of_maps";
    HASH_OF_MAPS = 13, "hash_of_maps";
    DEVMAP = 14, "devmap";
    SOCKMAP = 15, "sockmap";
    CPUMAP = 16, "cpumap";
    XSKMAP = 17, "xskmap";
    SOCKHASH = 18, "sockhash";
    CGROUP_STORAGE = 19, "cgroup_storage";
    REUSEPORT_SOCKARRAY = 20, "reuseport_sockarray";
    PERCPU_CGROUP_STORAGE = 21, "percpu_cgroup_storage";
    QUEUE = 22, "queue";
    STACK = 23, "stack";
    SK_STORAGE = 24, "sk_storage";
    DEVMAP_HASH = 25, "devmap_hash";
    STRUCT_OPS = 26, "struct_ops";
    RINGBUF = 27, "ringbuf";
    INODE_STORAGE = 28, "inode_storage";
    TASK_STORAGE = 29, "task_storage";
    BLOOM_FILTER = 30, "bloom_filter";
    USER_RINGBUF = 31, "user_ringbuf";
    CGRP_STORAGE = 32, "cgrp_storage";
    ARENA = 33, "arena";
    INSN_ARRAY = 34, "insn_array";
}

impl fmt::Display for MapType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}
