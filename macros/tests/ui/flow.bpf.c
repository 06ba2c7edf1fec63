// The maps of the tests in this folder. `maps.lock` is made of it by the test.
typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u16 __le16;

#define SEC(name) __attribute__((section(name), used))
#define HASH(name, k, v) struct { int (*type)[1]; int (*max_entries)[16]; int (*pinning)[1]; k *key; v *value; } name SEC(".maps")

enum balance { BALANCE_RANDOM, BALANCE_ROUND_ROBIN = 4 };
struct window { __u32 start, end; };
union addr { __be32 v4; __u8 v6[16]; };
struct flow_key { union addr addr; __be16 port; __u16 protocol; };
struct flow_stats {
	__u64 packets;
	struct window window;
	__u64 bytes;
	__s64 skew;
	char name[16];
	_Bool is_open;
	__u8 flags[3];
	enum balance balance;
};
struct bits { __u32 low : 3, high : 5; __u32 count; };
struct inside { __u32 family; union { __be32 v4; __u8 v6[16]; }; union { __u32 one; __u8 four[4]; } named; };
struct packed { __u8 tag; __u64 count; } __attribute__((packed));
struct padded { __u8 tag; __u64 count; };
struct route { __be32 to; __be16 port; __le16 length; __be32 hops[2]; };
struct peer { __be16 port; };
struct grid { struct window cells[2][3]; __u64 total; };

HASH(flows, struct flow_key, struct flow_stats);
HASH(bit_map, __u32, struct bits);
HASH(insides, __u32, struct inside);
HASH(packs, __u32, struct packed);
HASH(pads, struct padded, struct padded);
HASH(grids, __u32, struct grid);
HASH(routes, struct route, struct peer);
struct { int (*type)[1]; int (*max_entries)[16]; int (*key_size)[4]; int (*value_size)[24]; int (*pinning)[1]; } recent SEC(".maps");
