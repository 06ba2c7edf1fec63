//! A row for each type of map.

use super::{Behaviour, Capacity, Converts, InnerCapacity, KeepsBtf, Keys, Kind, MapType, Row, Values};

macro_rules! map_types {
    ($($constant:ident = $number:literal, $name:literal: $row:expr;)*) => {
        #[allow(missing_docs, reason = "the names are the kernel's")]
        impl MapType {
            $(pub const $constant: Self = Self($number);)*

            /// Every type that has a row, by its number.
            pub const ALL: &'static [Self] = &[$(Self::$constant,)*];

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

            /// What is true of this type; of a number that is not known here, that nothing can be done with its entries.
            #[must_use]
            pub fn row(self) -> &'static Row {
                match self.0 {
                    $($number => const { &$row },)*
                    _ => &UNKNOWN,
                }
            }
        }
    };
}

/// A type of which nothing is known: its map stays as it is, or is given up.
const UNKNOWN: Row = Row {
    kind: Kind::Other,
    keys: Keys::Object,
    values: Values::Object,
    per_cpu: false,
    btf: KeepsBtf::Nothing,
    capacity: Capacity::Entries,
    adds_flags: 0,
    evicts: false,
    inner_capacity: InnerCapacity::Free,
    entries: Behaviour::NotCopyable("nothing is known of this type"),
    listed: false,
    converts: Converts::No,
    nanoseconds: 0,
};

const HASH: Row = Row {
    kind: Kind::Hash,
    keys: Keys::Data,
    values: Values::Data,
    btf: KeepsBtf::KeyAndValue,
    entries: Behaviour::Copied,
    listed: true,
    converts: Converts::Tables,
    nanoseconds: 600,
    ..UNKNOWN
};
const PERCPU_HASH: Row = Row { per_cpu: true, nanoseconds: 1000, ..HASH };
const LRU_HASH: Row = Row { evicts: true, capacity: Capacity::EvenOverCpus, nanoseconds: 550, ..HASH };
const ARRAY: Row = Row { kind: Kind::Array, keys: Keys::Number, nanoseconds: 15, ..HASH };
const QUEUE: Row = Row {
    kind: Kind::Queue,
    keys: Keys::None,
    btf: KeepsBtf::Nothing,
    entries: Behaviour::MovedAtSettle,
    listed: false,
    converts: Converts::ItsOwn,
    nanoseconds: SYSTEM_CALLS,
    ..HASH
};
/// Kernel objects by number, which the loader puts there.
const REFILLED: Row =
    Row { keys: Keys::Number, values: Values::Fd, entries: Behaviour::Refilled, listed: true, ..UNKNOWN };
const OF_MAPS: Row = Row { entries: Behaviour::InnerMapsById, nanoseconds: SYSTEM_CALLS, ..REFILLED };
/// `dev_map_init_map` adds `BPF_F_RDONLY_PROG`: look-ups hand out the device, so that programs must not write it.
const DEVMAP: Row = Row { adds_flags: 0x80, ..CPUMAP };
const CPUMAP: Row =
    Row { keys: Keys::Number, entries: Behaviour::OneByOne, listed: true, nanoseconds: SYSTEM_CALLS, ..UNKNOWN };
const SOCKETS: Row = Row {
    keys: Keys::Number,
    entries: Behaviour::NotCopyable(
        "its values are sockets, and system calls tell their cookies, not their descriptors",
    ),
    ..UNKNOWN
};
const STORAGE: Row = Row {
    values: Values::Data,
    btf: KeepsBtf::KeyAndValue,
    capacity: Capacity::Nothing,
    entries: Behaviour::NotCopyable("its values hang on kernel objects that can't be listed"),
    ..UNKNOWN
};
const CGROUP_STORAGE: Row =
    Row { entries: Behaviour::NotCopyable("its values belong to attachments of the old programs"), ..STORAGE };
const USER_RINGBUF: Row =
    Row { keys: Keys::None, values: Values::None, capacity: Capacity::Bytes, entries: Behaviour::Events, ..UNKNOWN };

/// One system call to read an entry and one to write it.
const SYSTEM_CALLS: u64 = 4000;

/// A type whose entries can't be carried over.
const fn not_copyable(because: &'static str, row: Row) -> Row {
    Row { entries: Behaviour::NotCopyable(because), ..row }
}

// `enum bpf_map_type` of include/uapi/linux/bpf.h, Linux 6.19.
map_types! {
    UNSPEC = 0, "unspec": UNKNOWN;
    HASH = 1, "hash": HASH;
    ARRAY = 2, "array": Row { inner_capacity: InnerCapacity::FixedUnlessFlagged, ..ARRAY };
    PROG_ARRAY = 3, "prog_array": Row { btf: KeepsBtf::KeyAndValue, ..REFILLED };
    PERF_EVENT_ARRAY = 4, "perf_event_array": Row { capacity: Capacity::EachCpu, ..REFILLED };
    PERCPU_HASH = 5, "percpu_hash": PERCPU_HASH;
    PERCPU_ARRAY = 6, "percpu_array": Row { per_cpu: true, nanoseconds: 41, ..ARRAY };
    STACK_TRACE = 7, "stack_trace":
        not_copyable("its keys are ids of stacks that only the kernel gives out", Row { keys: Keys::Number, ..UNKNOWN });
    CGROUP_ARRAY = 8, "cgroup_array": REFILLED;
    LRU_HASH = 9, "lru_hash": LRU_HASH;
    LRU_PERCPU_HASH = 10, "lru_percpu_hash": Row { per_cpu: true, nanoseconds: 1000, ..LRU_HASH };
    LPM_TRIE = 11, "lpm_trie":
        Row { kind: Kind::LpmTrie, converts: Converts::ItsOwn, nanoseconds: 2000, ..HASH };
    ARRAY_OF_MAPS = 12, "array_of_maps": OF_MAPS;
    HASH_OF_MAPS = 13, "hash_of_maps": Row { keys: Keys::Data, ..OF_MAPS };
    DEVMAP = 14, "devmap": DEVMAP;
    SOCKMAP = 15, "sockmap": Row { listed: true, ..SOCKETS };
    CPUMAP = 16, "cpumap": Row { capacity: Capacity::UpToEachCpu, ..CPUMAP };
    XSKMAP = 17, "xskmap":
        Row { inner_capacity: InnerCapacity::Fixed, ..not_copyable("its values are AF_XDP sockets, which can't be read back", SOCKETS) };
    SOCKHASH = 18, "sockhash": Row { keys: Keys::Data, listed: true, ..SOCKETS };
    CGROUP_STORAGE = 19, "cgroup_storage": CGROUP_STORAGE;
    REUSEPORT_SOCKARRAY = 20, "reuseport_sockarray": Row { btf: KeepsBtf::KeyAndValue, ..SOCKETS };
    PERCPU_CGROUP_STORAGE = 21, "percpu_cgroup_storage": Row { per_cpu: true, ..CGROUP_STORAGE };
    QUEUE = 22, "queue": QUEUE;
    STACK = 23, "stack": Row { kind: Kind::Stack, ..QUEUE };
    SK_STORAGE = 24, "sk_storage": STORAGE;
    DEVMAP_HASH = 25, "devmap_hash": DEVMAP;
    STRUCT_OPS = 26, "struct_ops":
        not_copyable("it is a table of programs that the kernel calls", Row { keys: Keys::Number, ..UNKNOWN });
    RINGBUF = 27, "ringbuf": Row { kind: Kind::RingBuf, ..USER_RINGBUF };
    INODE_STORAGE = 28, "inode_storage": STORAGE;
    TASK_STORAGE = 29, "task_storage": STORAGE;
    BLOOM_FILTER = 30, "bloom_filter":
        not_copyable("a bloom filter does not tell what was added to it",
            Row { kind: Kind::BloomFilter, keys: Keys::None, values: Values::Data, btf: KeepsBtf::Value, ..UNKNOWN });
    USER_RINGBUF = 31, "user_ringbuf": USER_RINGBUF;
    CGRP_STORAGE = 32, "cgrp_storage": STORAGE;
    ARENA = 33, "arena":
        not_copyable("it holds memory with pointers into itself",
            Row { keys: Keys::None, values: Values::None, capacity: Capacity::Pages, ..UNKNOWN });
    INSN_ARRAY = 34, "insn_array":
        not_copyable("it holds addresses in the old programs", Row { keys: Keys::Number, ..UNKNOWN });
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_number_and_each_name_has_one_row() {
        let numbers: Vec<_> = MapType::ALL.iter().map(|map_type| map_type.0).collect();
        assert!(numbers.is_sorted_by(|one, next| one < next), "in the order of the kernel's enumeration");
        let names: BTreeSet<_> = MapType::ALL.iter().map(|map_type| map_type.name().expect("it has a row")).collect();
        assert_eq!(names.len(), numbers.len());
        for map_type in MapType::ALL {
            let name = map_type.to_string();
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
            assert_eq!(MapType::from_name(&name), Some(*map_type));
            assert_eq!(MapType::from_name(&map_type.0.to_string()), Some(*map_type));
        }
        assert_eq!((MapType(4711).name(), MapType(4711).to_string()), (None, "4711".to_owned()));
        assert_eq!(MapType::from_name("4711"), Some(MapType(4711)));
        assert_eq!(MapType::from_name("nothing"), None);
    }

    /// What each row must say by what it says elsewhere: all that is asked of a type is asked of its row, so that a row for which
    /// this holds is a whole type.
    #[test]
    fn each_row_is_complete() {
        for map_type in MapType::ALL {
            let row = map_type.row();
            let Row { kind, keys, values, entries, converts, .. } = *row;
            let is_one_of = |kinds: &[Kind]| kinds.contains(&kind);
            match entries {
                // Those that the engines of a transfer know how to walk.
                Behaviour::Copied => assert!(is_one_of(&[Kind::Hash, Kind::Array, Kind::LpmTrie]), "{map_type}"),
                Behaviour::MovedAtSettle => assert!(is_one_of(&[Kind::Queue, Kind::Stack]), "{map_type}"),
                Behaviour::InnerMapsById => assert_eq!(values, Values::Fd, "{map_type}"),
                Behaviour::OneByOne => assert_eq!(values, Values::Object, "{map_type}"),
                Behaviour::Refilled | Behaviour::Events => assert_eq!(converts, Converts::No, "{map_type}"),
                Behaviour::NotCopyable(because) => {
                    assert!(!because.is_empty() && !because.ends_with('.'), "{map_type}: {because}");
                    assert_eq!(converts, Converts::No, "{map_type}");
                }
            }
            let is_carried = !matches!(entries, Behaviour::Refilled | Behaviour::Events | Behaviour::NotCopyable(_));
            assert_eq!(row.nanoseconds > 0, is_carried, "{map_type}: how long does an entry take");
            if converts != Converts::No {
                assert!(matches!(entries, Behaviour::Copied | Behaviour::MovedAtSettle), "{map_type}");
                assert!(map_type.converts_into(*map_type), "{map_type}");
            }
            if kind == Kind::Array {
                assert_eq!(keys, Keys::Number, "{map_type}");
            }
            if is_one_of(&[Kind::Hash, Kind::LpmTrie]) {
                assert_eq!(keys, Keys::Data, "{map_type}");
            }
            if is_one_of(&[Kind::Queue, Kind::Stack, Kind::BloomFilter, Kind::RingBuf]) {
                assert_eq!(keys, Keys::None, "{map_type}");
            }
            assert_eq!(map_type.without_eviction().row().kind, kind, "{map_type}");
            assert_eq!(map_type.without_eviction().is_per_cpu(), row.per_cpu, "{map_type}");
            assert!(!map_type.without_eviction().evicts(), "{map_type}");
        }
    }

    #[test]
    fn entries_become_those_of_types_that_can_hold_them() {
        use MapType as T;
        let into = |from: T| {
            let known = [T::HASH, T::LRU_HASH, T::ARRAY, T::PERCPU_HASH, T::LRU_PERCPU_HASH, T::PERCPU_ARRAY];
            let others = [T::LPM_TRIE, T::QUEUE, T::STACK, T::DEVMAP_HASH, T::HASH_OF_MAPS, T::SK_STORAGE];
            let all = known.into_iter().chain(others).filter(|to| from.converts_into(*to));
            all.map(|to| to.to_string()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(into(T::HASH), "hash lru_hash");
        assert_eq!(into(T::LRU_HASH), "hash lru_hash");
        assert_eq!(into(T::ARRAY), "hash lru_hash array");
        assert_eq!(into(T::PERCPU_HASH), "percpu_hash lru_percpu_hash");
        assert_eq!(into(T::LRU_PERCPU_HASH), "percpu_hash lru_percpu_hash");
        assert_eq!(into(T::PERCPU_ARRAY), "percpu_hash lru_percpu_hash percpu_array");
        for own in [T::LPM_TRIE, T::QUEUE, T::STACK] {
            assert_eq!(into(own), own.to_string());
        }
        for none in [T::DEVMAP_HASH, T::HASH_OF_MAPS, T::SK_STORAGE, T::RINGBUF, T::PROG_ARRAY] {
            assert_eq!(into(none), "");
        }
    }

    #[test]
    fn of_a_type_that_is_not_known_nothing_is_promised() {
        let unknown = MapType(4711);
        assert!(!unknown.is_known() && !MapType::UNSPEC.is_known() && MapType::INSN_ARRAY.is_known());
        let known = MapType::ALL.iter().filter(|map_type| map_type.is_known());
        assert!(known.clone().all(|known| known.row().entries != unknown.row().entries), "each says why");
        assert_eq!(unknown.row(), MapType::UNSPEC.row());
        assert_eq!(unknown.row().entries, Behaviour::NotCopyable("nothing is known of this type"));
        assert!(
            MapType::ALL.iter().all(|map_type| !unknown.converts_into(*map_type) && !map_type.converts_into(unknown))
        );
        assert!(!unknown.converts_into(unknown));
        assert_eq!((unknown.noun(), MapType::ARRAY.noun()), ("a map of type 4711".to_owned(), "an array".to_owned()));
        assert_eq!(
            (MapType::HASH.noun(), MapType::USER_RINGBUF.noun()),
            ("a hash".to_owned(), "a user_ringbuf".to_owned())
        );
    }
}
