//! `maps.lock` as text: what is written, what is read, and what is said where it can't be.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use maplock_layout::config::Levels;
use maplock_layout::epochs::{accept, update};
use maplock_layout::lock::{Epoch, Gone, Lines, LockProblem, LockedMap, Merge, OnUpgrade};
use maplock_layout::map::{MapDef, MapType, Pinning};
use maplock_layout::rules::Attribute;
use maplock_layout::{Composite, CompositeKind, Enumeration, Layout, Lock, Member, ProgramUse, Shape};
use proptest::prelude::*;
use support::{diff, lines, lock, map, map_of, observed};

const FLOW_KEY: &str = "
    struct in6_addr { union { u8 bytes[16]; u32 words[4]; } u; };
    struct flow_key { union { u32 v4; struct in6_addr v6; }; u16 port; u8 proto; u8 pad; };
";

const FLOW: &str = "
    enum verdict { DROP = -1, PASS, VERDICT_MAX };
    typedef u32 be32;
    struct counter { u64 packets; u64 bytes; };
    struct flow {
        struct counter stats[2];
        enum verdict verdict;
        be32 source;
        u32 seen:3;
        u32 closed:1;
        char name[4][8];
        struct task *owner;
        double ratio;
        bool live;
        struct { u16 high; u16 low; } port;
    };
";

/// A lock with everything in it that a lock can say.
fn everything() -> Lock {
    let mut flows = map_of(FLOW_KEY, FLOW);
    flows.name = "flows".to_owned();
    (flows.map_type, flows.flags, flows.map_extra, flows.numa_node) = (MapType::LRU_HASH, 0x6, u64::MAX, 1);
    flows.version = 3;

    let mut inner = map("u64");
    (inner.map_type, inner.pinning) = (MapType::ARRAY, Pinning::None);
    let mut outer = MapDef::new("my map", MapType::HASH_OF_MAPS);
    (outer.key_size, outer.value_size, outer.max_entries) = (4, 4, 8);
    (outer.key, outer.inner, outer.pinning) = (inner.key.clone(), Some(Box::new(inner)), Pinning::Other(16));

    let mut events = MapDef::new("events", MapType(99));
    events.max_entries = 4096;

    let old = lock([map("struct v { u32 hits; };"), flows, outer, events]);
    let mut small = map("struct v { u64 hits; };");
    small.max_entries = 64;
    let after = observed(old.maps.values().map(|map| map.def.clone()).chain([small]));
    let reason = "byte counters to 64 bits:\n\"wrapped\"";
    let mut after = accept(&old, &after, "m", OnUpgrade::Migrate, reason, &Levels::default()).unwrap();
    after.maps.get_mut("events").unwrap().ephemeral = true;
    let flows = after.maps.get_mut("flows").unwrap();
    flows.renamed_from = vec!["flow_table".to_owned(), "ft".to_owned()];
    (flows.optional, flows.runtime_capacity, flows.runtime_flags) = (true, true, true);
    flows.user_never_deletes = true;
    flows.merge = BTreeMap::from([("hits".to_owned(), Merge::Sum)]);
    flows.programs = Some(ProgramUse {
        inserts: true,
        deletes: true,
        adds: BTreeSet::from(["hits".to_owned()]),
        sets: BTreeSet::from(["seen".to_owned()]),
        partly: false,
    });
    let given_up = Epoch { on_upgrade: OnUpgrade::Drop, ..after.maps["m"].epochs[0].clone() };
    after.gone.insert(
        "old".to_owned(),
        Gone { renamed_from: vec!["older".to_owned()], merge: BTreeMap::new(), epochs: vec![given_up] },
    );
    after
}

#[test]
fn a_lock_with_everything_in_it_is_written_one_fact_a_line() {
    let lock = everything();
    let text = lock.to_string();
    assert_eq!(text, EVERYTHING, "\n{text}");
    let again = Lock::parse(&text).unwrap();
    assert_eq!(again.to_string(), text);
    assert_eq!(lines(&diff(&lock, &again)), [""; 0]);
    for (name, map) in &lock.maps {
        assert_eq!(again.maps[name].def.digest(), map.def.digest(), "{name}");
        assert!(again.maps[name].same_definition(map), "{name}");
        assert_eq!(again.maps[name].epochs.len(), map.epochs.len());
    }
    let (read, written) = (&again.maps["m"].epochs[0], &lock.maps["m"].epochs[0]);
    assert_eq!(
        (read.from, read.to, &read.rules, read.on_upgrade),
        (written.from, written.to, &written.rules, written.on_upgrade)
    );
    assert_eq!((&read.reason, read.max_entries), (&written.reason, Some(64)));
}

const EVERYTHING: &str = r#"# The layouts of this package's pinned eBPF maps. Written by `cargo maplock`; commit it, don't edit it.
version = 1

[map.events]
type = "99"
key_size = 0
value_size = 0
max_entries = 4096
ephemeral = true
digest = "1a8c1c513e0bf5c9ec44e0ef253a8895"
checksum = "4262e2e2b7375e10"

[map.flows]
type = "lru_hash"
max_entries = 1024
flags = 0x6
map_extra = "0xffffffffffffffff"
version = 3
numa_node = 1
pinning = "by_name"
key = "struct flow_key"
value = "struct flow"
renamed-from = ["flow_table", "ft"]
optional = true
runtime-capacity = true
runtime-flags = true
user-deletes = "never"
merge = { hits = "sum" }
programs = { inserts = true, deletes = true, adds = ["hits"], sets = ["seen"] }
digest = "b5259b3aa3437af19a4b37147dd805bf"
checksum = "e1bff429a50b02fc"

[map.m]
type = "hash"
max_entries = 64
pinning = "by_name"
key = "u32"
value = "struct v"
digest = "7b81ad0b9c5c180feb2a271d6209527c"
checksum = "c07f9fec9563d0fd"

[map."my map"]
type = "hash_of_maps"
value_size = 4
max_entries = 8
pinning = 16
key = "u32"
digest = "85a3f721ab2aaf9b44d9ab966e48c7a6"
checksum = "e59ca2eeec063cb2"

[map."my map".inner]
type = "array"
max_entries = 1024
key = "u32"
value = "u64"

[gone.old]
renamed-from = ["older"]
checksum = "822f30c07324a10a"

[type."enum verdict"]
size = 4
values = [
  "DROP = -1",
  "PASS = 0",
  "VERDICT_MAX = 1",
]

[type."struct counter"]
size = 16
members = [
  { offset = 0, size = 8, name = "packets", type = "u64" },
  { offset = 8, size = 8, name = "bytes", type = "u64" },
]

[type."struct flow"]
size = 104
members = [
  { offset = 0, size = 32, name = "stats", type = "struct counter[2]" },
  { offset = 32, size = 4, name = "verdict", type = "enum verdict" },
  { offset = 36, size = 4, name = "source", type = "be32 (u32)" },
  { bit_offset = 320, bits = 3, name = "seen", type = "u32" },
  { bit_offset = 323, bits = 1, name = "closed", type = "u32" },
  { offset = 41, size = 32, name = "name", type = "char[4][8]" },
  { offset = 80, size = 8, name = "owner", type = "struct task *" },
  { offset = 88, size = 8, name = "ratio", type = "f64" },
  { offset = 96, size = 1, name = "live", type = "bool" },
  { offset = 98, size = 4, name = "port", type = "struct flow.port" },
]

[type."struct flow.port"]
anonymous = true
size = 4
members = [
  { offset = 0, size = 2, name = "high", type = "u16" },
  { offset = 2, size = 2, name = "low", type = "u16" },
]

[type."struct flow_key"]
size = 20
members = [
  { offset = 0, size = 16, name = "", type = "union flow_key.<v4>" },
  { offset = 16, size = 2, name = "port", type = "u16" },
  { offset = 18, size = 1, name = "proto", type = "u8" },
  { offset = 19, size = 1, name = "pad", type = "u8" },
]

[type."struct in6_addr"]
size = 16
members = [
  { offset = 0, size = 16, name = "u", type = "union in6_addr.u" },
]

[type."struct v"]
size = 8
members = [
  { offset = 0, size = 8, name = "hits", type = "u64" },
]

[type."union flow_key.<v4>"]
anonymous = true
size = 16
members = [
  { offset = 0, size = 4, name = "v4", type = "u32" },
  { offset = 0, size = 16, name = "v6", type = "struct in6_addr" },
]

[type."union in6_addr.u"]
anonymous = true
size = 16
members = [
  { offset = 0, size = 16, name = "bytes", type = "u8[16]" },
  { offset = 0, size = 16, name = "words", type = "u32[4]" },
]

[map.events.history]
epochs = [
]

[map.flows.history]
epochs = [
]

[map.m.history]
epochs = [
  { on-upgrade = "migrate", reason = "byte counters to 64 bits:\n\"wrapped\"", rules = ["max-entries-decreased", "member-type-changed", "value-size-changed"], max_entries = 64, from = "34964539466c86598f4fa855dbe103cd", to = "7b81ad0b9c5c180feb2a271d6209527c", previous = "d65c65d42a5f" },
]
definitions.d65c65d42a5f = { type = "hash", max_entries = 1024, pinning = "by_name", key = "u32", value = "struct v#cf54cf67d12e" }
types."struct v#cf54cf67d12e" = { size = 4, members = [{ offset = 0, size = 4, name = "hits", type = "u32" }] }

[map."my map".history]
epochs = [
]

[gone.old.history]
epochs = [
  { on-upgrade = "drop", reason = "byte counters to 64 bits:\n\"wrapped\"", rules = ["max-entries-decreased", "member-type-changed", "value-size-changed"], max_entries = 64, from = "34964539466c86598f4fa855dbe103cd", to = "7b81ad0b9c5c180feb2a271d6209527c", previous = "d65c65d42a5f" },
]
definitions.d65c65d42a5f = { type = "hash", max_entries = 1024, pinning = "by_name", key = "u32", value = "struct v#cf54cf67d12e" }
types."struct v#cf54cf67d12e" = { size = 4, members = [{ offset = 0, size = 4, name = "hits", type = "u32" }] }
"#;

/// The error for `EVERYTHING` with its first `from` replaced; the text of the line that it names, and its sentence.
#[track_caller]
fn refused(from: &str, to: &str) -> (String, String) {
    assert!(EVERYTHING.contains(from), "{from:?} is not in the lock");
    refused_text(&EVERYTHING.replacen(from, to, 1))
}

#[track_caller]
fn refused_text(text: &str) -> (String, String) {
    let error = Lock::parse(text).unwrap_err();
    let sentence = error.to_string();
    let sentence = sentence.strip_prefix(&format!("line {}: ", error.line)).unwrap();
    (text.split('\n').nth(error.line - 1).unwrap().to_owned(), sentence.to_owned())
}

#[track_caller]
fn says(from: &str, to: &str, line: &str, sentence: &str) {
    assert_eq!(refused(from, to), (line.to_owned(), sentence.to_owned()), "\n{from}\n{to}");
}

#[test]
fn both_sides_of_a_merge_are_told_apart_from_broken_toml() {
    let conflict = "<<<<<<< HEAD\nmax_entries = 8\n=======\nmax_entries = 9\n>>>>>>> feature\n";
    says(
        "max_entries = 8\n",
        conflict,
        "<<<<<<< HEAD",
        "merge conflict markers; take either side whole (`git checkout --ours maps.lock`), run `cargo maplock update`, and accept again what the other side had accepted",
    );
    let left_over = EVERYTHING.replacen("max_entries = 8\n", "max_entries = 8\n>>>>>>> feature\n", 1);
    assert_eq!(Lock::parse(&left_over).unwrap_err().problem, LockProblem::Conflict);
}

#[test]
fn lines_that_end_in_cr_lf_are_refused_with_what_to_do_about_git() {
    let (line, sentence) = refused_text(&EVERYTHING.replace('\n', "\r\n"));
    assert!(line.starts_with("# The layouts"), "{line}");
    assert_eq!(
        sentence,
        "lines end in CR LF; run `cargo maplock update`, and put `maps.lock text eol=lf` into .gitattributes so that git keeps LF"
    );
    assert_eq!(refused("numa_node = 1\n", "numa_node = 1\r\n").0, "numa_node = 1\r");
}

#[test]
fn a_newer_version_is_refused_before_what_it_may_have_changed() {
    let text = "version = 2\n\n[map.flows]\nsomething = \"new\"\n";
    let (line, sentence) = refused_text(text);
    assert_eq!(line, "version = 2");
    assert_eq!(
        sentence,
        "version 2 is newer than this maplock, which knows version 1; install a newer cargo-maplock, and update `maplock-codegen` in Cargo.toml"
    );
    says("version = 1", "version = 0", "version = 0", "version 0 was never written by maplock");
    says(
        "version = 1\n",
        "",
        EVERYTHING.lines().next().unwrap(),
        "no `version`: not a lockfile that `cargo maplock` wrote; restore it from git, or remove it and run `cargo maplock init`",
    );
}

#[test]
fn text_that_is_no_toml_is_refused_where_it_breaks() {
    let (line, sentence) = refused("flags = 0x6", "flags = = 0x6");
    assert_eq!(line, "flags = = 0x6");
    assert!(sentence.starts_with("not TOML: ") && sentence.ends_with("; restore the file from git"), "{sentence}");
    for text in ["[", "version = 1\n[map", "\u{0}", "version"] {
        assert_eq!(Lock::parse(text).unwrap_err().line, text.lines().count());
    }
}

/// What is to be done about a text that is not as it was written.
const RESTORE: &str = "the file was edited by hand, or git merged it wrongly; take it whole from a commit in which it was right (`git checkout HEAD -- maps.lock`, after a merge `git checkout HEAD^1 -- maps.lock`), run `cargo maplock update`, and accept again what is missing then";

#[test]
fn an_edit_by_hand_breaks_the_digest_and_says_of_which_map() {
    for (from, to, map) in [
        ("key_size = 0", "key_size = 4", "events"),
        ("flags = 0x6", "flags = 0x4", "flows"),
        ("\"PASS = 0\"", "\"PASS = 2\"", "flows"),
        ("name = \"hits\", type = \"u64\"", "name = \"hits\", type = \"i64\"", "m"),
        ("type = \"u16\" },\n  { offset = 18", "type = \"i16\" },\n  { offset = 18", "flows"),
        ("[map.\"my map\".inner]\ntype = \"array\"", "[map.\"my map\".inner]\ntype = \"hash\"", "my map"),
    ] {
        let error = Lock::parse(&EVERYTHING.replacen(from, to, 1)).unwrap_err();
        let LockProblem::Digest { map: named, written, computed } = &error.problem else { panic!("{error}") };
        assert_eq!(named, map);
        assert_eq!(
            error.to_string(),
            format!(
                "line {}: the definition of map `{map}` has digest {computed}, but {written} is written there: {RESTORE}",
                error.line
            )
        );
        let line = EVERYTHING.lines().nth(error.line - 1).unwrap();
        assert_eq!(line, format!("digest = \"{written}\""));
        assert_eq!(Lock::parse_embedded(&EVERYTHING.replacen(from, to, 1)).unwrap_err(), error);
    }
}

#[test]
fn an_edit_of_an_old_definition_breaks_the_digest_that_its_epoch_leaves() {
    let (line, sentence) = refused("name = \"hits\", type = \"u32\"", "name = \"hits\", type = \"i32\"");
    assert!(line.contains("from = "), "{line}");
    assert!(sentence.starts_with("the definition of map `m` has digest "), "{sentence}");
}

#[test]
fn an_edit_of_what_no_digest_covers_breaks_the_checksum_and_says_of_which_map() {
    for (from, to, map) in [
        ("max_entries = 4096", "max_entries = 4097", "events"),
        ("ephemeral = true\n", "", "events"),
        ("numa_node = 1", "numa_node = 2", "flows"),
        ("renamed-from = [\"flow_table\", \"ft\"]", "renamed-from = [\"flow_table\"]", "flows"),
        ("optional = true\n", "", "flows"),
        ("runtime-capacity = true\n", "", "flows"),
        ("runtime-flags = true\n", "", "flows"),
        ("user-deletes = \"never\"\n", "", "flows"),
        ("merge = { hits = \"sum\" }", "merge = { hit = \"sum\" }", "flows"),
        ("deletes = true, ", "", "flows"),
        ("pinning = 16", "pinning = 17", "my map"),
        // a type by its name, and the order of members
        ("be32 (u32)", "le32 (u32)", "flows"),
        ("  \"DROP = -1\",\n  \"PASS = 0\",\n", "  \"PASS = 0\",\n  \"DROP = -1\",\n", "flows"),
        // the history
        ("\"migrate\"", "\"reuse\"", "m"),
        ("byte counters", "bit counters", "m"),
        ("\"value-size-changed\"], max_entries = 64", "\"value-size-changed\"], max_entries = 63", "m"),
        ("rules = [\"max-entries-decreased\", ", "rules = [", "m"),
        ("to = \"7b81ad", "to = \"8b81ad", "m"),
        (
            "definitions.d65c65d42a5f = { type = \"hash\", max_entries = 1024",
            "definitions.d65c65d42a5f = { type = \"hash\", max_entries = 1023",
            "m",
        ),
        // a map that is gone
        ("renamed-from = [\"older\"]\n", "", "old"),
    ] {
        let text = EVERYTHING.replacen(from, to, 1);
        assert_ne!(text, EVERYTHING, "{from}");
        let error = Lock::parse(&text).unwrap_err();
        let LockProblem::Checksum { map: named, written, computed } = &error.problem else { panic!("{from}: {error}") };
        assert_eq!(named, map, "{from}");
        assert_eq!(text.lines().nth(error.line - 1).unwrap(), format!("checksum = \"{written}\""));
        assert_eq!(
            error.problem.to_string(),
            format!("the text about map `{map}` has checksum {computed}, but {written} is written there: {RESTORE}")
        );
        // A node asks what the bytes mean, and no more.
        Lock::parse_embedded(&text).unwrap();
    }
}

#[test]
fn a_history_is_of_its_own_map_alone() {
    let (before, section) = EVERYTHING.split_once("[map.m.history]\n").unwrap();
    let (section, after) = section.split_once("\n\n").unwrap();
    let moved = format!("{before}[map.m.history]\nepochs = [\n]\n\n{after}").replacen(
        "[map.flows.history]\nepochs = [\n]\n",
        &format!("[map.flows.history]\n{section}\n"),
        1,
    );
    let error = Lock::parse(&moved).unwrap_err();
    assert!(matches!(&error.problem, LockProblem::Checksum { map, .. } if map == "flows"), "{error}");

    let (line, sentence) = refused("\ndefinitions.", "\ndefinitions.x");
    assert!(line.contains("previous = \"d65c65d42a5f\""), "{line}");
    assert_eq!(sentence, "the history of map `m` has no definition `d65c65d42a5f`; restore the file from git");
    let (line, sentence) = refused("\ntypes.\"struct v#", "\ntypes.\"struct w#");
    assert!(line.starts_with("definitions."), "{line}");
    assert_eq!(sentence, "`struct v#cf54cf67d12e` is not a type");
}

#[test]
fn members_that_are_merged_are_one_line_with_a_name_for_each() {
    let fact = "merge = { \"by_port[].packets\" = \"sum\", \"stats.bytes\" = \"sum\", total = \"sum\" }";
    let text = EVERYTHING.replacen("max_entries = 64, from", &format!("max_entries = 64, {fact}, from"), 1);
    let lock = Lock::parse_embedded(&text).unwrap();
    assert!(lock.to_string().contains(&format!(", {fact}, from = ")));
    let paths: Vec<_> = lock.maps["m"].epochs[0].merge.keys().map(String::as_str).collect();
    assert_eq!(paths, ["by_port[].packets", "stats.bytes", "total"]);
}

#[test]
fn an_unknown_key_is_refused_with_what_was_meant() {
    says(
        "max_entries = 4096",
        "max_entires = 4096",
        "max_entires = 4096",
        "`max_entires` is not known here; did you mean `max_entries`?",
    );
    says("version = 1", "version = 1\nmaps = 2", "maps = 2", "`maps` is not known here; did you mean `map`?");
    let (line, sentence) = refused("on-upgrade =", "on_upgrade =");
    assert!(line.contains("on_upgrade = \"migrate\""), "{line}");
    assert_eq!(sentence, "`on_upgrade` is not known here; did you mean `on-upgrade`?");
    says("flags = 0x6", "zzz = 0x6", "zzz = 0x6", "`zzz` is not known here");
    let (line, sentence) = refused("bits = 3, name", "bit = 3, name");
    assert!(line.contains("bit = 3"), "{line}");
    assert_eq!(sentence, "`bit` is not known here; did you mean `bits`?");
}

#[test]
fn a_missing_key_is_named_at_the_table_that_lacks_it() {
    says("type = \"99\"\n", "", "[map.events]", "`type` is missing");
    says("\ndigest = \"1a8c1c513e0bf5c9ec44e0ef253a8895\"", "", "[map.events]", "`digest` is missing");
    says("checksum = \"4262", "# checksum = \"4262", "[map.events]", "`checksum` is missing");
    says("key_size = 0\n", "", "[map.events]", "`key_size` is missing");
    says("size = 16\nmembers", "members", "[type.\"struct counter\"]", "`size` is missing");
    let (line, sentence) = refused("reason = ", "because = ");
    assert!(line.contains("because = "), "{line}");
    assert_eq!(sentence, "`because` is not known here");
    let (line, sentence) =
        refused("rules = [\"max-entries-decreased\", \"member-type-changed\", \"value-size-changed\"], ", "");
    assert!(line.contains("byte counters"), "{line}");
    assert_eq!(sentence, "`rules` is missing");
    let (line, sentence) = refused("bit_offset = 320, ", "");
    assert!(line.contains("\"seen\""), "{line}");
    assert_eq!(sentence, "`bit_offset` is missing");
}

#[test]
fn a_value_of_another_kind_is_refused() {
    says("key_size = 0", "key_size = \"0\"", "key_size = \"0\"", "not an integer");
    says("key_size = 0", "key_size = -1", "key_size = -1", "-1 is out of range");
    says("key_size = 0", "key_size = 4294967296", "key_size = 4294967296", "4294967296 is out of range");
    says("ephemeral = true", "ephemeral = 1", "ephemeral = 1", "not true or false");
    says("\"lru_hash\"", "\"lru_hsah\"", "type = \"lru_hsah\"", "`lru_hsah` is not a type of map");
    says("pinning = 16", "pinning = \"16\"", "pinning = \"16\"", "`16` is neither `by_name` nor a number");
    says("\"0xffffffffffffffff\"", "\"255\"", "map_extra = \"255\"", "`255` is not a hexadecimal number");
    for (from, to, sentence) in [
        ("\"migrate\"", "\"migrat\"", "`migrat` is not reuse, migrate, swap, drop or refuse; did you mean `migrate`?"),
        (
            "max_entries = 64, from",
            "merge = { a = \"max\" }, from",
            "`max` is not a way to merge `a`: only sum or none is",
        ),
        ("max_entries = 64, from", "merge = { a = 1 }, from", "not a string"),
        ("max_entries = 64, from", "merge = { a.b = \"sum\" }, from", "not a string"),
        ("max_entries = 64, from", "merge = {}, from", "`merge` names no member"),
        ("max_entries = 64, from", "merge = [\"a\"], from", "not a table"),
        ("rules = [", "rules = [1, ", "not a string"),
        ("previous = \"d65c65d42a5f\"", "previous = 1", "not a string"),
    ] {
        let (line, said) = refused(from, to);
        assert!(line.contains(to), "{line}");
        assert_eq!(said, sentence);
    }
    says("1a8c1c513e0bf5c9ec44e0ef253a8895", "1a8c", "digest = \"1a8c\"", "`1a8c` is not a digest of 32 hex digits");
    says(
        "1a8c1c51",
        "1A8C1C51",
        "digest = \"1A8C1C513e0bf5c9ec44e0ef253a8895\"",
        "`1A8C1C513e0bf5c9ec44e0ef253a8895` is not a digest of 32 hex digits",
    );
    says("\"PASS = 0\"", "\"PASS: 0\"", "  \"PASS: 0\",", "`PASS: 0` is not `NAME = NUMBER`");
}

#[test]
fn types_that_can_not_be_are_refused() {
    let (line, sentence) = refused("type = \"struct in6_addr\"", "type = \"struct flow_key\"");
    assert_eq!((line.as_str(), sentence.as_str()), ("[type.\"struct flow_key\"]", "`struct flow_key` contains itself"));
    says(
        "key = \"struct flow_key\"",
        "key = \"struct flow_kye\"",
        "key = \"struct flow_kye\"",
        "`struct flow_kye` is not a type",
    );
    says("key = \"struct flow_key\"", "key = \"u20\"", "key = \"u20\"", "`u20` is not a type");
    says("key = \"struct flow_key\"", "key = \"u32[x]\"", "key = \"u32[x]\"", "`x` is not a number of elements");
    says(
        "key = \"struct flow_key\"",
        "key = \"u32[65536][65536]\"",
        "key = \"u32[65536][65536]\"",
        "`u32[65536][65536]` is larger than 4 GiB",
    );
    says(
        "type.\"enum verdict\"]\nsize = 4",
        "type.\"enum verdict\"]\nsize = 3",
        "[type.\"enum verdict\"]",
        "an enum of 3 bytes",
    );
}

#[test]
fn members_that_do_not_fit_their_struct_are_refused() {
    for (from, to, member, says) in [
        ("offset = 8, size = 8, name = \"bytes\"", "offset = 9, size = 8, name = \"bytes\"", "bytes", "16 bytes"),
        (
            "offset = 8, size = 8, name = \"bytes\"",
            "offset = 4294967295, size = 8, name = \"bytes\"",
            "bytes",
            "16 bytes",
        ),
        (
            "size = 8, name = \"packets\"",
            "size = 4, name = \"packets\"",
            "packets",
            "says 4 bytes, but its type takes 8",
        ),
        ("bits = 3, name = \"seen\"", "bits = 33, name = \"seen\"", "seen", "33 bits"),
        (
            "bits = 1, name = \"closed\", type = \"u32\"",
            "bits = 1, name = \"closed\", type = \"f32\"",
            "closed",
            "bit-field",
        ),
    ] {
        let (line, sentence) = refused(from, to);
        assert!(line.contains(&format!("name = \"{member}\"")), "{line}");
        assert!(sentence.contains(&format!("`{member}`")) && sentence.contains(says), "{sentence}");
    }
}

#[test]
fn the_line_of_a_finding_is_that_of_its_member_or_of_what_is_nearest() {
    let lines = Lines::of(EVERYTHING);
    let line = |map: &str, path: &str| lines.find(map, path).map(|line| EVERYTHING.lines().nth(line - 1).unwrap());
    let row = |name: &str| EVERYTHING.lines().find(|line| line.contains(&format!("name = \"{name}\""))).unwrap();
    for (path, expected) in [
        ("flows", "[map.flows]"),
        ("flows.key", "key = \"struct flow_key\""),
        ("flows.value", "value = \"struct flow\""),
        ("flows.value.stats", row("stats")),
        ("flows.value.stats[]", row("stats")),
        ("flows.value.stats[].bytes", row("bytes\", type = \"u64")),
        ("flows.value.name[][]", row("name")),
        ("flows.value.source", row("source")),
        ("flows.value.seen", row("seen")),
        ("flows.value.port.high", row("high")),
        ("flows.key.port", row("port\", type = \"u16")),
        // through anonymous members, and beyond
        ("flows.key.v4", row("v4")),
        ("flows.key.v6", row("v6")),
        ("flows.key.v6.u.words", row("words")),
        ("flows.key.v6.u.words[]", row("words")),
        // what the lock says nothing of
        ("flows.value.verdict.PASS", row("verdict")),
        ("flows.value.added", "value = \"struct flow\""),
        ("flows.value.stats[].added", row("stats")),
    ] {
        assert_eq!(line("flows", path), Some(expected), "{path}");
    }
    assert_eq!(line("my map", "my map"), Some("[map.\"my map\"]"));
    assert_eq!(line("my map", "my map.inner"), Some("[map.\"my map\".inner]"));
    assert_eq!(line("my map", "my map.inner.value"), Some("value = \"u64\""));
    assert_eq!(line("old", "old"), Some("[gone.old]"));
    assert_eq!(line("gone", "gone"), None);
    assert_eq!(Lines::of("not a lock").find("flows", "flows"), None);
    let attribute =
        |map, attribute| lines.find_attribute(map, attribute).map(|line| EVERYTHING.lines().nth(line - 1).unwrap());
    assert_eq!(attribute("flows", Attribute::Flags), Some("flags = 0x6"));
    assert_eq!(attribute("m", Attribute::Flags), Some("[map.m]"));
    assert_eq!(attribute("my map", Attribute::Inner), Some("[map.\"my map\".inner]"));
}

#[test]
fn the_line_of_a_member_is_not_that_of_an_older_definition() {
    let line = Lines::of(EVERYTHING).find("m", "m.value.hits").unwrap();
    assert_eq!(EVERYTHING.lines().nth(line - 1), Some("  { offset = 0, size = 8, name = \"hits\", type = \"u64\" },"));
}

#[test]
fn an_empty_lock_is_a_head_alone() {
    let text = Lock::default().to_string();
    assert_eq!(text.lines().collect::<Vec<_>>(), EVERYTHING.lines().take(2).collect::<Vec<_>>());
    assert_eq!(Lock::parse(&text), Ok(Lock::default()));
}

fn round_trips(def: MapDef) {
    let lock = lock([def]);
    let text = lock.to_string();
    let again = Lock::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(again.to_string(), text);
    assert_eq!(lines(&diff(&lock, &again)), [""; 0], "\n{text}");
}

fn holding(layout: Layout) -> MapDef {
    let mut def = MapDef::new("m", MapType::HASH);
    (def.value_size, def.value) = (u32::try_from(layout.size).unwrap(), Some(Arc::new(layout)));
    def
}

#[test]
fn an_array_of_an_opaque_type_stays_an_array() {
    let element = Arc::new(Layout::new(0, Shape::Opaque { name: "void".into() }));
    let inner = Arc::new(Layout::new(0, Shape::Array { element, len: 3 }));
    round_trips(holding(Layout::new(0, Shape::Array { element: inner, len: 256 })));
}

#[test]
fn types_may_be_called_as_the_lock_calls_its_own() {
    for declaration in [
        "typedef u32 opaque; struct v { opaque x; opaque *p; opaque y[3]; };",
        "struct opaque { u32 x; }; struct v { struct opaque x; struct opaque *p; };",
        "typedef u32 u64; struct v { u64 x; u64 *p; };",
        "typedef u64 anonymous; struct anonymous { anonymous x; }; struct v { struct anonymous x; };",
        "typedef struct { u32 x; } size; struct size { size members; }; struct v { struct size size; size name; };",
    ] {
        round_trips(map(declaration));
    }
}

#[test]
fn two_types_of_one_name_are_told_apart() {
    let def =
        map_of("struct s { u32 a; }; struct k { struct s s; };", "struct s { u64 b; }; struct v { struct s s; };");
    round_trips(def.clone());
    let text = lock([def]).to_string();
    assert!(text.contains("[type.\"struct s\"]\n") && text.contains("[type.\"struct s#263b636f2b7f\"]\n"), "{text}");
}

#[test]
fn two_types_whose_names_are_printed_alike_are_told_apart() {
    let byte = Arc::new(Layout::new(1, Shape::Int(maplock_layout::IntKind::Unsigned)));
    let member =
        |name: &str, offset_bits, layout: Arc<Layout>| Member { name: name.into(), offset_bits, bits: None, layout };
    let of = |name: &str, members| {
        let composite = Composite::new(CompositeKind::Struct, Some(name.into()), members).unwrap();
        let size = composite.members().len() as u64;
        Arc::new(Layout::new(size, Shape::Composite(Arc::new(composite))))
    };
    let (slice, tuple) =
        (of("Of<[u8]>", vec![member("x", 0, byte.clone())]), of("Of<(u8)>", vec![member("x", 0, byte)]));
    let both = of("v", vec![member("slice", 0, slice), member("tuple", 8, tuple)]);
    round_trips(holding((*both).clone()));
}

#[test]
fn names_of_structs_and_members_may_be_anything() {
    let odd = ["a b", "a\"b\\c", "a[2]", "(u8, u32)", "x#2", "é", "", " = ", "#"];
    for name in odd {
        let of = Enumeration { name: Some(name.into()), values: vec![(name.into(), i128::from(i64::MIN))] };
        let of = Layout::new(8, Shape::Enum(Arc::new(of)));
        let members = vec![Member { name: name.into(), offset_bits: 0, bits: None, layout: Arc::new(of) }];
        let composite = Composite::new(CompositeKind::Struct, Some(name.into()), members).unwrap();
        let mut def = holding(Layout::new(8, Shape::Composite(Arc::new(composite))));
        name.clone_into(&mut def.name);
        round_trips(def);
    }
}

#[test]
fn names_with_control_characters_are_refused_and_shown_escaped() {
    for (from, to, shown) in [
        ("name = \"hits\"", "name = \"hi\\u001Bts\"", "hi\\u{1b}ts"),
        ("\"PASS = 0\"", "\"PA\\nSS = 0\"", "PA\\nSS = 0"),
        ("be32 (u32)", "be\\t32 (u32)", "be\\t32 (u32)"),
        ("[map.events]", "[map.\"eve\\u009Bnts\"]", "eve\\u{9b}nts"),
        ("[gone.old]", "[gone.\"o\\rld\"]", "o\\rld"),
        ("[type.\"struct counter\"]", "[type.\"struct counter\\u007F\"]", "struct counter\\u{7f}"),
        ("\"ft\"]", "\"f\\u0000t\"]", "f\\0t"),
    ] {
        let text = EVERYTHING.replacen(from, to, 1);
        assert_ne!(text, EVERYTHING, "{from}");
        for error in [Lock::parse(&text).unwrap_err(), Lock::parse_embedded(&text).unwrap_err()] {
            assert_eq!(error.problem.to_string(), format!("the name `{shown}` has a control character"), "{from}");
            assert!(text.lines().nth(error.line - 1).unwrap().contains(to), "{error}");
        }
    }
}

#[test]
fn members_of_one_name_that_take_no_bytes_are_each_compared_with_its_own() {
    for second in ["struct s { } x;", "u8 x[0];", "u32 x;", "struct { } x;"] {
        for declaration in [
            format!("struct v {{ struct {{ struct {{ }} x; }}; struct {{ {second} }}; }};"),
            format!("struct v {{ struct {{ {second} }}; struct {{ struct {{ }} x; }}; }};"),
        ] {
            round_trips(map(&declaration));
        }
    }
}

#[test]
fn an_array_may_have_as_many_dimensions_as_the_btf_reader_lets_it() {
    let byte = Layout::new(1, Shape::Int(maplock_layout::IntKind::Unsigned));
    let array = (0..120).fold(byte, |inner, _| Layout::new(1, Shape::Array { element: Arc::new(inner), len: 1 }));
    round_trips(holding(array));
}

#[test]
fn deep_nesting_is_refused_and_overflows_no_stack() {
    let nested = |open: &str, close: &str| format!("u8{}{}", open.repeat(10_000), close.repeat(10_000));
    for expression in
        [nested("[1]", ""), nested(" (", ")"), format!("{}u8{}", "t (".repeat(10_000), ")".repeat(10_000))]
    {
        let (line, _) = refused("key = \"struct flow_key\"", &format!("key = \"{expression}\""));
        assert!(line.starts_with("key = "));
    }
    let of_inner = |depth: usize| -> String {
        let table = |depth| {
            format!(
                "\n[map.m{}]\ntype = \"array_of_maps\"\nkey_size = 4\nvalue_size = 4\nmax_entries = 1\n",
                ".inner".repeat(depth)
            )
        };
        let inner: String = (1..=depth).map(table).collect();
        let text = EVERYTHING.replacen("\n[map.m.history]", &format!("{inner}\n[map.m.history]"), 1);
        Lock::parse(&text).unwrap_err().to_string()
    };
    assert!(of_inner(20).contains("nested over 8 deep"), "{}", of_inner(20));
    assert!(of_inner(2000).contains("not TOML"), "{}", of_inner(2000));
}

#[test]
fn arrays_within_arrays_within_structs_are_refused_where_they_nest_too_deep() {
    // Typedefs start the count of dimensions anew. With a hundred structs, what walks the layout overflows its stack.
    let mut types = String::new();
    let dimensions = "[1]".repeat(30);
    for level in 0..2 {
        let next = if level == 1 { "u8".to_owned() } else { format!("struct s{}", level + 1) };
        let ty = (0..15).fold(next, |inner, _| format!("t ({inner}){dimensions}"));
        types.push_str(&format!(
            "\n[type.\"struct s{level}\"]\nsize = 1\nmembers = [\n  {{ offset = 0, size = 1, name = \"a\", type = \"{ty}\" }},\n]\n"
        ));
    }
    let text = format!(
        "version = 1\n\n[map.m]\ntype = \"hash\"\nkey_size = 4\nvalue_size = 1\nmax_entries = 1\nvalue = \"struct s0\"\ndigest = \"{}\"\n{types}",
        "0".repeat(32)
    );
    let error = Lock::parse(&text).unwrap_err().to_string();
    assert!(error.contains("nested"), "{error}");
}

// Any lock at all.

fn definition() -> impl Strategy<Value = MapDef> {
    let attributes = (0..40_u32, any::<u32>(), any::<u32>(), any::<u64>(), 0..3_u32, any::<[bool; 3]>());
    (support::any::value(), attributes, "[a-z_.]{0,8}").prop_map(
        |(value, (map_type, max_entries, flags, map_extra, pinning, has), name)| {
            let mut def = map_of("u32", &value);
            (def.name, def.map_type, def.max_entries) = (name, MapType(map_type), max_entries);
            (def.flags, def.map_extra) = if has[0] { (flags, map_extra) } else { (0, 0) };
            def.pinning = Pinning::from_number(pinning);
            def.key = def.key.filter(|_| has[1]);
            if has[2] {
                def.inner = Some(Box::new(def.clone()));
            }
            def
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_lock_is_read_as_it_was_written(before in definition(), after in definition()) {
        let mut after = after;
        after.name.clone_from(&before.name);
        let old = lock([before]);
        let new = observed([after]);
        let name = old.maps.keys().next().unwrap();
        let levels = Levels::default();
        let accepted = accept(&old, &new, name, OnUpgrade::Swap, "why not", &levels);
        let lock = accepted.unwrap_or_else(|_| update(&old, &new, &levels).unwrap());
        let text = lock.to_string();
        let again = Lock::parse(&text).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        prop_assert_eq!(again.to_string(), text);
        let digests = |lock: &Lock| lock.maps.values().map(|map: &LockedMap| map.def.digest()).collect::<Vec<_>>();
        prop_assert_eq!(digests(&again), digests(&lock));
        prop_assert_eq!(lines(&diff(&lock, &again)), [""; 0]);
    }

    #[test]
    fn a_lock_with_any_line_gone_or_changed_is_read_or_refused_by_its_line(
        at in any::<prop::sample::Index>(),
        other in any::<prop::sample::Index>(),
        keep in any::<bool>(),
    ) {
        let mut lines: Vec<&str> = EVERYTHING.lines().collect();
        let replacement = lines[other.index(lines.len())];
        let at = at.index(lines.len());
        if keep { lines[at] = replacement } else { _ = lines.remove(at) }
        let text = lines.join("\n");
        match Lock::parse(&text) {
            Ok(lock) => prop_assert_eq!(Lock::parse(&lock.to_string()).map(|again| again.to_string()), Ok(lock.to_string())),
            Err(error) => prop_assert!((1..=lines.len()).contains(&error.line), "{}", error),
        }
    }
}
