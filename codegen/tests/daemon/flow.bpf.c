#include "flow.h"

#define PINNED(kind, key_type, value_type, entries, flags) \
	__uint(type, kind); \
	__uint(max_entries, entries); \
	__uint(map_flags, flags); \
	__uint(pinning, LIBBPF_PIN_BY_NAME); \
	__type(key, key_type); \
	__type(value, value_type)

struct {
	PINNED(BPF_MAP_TYPE_HASH, struct flow_key, struct flow_stats, 1024, 0);
} flows SEC(".maps");

struct {
	PINNED(BPF_MAP_TYPE_PERCPU_ARRAY, __u32, struct seen, 8, 0);
} seen SEC(".maps");

struct {
	PINNED(BPF_MAP_TYPE_HASH, __u32, __u64, 16, 0);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 16);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__uint(key_size, 8);
	__uint(value_size, 4);
} routes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 4);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(value, struct flow_key);
} open SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
} events SEC(".maps");

char LICENSE[] SEC("license") = "GPL";
