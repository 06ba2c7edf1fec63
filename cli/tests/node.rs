//! `maplock`, the node tool, on pins in a bpffs of the test's own.
#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;

use maplock::Policies;
use maplock::internals::meta;
use maplock::internals::sys::{Map, NewMap, bpffs};
use maplock::layout::Lock;
use maplock::layout::map::MapType;
use serde_json::Value;
use support::node::{Cgroup, Node, stable};

/// With v1 pinned, twelve backends and three counters.
fn running() -> Option<Node> {
    let node = Node::new()?;
    node.upgrade("v1.lock");
    node.fill("backends", 12);
    node.fill("stats", 3);
    Some(node)
}

#[test]
fn the_help_says_what_each_command_does() {
    let mut seen = String::new();
    for verb in ["", "plan", "inspect", "dump", "rollback", "confirm", "recover", "test-upgrade", "fleet"] {
        let output = support::tool_at(env!("CARGO_BIN_EXE_maplock"))
            .arg0("maplock")
            .args(verb.split_whitespace())
            .arg("--help")
            .output()
            .expect("it runs");
        assert_eq!(output.status.code(), Some(0));
        seen.push_str(&String::from_utf8_lossy(&output.stdout));
        seen.push_str("-----\n");
    }
    insta::assert_snapshot!(seen);
}

#[test]
fn usage_is_exit_code_2() {
    for line in [
        "",
        "plan",
        "plan --lock x",
        "plan --lock x --pins y --deny keep",
        "plan --lock x --pins y --on-unknown keep",
        "plan --lock x --pins y --max-entries stats=0",
        "rollback",
        "confirm --wait -1 x",
    ] {
        let status = support::tool_at(env!("CARGO_BIN_EXE_maplock")).args(line.split_whitespace()).output();
        assert_eq!(status.expect("it runs").status.code(), Some(2), "{line}");
    }
}

/// Where it holds entries, a map that the next release lacks or calls otherwise is no loss that goes by in silence.
#[test]
fn a_map_that_was_renamed_is_given_up_and_denied() {
    for is_ours in [true, false] {
        let Some(node) = Node::new() else { return };
        node.upgrade("v1.lock");
        node.fill("stats", 3);
        if !is_ours {
            // As another loader leaves the pins.
            bpffs::unlink(&node.pins().join(meta::NAME)).expect("a pin");
        }
        let mut lock = Lock::parse(&node.sandbox.read("v1.lock")).expect("a lock");
        let stats = lock.maps.remove("stats").expect("stats");
        lock.maps.insert("statistics".to_owned(), stats);
        node.sandbox.write("renamed.lock", lock.to_string());
        let plan = |deny: &str| node.run(&format!("plan --lock renamed.lock --pins fs/minimesh --deny {deny}"));
        let told = plan("refuse");
        assert_eq!(told.code, Some(0), "{}{}", told.stdout, told.stderr);
        assert!(told.stdout.contains("given up: 3 entries of stats · "), "{}", told.stdout);
        assert!(!told.stdout.contains("nothing is lost"), "{}", told.stdout);
        for deny in ["drop", "swap", "swap,refuse"] {
            let told = plan(deny);
            assert_eq!(told.code, Some(100), "{}{}", told.stdout, told.stderr);
            let wanted = "error: map `stats` would be given up with its entries, which is denied";
            assert!(told.stdout.contains(wanted), "{}", told.stdout);
        }
    }
}

#[test]
fn a_plan_over_nothing_creates_all() {
    let Some(node) = Node::new() else { return };
    let plan = "plan --lock v2.lock --pins fs/minimesh --deny swap,refuse";
    let absent = node.transcript(&[plan]);
    fs::create_dir(node.pins()).expect("a directory");
    let empty = node.transcript(&[plan]);
    assert_eq!(empty, absent.replace("there is no such directory", "the directory is empty"));
    insta::assert_snapshot!(absent);
    assert_eq!(fs::read_dir(node.pins()).expect("it is there").count(), 0);
}

#[test]
fn a_plan_says_what_becomes_of_each_map_and_changes_nothing() {
    let Some(node) = running() else { return };
    let before = node.run("inspect fs/minimesh --message-format json").json();
    insta::assert_snapshot!(node.transcript(&[
        "plan --lock v1.lock --pins fs/minimesh",
        "plan --lock v2.lock --pins fs/minimesh",
        "plan --lock v3.lock --pins fs/minimesh",
        "plan --lock unknown.lock --pins fs/minimesh",
    ]));
    node.upgrade("v2.lock");
    // There is `drops` to drop, and a smaller map to go back to.
    insta::assert_snapshot!("a_plan_of_a_downgrade", node.transcript(&["plan --lock v1.lock --pins fs/minimesh"]));
    assert_eq!(node.run("rollback fs/minimesh").code, Some(0));
    let after = node.run("inspect fs/minimesh --message-format json").json();
    assert_eq!(before["maps"], after["maps"]);
}

#[test]
fn what_is_denied_fails_and_says_the_way_out() {
    let Some(node) = running() else { return };
    insta::assert_snapshot!(node.transcript(&[
        "plan --lock v2.lock --pins fs/minimesh --deny swap,refuse",
        "plan --lock v3.lock --pins fs/minimesh --deny swap,refuse",
        "plan --lock unknown.lock --pins fs/minimesh --deny swap,refuse",
        "plan --lock unknown.lock --pins fs/minimesh --deny refuse --on-unknown stats=swap",
        "plan --lock unknown.lock --pins fs/minimesh --deny refuse --on-unknown reuse",
        "plan --lock v2.lock --pins fs/minimesh --deny grow,create --deny reuse",
        "plan --lock v1.lock --pins fs/minimesh --max-entries backends=8 --deny refuse",
        "plan --lock v1.lock --pins fs/minimesh --max-entries backends=8 --larger refuse --deny refuse",
    ]));
}

#[test]
fn what_is_not_certain_can_be_denied() {
    let Some(node) = running() else { return };
    let told = node.run("plan --lock v2.lock --pins fs/minimesh --deny inexact");
    assert_eq!(told.code, Some(100), "{}{}", told.stdout, told.stderr);
    let wanted = "error: map `backends` may not be carried over exactly, which is denied\n  cause: entries of `backends` that are deleted";
    assert!(told.stdout.contains(wanted), "{}", told.stdout);
    assert!(told.stdout.contains("let it happen: leave `inexact` out of --deny"), "{}", told.stdout);
    // What is used as it is can't lose anything.
    let told = node.run("plan --lock v1.lock --pins fs/minimesh --deny inexact");
    assert_eq!(told.code, Some(0), "{}{}", told.stdout, told.stderr);
    assert!(told.stdout.contains("\nnothing is lost · "), "{}", told.stdout);
}

#[test]
fn an_empty_map_is_swapped_without_a_loss_and_denied_all_the_same() {
    let Some(node) = Node::new() else { return };
    node.upgrade("v1.lock");
    let ran = node.run("plan --lock v3.lock --pins fs/minimesh --deny swap");
    // What is empty now may not be when the daemon comes.
    assert_eq!(ran.code, Some(100), "{}", ran.stdout);
    assert!(ran.stdout.contains("\nevery entry is kept") && !ran.stdout.contains("lost: "), "{}", ran.stdout);
}

#[test]
fn programs_and_reviewers_read_a_plan_too() {
    let Some(node) = running() else { return };
    node.sandbox.git_init();
    let plan = |format: &str| {
        let line = format!("plan --lock unknown.lock --pins fs/minimesh --deny refuse --message-format {format}");
        let ran = node.run(&line);
        assert_eq!(ran.code, Some(100), "{}", ran.stderr);
        ran
    };
    insta::assert_snapshot!("plan_markdown", stable(&plan("markdown").stdout));
    insta::assert_snapshot!("plan_github", stable(&plan("github").stdout));
    let json = plan("json").json();
    assert_eq!((&json["refused"], &json["denied"]), (&true.into(), &serde_json::json!(["stats"])));
    let stats = json["maps"].as_array().expect("maps").iter().find(|map| map["map"] == "stats").expect("stats");
    assert_eq!((&stats["disposition"], &stats["entries"]), (&"refuse".into(), &3.into()));
    for line in ["inspect fs/minimesh", "dump fs/minimesh/stats", "confirm fs/minimesh"] {
        let [human, github] = ["human", "github"].map(|format| node.run(&format!("{line} --message-format {format}")));
        assert_eq!((human.code, github.code, &human.stdout), (Some(0), Some(0), &github.stdout), "{line}");
    }
    let losing = node.run("plan --lock v3.lock --pins fs/minimesh --message-format github");
    assert_eq!((losing.code, losing.stdout.starts_with("::warning ")), (Some(0), true), "{}", losing.stdout);
}

#[test]
fn a_damaged_meta_map_is_warned_of() {
    let Some(node) = running() else { return };
    let pin = node.pins().join(meta::NAME);
    fs::remove_file(&pin).expect("the meta map");
    Map::create(&NewMap::new(MapType::ARRAY, 4, 64, 1)).expect("a map").pin(&pin).expect("a pin");
    insta::assert_snapshot!(node.transcript(&["plan --lock v2.lock --pins fs/minimesh", "inspect fs/minimesh"]));
}

#[test]
fn places_that_are_none_are_errors() {
    let Some(node) = running() else { return };
    node.sandbox.write("bad.lock", "version = 1\n[map.stats\n");
    fs::create_dir(node.sandbox.path("plain")).expect("a directory");
    insta::assert_snapshot!(node.transcript(&[
        "plan --lock v1.lock --pins plain",
        "plan --lock v1.lock --pins nowhere/minimesh",
        "plan --lock v1.lock --pins fs/mini.mesh",
        "plan --lock none.lock --pins fs/minimesh",
        "plan --lock bad.lock --pins fs/minimesh",
        "plan --lock v1.lock --pins fs/minimesh --on-unknown flows=swap",
        "inspect plain",
        "inspect fs/nothing",
        "inspect v1.lock",
        "rollback plain",
        "confirm plain",
        "rollback fs/nothing",
        "confirm fs/nothing",
        "recover fs/nothing --discard",
    ]));
}

#[test]
fn a_missing_privilege_is_named() {
    let Some(node) = running() else { return };
    // Where anybody can run it.
    let tool = node.sandbox.path("maplock");
    // By another process: a descriptor of ours may be passed on to what other tests start, and what is open to be written is not run.
    let copied =
        std::process::Command::new("cp").args([env!("CARGO_BIN_EXE_maplock").as_ref(), tool.as_path()]).status();
    assert!(copied.expect("cp runs").success());
    let open = |path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
    open(node.sandbox.path(""), 0o755);
    let mut seen = String::new();
    let mut as_nobody = |line: &str| {
        let mut command = node.command_at(&tool, line);
        command.uid(65534).gid(65534);
        node.sandbox.ran(command).tell(&format!("maplock {line}"), &mut seen);
    };
    as_nobody("inspect fs/minimesh");
    open(node.pins(), 0o755);
    as_nobody("dump fs/minimesh/stats");
    for line in
        ["inspect fs/minimesh", "plan --lock v1.lock --pins fs/minimesh", "rollback fs/minimesh", "confirm fs/minimesh"]
    {
        as_nobody(line);
    }
    insta::assert_snapshot!(seen);
}

#[test]
fn a_plan_without_the_right_to_read_btf_says_so() {
    let Some(node) = running() else { return };
    fs::remove_file(node.pins().join(meta::NAME)).expect("the meta map");
    let mut command = node.command_at("setpriv", "--bounding-set=-sys_admin --inh-caps=-sys_admin");
    command.arg(env!("CARGO_BIN_EXE_maplock"));
    command.args(["plan", "--lock", "v1.lock", "--pins", "fs/minimesh", "--deny", "refuse"]);
    let ran = node.sandbox.ran(command);
    assert_eq!(ran.code, Some(100), "{}{}", ran.stdout, ran.stderr);
    let note = "note: without CAP_SYS_ADMIN, the kernel shows this process less than it may show the daemon";
    assert!(ran.stdout.lines().any(|line| line == note), "{}", ran.stdout);
}

#[test]
fn what_is_pinned_is_shown_with_its_types() {
    let Some(node) = Node::new() else { return };
    let cgroup = Cgroup::new(&node);
    let mut first = node.stage("v1.lock", Policies::default());
    cgroup.hook(&mut first);
    first.commit().expect("an upgrade");
    node.fill("backends", 12);
    let mut second = node.stage("v2.lock", Policies::default());
    cgroup.hook(&mut second);
    second.commit().expect("an upgrade");
    let foreign = Map::create(&NewMap::new(MapType::HASH, 4, 8, 16)).expect("a map");
    foreign.freeze().expect("frozen");
    foreign.pin(&node.pins().join("theirs")).expect("a pin");
    let seen = node.transcript(&["inspect fs/minimesh --layouts"]);
    let seen = seen.lines().map(|line| match line.split_once(" at /").or_else(|| line.split_once(" at [DIR]")) {
        Some((hook, _)) => format!("{hook} at [CGROUP]\n"),
        None => format!("{line}\n"),
    });
    insta::assert_snapshot!(seen.collect::<String>());
    let json = node.run("inspect fs/minimesh --message-format json").json();
    let names = |key: &str| {
        let of = json[key].as_array().expect("a list").iter().map(|of| of["pin"].as_str().expect("a name").to_owned());
        of.collect::<Vec<_>>()
    };
    assert_eq!(names("maps"), ["backends", "drops", "frontends", "services", "stats", "theirs"]);
    assert_eq!((names("links"), names("programs")), (vec!["connect4".to_owned()], vec!["connect4@prog".to_owned()]));
    assert_eq!(json["links"][0]["program_id"], json["programs"][0]["id"]);
    assert_eq!(json["links"][0]["program"], "allow");
    assert_eq!(json["foreign"], serde_json::json!([{ "pin": "theirs", "kind": "map" }]));
    assert_eq!((&json["generation"], &json["kept"][0]["generation"]), (&2.into(), &1.into()));
    assert_eq!((&json["staged"], &json["next"]), (&Value::Null, &Value::Null));
    let backends = &json["maps"][0];
    assert_eq!((&backends["entries"], &backends["max_entries"]), (&12.into(), &4096.into()));
    assert_eq!((&backends["layout_from"], &backends["value"]["name"]), (&"btf".into(), &"backend".into()));
    assert_eq!(backends["id"], Map::open(&node.pins().join("backends")).expect("a pin").info().id);
}

#[test]
fn what_an_upgrade_left_is_shown_with_what_comes_of_it() {
    let Some(node) = running() else { return };
    let staged = node.stage("v2.lock", Policies::default());
    let shown = |node: &Node| {
        let seen = node.transcript(&["inspect fs/minimesh"]);
        seen.split_once("\n\nstaged").map(|(_, rest)| format!("staged{rest}")).expect("a staged generation")
    };
    insta::assert_snapshot!(shown(&node));
    assert_eq!(node.run("inspect fs/minimesh --message-format json").json()["next"], "discard");
    // As a process leaves it that is killed.
    std::mem::forget(staged);
    bpffs::write_record(&node.sandbox.path("fs/minimesh@next/commit@record"), "1").expect("a record");
    insta::assert_snapshot!("a_commit_that_did_not_end", shown(&node));
    assert_eq!(node.run("inspect fs/minimesh --message-format json").json()["next"], "complete");
}

#[test]
fn a_roll_back_returns_to_the_generation_before_and_a_second_undoes_it() {
    let Some(node) = running() else { return };
    let id = |map: &str| Map::open(&node.pins().join(map)).expect("a pin").info().id;
    let before = [id("backends"), id("stats")];
    node.upgrade("v3.lock");
    let after = [id("backends"), id("stats")];
    node.fill("backends", 20);
    insta::assert_snapshot!(node.transcript(&["rollback fs/minimesh"]));
    assert_eq!([id("backends"), id("stats")], before);
    let entries =
        |map: usize| node.run("inspect fs/minimesh --message-format json").json()["maps"][map]["entries"].clone();
    assert_eq!(entries(0), 20);
    let ran = node.run("rollback fs/minimesh --message-format json --prometheus upgrade.prom");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!([id("backends"), id("stats")], after);
    assert_eq!(ran.json()["maps"][0]["map"], "backends");
    let metrics = node.sandbox.read("upgrade.prom");
    assert!(
        metrics.contains("maplock_upgrade_entries{map=\"backends\",disposition=\"reuse\",what=\"kept\"}"),
        "{metrics}"
    );
    assert!(metrics.contains("maplock_upgrade_kind_info{kind=\"rollback\"} 1\n"), "{metrics}");
    let told = node.run("fleet upgrade.prom --message-format json");
    assert_eq!(told.json()["nodes"][0]["report"]["rolled_back"], true, "{}{}", told.stdout, told.stderr);
    let mode = fs::metadata(node.sandbox.path("upgrade.prom")).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o644);
}

/// Each command that an inspection offers is run, and does what is said of it.
#[test]
fn several_kept_generations_are_told_and_returned_to_by_their_numbers() {
    let Some(node) = running() else { return };
    node.upgrade_keeping("v2.lock", 2);
    node.upgrade_keeping("v3.lock", 2);
    let tail = |text: &str| text[text.find("kept  ").unwrap_or(0)..].to_owned();
    let inspected = || tail(&node.run("inspect fs/minimesh").stdout);
    let mut seen = inspected();
    let lines = [
        "plan --lock v1.lock --pins fs/minimesh --on-unknown swap",
        "plan --lock v1.lock --pins fs/minimesh --on-unknown swap --keep 2",
    ];
    for line in lines {
        let told = node.run(line).stdout;
        let told = &told[told.find("a roll-back from there").expect("told")..];
        seen.extend(told.lines().filter(|line| !line.starts_with("note: ")).map(|line| format!("{line}\n")));
    }
    let offered = "maplock rollback fs/minimesh --to 1";
    assert!(seen.contains(offered), "{seen}");
    let ran = node.run(offered.strip_prefix("maplock ").expect("the tool"));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    seen.extend(ran.stdout.lines().filter(|line| line.contains("rolled back")).map(|line| format!("{line}\n")));
    seen.push_str(&inspected());
    for line in ["rollback fs/minimesh --to 1", "rollback fs/minimesh --to 9"] {
        seen.push_str(&node.transcript(&[line]));
    }
    let forth = node.run("rollback fs/minimesh --to 3 --message-format json").json();
    let numbers: Vec<_> =
        forth.as_array().expect("one for each step").iter().map(|step| &step["way_back"]["generation"]).collect();
    assert_eq!(numbers, [2, 3]);
    let document = node.run("inspect fs/minimesh --message-format json").json();
    let kept = |of: &str| -> Vec<_> {
        document["kept"].as_array().expect("a list").iter().map(|kept| kept[of].clone()).collect()
    };
    assert_eq!((kept("generation"), kept("is_next")), (vec![2.into(), 1.into()], vec![true.into(), false.into()]));
    let plan =
        node.run("plan --lock v1.lock --pins fs/minimesh --keep 2 --on-unknown swap --message-format json").json();
    assert_eq!(plan["kept_then"], serde_json::json!({ "stay": [2], "go": [1] }));
    let confirm =
        ["confirm fs/minimesh --keep 1", "confirm fs/minimesh --keep 1", "confirm fs/minimesh --message-format json"];
    seen.push_str(&node.transcript(&confirm));
    insta::assert_snapshot!(seen);
}

#[test]
fn metrics_that_cannot_be_written_stop_a_roll_back_before_it_begins() {
    let Some(node) = running() else { return };
    node.upgrade("v2.lock");
    let ran = node.run("rollback fs/minimesh --prometheus nowhere/upgrade.prom");
    assert_eq!(ran.code, Some(101));
    assert!(ran.stderr.starts_with("error: could not write nowhere/upgrade.prom\n"), "{}", ran.stderr);
    assert!(node.sandbox.path("fs/minimesh@prev").exists());
    assert_eq!(node.run("inspect fs/minimesh --message-format json").json()["generation"], 2);
}

#[test]
fn a_roll_back_that_was_killed_is_completed_by_a_second_call() {
    let Some(node) = running() else { return };
    node.upgrade("v3.lock");
    assert_eq!(node.run("rollback fs/minimesh").code, Some(0));
    // As it is left by one that is killed before its last step.
    bpffs::write_record(&node.pins().join("commit@record"), "roll-back exchange").expect("a new name");
    let told = node.run("rollback fs/minimesh");
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    let wanted =
        "rolled back fs/minimesh: what an earlier call had begun was completed; the generation that was left is kept";
    assert_eq!(told.stdout.lines().next(), Some(wanted), "{}", told.stdout);
    assert!(told.stderr.contains("warning: a roll-back had ended after its commit"), "{}", told.stderr);
    let again = node.run("rollback fs/minimesh --message-format json");
    assert_eq!(again.json()["resumed"], false, "{}", again.stdout);
}

#[test]
fn what_fails_at_each_start_is_given_up_by_the_command_that_the_error_names() {
    let Some(node) = running() else { return };
    let staged = node.stage("v2.lock", Policies::default());
    // As a process leaves it that is killed: without its lock, and with what it had staged.
    let (next, aside) = (node.sandbox.path("fs/minimesh@next"), node.sandbox.path("fs/aside"));
    fs::rename(&next, &aside).expect("moved");
    drop(staged);
    fs::rename(&aside, &next).expect("moved back");
    bpffs::write_record(&next.join("commit@record"), "upgrade exchange").expect("a record");
    // Nothing tells any more what was copied.
    fs::remove_file(next.join("backends@base")).expect("the snapshot");
    let failed = node.run("rollback fs/minimesh");
    assert_eq!(failed.code, Some(101), "{}", failed.stdout);
    let advice = "give up what can't be carried over: maplock ";
    let command = failed.stderr.split_once(advice).and_then(|(_, rest)| rest.lines().next()).expect(&failed.stderr);
    assert_eq!(command, "recover fs/minimesh --discard");
    assert_eq!(node.run("recover fs/minimesh").code, Some(2), "it says what it gives up");
    insta::assert_snapshot!(node.transcript(&[command, command, "recover fs/minimesh --by-calls"]));
    let told = node.run(&format!("{command} --message-format json")).json();
    assert_eq!((&told["taken_back"], &told["resumed"]), (&false.into(), &false.into()));
    node.upgrade("v2.lock");
}

#[test]
fn a_roll_back_for_which_there_is_no_room_changes_nothing() {
    let Some(node) = running() else { return };
    node.upgrade("v2.lock");
    node.fill("backends", 100);
    let before = node.run("inspect fs/minimesh --message-format json").json();
    let ran = node.run("rollback fs/minimesh");
    assert_eq!(ran.code, Some(101), "{}", ran.stdout);
    let cause = "\n  cause: can't carry the entries of map `backends` back: ";
    assert!(
        ran.stderr.starts_with("error: could not roll fs/minimesh back") && ran.stderr.contains(cause),
        "{}",
        ran.stderr
    );
    let after = node.run("inspect fs/minimesh --message-format json").json();
    assert_eq!(after["maps"][0]["entries"], 100);
    assert_eq!(before, after);
}

#[test]
fn who_waits_at_a_terminal_sees_how_far_a_copy_is() {
    let Some(node) = running() else { return };
    node.upgrade("v2.lock");
    // `script` (util-linux) gives the tool a terminal, and copies what it writes there.
    let mut command = node.command_at("script", "--quiet --return --command");
    command.arg(format!("{} rollback fs/minimesh", env!("CARGO_BIN_EXE_maplock"))).arg("/dev/null");
    command.env("TERM", "xterm");
    let ran = node.sandbox.ran(command);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains("backends [==============================] 12/12 entries"), "{:?}", ran.stdout);
}

#[test]
fn a_generation_is_confirmed_once() {
    let Some(node) = running() else { return };
    node.upgrade("v2.lock");
    insta::assert_snapshot!(node.transcript(&[
        "confirm fs/minimesh",
        "confirm fs/minimesh",
        "confirm fs/minimesh --message-format json",
        "rollback fs/minimesh",
    ]));
    assert!(!node.sandbox.path("fs/minimesh@prev").exists());
}

#[test]
fn whoever_holds_the_lock_is_named() {
    let Some(node) = running() else { return };
    node.upgrade("v2.lock");
    let lock = bpffs::open_pin(&node.pins().join("maplock@lock")).expect("the lock");
    assert!(bpffs::try_lock(&lock).expect("a lock"));
    let comm = fs::read_to_string("/proc/self/comm").expect("a name");
    let own = format!("process {} ({})", std::process::id(), comm.trim());
    for verb in ["rollback", "confirm"] {
        let ran = node.run(&format!("{verb} fs/minimesh --wait 0.1"));
        assert_eq!(ran.code, Some(101), "{}", ran.stdout);
        assert!(ran.stderr.contains("help: wait longer: --wait SECONDS; or stop that process"), "{}", ran.stderr);
        assert!(
            ran.stderr.contains(&format!("{own} holds the lock of `fs/minimesh`; gave up after 0.1 s")),
            "{own}: {}",
            ran.stderr
        );
    }
    // What is said can be done, and to look takes no lock.
    for line in ["inspect fs/minimesh", "plan --lock v1.lock --pins fs/minimesh"] {
        assert_eq!(node.run(line).code, Some(0), "{line}");
    }
    drop(lock);
    assert_eq!(node.run("confirm fs/minimesh --wait 0").code, Some(0));
}

#[test]
fn decisions_are_told_to_those_who_ask() {
    let Some(node) = running() else { return };
    node.upgrade("v2.lock");
    let quiet = node.run("rollback fs/minimesh");
    assert_eq!((quiet.code, quiet.stderr.as_str()), (Some(0), ""));
    let ran = node.run("rollback fs/minimesh --verbose");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stderr.lines().all(|line| line.trim_start().starts_with("info ")), "{}", ran.stderr);
}

#[test]
fn a_capacity_that_only_the_daemon_knows_is_asked_for_before_anything_is_made() {
    let Some(node) = Node::new() else { return };
    let mut lock = node.spec("v1.lock").lock().clone();
    lock.maps.get_mut("stats").expect("a map of v1").def.max_entries = 0;
    node.sandbox.write("v1.lock", lock.to_string());
    let plan = "plan --lock v1.lock --pins fs/minimesh --deny refuse";
    let told = node.run(plan);
    assert_eq!(told.code, Some(100), "{}{}", told.stdout, told.stderr);
    let wanted = "maps.lock says no capacity, because the daemon chooses it: set `Policy::max_entries`, or plan with `--max-entries stats=N`";
    assert!(told.stdout.contains(wanted), "{}", told.stdout);
    assert!(!(told.stdout.clone() + &told.stderr).contains("BTF"), "{}{}", told.stdout, told.stderr);
    // What it says can be said.
    let options = |max_entries| {
        let mut policies = Policies::default();
        policies.maps.insert("stats".to_owned(), maplock::Policy { max_entries, ..maplock::Policy::default() });
        policies
    };
    let says = |line: &str| node.run(line).stdout.lines().find(|line| line.starts_with("stats")).map(str::to_owned);
    assert!(says(&format!("{plan} --max-entries stats=512")).is_some_and(|line| line.contains("create")));
    let room = || Map::open(&node.pins().join("stats")).expect("a map").info().max_entries;
    let upgrade = |max_entries| node.stage("v1.lock", options(max_entries)).commit().expect("an upgrade");
    upgrade(Some(512));
    assert_eq!(room(), 512);
    node.fill("stats", 3);
    // Nobody says it any more: it stays what it is.
    let again = says(plan).expect("a line");
    assert!(again.contains("reuse") && again.contains("max_entries stays at 512: nobody gives another"), "{again}");
    upgrade(None);
    assert_eq!(room(), 512);
    let report = upgrade(Some(2048));
    let kept = report.maps.iter().find(|map| map.map == "stats").map(|map| map.kept);
    assert_eq!((room(), kept), (2048, Some(3)));
}
