/* Flows and what is counted of them. */
#ifndef FLOW_H
#define FLOW_H

#include "bpf_min.h"

/* A flow, as
 * a node sees it. */
struct flow_key {
	__be32 addr;
	__be16 port; /* in network byte order */
	__u8 protocol;
};

enum verdict {
	PASS,
	DROP,
};

union peer {
	__be32 v4; /* where `flow_stats.is_v6` is 0 */
	__u8 v6[16];
};

struct flow_stats {
	__u64 packets; // since the flow began
	__u32 first : 20;
	__u32 last : 12;
	/* Decided when the flow began. */
	enum verdict verdict;
	union peer peer;
	struct {
		__u16 start; /* in [ms] */
		__u16 end;
	} window;
	__u8 is_v6;
};

struct seen {
	__u32 at;
	__u8 who;
} __attribute__((packed));

#endif
