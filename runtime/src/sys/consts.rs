//! Numbers of the kernel that no crate we use has names for, from include/uapi/linux/bpf.h if nothing else is said.

pub use maplock_layout::map_type::BPF_F_NO_COMMON_LRU;

/// Update: inserts or replaces.
pub const BPF_ANY: u64 = 0;
/// Update: inserts only (EEXIST).
pub const BPF_NOEXIST: u64 = 1;
/// Update: replaces only (ENOENT).
pub const BPF_EXIST: u64 = 2;

/// Map: memory is taken for each entry as it is inserted.
pub const BPF_F_NO_PREALLOC: u32 = 1;
/// Map: its memory is that of a node of the machine.
pub const BPF_F_NUMA_NODE: u32 = 4;
/// Map: programs can't write it.
pub const BPF_F_RDONLY_PROG: u32 = 1 << 7;
/// Map: an array that user space can map.
pub const BPF_F_MMAPABLE: u32 = 1 << 10;
/// Map: the BTF of its value is that of a module, given as a descriptor.
pub const BPF_F_VTYPE_BTF_OBJ_FD: u32 = 1 << 15;
/// Map: created by a token.
pub const BPF_F_TOKEN_FD: u32 = 1 << 16;

/// Link: updated only if it runs the program that is named (EPERM).
pub const BPF_F_REPLACE: u32 = 1 << 2;
/// `enum bpf_attach_type`: an iterator.
pub const BPF_TRACE_ITER: u32 = 28;
/// `enum bpf_attach_type`: a netfilter hook.
pub const BPF_NETFILTER: u32 = 45;
/// `enum bpf_attach_type`: traffic control on a device, without a qdisc.
pub const BPF_TCX_INGRESS: u32 = 46;
/// The same, of what leaves.
pub const BPF_TCX_EGRESS: u32 = 47;

/// Free entries that a CPU takes of an LRU map at a time (`LOCAL_FREE_TARGET` in kernel/bpf/bpf_lru_list.c).
pub const LOCAL_FREE_TARGET: u32 = 128;

/// A call that the kernel has not for an object of this kind (include/linux/errno.h). No number of user space's, but it gets there.
pub const ENOTSUPP: i32 = 524;

/// The file system's (include/uapi/linux/magic.h).
pub const BPF_FS_MAGIC: u64 = 0xcafe_4a11;
/// That of cgroups of version 2.
pub const CGROUP2_SUPER_MAGIC: u64 = 0x6367_7270;
/// That of cgroups of version 1.
pub const CGROUP_SUPER_MAGIC: u64 = 0x0027_e0eb;

/// A grace period for all CPUs (include/uapi/linux/membarrier.h).
pub const MEMBARRIER_CMD_GLOBAL: libc::c_int = 1;
