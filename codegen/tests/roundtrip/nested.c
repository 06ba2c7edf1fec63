#include "../../../bpf/fixtures/nested.bpf.c"
#include "roundtrip.h"

int main(void)
{
	for (int i = 0; i < ROUNDS; i++) {
		READ(struct key, key);
		MEMBER(key, from.addr.in.bytes[15]);
		MEMBER(key, from.addr.in.longs[3]);
		MEMBER(key, to.addr.in.words[1]);
		MEMBER(key, to.zone);
		MEMBER(key, code);
		MEMBER(key, both);
		MEMBER(key, deeper_byte);
		MEMBER(key, beside);
		MEMBER(key, protocol);
		READ(struct value, value);
		MEMBER(value, by_direction[1].packets);
		MEMBER(value, recent[2].when);
		MEMBER(value, recent[2].counter.bytes);
		MEMBER(value, matrix[1][2][3]);
		MEMBER(value, any.as_counter.bytes);
		MEMBER(value, any.as_words[1]);
		FLOAT(value, any.as_double, __s64);
		MEMBER(value, pointers[1]);
		READ(struct flexible, flexible);
		MEMBER(flexible, length);
	}
}
