//! `maplock plan` where there is less than was expected, and what a plan can't know.
#![cfg(target_os = "linux")]

mod support;

use std::fs;
use std::sync::Arc;

use maplock::internals::meta;
use maplock::internals::sys::Map;
use maplock::layout::config::Levels;
use maplock::layout::conversion::{Answers, Cast, Collide};
use maplock::layout::lock::{LockedMap, OnUpgrade};
use maplock::layout::map::{MapType, Pinning};
use maplock::layout::{Composite, CompositeKind, IntKind, Layout, Lock, MapDef, Member, Observation, Shape, epochs};
use maplock::{OnMissing, Options, Policies, Policy};
use serde_json::Value;
use support::node::Node;

/// With v1 pinned, twelve backends and three counters.
fn running() -> Option<Node> {
    let node = Node::new()?;
    node.upgrade("v1.lock");
    node.fill("backends", 12);
    node.fill("stats", 3);
    Some(node)
}

/// The commands that help lines end with.
fn suggested(told: &str, tool: &str) -> Vec<String> {
    let begins = format!(": {tool} ");
    let lines = told.lines().filter(|line| line.trim_start().starts_with("help: ") || line.starts_with("         "));
    lines.filter_map(|line| line.split_once(&begins).map(|(_, line)| line.to_owned())).collect()
}

#[test]
fn a_directory_that_was_mistyped_is_no_safe_one() {
    let Some(node) = running() else { return };
    let plan = |more: &str| node.run(&format!("plan --lock v1.lock --pins fs/minimesj {more}"));
    let told = plan("--deny swap,refuse");
    assert_eq!(told.code, Some(0), "{}", told.stdout);
    assert!(!told.stdout.contains("nothing is lost"), "{}", told.stdout);
    insta::assert_snapshot!(node.transcript(&[
        "plan --lock v1.lock --pins fs/minimesj --expect-pins",
        "plan --lock v1.lock --pins fs/minimesj --expect-pins --message-format markdown",
        "plan --lock v1.lock --pins fs/minimesj --expect-pins --message-format github",
        "plan --lock v1.lock --pins fs/minimesh/deeper",
    ]));
    let json = plan("--expect-pins --message-format json");
    assert_eq!(json.code, Some(100));
    let json = json.json();
    assert_eq!((&json["fails"], &json["unpinned"]["exists"]), (&true.into(), &false.into()));
    let near = &json["unpinned"]["near"][0];
    assert_eq!((&near["dir"], &near["place"]), (&"fs/minimesh".into(), &"beside".into()));
    // What it says can be typed.
    let commands = suggested(&plan("--expect-pins").stdout, "maplock");
    assert_eq!(commands, ["plan --lock v1.lock --pins fs/minimesh"]);
    let there = node.run(&format!("{} --expect-pins --message-format json", commands[0]));
    assert_eq!((there.code, &there.json()["unpinned"]), (Some(0), &Value::Null), "{}", there.stdout);
}

#[test]
fn pins_that_another_loader_named_are_told_and_can_be_taken_up() {
    let Some(node) = running() else { return };
    let mut lock = Lock::parse(&node.sandbox.read("v1.lock")).expect("a lock");
    for (old, new) in [("stats", "connections_by_source"), ("services", ".bss")] {
        let mut map = lock.maps.remove(old).expect("a map of v1");
        map.def.name = new.to_owned();
        lock.maps.insert(new.to_owned(), map);
    }
    lock.maps.retain(|name, _| ["connections_by_source", ".bss"].contains(&name.as_str()));
    node.sandbox.write("long.lock", lock.to_string());
    let fs_at = |name: &str| node.sandbox.path(&format!("fs/{name}"));
    // As iproute2 leaves its directories.
    fs::create_dir_all(fs_at("tc/globals")).expect("directories");
    std::os::unix::fs::symlink("tc", fs_at("xdp")).expect("a link");
    fs::rename(node.pins().join("stats"), fs_at("tc/globals/connections_by_")).expect("a pin");
    fs::rename(node.pins().join("services"), fs_at("tc/globals/minimesh_bss")).expect("a pin");
    fs::remove_file(node.pins().join(meta::NAME)).expect("the meta map");
    insta::assert_snapshot!(node.transcript(&[
        "plan --lock long.lock --pins fs/tc --expect-pins",
        "plan --lock long.lock --pins fs/minimesh --expect-pins",
        "plan --lock long.lock --pins fs/tc/globals --expect-pins",
    ]));
    let told = node.run("plan --lock long.lock --pins fs/tc/globals --expect-pins").stdout;
    let moves = suggested(&told, "mv");
    assert_eq!(moves.len(), 2, "{told}");
    for line in moves {
        let ran = std::process::Command::new("mv").args(line.split(' ')).current_dir(node.sandbox.path("")).status();
        assert!(ran.expect("mv runs").success(), "{line}");
    }
    let plan = node.run("plan --lock long.lock --pins fs/tc/globals --expect-pins --deny create,swap,refuse");
    assert_eq!(plan.code, Some(0), "{}", plan.stdout);
    // A link is told where what it leads to is not.
    fs::create_dir_all(fs_at("a/b/c")).expect("directories");
    std::os::unix::fs::symlink("a/b/c", fs_at("ip")).expect("a link");
    fs::hard_link(fs_at("tc/globals/_bss"), fs_at("a/b/c/_bss")).expect("a pin");
    let near = node.run("plan --lock long.lock --pins fs/typo");
    let line = near.stdout.lines().find(|line| line.contains("fs/ip")).unwrap_or_else(|| panic!("{}", near.stdout));
    assert!(line.contains("a/b/c`, beside it has a pin of the release's names: `.bss`"), "{line}");
    assert!(!near.stdout.contains("fs/xdp"), "{}", near.stdout);
    fs::remove_file(fs_at("ip")).expect("a link");
    // What is found is what to plan for.
    let near = node.run("plan --lock long.lock --pins fs/typo --expect-pins");
    let commands = suggested(&near.stdout, "maplock");
    assert_eq!(commands, ["plan --lock long.lock --pins fs/tc/globals"], "{}", near.stdout);
    assert_eq!(node.run(&commands[0]).code, Some(0));
}

#[test]
fn a_map_that_is_known_by_its_sizes_alone_is_counted_in_every_format() {
    let Some(node) = Node::new() else { return };
    let mut lock = Lock::parse(&node.sandbox.read("v1.lock")).expect("a lock");
    for name in ["backends", "stats"] {
        let def = &mut lock.maps.get_mut(name).expect("a map of v1").def;
        (def.key, def.value) = (None, None);
    }
    node.sandbox.write("bare.lock", lock.to_string());
    node.upgrade("bare.lock");
    node.fill("stats", 3);
    let counted = "2 of 4 maps are known by their sizes alone";
    let plan = "plan --lock bare.lock --pins fs/minimesh --message-format";
    let diff = "diff bare.lock bare.lock --message-format";
    for format in ["human", "markdown", "github"] {
        for told in [node.run(&format!("{plan} {format}")), node.sandbox.run(&format!("{diff} {format}"))] {
            assert_eq!(told.code, Some(0), "{}{}", told.stdout, told.stderr);
            assert!(told.stdout.contains(counted), "{}", told.stdout);
            assert!(told.stdout.contains("its types are unknown"), "{}", told.stdout);
        }
    }
    for json in [node.run(&format!("{plan} json")).json(), node.sandbox.run(&format!("{diff} json")).json()] {
        let told: Vec<_> =
            json["maps"].as_array().expect("maps").iter().map(|map| map["types_unknown"].clone()).collect();
        assert_eq!(told, ["all".into(), Value::Null, Value::Null, "all".into()], "{json:#}");
    }
    let report = node.stage("bare.lock", Policies::default()).commit().expect("an upgrade");
    assert!(report.to_string().contains(counted), "{report}");
    assert!(report.to_prometheus().contains("maplock_upgrade_types_unknown{map=\"stats\",disposition=\"reuse\"} 1"));
    assert_eq!(serde_json::to_value(&report).expect("plain data")["maps"][0]["types_unknown"], "all");
}

/// A hash of `entries` that is called `flows`, with a key and a value of these unsigned members: name, byte, size.
fn flows(key: &[(&str, u64, u64)], value: &[(&str, u64, u64)], entries: u32) -> MapDef {
    let uint = |size| Arc::new(Layout::new(size, Shape::Int(IntKind::Unsigned)));
    let structure = |name: &str, members: &[(&str, u64, u64)]| {
        let size = members.iter().map(|(_, at, size)| at + size).max().unwrap_or(0).next_multiple_of(8);
        let members = members.iter().map(|(name, at, size)| Member {
            name: (*name).into(),
            offset_bits: at * 8,
            bits: None,
            layout: uint(*size),
        });
        let of = Composite::new(CompositeKind::Struct, Some(name.into()), members.collect()).expect("few members");
        Arc::new(Layout::new(size, Shape::Composite(Arc::new(of))))
    };
    let (key, value) = (structure("flow_key", key), structure("flow", value));
    let size = |layout: &Layout| u32::try_from(layout.size).expect("small");
    MapDef {
        key_size: size(&key),
        value_size: size(&value),
        max_entries: entries,
        pinning: Pinning::ByName,
        key: Some(key),
        value: Some(value),
        ..MapDef::new("flows", MapType::HASH)
    }
}

/// Writes `old.lock`, and `new.lock` in which the change to `new` is accepted with these answers.
fn locks(node: &Node, old: &MapDef, new: &MapDef, answers: Answers) {
    let lock =
        |def: &MapDef| Lock { maps: [(def.name.clone(), LockedMap::new(def.clone()))].into(), ..Lock::default() };
    let observed = Observation { lock: lock(new), ..Observation::default() };
    let levels = Levels::default();
    let mut accepted =
        epochs::accept(&lock(old), &observed, &new.name, OnUpgrade::Migrate, "because", &levels).expect("a break");
    let map = accepted.maps.get_mut(&new.name).expect("the map");
    map.epochs.last_mut().expect("an epoch").convert = answers;
    node.sandbox.write("old.lock", lock(old).to_string());
    node.sandbox.write("new.lock", accepted.to_string());
}

const OLD_VALUE: [(&str, u64, u64); 2] = [("packets", 0, 8), ("drops", 8, 8)];
const NEW_VALUE: [(&str, u64, u64); 2] = [("packets", 0, 4), ("seen", 4, 4)];
const KEY: [(&str, u64, u64); 2] = [("port", 0, 4), ("lane", 4, 4)];

/// 100 entries, of which 99 have `packets`, three of them more than 32 bits hold, and five have `drops`.
fn fill_flows(node: &Node) {
    let map = Map::open(&node.pins().join("flows")).expect("a pin");
    for entry in 0..100_u64 {
        let packets = if [10, 20, 30].contains(&entry) { u64::from(u32::MAX) + entry } else { entry };
        let drops = u64::from(entry % 20 == 1);
        let value = [packets.to_ne_bytes(), drops.to_ne_bytes()].concat();
        // Lane 0 and 1 of each port.
        let key = [(entry / 2) as u32, (entry % 2) as u32].map(u32::to_ne_bytes).concat();
        map.update(&key, &value, 0).expect("room");
    }
}

fn narrowing(cast: Cast) -> Answers {
    Answers {
        drop: ["value.drops".to_owned()].into(),
        cast: [("value.packets".to_owned(), cast)].into(),
        ..Answers::default()
    }
}

const REHEARSE: &str = "plan --lock new.lock --pins fs/minimesh --rehearse --sample 1";

#[test]
fn a_rehearsal_tells_what_each_entry_becomes_and_an_upgrade_does_that() {
    let Some(node) = Node::new() else { return };
    locks(&node, &flows(&KEY, &OLD_VALUE, 128), &flows(&KEY, &NEW_VALUE, 128), narrowing(Cast::Saturate));
    node.upgrade("old.lock");
    fill_flows(&node);
    let before = node.run("dump fs/minimesh/flows").stdout;
    let told = node.run(REHEARSE);
    assert_eq!(told.code, Some(0), "{}{}", told.stdout, told.stderr);
    for line in [
        "rehearsed: nothing was written; programs go on writing, so this is a picture of now",
        "flows: 100 entries would be converted; 3 saturated; 99 lose something on the way back (`drops` of 5, `packets` of \
         99): a roll-back leaves these as they were copied",
    ] {
        assert!(told.stdout.lines().any(|told| told == line), "{line}\n{}", told.stdout);
    }
    let lines: Vec<_> = told.stdout.lines().collect();
    let at = lines.iter().position(|line| line.trim_start().starts_with("saturated ")).expect("an example");
    assert!(lines[at].contains("packets 42949673"), "{}", told.stdout);
    assert!(lines[at + 1].contains("packets 4294967295, seen 0"), "{}", told.stdout);
    let json = node.run(&format!("{REHEARSE} --message-format json")).json();
    let rehearsed = &json["rehearsed"]["flows"];
    for (key, value) in
        [("entries", 100), ("refused", 0), ("saturated", 3), ("truncated", 0), ("collided", 0), ("lost", 99)]
    {
        assert_eq!(rehearsed[key], value, "{key}: {rehearsed:#}");
    }
    assert_eq!(rehearsed["lost_members"], serde_json::json!({ "drops": 5, "packets": 99 }));
    assert_eq!((&rehearsed["fails"], &json["fails"]), (&false.into(), &false.into()));
    for format in ["markdown", "github"] {
        let told = node.run(&format!("{REHEARSE} --message-format {format}"));
        assert!(told.stdout.contains("100 entries would be converted; 3 saturated; "), "{}", told.stdout);
    }
    assert_eq!(node.run("dump fs/minimesh/flows").stdout, before, "and nothing is written");
    assert!(!node.sandbox.path("fs/minimesh@next").exists());

    node.upgrade("new.lock");
    let map = Map::open(&node.pins().join("flows")).expect("a pin");
    let saturated = (0..100_u32).filter(|entry| {
        let key = [entry / 2, entry % 2].map(u32::to_ne_bytes).concat();
        map.lookup(&key).expect("readable").is_some_and(|value| value[..4] == u32::MAX.to_ne_bytes())
    });
    assert_eq!(saturated.count(), 3);
    // And back: what the older layout has no place for, where there is something in it.
    for entry in [2_u32, 4, 6, 8] {
        let key = [entry / 2, 0].map(u32::to_ne_bytes).concat();
        map.update(&key, &[entry, 7].map(u32::to_ne_bytes).concat(), 0).expect("there");
    }
    let back = node.run("plan --lock old.lock --pins fs/minimesh --rehearse --message-format json").json();
    let rehearsed = &back["rehearsed"]["flows"];
    assert_eq!((&rehearsed["returns"], &rehearsed["refused"]), (&true.into(), &0.into()), "{back:#}");
    assert_eq!(rehearsed["lost_members"], serde_json::json!({ "packets": 99, "seen": 4 }));
    let told = node.run("plan --lock old.lock --pins fs/minimesh --rehearse").stdout;
    assert!(told.contains("flows: 100 entries would be converted back; "), "{told}");
}

#[test]
fn a_rehearsal_fails_where_the_upgrade_would_end_and_the_same_plan_does_not_know() {
    let Some(node) = Node::new() else { return };
    locks(&node, &flows(&KEY, &OLD_VALUE, 128), &flows(&KEY, &NEW_VALUE, 128), narrowing(Cast::Refuse));
    node.upgrade("old.lock");
    fill_flows(&node);
    assert_eq!(node.run("plan --lock new.lock --pins fs/minimesh --deny refuse").code, Some(0));
    let told = node.run(REHEARSE);
    assert_eq!(told.code, Some(100), "{}", told.stdout);
    assert!(told.stdout.contains("flows: 100 entries would be converted; 3 refused; "), "{}", told.stdout);
    assert!(told.stdout.contains("does not fit 32 bits, unsigned\n"), "{}", told.stdout);
    assert!(
        told.stdout.contains("error: an upgrade would stop at map `flows`, and change nothing\n"),
        "{}",
        told.stdout
    );
    let json = node.run(&format!("{REHEARSE} --message-format json"));
    assert_eq!((json.code, &json.json()["fails"]), (Some(100), &true.into()));
    let github = node.run(&format!("{REHEARSE} --message-format github"));
    assert!(github.stdout.contains("::error title=map flows%3A rehearsed::"), "{}", github.stdout);
    // What it says can be typed.
    let commands = suggested(&told.stdout, "maplock");
    assert_eq!(commands.len(), 1, "{}", told.stdout);
    assert!(node.run(&commands[0]).stdout.ends_with("100 entries of flows\n"));
    // And it is so.
    let begun = Options::new(node.spec("new.lock"), node.pins()).begin().expect("a plan");
    assert!(begun.stage().expect_err("three numbers are too large").to_string().contains("flows"));
    let map = Map::open(&node.pins().join("flows")).expect("a pin");
    for entry in [10_u32, 20, 30] {
        assert!(map.delete(&[entry / 2, 0].map(u32::to_ne_bytes).concat()).expect("writable"));
    }
    assert_eq!(node.run(REHEARSE).code, Some(0));
    node.upgrade("new.lock");
}

#[test]
fn entries_that_get_one_key_are_counted_and_only_where_they_may_not_it_fails() {
    for (collide, code) in [(Collide::Sum, 0), (Collide::Refuse, 100)] {
        let Some(node) = Node::new() else { return };
        let answers = Answers { drop: ["key.lane".to_owned()].into(), collide: Some(collide), ..Answers::default() };
        let new = flows(&[("port", 0, 8)], &OLD_VALUE, 128);
        let answers = Answers { cast: Default::default(), ..answers };
        locks(&node, &flows(&KEY, &OLD_VALUE, 128), &new, answers);
        node.upgrade("old.lock");
        fill_flows(&node);
        let told = node.run(REHEARSE);
        assert_eq!(told.code, Some(code), "{}{}", told.stdout, told.stderr);
        let line = "flows: 100 entries would be converted; 50 collided; no way leads back";
        assert!(told.stdout.lines().any(|told| told == line), "{}", told.stdout);
        assert!(told.stdout.contains("  as does port "), "{}", told.stdout);
        let begun = Options::new(node.spec("new.lock"), node.pins()).begin().expect("a plan");
        assert_eq!(begun.stage().is_ok(), code == 0);
    }
}

#[test]
fn what_only_the_daemons_code_converts_is_not_rehearsed_and_a_growth_needs_none() {
    let Some(node) = Node::new() else { return };
    let by_hand = Answers { by_hand: true, ..Answers::default() };
    locks(&node, &flows(&KEY, &OLD_VALUE, 128), &flows(&KEY, &NEW_VALUE, 128), by_hand);
    node.upgrade("old.lock");
    fill_flows(&node);
    let told = node.run(REHEARSE);
    assert_eq!(told.code, Some(0), "{}", told.stdout);
    let line = "flows: not rehearsed: its entries are converted by the daemon's own code, which alone can rehearse it";
    assert!(told.stdout.lines().any(|told| told == line), "{}", told.stdout);
    let Some(node) = running() else { return };
    let told = node.run("plan --lock v2.lock --pins fs/minimesh --rehearse");
    let line = "backends: 12 entries would be copied; none refused or changed by it";
    assert!(told.stdout.lines().any(|told| told == line), "{}", told.stdout);
    let none = node.run("plan --lock v1.lock --pins fs/minimesh --rehearse");
    assert!(none.stdout.contains("\nrehearsed: no entry would be converted or copied\n"), "{}", none.stdout);
}

#[test]
fn a_pin_that_somebody_removed_is_said_and_nothing_is_made_in_its_place_by_itself() {
    let Some(node) = running() else { return };
    node.upgrade("v2.lock");
    let pin = node.pins().join("backends");
    let held = Map::open(&pin).expect("a pin");
    fs::remove_file(&pin).expect("a pin");
    let plan = "plan --lock v2.lock --pins fs/minimesh --deny refuse";
    let told = node.run(plan);
    assert_eq!(told.code, Some(100), "{}", told.stdout);
    let why = format!(
        "somebody removed its pin `backends`: generation 2 has it as map {}; it still exists; pin it again: ",
        held.info().id
    );
    assert!(told.stdout.contains(&why), "{}", told.stdout);
    let inspected = node.run("inspect fs/minimesh").stdout;
    let warning = format!(
        "warning: somebody removed the pin of map `backends` (id {}) from the generation at fs/minimesh; it still exists",
        held.info().id
    );
    assert!(inspected.contains(&warning), "{inspected}");
    // A daemon that starts does not start empty without a word.
    let begin = |policies| Options::new(node.spec("v2.lock"), node.pins()).policies(policies).begin().expect("a plan");
    let error = begin(Policies::default()).stage().expect_err("it is refused").to_string();
    assert!(error.contains(&why) && error.ends_with("decide by the daemon's policy, `Policy::missing`"), "{error}");
    // The command is the one that the plan and the inspection say.
    let command =
        |told: &str| told.lines().find_map(|line| line.split_once(": bpftool ")).map(|(_, line)| line.to_owned());
    let line = command(&inspected).expect("a command");
    assert_eq!(line, format!("map pin id {} fs/minimesh/backends", held.info().id));
    assert!(told.stdout.contains(&line), "{}", told.stdout);
    let again = std::process::Command::new("bpftool").args(line.split(' ')).current_dir(node.sandbox.path("")).status();
    match again {
        Ok(status) => {
            assert!(status.success(), "{line}");
            let plan = node.run("plan --lock v2.lock --pins fs/minimesh --deny refuse,create,swap");
            assert_eq!(plan.code, Some(0), "{}", plan.stdout);
            fs::remove_file(&pin).expect("a pin");
        }
        Err(_) => println!("skipped: needs bpftool"),
    }

    drop(held);
    let id = node.run("inspect fs/minimesh --message-format json").json()["missing"][0]["id"].clone();
    // The kernel frees a map a moment after its last holder.
    while Map::from_id(id.as_u64().and_then(|id| u32::try_from(id).ok()).expect("a number")).is_ok() {
        std::thread::yield_now();
    }
    let told = node.run(plan);
    assert!(told.stdout.contains("; nothing holds it any more"), "{}", told.stdout);
    let json = node.run("inspect fs/minimesh --message-format json").json();
    assert_eq!((&json["missing"][0]["map"], &json["missing"][0]["lives"]), (&"backends".into(), &false.into()));
    // What is left to do is offered, and is what is done.
    let offered = "start empty: --missing backends=create, and the same policy in the daemon";
    assert!(told.stdout.contains(offered), "{}", told.stdout);
    let told = node.run(&format!("{plan} --missing backends=create"));
    assert_eq!(told.code, Some(0), "{}", told.stdout);
    assert!(told.stdout.contains("\nlost: the entries of backends · "), "{}", told.stdout);
    for deny in ["create", "swap"] {
        let told = node.run(&format!("plan --lock v2.lock --pins fs/minimesh --missing create --deny {deny}"));
        assert_eq!(told.code, Some(100), "{}", told.stdout);
    }
    let mut policies = Policies::default();
    policies.maps.insert("backends".to_owned(), Policy { missing: OnMissing::Create, ..Policy::default() });
    let report = begin(policies).stage().expect("staged").commit().expect("an upgrade");
    let lost = report.maps.iter().find(|map| map.map == "backends").map(|map| map.lost);
    assert_eq!((lost, pin.exists()), (Some(None), true), "what is gone can't be counted");
    assert_eq!(node.run(plan).code, Some(0));
}

#[test]
fn a_pin_that_the_kept_generation_has_too_is_taken_from_there() {
    let Some(node) = running() else { return };
    node.upgrade("v2.lock");
    let id = Map::open(&node.pins().join("stats")).expect("a pin").info().id;
    fs::remove_file(node.pins().join("stats")).expect("a pin");
    let told = node.run("plan --lock v2.lock --pins fs/minimesh --deny refuse,create,swap");
    assert_eq!(told.code, Some(0), "{}", told.stdout);
    assert!(
        told.stdout.contains("somebody removed its pin; the kept generation has the very same map"),
        "{}",
        told.stdout
    );
    node.upgrade("v2.lock");
    assert_eq!(Map::open(&node.pins().join("stats")).expect("a pin").info().id, id);
}

#[test]
fn a_kept_generation_that_lacks_a_pin_is_not_returned_to_in_silence() {
    let Some(node) = running() else { return };
    node.upgrade("v2.lock");
    let kept = node.sandbox.path("fs/minimesh@prev/backends");
    let id = Map::open(&kept).expect("a pin").info().id;
    fs::remove_file(&kept).expect("a pin");
    while Map::from_id(id).is_ok() {
        std::thread::yield_now();
    }
    let inspected = node.run("inspect fs/minimesh");
    let warning = format!(
        "warning: somebody removed the pin of map `backends` (id {id}) from the kept generation at fs/minimesh@prev; nothing holds it any more"
    );
    assert!(inspected.stdout.contains(&warning), "{}", inspected.stdout);
    let json = node.run("inspect fs/minimesh --message-format json").json();
    assert_eq!(json["kept"][0]["missing"][0]["map"], "backends");
    let told = node.run("rollback fs/minimesh");
    assert_eq!(told.code, Some(101), "{}", told.stdout);
    let wanted = format!(
        "somebody removed the pin `fs/minimesh@prev/backends` of map `backends` (id {id}) from the kept generation"
    );
    assert!(told.stderr.contains(&wanted), "{}", told.stderr);
    assert!(node.pins().join("drops").exists() && node.sandbox.path("fs/minimesh@prev/stats").exists());
    // Without something else, it does not go either.
    for other in ["stats", "flows"] {
        let told = node.run(&format!("rollback fs/minimesh --without {other}"));
        assert_eq!(told.code, Some(101), "{}", told.stdout);
    }
    let command = told.stderr.split_once(": maplock ").map(|(_, line)| line.trim()).expect("a command");
    assert_eq!(command, "rollback fs/minimesh --without backends");
    let told = node.run(command);
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    assert!(!node.pins().join("backends").exists());
    // The older release makes an empty one, and finds the rest.
    let plan = node.run("plan --lock v1.lock --pins fs/minimesh --deny refuse,swap");
    assert_eq!(plan.code, Some(0), "{}", plan.stdout);
    node.upgrade("v1.lock");
    assert!(node.pins().join("backends").exists());
}

#[test]
fn other_pins_of_a_map_that_is_left_behind_are_named() {
    let Some(node) = running() else { return };
    let (stats, other) = (node.pins().join("stats"), node.pins().join("stats_old"));
    fs::hard_link(&stats, &other).expect("a second name");
    let told = node.run("plan --lock v1.lock --pins fs/minimesh");
    assert!(!told.stdout.contains("stats_old` is a pin"), "it stays the same map: {}", told.stdout);
    let told = node.run("plan --lock v3.lock --pins fs/minimesh");
    let why = "; `stats_old` is a pin of the same map, and goes on showing the old entries";
    assert!(told.stdout.lines().any(|line| line.starts_with("stats ") && line.ends_with(why)), "{}", told.stdout);
    let json = node.run("plan --lock v3.lock --pins fs/minimesh --message-format json").json();
    let map = json["maps"].as_array().expect("maps").iter().find(|map| map["map"] == "stats").expect("stats");
    assert_eq!(map["other_pins"], serde_json::json!(["stats_old"]));
    node.upgrade("v3.lock");
    let id = |pin: &std::path::Path| Map::open(pin).expect("a pin").info().id;
    assert_ne!(id(&stats), id(&other));
    assert_eq!(Some(u64::from(id(&other))), map["id"].as_u64());
}
