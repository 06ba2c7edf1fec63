#include "../../../bpf/fixtures/packed.bpf.c"
#include "roundtrip.h"

int main(void)
{
	for (int i = 0; i < ROUNDS; i++) {
		READ(struct packed_key, packed_key);
		MEMBER(packed_key, kind);
		MEMBER(packed_key, number);
		MEMBER(packed_key, port);
		READ(struct holes, holes);
		MEMBER(holes, a);
		MEMBER(holes, b);
		MEMBER(holes, c);
		MEMBER(holes, d);
		MEMBER(holes, e);
		READ(struct part_packed, part_packed);
		MEMBER(part_packed, a);
		MEMBER(part_packed, b);
		MEMBER(part_packed, c);
		MEMBER(part_packed, d);
		READ(struct packed_aligned, packed_aligned);
		MEMBER(packed_aligned, a);
		MEMBER(packed_aligned, b);
		READ(struct aligned_members, aligned);
		MEMBER(aligned, a);
		MEMBER(aligned, b);
		MEMBER(aligned, c.count);
		MEMBER(aligned, d.number);
		MEMBER(aligned, e[1].d);
	}
}
