/*
 * What C makes of the bytes of a struct, as text: `reader.rs` reads the lines that start with `read` or `write`, and has
 * to print the same text by the generated types.
 *
 *     read TYPE BYTES                     the bytes of a value, and on the next lines what each member holds
 *     write TYPE.MEMBER BYTES N BYTES     the bytes before and after a bit-field is set to N
 */
#include <stdio.h>
#include <string.h>

#define ROUNDS 50

static unsigned long long next(void)
{
	static unsigned long long state = 0x9e3779b97f4a7c15;
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static void fill(void *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		((unsigned char *)bytes)[i] = next() >> 24;
}

static void hex(const void *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		printf("%02x", ((const unsigned char *)bytes)[i]);
}

#define READ(type, it)                     \
	type it;                           \
	fill(&it, sizeof it);              \
	printf("read %s ", #type);         \
	hex(&it, sizeof it);               \
	puts("")

#define MEMBER(it, member) printf("%s %lld\n", #member, (long long)(it.member))

/* A float's bits; C would convert its value. */
#define FLOAT(it, member, as)                                  \
	do {                                                   \
		as bits;                                       \
		memcpy(&bits, &it.member, sizeof bits);        \
		printf("%s %lld\n", #member, (long long)bits); \
	} while (0)

#define WRITE(type, member)                             \
	do {                                            \
		type it;                                \
		unsigned long long value = next();      \
		fill(&it, sizeof it);                   \
		printf("write %s.%s ", #type, #member); \
		hex(&it, sizeof it);                    \
		printf(" %llu ", value);                \
		it.member = value;                      \
		hex(&it, sizeof it);                    \
		puts("");                               \
	} while (0)
