#include "../../../bpf/fixtures/bitfields.bpf.c"
#include "roundtrip.h"

int main(void)
{
	for (int i = 0; i < ROUNDS; i++) {
		READ(struct mixed, mixed);
		MEMBER(mixed, first);
		MEMBER(mixed, second);
		MEMBER(mixed, ordinary);
		MEMBER(mixed, third);
		MEMBER(mixed, fourth);
		MEMBER(mixed, another);
		MEMBER(mixed, negative);
		MEMBER(mixed, flag);
		MEMBER(mixed, mode);
		MEMBER(mixed, wide);
		READ(struct zero_width, zero_width);
		MEMBER(zero_width, before);
		MEMBER(zero_width, after);
		READ(struct straddling, straddling);
		MEMBER(straddling, low);
		MEMBER(straddling, across);
		MEMBER(straddling, far_across);
		MEMBER(straddling, rest);
		READ(struct in_a_struct, in_a_struct);
		MEMBER(in_a_struct, before);
		MEMBER(in_a_struct, named.a);
		MEMBER(in_a_struct, named.b);
		MEMBER(in_a_struct, c);
		MEMBER(in_a_struct, d);
		MEMBER(in_a_struct, overlaid.whole);
		MEMBER(in_a_struct, array[1].before);
		MEMBER(in_a_struct, array[1].after);

		WRITE(struct mixed, first);
		WRITE(struct mixed, second);
		WRITE(struct mixed, third);
		WRITE(struct mixed, fourth);
		WRITE(struct mixed, negative);
		WRITE(struct mixed, mode);
		WRITE(struct mixed, wide);
		WRITE(struct zero_width, after);
		WRITE(struct straddling, low);
		WRITE(struct straddling, across);
		WRITE(struct straddling, far_across);
		WRITE(struct straddling, rest);
		WRITE(struct in_a_struct, named.b);
		WRITE(struct in_a_struct, d);
		WRITE(struct in_a_struct, array[1].after);
	}
}
