#include "../../../bpf/fixtures/scalars.bpf.c"
#include "roundtrip.h"

int main(void)
{
	for (int i = 0; i < ROUNDS; i++) {
		READ(struct integers, integers);
		MEMBER(integers, s8);
		MEMBER(integers, u8);
		MEMBER(integers, s16);
		MEMBER(integers, u16);
		MEMBER(integers, s32);
		MEMBER(integers, u32);
		MEMBER(integers, s_long);
		MEMBER(integers, u_long);
		MEMBER(integers, s64);
		MEMBER(integers, u64);
		MEMBER(integers, s128 >> 64);
		MEMBER(integers, u128 >> 3);
		READ(struct other_scalars, other);
		FLOAT(other, plain_char, __u8);
		/* Any byte may be there, and C must not read it as a bool. */
		FLOAT(other, flag, __u8);
		FLOAT(other, single, __u32);
		FLOAT(other, twice, __u64);
		FLOAT(other, color, __u32);
		FLOAT(other, tiny, __u8);
		MEMBER(other, text);
		MEMBER(other, function);
	}
}
