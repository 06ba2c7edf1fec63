//! Maps that got another name, and maps that are given up: what is asked, and that each answer which is shown works when it is typed.

mod support;

use support::{Sandbox, compile};

const FLOW: &str = "struct flow { __u64 bytes; __u32 drops; __u32 flags; };\n";
const LARGER: &str = "struct flow { __u64 bytes; __u32 drops; __u32 flags; __u64 seen; };\n";

/// Declarations of these maps, pinned, with the number of their entries.
fn maps(flow: &str, names: &[(&str, u32)]) -> String {
    let map = |(name, max_entries): &(&str, u32)| {
        format!(
            "struct {{ __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, {max_entries}); __uint(pinning, \
             LIBBPF_PIN_BY_NAME); __type(key, __u32); __type(value, struct flow); }} {name} SEC(\".maps\");\n"
        )
    };
    format!("{flow}{}", names.iter().map(map).collect::<String>())
}

/// A repository in which `flows` and `stats` were released.
fn released(new: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    compile(&sandbox, "old.o", &maps(FLOW, &[("flows", 64), ("stats", 8)]));
    compile(&sandbox, "new.o", new);
    sandbox.git_init();
    assert_eq!(sandbox.run("init --object old.o").code, Some(0));
    sandbox.release("v1");
    sandbox
}

/// The commands of `accept` in what the tool said.
fn commands(said: &str) -> Vec<String> {
    let said = said.replace("%0A", "\n");
    let lines = said.lines().filter_map(|line| line.split_once("cargo maplock "));
    lines.map(|(_, line)| line.to_owned()).filter(|line| line.starts_with("accept ")).collect()
}

/// Types each command that `check` shows, in every format, each on the lock as it was. Says what the lock had to say afterwards.
#[track_caller]
fn each_works(sandbox: &Sandbox, check: &str, expected: &[&str]) {
    let before = sandbox.read("maps.lock");
    for format in ["human", "markdown", "github"] {
        let ran = sandbox.run(&format!("{check} --message-format {format}"));
        assert_eq!(ran.code, Some(100), "{}{}", ran.stdout, ran.stderr);
        let commands = commands(&ran.stdout);
        let shown: Vec<_> = commands.iter().map(|line| line.split(" --reason").next().unwrap_or_default()).collect();
        assert_eq!(shown, expected, "{format}:\n{}", ran.stdout);
        for command in &commands {
            let ran = sandbox.run(command);
            assert_eq!(ran.code, Some(0), "{command}: {}", ran.stderr);
            sandbox.write("maps.lock", &before);
        }
    }
}

#[test]
fn a_map_that_got_another_name_is_asked_about_with_both_commands() {
    let sandbox = released(&maps(FLOW, &[("flow_table", 64), ("stats", 8)]));
    insta::assert_snapshot!(sandbox.transcript(&[
        "check --object new.o",
        "update --object new.o",
        "accept flow_table --on-upgrade migrate --reason x --object new.o",
        "accept flows --on-upgrade swap --reason x --object new.o",
        "diff old.o new.o",
    ]));
    let both = ["accept flow_table --renamed-from flows", "accept flows --on-upgrade drop"];
    each_works(&sandbox, "check --object new.o", &both);
    insta::assert_snapshot!(
        "the_map_goes_on_under_its_new_name",
        sandbox.transcript(&[
            "accept flow_table --renamed-from flows --reason \"a better name\" --object new.o",
            "check --object new.o",
            "check --lock maps.lock --against v1",
            "diff v1 maps.lock",
            "accept flow_table --undo",
            "check --lock maps.lock --against v1",
        ])
    );
}

#[test]
fn a_lock_that_was_written_anew_is_mended_by_the_commands_that_are_shown() {
    let sandbox = released(&maps(FLOW, &[("flow_table", 64), ("stats", 8)]));
    std::fs::remove_file(sandbox.path("maps.lock")).expect("a lock");
    assert_eq!(sandbox.run("init --object new.o").code, Some(0));
    let check = "check --lock maps.lock --against v1";
    each_works(&sandbox, check, &["accept flow_table --renamed-from flows", "accept flows --on-upgrade drop"]);
    for answer in ["accept flow_table --renamed-from flows", "accept flows --on-upgrade drop"] {
        let before = sandbox.read("maps.lock");
        // Twice: the second time it is said anew.
        for reason in ["first", "second"] {
            let ran = sandbox.run(&format!("{answer} --reason {reason} --against v1"));
            assert_eq!(ran.code, Some(0), "{answer}: {}", ran.stderr);
        }
        let lock = sandbox.read("maps.lock");
        assert!(lock.contains("\"second\"") && !lock.contains("\"first\""), "{lock}");
        assert_eq!(sandbox.run(check).code, Some(0), "{answer}");
        assert_eq!(sandbox.run("check --object new.o").code, Some(0), "{answer}");
        sandbox.write("maps.lock", before);
    }
}

#[test]
fn a_map_that_is_nearly_the_same_is_asked_about_too() {
    let sandbox = released(&maps(LARGER, &[("flow_table", 128)]));
    let ran = sandbox.run("check --object new.o");
    let commands = commands(&ran.stdout);
    let renamed = commands.iter().find(|line| line.starts_with("accept flow_table --renamed-from flows"));
    assert!(renamed.expect("it is asked").contains("--on-upgrade migrate"), "{}", ran.stdout);
    let answer =
        "accept flow_table --renamed-from flows --on-upgrade migrate --default seen=0 --reason more --object new.o";
    let ran = sandbox.run(answer);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(sandbox.run("accept stats --on-upgrade drop --reason unused --object new.o").code, Some(0));
    assert_eq!(sandbox.run("check --object new.o").code, Some(0));
    assert_eq!(sandbox.run("check --lock maps.lock --against v1").code, Some(0));
    // What was accepted since a release is accepted anew for the map as it is called now.
    let anew = "accept flow_table --on-upgrade swap --reason anew --against v1";
    let ran = sandbox.run(anew);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(sandbox.run("check --lock maps.lock --against v1").code, Some(0));
}

#[test]
fn a_map_that_is_given_up_stays_in_the_lock_with_its_reason() {
    let sandbox = released(&maps(FLOW, &[("stats", 8)]));
    each_works(&sandbox, "check --object new.o", &["accept flows --on-upgrade drop"]);
    insta::assert_snapshot!(sandbox.transcript(&[
        "accept flows --on-upgrade drop --reason \"nobody reads it\" --object new.o",
        "check --object new.o",
        "update --object new.o",
        "check --lock maps.lock --against v1",
        "diff v1 maps.lock",
        "diff v1 maps.lock --message-format github",
        "diff v1 maps.lock --message-format markdown",
        "accept flows --undo",
    ]));
}

/// A repository in which the lock was written anew since v1, so that nothing is accepted.
fn written_anew(new: &str) -> Sandbox {
    let sandbox = released(new);
    std::fs::remove_file(sandbox.path("maps.lock")).expect("a lock");
    assert_eq!(sandbox.run("init --object new.o").code, Some(0));
    sandbox
}

#[test]
fn a_diff_offers_what_a_check_offers_and_each_command_works() {
    let sandbox = written_anew(&maps(FLOW, &[("flow_table", 64), ("stats", 8)]));
    let both = ["accept flow_table --renamed-from flows", "accept flows --on-upgrade drop"];
    for diff in ["diff v1", "diff v1:maps.lock", "diff v1 maps.lock", "diff v1 --lock maps.lock"] {
        each_works(&sandbox, diff, &both);
    }
    // No command enters a change into what is not the lock of this project.
    sandbox.write("other.lock", sandbox.read("maps.lock"));
    for diff in ["diff v1 new.o", "diff v1 other.lock", "diff old.o new.o", "diff old.o"] {
        each_works(&sandbox, diff, &[]);
    }
}

#[test]
fn a_diff_says_in_a_line_what_can_be_done_and_what_that_costs() {
    let flow = |members: &str| format!("struct flow {{ {members} }};\n");
    for (what, members, room, said) in [
        (
            "a member that grew",
            "__u64 bytes; __u64 drops; __u32 flags;",
            64,
            "can be accepted as `migrate` (every entry is converted) or as `swap` (its entries are given up)",
        ),
        (
            "a member that grew, where there is less room",
            "__u64 bytes; __u64 drops; __u32 flags;",
            16,
            "can be accepted as `migrate` (every entry is converted; refused on a node with more than 16 entries) or as `swap` (its entries are given up)",
        ),
        (
            "a member that grew, where the daemon says how much room there is",
            "__u64 bytes; __u64 drops; __u32 flags;",
            0,
            "can be accepted as `migrate` (every entry is converted) or as `swap` (its entries are given up)",
        ),
        (
            "a member that is gone",
            "__u64 bytes; __u32 drops;",
            64,
            "can be accepted as `reuse` (its entries stay), as `migrate` (its entries are converted, and may lose parts; `flags` of `flows` is given up) or as `swap` (its entries are given up)",
        ),
        (
            "a member with another name",
            "__u64 octets; __u32 drops; __u32 flags;",
            64,
            "can be accepted as `reuse` (its entries stay; right if `octets` means what `bytes` meant), as `migrate` (its entries are converted, after an answer about `bytes`) or as `swap` (its entries are given up)",
        ),
        (
            "a member that shrank",
            "__u32 bytes; __u32 drops; __u32 flags;",
            64,
            "can be accepted as `migrate` (its entries are converted, after an answer about `bytes`) or as `swap` (its entries are given up)",
        ),
    ] {
        let sandbox = written_anew(&maps(&flow(members), &[("flows", room)]));
        for (format, before) in [("human", "    "), ("markdown", "; not accepted; "), ("github", "%0A"), ("junit", "")]
        {
            for diff in ["diff v1", "diff v1 new.o"] {
                let told = sandbox.run(&format!("{diff} --message-format {format}")).stdout;
                let line = format!("{before}{said}");
                assert_eq!(told.matches(&line).count(), 1, "{what}, {diff} in {format}: {line}\n{told}");
            }
        }
    }
    // What goes on under another name, and a map of which nothing goes on.
    let sandbox = written_anew(&maps(FLOW, &[("flow_table", 64)]));
    let told = sandbox.run("diff v1").stdout;
    for said in [
        "can go on as `flow_table` (its entries stay), or be accepted as `drop` (its entries are given up)",
        "can be accepted as `drop` (its entries are given up)",
    ] {
        assert!(told.contains(said), "{said}\n{told}");
    }
}

#[test]
fn a_member_with_another_name_is_right_on_a_condition_in_a_map_with_another_name_too() {
    let flow = "struct flow { __u64 octets; __u32 drops; __u32 flags; };\n";
    let sandbox = released(&maps(flow, &[("flow_table", 64), ("stats", 8)]));
    let condition = "bytes 0..8, written as `bytes` (u64), will be read as `octets` (u64): right if `octets` means what `bytes` meant";
    let accept = "accept flow_table --renamed-from flows --on-upgrade reuse --reason \"other names\" --object new.o";
    let ran = sandbox.run(accept);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.contains(condition), "{}", ran.stdout);
    let stats = "accept stats --on-upgrade reuse --reason \"the same, so named\" --object new.o";
    assert_eq!(sandbox.run(stats).code, Some(0));
    for line in ["diff v1", "check --lock maps.lock --against v1"] {
        for format in ["human", "markdown", "github"] {
            let ran = sandbox.run(&format!("{line} --message-format {format}"));
            assert_eq!(ran.code, Some(0), "{line}: {}", ran.stdout);
            let told = ran.stdout.replace("%2C", ",");
            assert_eq!(told.matches(condition).count(), 2, "{line} in {format}: {told}");
        }
        let human = sandbox.run(line).stdout;
        let head = "entries of `flow_table`, `stats` are read right only if the renamed members mean what they meant";
        assert!(human.contains(head), "{human}");
    }
}

#[test]
fn what_can_not_be_a_rename_says_why() {
    let sandbox = released(&maps(FLOW, &[("flows", 64), ("flow_table", 64), ("stats", 8)]));
    insta::assert_snapshot!(sandbox.transcript(&[
        "accept flow_table --renamed-from flows --reason x --object new.o",
        "accept flow_table --renamed-from fows --reason x --object new.o",
        "accept flow_table stats --renamed-from flows --reason x --object new.o",
        "accept flow_table --on-upgrade drop --reason x --object new.o",
        "accept flows --on-upgrade drop --reason x --object new.o",
        "accept flow_table --undo --renamed-from flows",
    ]));
}
