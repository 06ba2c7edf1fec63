//! What can be done with the entries of each type of map.

use maplock_layout::map::MapType;

/// What becomes of the entries of a map when another map takes its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Copied while programs write, and settled afterwards, exactly.
    Copied,
    /// Left where they are by `copy`, and moved by `settle`: their order is all that names them.
    MovedAtSettle,
    /// Inner maps are carried over by their ids, so that the old and the new outer map share them.
    InnerMapsById,
    /// Carried over one by one, by system calls: values name kernel objects, read as ids and written as descriptors.
    OneByOne,
    /// Nothing is carried over: the loader fills the new map.
    Refilled,
    /// Records on their way to a reader: they stay in the old map until it has read them.
    Events,
    /// Can't be carried over, and why.
    NotCopyable(&'static str),
}

/// What becomes of the entries of a map of that type. The table is in the documentation of [`super`].
#[must_use]
pub fn behaviour(map_type: MapType) -> Behaviour {
    use MapType as T;
    match map_type {
        T::HASH | T::LRU_HASH | T::PERCPU_HASH | T::LRU_PERCPU_HASH | T::ARRAY | T::PERCPU_ARRAY | T::LPM_TRIE => {
            Behaviour::Copied
        }
        T::QUEUE | T::STACK => Behaviour::MovedAtSettle,
        T::ARRAY_OF_MAPS | T::HASH_OF_MAPS => Behaviour::InnerMapsById,
        T::DEVMAP | T::DEVMAP_HASH | T::CPUMAP => Behaviour::OneByOne,
        T::PROG_ARRAY | T::PERF_EVENT_ARRAY | T::CGROUP_ARRAY => Behaviour::Refilled,
        T::BLOOM_FILTER => Behaviour::NotCopyable("a bloom filter does not tell what was added to it"),
        T::SOCKMAP | T::SOCKHASH | T::REUSEPORT_SOCKARRAY => {
            Behaviour::NotCopyable("its values are sockets, of which system calls tell a cookie and no descriptor")
        }
        T::XSKMAP => Behaviour::NotCopyable("its values are AF_XDP sockets, which can't be read back"),
        T::STACK_TRACE => Behaviour::NotCopyable("its keys are ids of stacks that only the kernel gives out"),
        T::SK_STORAGE | T::INODE_STORAGE | T::TASK_STORAGE | T::CGRP_STORAGE => {
            Behaviour::NotCopyable("its values hang on kernel objects that can't be listed")
        }
        T::CGROUP_STORAGE | T::PERCPU_CGROUP_STORAGE => {
            Behaviour::NotCopyable("its values belong to attachments of the old programs")
        }
        T::RINGBUF | T::USER_RINGBUF => Behaviour::Events,
        T::ARENA => Behaviour::NotCopyable("it holds memory with pointers into itself"),
        T::STRUCT_OPS => Behaviour::NotCopyable("it is a table of programs that the kernel calls"),
        T::INSN_ARRAY => Behaviour::NotCopyable("it holds addresses in the old programs"),
        _ => Behaviour::NotCopyable("nothing is known of this type"),
    }
}
