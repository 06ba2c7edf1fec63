//! A map's definition.

use std::fmt;
use std::sync::Arc;

use crate::layout::{CompositeKind, Layout, Shape};
pub use crate::map_type::MapType;
use crate::map_type::{InnerCapacity, Keys, Kind, Values};

/// Bytes of a map's name that the kernel keeps (`BPF_OBJ_NAME_LEN`, with its NUL).
pub const NAME_KEPT: usize = 15;

/// What the kernel keeps of a map's name.
#[must_use]
pub fn kept_name(name: &str) -> &str {
    let mut end = name.len().min(NAME_KEPT);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    &name[..end]
}

/// The name under which a map is pinned: bpffs takes no dots (EPERM), so that `.rodata` is pinned as `_rodata`, which is what
/// libbpf does (`sanitize_pin_path`).
#[must_use]
pub fn pin_name(map: &str) -> String {
    map.replace('.', "_")
}

/// What an object, a lockfile or the kernel says of one map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapDef {
    /// Its name in the object: all of it, if the kernel keeps [`NAME_KEPT`] bytes.
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
    /// Version of what the bytes mean, raised by hand if the same bytes get another sense; 0 if none was ever given.
    pub version: u32,
    /// NUMA node of its memory, which counts if the flags say `BPF_F_NUMA_NODE`.
    pub numa_node: u32,
    /// How the loader is asked to pin it.
    pub pinning: Pinning,
    /// Where the definition was read from.
    pub origin: Origin,
    /// Layout of the key, if the object tells it.
    pub key: Option<Arc<Layout>>,
    /// Layout of the value, if the object tells it.
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
            version: 0,
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
        self.flags & !DESCRIPTOR_ONLY | self.map_type.row().adds_flags
    }

    /// True if the kernel compares the number of entries when the map is put into another.
    #[must_use]
    pub fn inner_capacity_is_fixed(&self) -> bool {
        const INNER_MAP: u32 = 0x1000;
        match self.map_type.row().inner_capacity {
            InnerCapacity::Free => false,
            InnerCapacity::FixedUnlessFlagged => self.flags & INNER_MAP == 0,
            InnerCapacity::Fixed => true,
        }
    }

    /// True if it does not say how many entries it holds, though such a map needs a capacity: the daemon sets it.
    #[must_use]
    pub fn lacks_capacity(&self) -> bool {
        self.max_entries == 0 && self.map_type.needs_capacity()
    }

    /// Why the kernel refuses the BTF of such a key, though it keeps that of other maps of the type; loaders then make the map without.
    #[must_use]
    pub fn kernel_drops_types(&self) -> Option<&'static str> {
        let key = self.key.as_deref().filter(|_| self.map_type.keeps_btf() && self.value_has_layout())?;
        let is_struct = matches!(&key.shape, Shape::Composite(of) if of.kind() == CompositeKind::Struct);
        match self.map_type.row().kind {
            // `array_map_check_btf`
            Kind::Array if !matches!(key.shape, Shape::Int(_)) || key.size != 4 => {
                Some("the kernel keeps types of an array only where its key is an integer of 32 bits")
            }
            // `trie_check_btf`
            Kind::LpmTrie if !is_struct => Some("the kernel keeps types of a trie only where its key is a struct"),
            _ => None,
        }
    }

    /// True if keys are data of the user's own, not an index, and so have a layout worth knowing.
    #[must_use]
    pub fn key_has_layout(&self) -> bool {
        self.map_type.row().keys == Keys::Data
    }

    /// True if values are data of the user's own, not a handle of a kernel object.
    #[must_use]
    pub fn value_has_layout(&self) -> bool {
        self.map_type.row().values == Values::Data
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
