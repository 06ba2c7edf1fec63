//! Which maps of an object count, and what is said of those that don't say it themselves.

mod support;

use support::{Sandbox, compile};

/// Two maps, and what is declared of each beside its size.
fn two(a: &str, b: &str) -> String {
    let map = |name: &str, more: &str| {
        format!(
            "struct {{ __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 64); {more} __type(key, __u32); __type(value, __u64); }} {name} SEC(\".maps\");\n"
        )
    };
    map("flows", a) + &map("tokens", b)
}

const PINNED: &str = "__uint(pinning, LIBBPF_PIN_BY_NAME);";

#[test]
fn the_first_pin_takes_no_other_map_out() {
    let sandbox = Sandbox::new();
    compile(&sandbox, "v1.bpf.o", &two("", ""));
    compile(&sandbox, "v2.bpf.o", &two(PINNED, ""));
    insta::assert_snapshot!(sandbox.transcript(&[
        "init --object v1.bpf.o",
        "check --object v2.bpf.o",
        "diff v1.bpf.o v2.bpf.o",
        "update --object v2.bpf.o",
        "check --object v2.bpf.o",
    ]));
}

#[test]
fn what_the_note_says_can_be_done() {
    let sandbox = Sandbox::new();
    compile(&sandbox, "v1.bpf.o", &two("", ""));
    compile(&sandbox, "v2.bpf.o", &two(PINNED, ""));
    assert_eq!(sandbox.run("init --object v1.bpf.o").code, Some(0));
    let note = sandbox.run("update --object v2.bpf.o").stdout;
    let line = note.split('`').find(|word| word.starts_with("ephemeral")).expect("a line for the configuration");
    sandbox.write("Cargo.toml", format!("[package]\nname = \"x\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[lib]\npath = \"lib.rs\"\n[workspace]\n[package.metadata.maplock]\n{line}\n"));
    sandbox.write("lib.rs", "");
    let of = "--object v2.bpf.o --lock maps.lock --manifest-path Cargo.toml";
    insta::assert_snapshot!(sandbox.transcript(&[
        &format!("check {of}"),
        &format!("accept tokens --on-upgrade swap --reason \"never was pinned\" {of}"),
        &format!("check {of}"),
    ]));
}

/// clang leaves out the members of a type that only an inner map names.
#[test]
fn a_type_of_an_inner_map_that_is_only_declared_is_told_with_the_remedy() {
    let sandbox = Sandbox::new();
    let outer = "struct hop { __u32 lpm; __u32 addr; };\n\
        struct { __uint(type, 13); __uint(max_entries, 8); __uint(pinning, 1); __type(key, __u32);\n\
        __array(values, struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 50); __type(key, struct hop); __type(value, __u64); });\n\
        } outer SEC(\".maps\");\n";
    let array = "#define __array(name, val) typeof(val) *name[]\n";
    compile(&sandbox, "outer.o", &format!("{array}{outer}"));
    let ran = sandbox.run("init --object outer.o");
    assert_eq!(ran.code, Some(101), "{}", ran.stdout);
    let said = "map `outer`: of its inner map, its key is `struct hop`, which the object only declares: define it; if it is defined, \
                declare a variable of it, too, for clang to describe it (`struct hop any_name;`)";
    assert!(ran.stderr.contains(said), "{}", ran.stderr);
    compile(&sandbox, "outer.o", &format!("{array}{outer}struct hop any_name;\n"));
    let ran = sandbox.run("init --object outer.o");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
}

#[test]
fn init_says_which_maps_it_leaves_out() {
    let sandbox = Sandbox::new();
    compile(&sandbox, "v1.bpf.o", &two(PINNED, ""));
    insta::assert_snapshot!(sandbox.transcript(&["init --object v1.bpf.o"]));
}

/// One map of that type, and what is declared of it besides.
fn one(map_type: &str, more: &str) -> String {
    format!(
        "struct {{ __uint(type, BPF_MAP_TYPE_{map_type}); {PINNED} {more} __type(key, __u32); __type(value, __u64); }} flows SEC(\".maps\");\n"
    )
}

#[test]
fn a_capacity_that_the_daemon_sets_is_none_that_shrank() {
    let sandbox = Sandbox::new();
    compile(&sandbox, "v1.bpf.o", &one("HASH", "__uint(max_entries, 1024);"));
    compile(&sandbox, "v2.bpf.o", &one("HASH", ""));
    compile(&sandbox, "v3.bpf.o", &one("HASH", "__uint(max_entries, 64);"));
    let mut seen = sandbox.transcript(&[
        "init --object v1.bpf.o",
        "check --object v2.bpf.o",
        "diff v1.bpf.o v2.bpf.o",
        "update --object v2.bpf.o",
        "check --object v2.bpf.o",
    ]);
    seen.push_str(&sandbox.read("maps.lock"));
    seen.push('\n');
    seen.push_str(&sandbox.transcript(&[
        "check --object v3.bpf.o",
        "update --object v3.bpf.o",
        "check --object v3.bpf.o",
    ]));
    insta::assert_snapshot!(seen);
}

#[test]
fn a_build_that_lacks_an_optional_map_is_up_to_date() {
    let sandbox = Sandbox::new();
    compile(&sandbox, "all.bpf.o", &two(PINNED, PINNED));
    let flows = two(PINNED, "");
    compile(&sandbox, "less.bpf.o", flows.lines().next().expect("a map"));
    sandbox.write("maplock.toml", "optional = [\"tokens\"]\n");
    let lines = ["init --object all.bpf.o", "check --object less.bpf.o", "update --object less.bpf.o"];
    let mut seen = sandbox.transcript(&lines);
    assert!(sandbox.read("maps.lock").contains("optional = true\n"));
    sandbox.write("maplock.toml", "");
    seen.push_str(&sandbox.transcript(&["check --object less.bpf.o"]));
    insta::assert_snapshot!(seen);
}

#[test]
fn an_inner_map_that_no_record_names_is_said_to_be_unknown() {
    let sandbox = Sandbox::new();
    let record = |name: &str, map_type: u32| {
        format!("struct def {name} __attribute__((section(\"maps\"), used)) = {{ {map_type}, 4, 4, 8, 0, 0, 0 }};\n")
    };
    let head = "struct def { unsigned type, key_size, value_size, max_entries, map_flags, id, pinning; };\n";
    compile(&sandbox, "v1.bpf.o", &(head.to_owned() + &record("a_state", 2) + &record("shards", 12)));
    let said = sandbox.run("init --object v1.bpf.o").stdout;
    assert!(
        said.contains("note: the inner maps of `shards` are not known: legacy records don't tell them\n"),
        "{said}"
    );
}
