//! What programs do with maps is read from their instructions: one program for each way that C is written, held against what a person
//! reads in it.

use std::collections::BTreeMap;
use std::fs;

use maplock_codegen::Object;
use maplock_layout::ProgramUse;
use maplock_layout_tests::toolchain::{Clang, Fixture, Order, files, root};

/// What each program finds, before its own code.
const HEAD: &str = r#"
#include "bpf_min.h"
struct value { __u64 n; __u32 m; __u32 seen; __u64 counts[4]; struct { __u64 bytes, packets; } by[4]; };
#define MAP(name, kind, v) struct { __uint(type, BPF_MAP_TYPE_##kind); __uint(max_entries, 64); __type(key, __u32); __type(value, v); } name SEC(".maps")
MAP(m, HASH, struct value);
MAP(o, HASH, struct value);
MAP(a, ARRAY, struct value);
static void *(*lookup)(void *map, const void *key) = (void *) 1;
static long (*update)(void *map, const void *key, const void *value, __u64 flags) = (void *) 2;
static long (*delete)(void *map, const void *key) = (void *) 3;
static __u64 (*now)(void) = (void *) 5;
static __u32 (*any)(void) = (void *) 7;
static long (*probe_read)(void *dst, __u32 size, const void *from) = (void *) 4;
static long (*for_each)(void *map, void *callback, void *ctx, __u64 flags) = (void *) 164;
static long (*loop)(__u32 times, void *callback, void *ctx, __u64 flags) = (void *) 181;
static void *(*lookup_percpu)(void *map, const void *key, __u32 cpu) = (void *) 195;
#define __noinline __attribute__((noinline))
struct ctx { __u32 a, b, c, d; };
"#;

/// The text of an [`ProgramUse`]: `+` before what is added to, `=` before what is set.
fn text(used: &ProgramUse) -> String {
    let words = [("inserts", used.inserts), ("deletes", used.deletes), ("partly", used.partly)];
    let words = words.into_iter().filter(|(_, is_so)| *is_so).map(|(word, _)| word.to_owned());
    let adds = used.adds.iter().map(|path| format!("+{path}"));
    words.chain(adds).chain(used.sets.iter().map(|path| format!("={path}"))).collect::<Vec<_>>().join(" ")
}

fn uses(object: &[u8]) -> BTreeMap<String, String> {
    let object = Object::parse(object).expect("an object");
    object.programs().uses.iter().map(|(map, used)| (map.clone(), text(used))).collect()
}

/// Compiles `code` with every clang for either byte order, and compares what is found of each map.
#[track_caller]
fn holds(code: &str, expected: &[(&str, &str)]) {
    let Some(clangs) = Clang::at_least(1) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (source, out) = (folder.path().join("program.c"), folder.path().join("program.o"));
    fs::write(&source, format!("{HEAD}{code}\nchar LICENSE[] SEC(\"license\") = \"GPL\";\n")).expect("written");
    let expected: BTreeMap<_, _> = expected.iter().map(|(map, of)| ((*map).to_owned(), (*of).to_owned())).collect();
    for clang in &clangs {
        for order in Order::BOTH {
            clang.compile(order, &source, &out);
            let found = uses(&fs::read(&out).expect("an object"));
            assert_eq!(found, expected, "clang {} for {}", clang.version, order.target());
        }
    }
}

const EVERY: &str = "=by[].bytes =by[].packets =counts[] =m =n =seen";

#[test]
fn atomic_additions_are_additions_and_so_are_load_add_and_store() {
    holds(
        r#"SEC("xdp") int p(struct ctx *c) {
            __u32 key = c->a;
            struct value *v = lookup(&m, &key);
            if (!v) return 0;
            __sync_fetch_and_add(&v->n, 1);
            v->m++;
            v->seen = now();
            return 0;
        }"#,
        &[("m", "+m +n =seen")],
    );
    holds(
        r#"SEC("xdp") int p(struct ctx *c) {
            __u32 key = c->a;
            struct value *v = lookup(&m, &key);
            if (!v) return 0;
            v->n -= c->b;
            v->m += c->c + v->seen;
            return 0;
        }"#,
        &[("m", "+m +n")],
    );
}

#[test]
fn a_pointer_is_followed_over_calls_and_through_the_stack() {
    holds(
        r#"SEC("xdp") int p(struct ctx *c) {
            __u32 k1 = c->a, k2 = c->b, k3 = c->c, k4 = c->d;
            struct value *v = lookup(&m, &k1), *w = lookup(&m, &k2), *x = lookup(&o, &k3), *y = lookup(&o, &k4);
            struct value *z = lookup(&a, &k1);
            if (!v || !w || !x || !y || !z) return 0;
            __u64 t = now();
            v->n += t; w->n += t; x->m += t; y->m += t; z->n = t;
            return any();
        }"#,
        &[("a", "=n"), ("m", "+n"), ("o", "+m")],
    );
}

#[test]
fn entries_that_are_made_whole_are_not_set() {
    let create = |flags: &str| {
        format!(
            r#"SEC("xdp") int p(struct ctx *c) {{
                __u32 key = c->a;
                struct value *v = lookup(&m, &key);
                if (!v) {{
                    struct value zero = {{}};
                    update(&m, &key, &zero, {flags});
                    v = lookup(&m, &key);
                    if (!v) return 0;
                }}
                __sync_fetch_and_add(&v->n, 1);
                v->m++;
                return 0;
            }}"#
        )
    };
    holds(&create("BPF_NOEXIST"), &[("m", "inserts +m +n")]);
    // Where the look-up gave NULL, any entry is new.
    holds(&create("BPF_ANY"), &[("m", "inserts +m +n")]);
    holds(
        &create("BPF_EXIST"),
        &[("m", "+m +n =by[].bytes =by[].packets =counts[] =m =n =seen".trim_start_matches("+m +n "))],
    );
    holds(
        r#"SEC("xdp") int p(struct ctx *c) {
            __u32 key = c->a;
            struct value *v = lookup(&m, &key);
            if (v) { v->n++; return 0; }
            struct value first = { .n = 1, .seen = c->b };
            update(&m, &key, &first, BPF_ANY);
            return 0;
        }"#,
        &[("m", "inserts +n")],
    );
}

#[test]
fn entries_that_may_be_there_are_set_whole() {
    let inserts = format!("inserts {EVERY}");
    holds(
        r#"SEC("xdp") int p(struct ctx *c) {
            __u32 key = c->a;
            struct value v = { .n = c->b };
            update(&m, &key, &v, BPF_ANY);
            update(&a, &key, &v, BPF_ANY);
            return 0;
        }"#,
        &[("a", EVERY), ("m", &inserts)],
    );
    // Another key than that which was not there.
    holds(
        r#"SEC("xdp") int p(struct ctx *c) {
            __u32 key = c->a, other = c->b;
            if (!lookup(&m, &key)) { struct value v = {}; update(&m, &other, &v, BPF_ANY); }
            return 0;
        }"#,
        &[("m", &inserts)],
    );
    // Another map.
    holds(
        r#"SEC("xdp") int p(struct ctx *c) {
            __u32 key = c->a;
            if (!lookup(&o, &key)) { struct value v = {}; update(&m, &key, &v, BPF_ANY); }
            return 0;
        }"#,
        &[("m", &inserts)],
    );
    // The key has changed since.
    holds(
        r#"SEC("xdp") int p(struct ctx *c) {
            __u32 key = c->a;
            if (!lookup(&m, &key)) { struct value v = {}; key = c->b; update(&m, &key, &v, BPF_ANY); }
            return 0;
        }"#,
        &[("m", &inserts)],
    );
}

#[test]
fn what_is_stored_from_elsewhere_is_set_though_it_is_a_sum() {
    holds(
        r#"SEC("xdp") int p(struct ctx *c) {
            __u32 key = c->a, other = c->b;
            struct value *v = lookup(&m, &key), *w = lookup(&m, &other);
            if (!v || !w) return 0;
            v->n = w->n + 1;
            return 0;
        }"#,
        &[("m", "=n")],
    );
    holds(
        r#"SEC("xdp") int p(struct ctx *c) {
            __u32 key = c->a;
            struct value *v = lookup(&m, &key);
            if (!v) return 0;
            v->n = v->n * 2;
            v->m = v->seen + 1;
            v->counts[1] = v->counts[0] + 1;
            return 0;
        }"#,
        &[("m", "=counts[] =m =n")],
    );
    holds(
        r#"SEC("xdp") int p(struct ctx *c) {
            __u32 key = c->a;
            struct value *v = lookup(&m, &key);
            if (!v) return 0;
            if (v->n < c->b) v->n = c->b;
            __sync_fetch_and_add(&v->counts[2], 1);
            return 0;
        }"#,
        &[("m", "+counts[] =n")],
    );
}

#[test]
fn entries_of_a_loop_are_not_one() {
    holds(
        r#"SEC("xdp") int p(struct ctx *c) {
            __u64 last = 0;
            #pragma clang loop unroll(disable)
            for (__u32 key = 0; key < c->a && key < 64; key++) {
                struct value *v = lookup(&m, &key);
                if (!v) break;
                __u64 n = v->n;
                v->n = last + 1;
                v->m++;
                last = n;
            }
            return 0;
        }"#,
        &[("m", "+m =n")],
    );
}

#[test]
fn a_deletion_in_a_branch_is_one() {
    holds(
        r#"SEC("xdp") int p(struct ctx *c) {
            __u32 key = c->a;
            if (c->b > 7) delete(&m, &key);
            delete(&a, &key);
            return 0;
        }"#,
        &[("m", "deletes")],
    );
}

#[test]
fn functions_are_followed_into_and_out_of() {
    holds(
        r#"
        static __noinline int count(struct value *v, __u32 by) { __sync_fetch_and_add(&v->n, by); return v->m; }
        static __noinline struct value *find(__u32 key) { return lookup(&m, &key); }
        __noinline int global(__u32 key) { struct value *v = lookup(&o, &key); if (v) v->seen = 1; return 0; }
        SEC("xdp") int p(struct ctx *c) {
            struct value *v = find(c->a);
            if (!v) return 0;
            count(v, c->b);
            v->m += 2;
            return global(c->c);
        }
        SEC("tc") int q(struct ctx *c) {
            struct value *v = find(c->b);
            if (v) v->seen = c->c;
            return 0;
        }"#,
        &[("m", "+m +n =seen"), ("o", "=seen")],
    );
}

#[test]
fn functions_that_the_kernel_calls_get_entries() {
    holds(
        r#"
        struct within { struct value *v; __u32 by; };
        static long each(void *map, const void *key, struct value *v, struct within *of) {
            v->n += of->by;
            of->v->m++;
            if (of->by > 3) delete(map, key);
            return 0;
        }
        static long turn(__u32 i, struct within *of) { of->v->counts[i & 3] += 1; return 0; }
        SEC("xdp") int p(struct ctx *c) {
            __u32 key = c->a;
            struct within of = { .v = lookup(&o, &key), .by = c->b };
            if (!of.v) return 0;
            for_each(&m, each, &of, 0);
            loop(4, turn, &of, 0);
            return 0;
        }"#,
        &[("m", "deletes +n"), ("o", "+counts[] +m")],
    );
}

#[test]
fn elements_of_an_array_are_one_member() {
    holds(
        r#"SEC("xdp") int p(struct ctx *c) {
            __u32 key = c->a, i = c->b, j = c->c & 3;
            struct value *v = lookup(&a, &key);
            if (!v || i > 3) return 0;
            v->counts[i]++;
            v->by[j].packets += 1;
            v->by[i].bytes = c->d;
            return 0;
        }"#,
        &[("a", "+by[].packets +counts[] =by[].bytes")],
    );
    holds(
        r#"SEC("xdp") int p(struct ctx *c) {
            __u32 key = c->a;
            struct value *v = lookup(&a, &key);
            if (!v) return 0;
            __sync_fetch_and_add(&v->counts[(c->b & 3) ^ 1], 1);
            #pragma clang loop unroll(disable)
            for (__u32 at = 0; at < 4; at++) v->by[at].bytes += c->d;
            return 0;
        }"#,
        &[("a", "+by[].bytes +counts[]")],
    );
}

#[test]
fn maps_of_other_types_are_read_as_well() {
    holds(
        r#"
        MAP(per_cpu, PERCPU_HASH, struct value);
        MAP(cells, PERCPU_ARRAY, __u64);
        struct { __uint(type, BPF_MAP_TYPE_QUEUE); __uint(max_entries, 8); __type(value, __u32); } queue SEC(".maps");
        static long (*push)(void *map, const void *value, __u64 flags) = (void *) 87;
        static long (*pop)(void *map, void *value) = (void *) 88;
        SEC("xdp") int p(struct ctx *c) {
            __u32 key = c->a;
            struct value *v = lookup(&per_cpu, &key);
            if (!v) { struct value zero = {}; update(&per_cpu, &key, &zero, BPF_ANY); return 0; }
            v->n++;
            __u64 *cell = lookup(&cells, &key);
            if (cell) *cell += c->b;
            struct value *w = lookup_percpu(&per_cpu, &key, 1);
            if (w) w->m = 1;
            push(&queue, &key, 0);
            return 0;
        }
        SEC("tc") int q(struct ctx *c) { __u32 into; pop(&queue, &into); return into; }"#,
        &[("cells", "+value"), ("per_cpu", "inserts +n =m"), ("queue", "inserts deletes")],
    );
}

#[test]
fn bits_are_set_with_those_beside_them() {
    holds(
        r#"
        struct flags { __u32 one : 3, two : 29; __u32 n; };
        MAP(f, HASH, struct flags);
        SEC("xdp") int p(struct ctx *c) {
            __u32 key = c->a;
            struct flags *v = lookup(&f, &key);
            if (!v) return 0;
            v->two = c->b;
            v->n++;
            return 0;
        }"#,
        &[("f", "+n =one =two")],
    );
}

#[test]
fn what_can_not_be_followed_is_said() {
    // Kept in memory of another sort.
    holds(
        r#"
        struct value *volatile kept;
        extern int strange(struct value *v) __attribute__((section(".ksyms")));
        SEC("xdp") int p(struct ctx *c) {
            __u32 key = c->a;
            struct value *v = lookup(&m, &key), *w = lookup(&o, &key);
            if (!v || !w) return 0;
            kept = v;
            strange(w);
            return 0;
        }"#,
        &[(".bss", "=kept"), ("m", "partly"), ("o", "partly")],
    );
    // The kernel gives such a program entries of a map that user space names.
    let all = [("a", "partly"), ("m", "partly"), ("o", "partly")];
    holds("SEC(\"iter/bpf_map_elem\") int p(struct ctx *c) { return c->a; }", &all);
    // Given to a helper that writes there.
    holds(
        r#"SEC("xdp") int p(struct ctx *c) {
            __u32 key = c->a;
            struct value *v = lookup(&m, &key);
            if (v) probe_read(&v->counts, sizeof(v->counts), (void *) 4096);
            return 0;
        }"#,
        &[("m", "=counts[]")],
    );
}

#[test]
fn which_maps_a_map_holds_is_not_known_from_programs() {
    holds(
        r#"
        struct inner { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 64); __type(key, __u32); __type(value, __u64); };
        struct { __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS); __uint(max_entries, 4); __type(key, __u32); __array(values, struct inner); } outer SEC(".maps");
        struct { __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS); __uint(max_entries, 4); __type(key, __u32); __array(values, struct inner); } read SEC(".maps");
        MAP(alike, HASH, __u64);
        SEC("xdp") int p(struct ctx *c) {
            __u32 key = c->a;
            void *map = lookup(&outer, &key), *other = lookup(&read, &key);
            if (!map || !other) return 0;
            __u64 *v = lookup(map, &key), *w = lookup(other, &key);
            if (v && w) *v += *w;
            return 0;
        }"#,
        &[("alike", "partly"), ("outer", "partly")],
    );
}

#[test]
fn a_map_is_chosen_among_those_that_it_can_be() {
    holds(
        r#"SEC("xdp") int p(struct ctx *c) {
            __u32 key = c->a;
            void *map = c->b ? (void *) &m : (void *) &o;
            struct value *v = lookup(map, &key);
            if (v) v->n++;
            return 0;
        }"#,
        &[("m", "+n"), ("o", "+n")],
    );
}

#[test]
fn variables_are_members_of_their_section() {
    holds(
        r#"
        __u64 total, by_kind[4];
        __u32 state;
        SEC("xdp") int p(struct ctx *c) {
            __sync_fetch_and_add(&total, 1);
            by_kind[c->a & 3]++;
            state = c->b;
            return 0;
        }"#,
        &[(".bss", "+by_kind[] +total =state")],
    );
}

#[test]
fn the_line_is_told_where_something_is_counted() {
    let Some(clang) = Clang::newest() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (source, out) = (folder.path().join("program.c"), folder.path().join("program.o"));
    let code = "SEC(\"xdp\") int p(struct ctx *c) {\n\
        __u32 key = c->a;\n\
        struct value *v = lookup(&m, &key);\n\
        if (!v) return 0;\n\
        v->seen = 1;\n\
        __sync_fetch_and_add(&v->n, 1); /* here */\n\
        return 0;\n}\n";
    let text = format!("{HEAD}{code}");
    fs::write(&source, &text).expect("written");
    for order in Order::BOTH {
        clang.compile(order, &source, &out);
        let bytes = fs::read(&out).expect("an object");
        let programs = Object::parse(&bytes).expect("an object").programs();
        let line = &programs.counted[&("m".to_owned(), "n".to_owned())];
        let here = text.lines().position(|line| line.contains("here")).expect("the line") + 1;
        assert_eq!((line.line as usize, line.file.as_str()), (here, source.to_str().expect("a path")));
    }
}

/// A number after the other, the same each time.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below.max(1) as u64) as usize
    }
}

#[test]
fn instructions_that_nobody_wrote_are_followed_in_time() {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for object in ["bpf/minimesh/v4/minimesh.bpf.o", "bpf/rust/objects/btf_maps.o", "bpf/rust/objects/both.eb.o"] {
        let bytes = fs::read(root().join(object)).expect("an object");
        let code: Vec<_> = sections_of_code(&bytes);
        assert!(!code.is_empty(), "{object} has code");
        for _ in 0..400 {
            let mut changed = bytes.clone();
            for _ in 0..=numbers.next(12) {
                let range = &code[numbers.next(code.len())];
                changed[range.start + numbers.next(range.len())] = numbers.next(256) as u8;
            }
            if let Ok(object) = Object::parse(&changed) {
                _ = object.programs();
            }
        }
    }
}

/// Where the instructions are in the file: sections that are executed, by the headers of a 64-bit ELF file.
fn sections_of_code(bytes: &[u8]) -> Vec<std::ops::Range<usize>> {
    let is_little = bytes[5] == 1;
    let number = |at: usize, width: usize| {
        let digits = bytes[at..at + width].iter().map(|byte| usize::from(*byte));
        let add = |number: usize, digit: usize| number << 8 | digit;
        if is_little { digits.rev().fold(0, add) } else { digits.fold(0, add) }
    };
    let (start, len, count) = (number(0x28, 8), number(0x3a, 2), number(0x3c, 2));
    let headers = (0..count).map(|at| start + at * len);
    let code = headers.filter(|at| number(at + 8, 8) & 4 != 0 && number(at + 0x20, 8) > 0);
    code.map(|at| number(at + 0x18, 8)..number(at + 0x18, 8) + number(at + 0x20, 8)).collect()
}

#[test]
fn programs_of_rust_are_read_as_those_of_c() {
    let objects = files(&root().join("bpf/rust/objects"), ".o");
    let named = |name: &str| {
        let path = objects.iter().find(|path| path.ends_with(name)).unwrap_or_else(|| panic!("no {name}"));
        uses(&fs::read(path).expect("an object"))
    };
    for name in ["btf_maps.o", "btf_maps.eb.stripped.o"] {
        let uses = named(name);
        let of = |map: &str| uses.get(map).map(String::as_str);
        assert_eq!(of("FLOWS"), Some("+bytes +packets"), "{name}");
        assert_eq!(of("PINNED_FLOWS"), Some("+packets"), "{name}");
        assert_eq!(of("PEERS"), Some("=item.v4 =item.v6[] =item.words[]"), "{name}");
        assert_eq!(of("STATES"), Some("=value"), "{name}");
        assert_eq!(of("TOTALS"), Some("+value[]"), "{name}");
        assert_eq!(of("OUTER"), Some("partly"), "{name}");
    }
    assert_eq!(named("both.o")["OLD_PINNED"], "inserts =generation =item");
    // Where nothing tells the members of a value, it can't be said which of them is counted.
    assert_eq!(named("legacy_maps.eb.stripped.o")["FLOWS"], "partly");
}

#[test]
fn the_releases_of_minimesh_count_and_insert() {
    for release in ["v1", "v2", "v3", "v4"] {
        let object = fs::read(root().join(format!("bpf/minimesh/{release}/minimesh.bpf.o"))).expect("an object");
        let uses = uses(&object);
        assert_eq!(uses["stats"], "inserts +connections +passed_over =last_seen", "{release}");
        assert_eq!(uses.get("drops").map(String::as_str), (release != "v1").then_some("inserts +value"), "{release}");
        // The daemon alone writes these.
        assert!(["backends", "frontends", "services"].iter().all(|map| !uses.contains_key(*map)), "{uses:?}");
    }
}

#[test]
fn what_is_made_of_a_member_by_more_than_adding_is_no_count_of_it() {
    holds(
        r#"SEC("xdp") int p(struct ctx *c) {
            __u32 key = c->a;
            struct value *v = lookup(&m, &key);
            if (!v) return 0;
            v->n = v->n - (v->n >> 3) + (c->b >> 3);
            v->m += (c->b - v->m) / 8;
            return 0;
        }"#,
        &[("m", "=m =n")],
    );
}

#[test]
fn a_value_that_is_found_on_the_stack_by_an_index_is_written() {
    holds(
        r#"SEC("xdp") int p(struct ctx *c) {
            __u32 key = c->a;
            struct value *volatile vs[2];
            vs[0] = lookup(&m, &key);
            vs[1] = lookup(&o, &key);
            __u32 i = c->b & 1;
            struct value *v = vs[i];
            if (v) v->seen = 1;
            return 0;
        }"#,
        &[("m", "=seen"), ("o", "=seen")],
    );
}

/// Where each round of a loop does what the one before made possible, it is followed round by round, or said that it was not to the end.
#[test]
fn what_a_loop_comes_to_after_many_rounds_is_seen_or_said() {
    let loops = |len: usize| {
        format!(
            r#"
            struct chain {{ struct value *at[{len}]; }};
            static int shift(__u32 i, struct chain *chain) {{
                chain->at[{last}]->seen = 1;
                #pragma unroll
                for (int at = {last}; at > 0; at--) chain->at[at] = chain->at[at - 1];
                return 0;
            }}
            SEC("xdp") int p(struct ctx *c) {{
                __u32 key = c->a;
                struct value *v = lookup(&m, &key), *w = lookup(&o, &key);
                if (!v || !w) return 0;
                struct chain chain;
                #pragma unroll
                for (int at = 0; at < {len}; at++) chain.at[at] = w;
                chain.at[0] = v;
                loop(1000, shift, &chain, 0);
                return 0;
            }}"#,
            last = len - 1
        )
    };
    holds(&loops(4), &[("m", "=seen"), ("o", "=seen")]);
    holds(&loops(9), &[("m", "=seen"), ("o", "=seen")]);
    holds(&loops(30), &[("a", "partly"), ("m", "partly"), ("o", "partly =seen")]);
}

/// What nothing bounds is most likely of the array that it begins in, and may be of the members behind.
#[test]
fn a_write_without_bounds_may_reach_the_members_behind_the_array() {
    let of = |bound: &str| {
        format!(
            r#"SEC("xdp") int p(struct ctx *c) {{
                __u32 key = c->a;
                struct value *v = lookup(&m, &key);
                if (!v) return 0;
                v->counts[{bound}] = 1;
                return 0;
            }}"#
        )
    };
    holds(&of("c->b & 3"), &[("m", "=counts[]")]);
    holds(&of("c->b & 0xffff"), &[("m", "partly =counts[]")]);
    holds(&of("now()"), &[("m", "partly")]);
    // The last one: there is nothing behind it.
    holds(
        r#"struct last { __u64 n; __u64 counts[4]; };
        MAP(l, HASH, struct last);
        SEC("xdp") int p(struct ctx *c) {
            __u32 key = c->a;
            struct last *v = lookup(&l, &key);
            if (!v) return 0;
            v->counts[c->b & 0xffff]++;
            return 0;
        }"#,
        &[("l", "+counts[]")],
    );
}

/// What the programs of the fixtures do, as a person reads it in them; of the maps that are not here, they do nothing.
const FIXTURES: [(&str, &[(&str, &str)]); 7] = [
    // It is given no map, and reads what a loader makes of its variables.
    ("bss_custom", &[]),
    ("global_data", &[(".bss", "=static_bss[]"), (".data", "+global_data +static_data")]),
    // None of them writes what it looks up.
    ("link_a", &[]),
    // It uses a map that is not there before it is linked.
    ("link_b", &[(".data", "partly"), ("only_b", "partly")]),
    ("static_program", &[]),
    // Its variable has another name than the map.
    ("legacy_280", &[]),
    // It counts in a member, and nothing tells which.
    ("legacy_own_section", &[("decoder_state_map", "partly")]),
];

#[test]
fn the_programs_of_the_fixtures_do_what_stands_in_them() {
    let Some(clangs) = Clang::at_least(1) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let truth: BTreeMap<_, _> = FIXTURES.into_iter().collect();
    let (mut with_programs, mut wrong) = (0, Vec::new());
    for fixture in Fixture::all() {
        let expected = truth.get(fixture.name.as_str()).copied().unwrap_or_default().iter();
        let expected: BTreeMap<_, _> = expected.map(|(map, of)| ((*map).to_owned(), (*of).to_owned())).collect();
        for (clang, order) in clangs.iter().flat_map(|clang| Order::BOTH.map(|order| (clang, order))) {
            let Some(object) = fixture.compile(clang, order, folder.path()) else { continue };
            let bytes = fs::read(&object).expect("an object");
            with_programs += usize::from(!sections_of_code(&bytes).is_empty());
            let found = uses(&bytes);
            if found != expected {
                let (name, by, target) = (&fixture.name, clang.version, order.target());
                wrong.push(format!("{name} by clang {by}, {target}: {found:?}"));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
    assert!(with_programs >= 30, "{with_programs} objects with programs");
}
