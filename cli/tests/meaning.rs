//! The same bytes that mean something else: by a version in the object, or by one in the lock.

mod support;

use support::{Sandbox, compile};

/// A map `flows` of a struct with this behind its brace, and with that behind the map's name.
fn flows(of_struct: &str, of_map: &str) -> String {
    let of = |version: &str| match version {
        "" => String::new(),
        version => format!(" __attribute__((btf_decl_tag(\"maplock:version={version}\")))"),
    };
    format!(
        "struct flow {{ __u64 seen; __u64 bytes; }}{};\nstruct {{ __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 64); __uint(pinning, LIBBPF_PIN_BY_NAME); __type(key, __u32); __type(value, struct flow); }} flows SEC(\".maps\"){};\n",
        of(of_struct),
        of(of_map)
    )
}

/// Commands that stand in what the tool says, ready to be run.
fn suggested(text: &str) -> Vec<String> {
    let commands = text.lines().filter_map(|line| line.split_once("cargo maplock ").map(|(_, command)| command));
    commands.filter(|command| command.starts_with("accept")).map(|line| line.replace('…', "because")).collect()
}

#[test]
fn a_new_meaning_is_accepted_where_no_tag_can_be_written() {
    let sandbox = Sandbox::new();
    compile(&sandbox, "v.bpf.o", &flows("", ""));
    insta::assert_snapshot!(sandbox.transcript(&[
        "init --object v.bpf.o",
        "accept flows --on-upgrade swap --reason \"seen is in microseconds\" --object v.bpf.o",
        "accept flows --new-meaning --on-upgrade migrate --reason \"seen is in microseconds\" --object v.bpf.o",
        "accept flows --new-meaning --on-upgrade migrate --scale seen=1/1000 --reason \"seen is in microseconds\" --object v.bpf.o",
        "check --object v.bpf.o",
        "update --object v.bpf.o",
        "migrate --test --object v.bpf.o",
        "accept flows --on-upgrade swap --reason \"nobody needs them\" --object v.bpf.o",
        "accept flows --undo --object v.bpf.o",
        "check --object v.bpf.o",
    ]));
    let lock = sandbox.read("maps.lock");
    assert_eq!(lock.matches("version").count(), 1, "{lock}");
}

#[test]
fn what_is_suggested_where_nothing_changed_can_be_done() {
    let sandbox = Sandbox::new();
    compile(&sandbox, "v.bpf.o", &flows("", ""));
    assert_eq!(sandbox.run("init --object v.bpf.o").code, Some(0));
    let said = sandbox.run("accept flows --on-upgrade swap --reason x --object v.bpf.o");
    let [command] = suggested(&said.stderr).try_into().expect("one command");
    let ran = sandbox.run(&command);
    assert_eq!(ran.code, Some(0), "{command}: {}", ran.stderr);
    assert!(sandbox.read("maps.lock").contains("rules = [\"meaning-changed\"]"));
    assert_eq!(sandbox.run("check --object v.bpf.o").code, Some(0));
    // Once more is another meaning still.
    let ran = sandbox.run(&command);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(sandbox.read("maps.lock").contains("\nversion = 2\n"));
}

#[test]
fn a_version_in_the_object_is_held_against_the_lock_and_raised_there() {
    let sandbox = Sandbox::new();
    compile(&sandbox, "v1.bpf.o", &flows("1", ""));
    compile(&sandbox, "v2.bpf.o", &flows("2", ""));
    compile(&sandbox, "m1.bpf.o", &flows("1", "1"));
    insta::assert_snapshot!(sandbox.transcript(&[
        "init --object v1.bpf.o",
        "check --object v2.bpf.o",
        "check --object m1.bpf.o",
        "accept flows --new-meaning --on-upgrade swap --reason x --object v1.bpf.o",
        "accept flows --new-meaning --on-upgrade swap --reason x --object m1.bpf.o",
        "accept flows --on-upgrade swap --reason \"seen is in microseconds\" --object v2.bpf.o",
        "check --object v2.bpf.o",
        "diff v1.bpf.o maps.lock",
        "check --object v1.bpf.o",
        "inspect m1.bpf.o",
    ]));
}

#[test]
fn each_answer_that_a_report_of_another_meaning_names_is_taken() {
    let sandbox = Sandbox::new();
    compile(&sandbox, "v1.bpf.o", &flows("1", ""));
    compile(&sandbox, "v2.bpf.o", &flows("2", ""));
    assert_eq!(sandbox.run("init --object v1.bpf.o").code, Some(0));
    let before = sandbox.read("maps.lock");
    let said = sandbox.run("check --object v2.bpf.o");
    let commands = suggested(&(said.stdout + &said.stderr));
    let ways: Vec<_> = commands.iter().filter_map(|command| command.split(' ').nth(3)).collect();
    assert_eq!(ways, ["migrate", "swap"]);
    for command in commands {
        sandbox.write("maps.lock", &before);
        let ran = sandbox.run(&command);
        assert_eq!(ran.code, Some(0), "{command}: {}", ran.stderr);
        assert_eq!(sandbox.run("check --object v2.bpf.o").code, Some(0), "{command}");
    }
}

#[test]
fn a_tag_that_is_gone_changes_nothing_and_is_said() {
    let sandbox = Sandbox::new();
    compile(&sandbox, "tagged.bpf.o", &flows("2", "3"));
    compile(&sandbox, "plain.bpf.o", &flows("", ""));
    insta::assert_snapshot!(sandbox.transcript(&[
        "init --object tagged.bpf.o",
        "check --object plain.bpf.o",
        "update --object plain.bpf.o",
        "diff maps.lock plain.bpf.o",
    ]));
    // In a lock with the ends of lines of another system, too.
    sandbox.write("maps.lock", sandbox.read("maps.lock").replace('\n', "\r\n"));
    let ran = sandbox.run("update --object plain.bpf.o");
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert!(sandbox.read("maps.lock").contains("\nversion = 3\n"));
}

#[test]
fn inspect_tells_versions_as_json() {
    let sandbox = Sandbox::new();
    compile(&sandbox, "v.bpf.o", &flows("2", "3"));
    let json = sandbox.run("inspect --message-format json v.bpf.o").json();
    let map = &json["maps"][0];
    assert_eq!((&map["version"], &map["value"]["version"]), (&3.into(), &2.into()));
}
