// Names that are fine in C and clash in Rust, or with what maplock adds: padding, bytes of bit-fields, setters, modules
// that differ in their case only, keywords, and what every Rust program has in scope.
#include "bpf_min.h"

struct padded {
	__u8 first;
	/* 1 byte, at offset 1 */
	__u16 second;
	__u8 __pad1[4]; /* the usual name for padding, numbered by hand */
};

struct bits {
	__u8 __bits0;
	__u8 low : 4;
	__u8 high : 4;
	__u8 __bits9 : 1;
};

struct setters {
	__u32 x : 4;
	__u32 set_x : 4;
	__u32 _x : 4;
	__u32 y : 4;
	__u32 set_y;
};

struct anonymous {
	union {
		__u32 a;
		__u32 b;
	};
	__u32 anonymous0;
};

struct keywords {
	__u32 type;
	__u32 self;
	__u32 crate;
	__u32 dyn;
	__u32 match;
	__u32 async;
	__u32 r;
};

struct self { __u32 it; };
struct option { __u32 some; };
struct copy { __u32 it; };
struct clone { __u32 it; };
struct sized { __u32 it; };
struct u32 { __u64 it; };
struct U32 { __u32 it; };
struct core { __u32 it; };

/* The constant of the module, beside which the enum's own constructor would stand. */
enum spec { NAME, DIGEST, Spec, spec_, crate, super, dyn, gen, Type, TYPE, new, clone, as_bytes };
enum SPEC { SPEC_SELF, Maps, Key, Value, Handle };
/* The test takes the name from the first, and gives the last two one that C does not take. */
enum odd { nameless_in_btf, odd_one, odd_two };
enum Maps { MAPS_NONE, MAPS_SOME };
enum { unnamed, unnamed_, NONE, None, Some } without_a_name_of_its_own;

struct scope {
	enum spec spec;
	enum SPEC constant;
	enum Maps maps;
	enum odd odd;
	struct self self;
	struct option option;
	struct copy copy;
	struct clone clone;
	struct sized sized;
	struct u32 lower;
	struct U32 upper;
	struct core core;
	enum { Self, Ok, match_ } value;
};

#define MAP(name, value_type)                     \
	struct {                                  \
		__uint(type, BPF_MAP_TYPE_ARRAY); \
		__uint(max_entries, 1);           \
		__type(key, __u32);               \
		__type(value, value_type);        \
	} name SEC(".maps")

MAP(flows, struct padded);
MAP(Flows, struct bits);
MAP(core, struct setters);
MAP(self, struct anonymous);
MAP(type, struct keywords);
MAP(std, struct scope);
MAP(spec, __u32);
MAP(SPEC, __u32);
MAP(Padded, __u32);
MAP(key, __u32);
MAP(_, __u32);
