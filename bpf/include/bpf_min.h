/*
 * The least that a BPF program needs to be compiled, so that the demo and the fixtures build with nothing but clang
 * installed: neither libbpf's headers nor the kernel's. The numbers are those of the kernel's uapi (linux/bpf.h) and of
 * libbpf's conventions for BTF-defined maps; a real project should include those headers instead.
 */
#ifndef BPF_MIN_H
#define BPF_MIN_H

typedef signed char __s8;
typedef unsigned char __u8;
typedef short __s16;
typedef unsigned short __u16;
typedef int __s32;
typedef unsigned int __u32;
typedef long long __s64;
typedef unsigned long long __u64;

/* Big-endian whatever the target: as they are on the wire. */
typedef __u16 __be16;
typedef __u32 __be32;

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define bpf_ntohs(x) ((__u16)__builtin_bswap16(x))
#define bpf_htonl(x) ((__u32)__builtin_bswap32(x))
#else
#define bpf_ntohs(x) ((__u16)(x))
#define bpf_htonl(x) ((__u32)(x))
#endif

/* The section decides what a loader makes of a function or variable. */
#define SEC(name) __attribute__((section(name), used))

/* An extern that the loader fills in from the kernel's own configuration. */
#define __kconfig __attribute__((section(".kconfig")))
#define __weak __attribute__((weak))

/*
 * A map is a variable whose *type* says all: nothing is ever stored in its members. A number is the length of an array that a
 * pointer points at; a type is the type that a pointer points at; and a number too wide for an array's length is the value
 * of an enum, whose enumerator needs a name that nothing else has.
 */
#define __uint(name, number) int (*name)[number]
#define __type(name, c_type) __typeof__(c_type) *name
#define __array(name, c_type) __typeof__(c_type) *name[]
#define __ulong(name, number) enum { BPF_MIN_UNIQUE(bpf_min_number_, __COUNTER__) = number } name
#define BPF_MIN_UNIQUE(prefix, n) BPF_MIN_PASTE(prefix, n)
#define BPF_MIN_PASTE(a, b) a##b

enum {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PROG_ARRAY = 3,
	BPF_MAP_TYPE_PERF_EVENT_ARRAY = 4,
	BPF_MAP_TYPE_PERCPU_HASH = 5,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_STACK_TRACE = 7,
	BPF_MAP_TYPE_CGROUP_ARRAY = 8,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_LRU_PERCPU_HASH = 10,
	BPF_MAP_TYPE_LPM_TRIE = 11,
	BPF_MAP_TYPE_ARRAY_OF_MAPS = 12,
	BPF_MAP_TYPE_HASH_OF_MAPS = 13,
	BPF_MAP_TYPE_DEVMAP = 14,
	BPF_MAP_TYPE_SOCKMAP = 15,
	BPF_MAP_TYPE_CPUMAP = 16,
	BPF_MAP_TYPE_XSKMAP = 17,
	BPF_MAP_TYPE_SOCKHASH = 18,
	BPF_MAP_TYPE_CGROUP_STORAGE = 19,
	BPF_MAP_TYPE_REUSEPORT_SOCKARRAY = 20,
	BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE = 21,
	BPF_MAP_TYPE_QUEUE = 22,
	BPF_MAP_TYPE_STACK = 23,
	BPF_MAP_TYPE_SK_STORAGE = 24,
	BPF_MAP_TYPE_DEVMAP_HASH = 25,
	BPF_MAP_TYPE_STRUCT_OPS = 26,
	BPF_MAP_TYPE_RINGBUF = 27,
	BPF_MAP_TYPE_INODE_STORAGE = 28,
	BPF_MAP_TYPE_TASK_STORAGE = 29,
	BPF_MAP_TYPE_BLOOM_FILTER = 30,
	BPF_MAP_TYPE_USER_RINGBUF = 31,
	BPF_MAP_TYPE_CGRP_STORAGE = 32,
	BPF_MAP_TYPE_ARENA = 33,
};

/* Flags of a map. */
enum {
	BPF_F_NO_PREALLOC = 1 << 0,
	BPF_F_NO_COMMON_LRU = 1 << 1,
	BPF_F_NUMA_NODE = 1 << 2,
	BPF_F_RDONLY = 1 << 3,
	BPF_F_WRONLY = 1 << 4,
	BPF_F_RDONLY_PROG = 1 << 7,
	BPF_F_WRONLY_PROG = 1 << 8,
	BPF_F_MMAPABLE = 1 << 10,
	BPF_F_INNER_MAP = 1 << 12,
};

/* Flags of bpf_map_update_elem. */
enum {
	BPF_ANY = 0,
	BPF_NOEXIST = 1,
	BPF_EXIST = 2,
};

/* What the loader does about a map's pin: nothing, or a file of the map's name. */
enum {
	LIBBPF_PIN_NONE = 0,
	LIBBPF_PIN_BY_NAME = 1,
};

enum {
	IPPROTO_TCP = 6,
	IPPROTO_UDP = 17,
};

/*
 * What a program at a cgroup's connect hook sees of the connection, and may change. Numbers marked "net" are in network byte
 * order. The kernel rewrites each access, so only the offsets are real.
 */
struct bpf_sock_addr {
	__u32 user_family;
	__u32 user_ip4;		/* net */
	__u32 user_ip6[4];	/* net */
	__u32 user_port;	/* net, in the first two bytes */
	__u32 family;
	__u32 type;
	__u32 protocol;
	__u32 msg_src_ip4;	/* net */
	__u32 msg_src_ip6[4];	/* net */
	__u64 sk;		/* a pointer to struct bpf_sock */
};

/* The kernel's helpers are called by number: the "address" of each is its place in enum bpf_func_id. */
static void *(*const bpf_map_lookup_elem)(void *map, const void *key) __attribute__((unused)) = (void *)1;
static long (*const bpf_map_update_elem)(void *map, const void *key, const void *value, __u64 flags)
	__attribute__((unused)) = (void *)2;
static __u64 (*const bpf_ktime_get_ns)(void) __attribute__((unused)) = (void *)5;
static __u32 (*const bpf_get_prandom_u32)(void) __attribute__((unused)) = (void *)7;
static __u64 (*const bpf_get_current_uid_gid)(void) __attribute__((unused)) = (void *)15;

#endif
