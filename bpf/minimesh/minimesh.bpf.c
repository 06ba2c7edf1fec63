/*
 * minimesh: a service mesh in one program. A connection made to a service's virtual address goes to one of the service's
 * backends instead. The address is replaced at connect(), before the first packet, so that nothing is left to do per packet.
 *
 * All state is in pinned maps: it outlives the daemon, and the next release of the daemon finds it.
 *
 *     frontends   virtual address and port -> service                 written by the daemon
 *     services    service -> how many backends, and how to choose     written by the daemon
 *     backends    service and index -> where to connect               written by the daemon
 *     stats       what became of the connections, by backend          written here
 *
 * What differs between the four releases is in minimesh.h, and is chosen by -I bpf/minimesh/v1 to -I bpf/minimesh/v4.
 */
#include "bpf_min.h"
#include "minimesh.h"

/* How many backends are tried before a connection is refused: the verifier wants a bound, and the caller an answer. */
#define TRIES 16

enum verdict {
	REFUSE = 0, /* connect() fails with EPERM */
	PROCEED = 1,
};

/*
 * Takes the first backend, from where the service's balance says to start, that accepts connections. On return `key` names
 * it: its counters are kept by the same service and index.
 */
static inline struct backend *choose_backend(const struct service *service, const struct frontend_key *address,
					     struct backend_key *key)
{
	__u32 count = service->backend_count;
	__u32 start = service->balance == BALANCE_BY_USER ? (__u32)bpf_get_current_uid_gid() : bpf_get_prandom_u32();

	for (__u32 i = 0; i < TRIES && i < count; i++) {
		key->index = (start + i) % count;

		struct backend *backend = bpf_map_lookup_elem(&backends, key);
		if (!backend)
			continue; /* the daemon is just changing the list */
		if (accepts_connections(backend))
			return backend;

		struct stats *counters = stats_of(key, address);
		if (counters)
			__sync_fetch_and_add(&counters->passed_over, 1);
	}
	return 0;
}

SEC("cgroup/connect4")
int minimesh_connect4(struct bpf_sock_addr *ctx)
{
	struct frontend_key address = {
		.vip = ctx->user_ip4,
		.port = ctx->user_port,
		.protocol = ctx->protocol,
	};
	struct frontend *frontend = bpf_map_lookup_elem(&frontends, &address);
	if (!frontend)
		return PROCEED; /* not one of our addresses */

	struct backend_key key = { .service = frontend->service };
	struct service *service = bpf_map_lookup_elem(&services, &key.service);
	if (!service)
		return PROCEED; /* the daemon is just removing it */

	struct backend *backend = choose_backend(service, &address, &key);
	if (!backend) {
		count_drop(key.service);
		return REFUSE;
	}

	struct stats *counters = stats_of(&key, &address);
	if (counters) {
		__sync_fetch_and_add(&counters->connections, 1); /* other CPUs count here too */
		counters->last_seen = bpf_ktime_get_ns();
	}

	ctx->user_ip4 = backend->addr;
	ctx->user_port = backend->port;
	return PROCEED;
}

char LICENSE[] SEC("license") = "Dual MIT/GPL";
