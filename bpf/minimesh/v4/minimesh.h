/* minimesh, release 4: a backend can be drained, and statistics are kept by port. */
#ifndef MINIMESH_H
#define MINIMESH_H

#include "bpf_min.h"

/* A virtual address, as an application names it in connect(). */
struct frontend_key {
	__be32 vip;
	__be16 port;
	__u16 protocol; /* IPPROTO_TCP or IPPROTO_UDP */
};

struct frontend {
	__u32 service; /* key of `services` */
};

enum balance {
	BALANCE_RANDOM = 0,
	BALANCE_BY_USER = 1, /* one user's connections go to one backend */
};

struct service {
	__u32 backend_count; /* its backends have the indices 0 to backend_count - 1 */
	enum balance balance;
};

struct backend_key {
	__u32 service;
	__u32 index;
};

struct backend {
	__be32 addr;
	__be16 port;
	__u8 draining; /* keeps the connections that it has, and gets no new ones */
	__u8 ready;
};

/* Named members only, no padding: the kernel hashes a key as bytes, so that every byte must be written. */
struct stats_key {
	__u32 service;
	__u32 index;
	__u32 port; /* of the frontend, in the host's byte order */
};

struct stats {
	__u64 passed_over; /* connections that went elsewhere, as this backend took none */
	__u64 connections;
	__u64 last_seen; /* nanoseconds since boot */
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, struct frontend_key);
	__type(value, struct frontend);
} frontends SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, struct service);
} services SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, struct backend_key);
	__type(value, struct backend);
} backends SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, struct stats_key);
	__type(value, struct stats);
} stats SEC(".maps");

/* Connections that no backend took, by service. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, __u64);
} drops SEC(".maps");

static inline int accepts_connections(const struct backend *backend)
{
	return backend->ready && !backend->draining;
}

/* The counters of a backend, made on first use; null if the map is full. */
static inline struct stats *stats_of(const struct backend_key *backend, const struct frontend_key *frontend)
{
	struct stats_key key = {
		.service = backend->service,
		.index = backend->index,
		.port = bpf_ntohs(frontend->port),
	};
	struct stats *counters = bpf_map_lookup_elem(&stats, &key);
	if (counters)
		return counters;

	/* Another CPU may be first here: BPF_NOEXIST keeps what it has counted. */
	struct stats zero = {};
	bpf_map_update_elem(&stats, &key, &zero, BPF_NOEXIST);
	return bpf_map_lookup_elem(&stats, &key);
}

static inline void count_drop(__u32 service)
{
	__u64 *count = bpf_map_lookup_elem(&drops, &service);
	if (!count) {
		__u64 zero = 0;
		bpf_map_update_elem(&drops, &service, &zero, BPF_NOEXIST);
		count = bpf_map_lookup_elem(&drops, &service);
	}
	if (count)
		__sync_fetch_and_add(count, 1);
}

#endif
