//! What is true of each type of map: [`MapType::row`] is the one place that is asked.
//!
//! To add a type, add its row to `table.rs`, and nothing else if it behaves like one that is there.

mod fate;
mod flags;
mod table;

use std::fmt;

pub use fate::{Fate, can_be_carried, fate, why_no_node};
pub(crate) use fate::{fate_where, why_not};
pub use flags::{BPF_F_NO_COMMON_LRU, FLAGS_OF_MEMORY, flag_names};

/// `BPF_MAP_TYPE_*`, also one that is newer than this crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MapType(pub u32);

/// What is true of a type of map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// How entries are found.
    pub kind: Kind,
    /// What a key is.
    pub keys: Keys,
    /// What a value is.
    pub values: Values,
    /// True if an entry has a value for each CPU.
    pub per_cpu: bool,
    /// What the kernel keeps of the BTF that a map is created with.
    pub btf: KeepsBtf,
    /// What `max_entries` counts, and what is made of it.
    pub capacity: Capacity,
    /// `BPF_F_*` that the kernel sets by itself.
    pub adds_flags: u32,
    /// True if the kernel drops entries by itself to make room.
    pub evicts: bool,
    /// Whether a map that is put into another needs the capacity of the template.
    pub inner_capacity: InnerCapacity,
    /// What becomes of the entries when another map takes the place of theirs.
    pub entries: Behaviour,
    /// True if system calls list the entries.
    pub listed: bool,
    /// Entries of which maps they can be converted to.
    pub converts: Converts,
    /// Time to carry an entry over, by what was measured on one machine with keys of 8 and values of 64 bytes.
    pub nanoseconds: u64,
}

/// How entries are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// By a key that is there or not.
    Hash,
    /// By an index: all entries are always there.
    Array,
    /// By the longest prefix.
    LpmTrie,
    /// First in, first out.
    Queue,
    /// Last in, first out.
    Stack,
    /// Told whether a value was added, and nothing else.
    BloomFilter,
    /// Records from programs to user space.
    RingBuf,
    /// In a way that is the type's own.
    Other,
}

/// What a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// The user's own data, with a layout worth knowing.
    Data,
    /// A number: an index, or an id.
    Number,
    /// A handle of a kernel object on which the value hangs.
    Object,
    /// There is none.
    None,
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// The user's own data, with a layout worth knowing.
    Data,
    /// A kernel object, written as a descriptor of 4 bytes (`IS_FD_MAP` in kernel/bpf/syscall.c).
    Fd,
    /// Something else of the kernel's.
    Object,
    /// There is none that the kernel knows of.
    None,
}

/// What the kernel keeps of the BTF that a map is created with. Measured on Linux 6.18.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepsBtf {
    /// The types of key and value. (Of global data, there is no key's.)
    KeyAndValue,
    /// The type of the value.
    Value,
    /// Nothing: creation fails with it, with ENOTSUPP (`map_check_no_btf`) or EINVAL, or it is forgotten.
    Nothing,
}

/// What `max_entries` counts, and what the kernel or a loader makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Capacity {
    /// Entries.
    Entries,
    /// Entries. With `BPF_F_NO_COMMON_LRU`, a multiple of the possible CPUs (`htab_map_alloc`).
    EvenOverCpus,
    /// Entries. Loaders take 0 for one of each CPU, and some what is more as well.
    EachCpu,
    /// Entries, and not more than CPUs. Some loaders take 0, and what is more, for one of each CPU.
    UpToEachCpu,
    /// Bytes: a power of two of the node's pages.
    Bytes,
    /// Pages.
    Pages,
    /// Nothing: it is 0, for entries hang on kernel objects.
    Nothing,
}

/// Whether the kernel compares the number of entries when a map is put into another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InnerCapacity {
    /// It does not.
    Free,
    /// It does, unless the flags say `BPF_F_INNER_MAP`: the bound is compiled into programs (`array_map_meta_equal`).
    FixedUnlessFlagged,
    /// It does (`xsk_map_meta_equal`).
    Fixed,
}

/// What becomes of the entries of a map when another map takes its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Copied while programs write, and settled afterwards, exactly.
    Copied,
    /// Left where they are by the copy, and moved after the switch: their order is all that names them.
    MovedAtSettle,
    /// Inner maps are carried over by their ids, so that the old and the new outer map share them.
    InnerMapsById,
    /// Carried over one by one, by system calls: values name kernel objects, read as ids and written as descriptors.
    OneByOne,
    /// Nothing is carried over: the loader fills the new map, which is always made anew.
    Refilled,
    /// Records on their way to a reader: they stay in the old map until it has read them.
    Events,
    /// Can't be carried over, and why. So the map keeps its size.
    NotCopyable(&'static str),
}

/// Entries of which maps those of a map can be converted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Converts {
    /// Any hash or array with as many values for an entry. An array takes only an array's: its keys are all there is.
    Tables,
    /// Its own type.
    ItsOwn,
    /// None.
    No,
}

impl MapType {
    /// True for a type that has a row of its own.
    #[must_use]
    pub fn is_known(self) -> bool {
        self != Self::UNSPEC && self.name().is_some()
    }

    /// True if entries are found by an index, so that all of them are always there.
    #[must_use]
    pub fn is_array(self) -> bool {
        self.row().kind == Kind::Array
    }

    /// True if an entry has a value for each CPU.
    #[must_use]
    pub fn is_per_cpu(self) -> bool {
        self.row().per_cpu
    }

    /// True if entries have no keys, and are told apart by their order or not at all.
    #[must_use]
    pub fn is_keyless(self) -> bool {
        self.row().keys == Keys::None
    }

    /// True if entries are found by their longest prefix.
    #[must_use]
    pub fn is_trie(self) -> bool {
        self.row().kind == Kind::LpmTrie
    }

    /// True if the kernel drops entries by itself to make room.
    #[must_use]
    pub fn evicts(self) -> bool {
        self.row().evicts
    }

    /// That the kernel drops entries by itself, if it does: a phrase.
    #[must_use]
    pub fn eviction(self) -> Option<String> {
        self.evicts().then(|| format!("{} may evict entries before it is full", self.noun()))
    }

    /// True for a map of maps.
    #[must_use]
    pub fn holds_maps(self) -> bool {
        self.row().entries == Behaviour::InnerMapsById
    }

    /// True if the kernel makes no map without a capacity, and no loader takes 0 for one.
    #[must_use]
    pub fn needs_capacity(self) -> bool {
        let counts = !matches!(self.row().capacity, Capacity::Nothing | Capacity::EachCpu | Capacity::UpToEachCpu);
        self.is_known() && counts
    }

    /// A capacity as a definition has it: `of 1024`, or `sized at run time`.
    #[must_use]
    pub fn capacity_words(self, max_entries: u32) -> String {
        match max_entries {
            0 if self.needs_capacity() => "sized at run time".to_owned(),
            most => format!("of {most}"),
        }
    }

    /// True if the entries are state that an upgrade can lose: no records on their way, and nothing that each loader fills
    /// anew.
    #[must_use]
    pub fn is_state(self) -> bool {
        !matches!(self.row().entries, Behaviour::Refilled | Behaviour::Events)
    }

    /// True if the kernel keeps BTF that a map of this type is created with.
    #[must_use]
    pub fn keeps_btf(self) -> bool {
        self.row().btf != KeepsBtf::Nothing
    }

    /// A type that holds the same entries, and never drops one.
    #[must_use]
    pub fn without_eviction(self) -> Self {
        let row = self.row();
        match row.kind {
            Kind::Hash if row.evicts && row.per_cpu => Self::PERCPU_HASH,
            Kind::Hash if row.evicts => Self::HASH,
            _ => self,
        }
    }

    /// True if entries of this type can be converted to those of another.
    #[must_use]
    pub fn converts_into(self, to: Self) -> bool {
        let (from, into) = (self.row(), to.row());
        match from.converts {
            Converts::Tables => {
                into.converts == Converts::Tables
                    && from.per_cpu == into.per_cpu
                    && (into.kind != Kind::Array || from.kind == Kind::Array)
            }
            Converts::ItsOwn => self == to,
            Converts::No => false,
        }
    }

    /// The type as a noun: `a hash`, `an array`.
    #[must_use]
    pub fn noun(self) -> String {
        let name = self.to_string();
        let is_vowel = name.starts_with(['a', 'e', 'i', 'o', 'u']) && name != "user_ringbuf";
        // Spelled out: an L.
        let article = if is_vowel || name.starts_with("lru") || name.starts_with("lpm") { "an" } else { "a" };
        match self.name() {
            Some(_) => format!("{article} {name}"),
            None => format!("a map of type {name}"),
        }
    }
}

impl Capacity {
    /// The bytes of a ring buffer for which `bytes` were asked, on a machine with pages of `page_size`: a power of two of pages.
    #[must_use]
    pub fn ring_bytes(bytes: u32, page_size: u32) -> u32 {
        let pages = bytes.div_ceil(page_size.max(1)).checked_next_power_of_two();
        let rounded = pages.filter(|_| bytes != 0).and_then(|pages| pages.checked_mul(page_size));
        rounded.unwrap_or(bytes)
    }
}

impl fmt::Display for MapType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}
