//! `cargo maplock check --fleet`: what an upgrade to the lock does on nodes, by what is pinned there.

mod support;

use maplock_layout::Lock;
use serde_json::{Value, json};
use support::{Ran, Sandbox, compile, object};

/// A repository with the releases v1 to v3, of which v3 converts the counters.
fn project() -> Sandbox {
    let sandbox = Sandbox::with_minimesh();
    sandbox.git_init();
    done(&sandbox, &format!("init --object {}", object("v1")));
    sandbox.release("v1");
    done(&sandbox, &format!("update --object {}", object("v2")));
    sandbox.release("v2");
    done(&sandbox, &format!("accept stats --on-upgrade migrate --reason wrapped --object {}", object("v3")));
    done(&sandbox, &format!("update --object {}", object("v3")));
    sandbox.release("v3");
    sandbox
}

fn done(sandbox: &Sandbox, line: &str) {
    let ran = sandbox.run(line);
    assert_eq!(ran.code, Some(0), "{line}: {}{}", ran.stdout, ran.stderr);
}

/// What `maplock inspect` says of a node that has a lock's maps pinned, each with so many entries.
fn inspected(lock: &str, entries: u64) -> Value {
    let lock = Lock::parse(lock).expect("a lock");
    let maps = lock.maps.values().map(|map| {
        json!({
            "pin": map.def.name,
            "type": map.def.map_type.to_string(),
            "max_entries": map.def.max_entries,
            "entries": entries,
            "layout_from": "btf",
            "digest": map.def.digest().to_string(),
            "locked_digest": map.def.digest().to_string(),
            "problem": null,
        })
    });
    json!({
        "dir": "/sys/fs/bpf/m",
        "generation": 1,
        "maps": maps.collect::<Vec<_>>(),
        "programs": [],
        "missing": [],
        "foreign": [],
        "next": null,
    })
}

/// The lock of a release.
fn released(sandbox: &Sandbox, release: &str) -> String {
    sandbox.git(&format!("checkout --quiet {release} -- maps.lock"));
    let lock = sandbox.read("maps.lock");
    sandbox.git("checkout --quiet HEAD -- maps.lock");
    lock
}

fn map<'a>(document: &'a mut Value, pin: &str) -> &'a mut Value {
    let maps = document["maps"].as_array_mut().expect("maps");
    maps.iter_mut().find(|map| map["pin"] == pin).expect(pin)
}

/// Rows of a map in JSON: layout, what, whether it loses and fails, and the nodes.
fn rows(ran: &Ran, of: &str) -> Vec<String> {
    let told = ran.json();
    let locks = told["locks"].as_array().expect("locks").clone();
    let on = locks.iter().find(|lock| lock["result"] == "on-nodes").unwrap_or_else(|| panic!("{}", ran.stdout));
    let rows = on["fleet"]["maps"].as_array().expect("rows").iter().filter(|row| row["map"] == of);
    rows.map(|row| {
        let mark = |key: &str, mark: &'static str| if row[key] == true { mark } else { "" };
        let nodes: Vec<_> = row["nodes"].as_array().expect("nodes").iter().filter_map(Value::as_str).collect();
        let layout = row["layout"].as_str().map_or("-", |layout| &layout[..8]);
        let what = row["what"].as_str().expect("a word");
        format!("{layout} {what}{}{} {}", mark("loses", "!"), mark("fails", " fails"), nodes.join(","))
    })
    .collect()
}

#[cfg(target_os = "linux")]
#[test]
fn what_the_tool_writes_on_nodes_is_held_against_a_lock() {
    let Some(node) = support::node::Node::new() else { return };
    let inspect = || node.run("inspect fs/minimesh --message-format json").stdout;
    node.upgrade("v1.lock");
    node.fill("backends", 12);
    node.fill("stats", 3);
    node.sandbox.write("one.json", inspect());
    node.upgrade("v2.lock");
    node.sandbox.write("two.json", inspect());
    let check = |lock: &str, format: &str| {
        let object = object("v3");
        node.sandbox
            .run(&format!("check --object {object} --lock {lock} --fleet one.json two.json --message-format {format}"))
    };
    let ran = check("v3.lock", "json");
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(rows(&ran, "stats"), ["b3387979 swap! one,two"]);
    assert_eq!(rows(&ran, "backends"), ["53b4eea0 grow one", "53b4eea0 reuse two"]);
    assert_eq!(rows(&ran, "drops"), ["- create one", "14291996 reuse two"]);
    insta::assert_snapshot!("human", check("v3.lock", "human").stdout);
    insta::assert_snapshot!("markdown", check("v3.lock", "markdown").stdout);
    // Without the epoch that leads there, both refuse, as their plans say.
    let ran = check("unknown.lock", "json");
    assert_eq!(ran.code, Some(100), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(rows(&ran, "stats"), ["b3387979 refuse! fails one,two"]);
    let plan = node.run("plan --lock unknown.lock --pins fs/minimesh --message-format json").json();
    let maps = plan["maps"].as_array().expect("maps").clone();
    assert_eq!(maps.iter().find(|map| map["map"] == "stats").expect("stats")["disposition"], "refuse");
    insta::assert_snapshot!("unknown", check("unknown.lock", "human").stdout);
}

#[cfg(target_os = "linux")]
#[test]
fn what_a_daemon_serves_is_read_as_what_the_tool_writes() {
    let Some(node) = support::node::Node::new() else { return };
    node.upgrade("v1.lock");
    node.upgrade("v2.lock");
    node.fill("backends", 12);
    node.fill("stats", 3);
    let pins = node.sandbox.path("fs/minimesh");
    let served = maplock::metrics(&pins).expect("pins");
    node.sandbox.write("node.json", node.run("inspect fs/minimesh --message-format json").stdout);
    node.sandbox.write("node.prom", &served);
    let check = |lock: &str, file: &str, format: &str| {
        let object = object("v3");
        node.sandbox.run(&format!("check --object {object} --lock {lock} --fleet {file} --message-format {format}"))
    };
    for (lock, code) in [("v3.lock", 0), ("unknown.lock", 100)] {
        let [json, prom] = ["node.json", "node.prom"].map(|file| check(lock, file, "json"));
        assert_eq!((json.code, prom.code), (Some(code), Some(code)), "{}{}", prom.stdout, prom.stderr);
        for map in ["backends", "frontends", "services", "stats", "drops"] {
            assert_eq!(rows(&json, map), rows(&prom, map), "{map}");
        }
    }
    // Nobody has counted its entries.
    let told = check("v3.lock", "node.prom", "human").stdout;
    assert!(told.lines().any(|line| line.starts_with("stats ") && line.contains(" ? ")), "{told}");
    // Several nodes as Prometheus hands them on, one of them without what is pinned.
    let of = |instance: &str| served.replace("{dir=", &format!("{{instance=\"{instance}\",dir="));
    let cut = of("c").replace("maplock_maps{", "other{");
    node.sandbox.write("all.prom", of("a") + &of("b") + &cut);
    let ran = check("v3.lock", "all.prom", "json");
    assert_eq!(ran.code, Some(101), "{}", ran.stdout);
    assert_eq!(rows(&ran, "drops"), ["14291996 reuse a,b"]);
    assert!(ran.stderr.contains("all.prom does not tell all of c: it has no `maplock_maps`"), "{}", ran.stderr);
    // Where there is no such directory, nothing is told of what it has.
    node.sandbox.write("none.prom", maplock::metrics(pins.with_file_name("other")).expect("nothing"));
    let ran = check("v3.lock", "none.prom", "json");
    assert_eq!(ran.code, Some(101), "{}", ran.stdout);
    assert!(ran.stderr.contains("none.prom tells of none neither what is pinned nor a report"), "{}", ran.stderr);
}

#[test]
fn layouts_that_are_out_there_are_counted() {
    let sandbox = project();
    for release in ["v1", "v2", "v3"] {
        let lock = released(&sandbox, release);
        sandbox.write(&format!("{release}.json"), inspected(&lock, 5).to_string());
    }
    let line = "check --lock maps.lock --against v2 --fleet v1.json v2.json v3.json";
    let ran = sandbox.run(&format!("{line} --message-format json"));
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(rows(&ran, "stats"), ["b3387979 migrate v1,v2", "865211c5 reuse v3"]);
    assert_eq!(rows(&ran, "drops"), ["- create v1", "14291996 reuse v2,v3"]);
    let human = sandbox.run(line).stdout;
    assert!(human.ends_with("maps.lock: of 3 nodes, none loses entries or refuses the upgrade\n"), "{human}");
    // A file that is named twice is one node; of two that are called alike, both are told.
    sandbox.write("other/v1.json", sandbox.read("v1.json"));
    let line = "check --lock maps.lock --against v2 --fleet v1.json v1.json other/v1.json --message-format json";
    assert_eq!(rows(&sandbox.run(line), "stats"), ["b3387979 migrate v1,other/v1.json"]);
}

#[test]
fn a_layout_that_the_lock_does_not_know_fails_in_every_format() {
    let sandbox = project();
    let lock = released(&sandbox, "v3");
    let mut strange = inspected(&lock, 5);
    map(&mut strange, "stats")["digest"] = "0123456789abcdef0123456789abcdef".into();
    map(&mut strange, "stats")["locked_digest"] = Value::Null;
    sandbox.write("strange.json", strange.to_string());
    sandbox.write("known.json", inspected(&lock, 5).to_string());
    let check = |format: &str| {
        sandbox.run(&format!(
            "check --lock maps.lock --against v3 --fleet strange.json known.json --message-format {format}"
        ))
    };
    assert_eq!(rows(&check("json"), "stats"), ["01234567 refuse! fails strange", "865211c5 reuse known"]);
    for (format, said) in [
        (
            "human",
            "error: maps.lock: of 2 nodes, 1 would lose entries or refuse the upgrade, and no answer accepts that",
        ),
        ("human", "map `stats` of layout 01234567: refuse on strange"),
        ("human", "the lock does not know this layout: no accepted change leads from 01234567"),
        ("markdown", "| `stats` | `01234567` | 1 of 2: strange | 5 | **refuse !** |"),
        ("github", "::error file=maps.lock,line="),
        ("sarif", "\"ruleId\":\"lost-on-nodes\""),
        ("gitlab", "\"check_name\":\"lost-on-nodes\""),
        ("junit", "name=\"stats 01234567\"><failure"),
    ] {
        let ran = check(format);
        assert_eq!(ran.code, Some(100), "{format}: {}{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.contains(said), "{format}: {}", ran.stdout);
    }
    // The word of its generation counts where the kernel shows the map otherwise.
    map(&mut strange, "stats")["locked_digest"] = map(&mut inspected(&lock, 5), "stats")["digest"].clone();
    sandbox.write("strange.json", strange.to_string());
    let ran = check("json");
    assert_eq!((ran.code, rows(&ran, "stats")), (Some(0), vec!["865211c5 reuse strange,known".to_owned()]));
    // Nothing at all tells it.
    map(&mut strange, "stats")["locked_digest"] = Value::Null;
    map(&mut strange, "stats")["layout_from"] = "attributes".into();
    sandbox.write("strange.json", strange.to_string());
    let ran = check("human");
    assert!(
        ran.code == Some(100) && ran.stdout.contains("it has no BTF, and no generation names it"),
        "{}",
        ran.stdout
    );
}

#[test]
fn a_break_that_no_node_can_meet_is_said_to_be_so_and_stays_one() {
    let sandbox = project();
    let (v1, v3) = (released(&sandbox, "v1"), released(&sandbox, "v3"));
    sandbox.write("v1.json", inspected(&v1, 5).to_string());
    sandbox.write("v3.json", inspected(&v3, 5).to_string());
    // Written anew, it has no epoch that leads from v1.
    std::fs::remove_file(sandbox.path("maps.lock")).expect("a lock");
    done(&sandbox, &format!("init --object {}", object("v3")));
    let check = |files: &str, format: &str| {
        sandbox.run(&format!("check --lock maps.lock --against v1 --fleet {files} --message-format {format}"))
    };
    for (files, said) in [
        ("v3.json", "map `stats`: no node of 1 has this layout, b3387979"),
        ("v3.json v1.json", "map `stats`: 1 node of 2 has this layout, b3387979"),
        ("v3.json absent.json", "map `stats`: no node of 1 has this layout, b3387979; 1 more is not known"),
    ] {
        for format in ["human", "json", "markdown"] {
            let ran = check(files, format);
            let code = if files.contains("absent") { 101 } else { 100 };
            assert_eq!(ran.code, Some(code), "{files}: {}{}", ran.stdout, ran.stderr);
            assert!(ran.stdout.contains(said), "{files} {format}: {}", ran.stdout);
            assert!(ran.stdout.contains("member-type-changed"), "the break is told: {}", ran.stdout);
        }
    }
    // The same of objects that the lock does not have yet.
    sandbox.git("checkout --quiet v2 -- maps.lock");
    for (files, said) in [("v3.json", "no node of 1 has this layout"), ("v1.json", "1 node of 1 has this layout")] {
        let ran = sandbox.run(&format!("check --lock maps.lock --object {} --fleet {files}", object("v3")));
        assert_eq!(ran.code, Some(100), "{}", ran.stdout);
        assert!(ran.stdout.contains(said), "{}", ran.stdout);
    }
}

#[test]
fn what_was_not_told_is_no_clean_node() {
    let sandbox = project();
    let lock = released(&sandbox, "v3");
    sandbox.write("good.json", inspected(&lock, 5).to_string());
    let mut next = inspected(&lock, 5);
    next["next"] = "complete".into();
    let mut removed = inspected(&lock, 5);
    removed["maps"].as_array_mut().expect("maps").retain(|map| map["pin"] != "stats");
    removed["missing"] = json!([{ "map": "stats", "id": 7, "lives": null }]);
    let mut denied = inspected(&lock, 5);
    map(&mut denied, "stats")["digest"] = "0123456789abcdef0123456789abcdef".into();
    map(&mut denied, "stats")["locked_digest"] = Value::Null;
    map(&mut denied, "stats")["problem"] = "reading its BTF needs CAP_SYS_ADMIN".into();
    let mut none = inspected(&lock, 5);
    map(&mut none, "stats")["digest"] = "of no form".into();
    map(&mut none, "stats")["locked_digest"] = Value::Null;
    let mut other = inspected(&lock, 5);
    other["dir"] = "/sys/fs/bpf/other".into();
    let plan = json!({ "fails": false, "denied": [], "refused": false, "maps": [] });
    let failed = json!({ "error": { "what": "nothing is pinned", "cause": null } });
    for (document, said) in [
        (String::new(), "its file is empty: nothing was told"),
        ("{\"maps\": []}".to_owned(), "bad.json is not output of `maplock plan`"),
        ("no JSON".to_owned(), "bad.json is not output of `maplock plan`"),
        (plan.to_string(), "its file does not tell what is pinned there"),
        (failed.to_string(), "the node could not tell what is pinned there"),
        (next.to_string(), "an upgrade did not end there"),
        (removed.to_string(), "somebody removed the pin of `stats`"),
        (
            denied.to_string(),
            "its document does not tell which layout `stats` has: reading its BTF needs CAP_SYS_ADMIN",
        ),
        (none.to_string(), "`stats` has no digest"),
        (
            format!("{}{other}", inspected(&lock, 5)),
            "bad.json tells what is pinned at /sys/fs/bpf/m, and at /sys/fs/bpf/other",
        ),
    ] {
        sandbox.write("bad.json", &document);
        for format in ["human", "json", "markdown", "github", "sarif", "gitlab", "junit"] {
            let check = |files: &str| {
                sandbox.run(&format!("check --lock maps.lock --against v3 --fleet {files} --message-format {format}"))
            };
            let ran = check("bad.json");
            assert_eq!(ran.code, Some(101), "{document}: {}", ran.stdout);
            assert!(!ran.stdout.contains("none loses"), "{format}: {}", ran.stdout);
            assert!(ran.stderr.contains(said), "{document}: {}", ran.stderr);
            let ran = check("good.json bad.json");
            assert_eq!(ran.code, Some(101), "{document}: {}", ran.stdout);
            if format == "human" {
                assert!(
                    ran.stdout.contains("of 1 node, none loses entries or refuses the upgrade; 1 more is not known"),
                    "{}",
                    ran.stdout
                );
                assert!(ran.stdout.contains("maps.lock against bad: nothing was compared"), "{}", ran.stdout);
            }
        }
    }
    let ran = sandbox.run("check --lock maps.lock --against v3 --fleet nodes/*.json");
    assert_eq!(ran.code, Some(101), "{}", ran.stdout);
    assert!(ran.stderr.contains("could not read nodes/*.json"), "{}", ran.stderr);
}

/// A hash of that name with room for so many entries.
fn hash(name: &str, max_entries: u32) -> String {
    format!(
        "struct {{ __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, {max_entries}); __uint(pinning, 1); \
         __type(key, __u32); __type(value, __u64); }} {name} SEC(\".maps\");\n"
    )
}

#[test]
fn entries_that_do_not_fit_are_refused_and_a_larger_map_stays() {
    let sandbox = Sandbox::new();
    compile(&sandbox, "flows.o", &hash("flows", 64));
    done(&sandbox, "init --object flows.o");
    let before = sandbox.read("maps.lock");
    compile(&sandbox, "flows.o", &hash("flows", 8));
    done(&sandbox, "accept flows --on-upgrade migrate --reason few --object flows.o");
    let check = |entries: Value, max_entries: u32| {
        let mut document = inspected(&before, 0);
        map(&mut document, "flows")["entries"] = entries;
        map(&mut document, "flows")["max_entries"] = max_entries.into();
        sandbox.write("node.json", document.to_string());
        sandbox.run("check --object flows.o --fleet node.json --message-format json")
    };
    let digest = Lock::parse(&before).expect("a lock").maps["flows"].def.digest().short();
    let of = |what: &str| vec![format!("{digest} {what} node")];
    for (entries, code, what) in
        [(json!(5), 0, "migrate"), (json!(20), 100, "refuse! fails"), (Value::Null, 0, "migrate!")]
    {
        let ran = check(entries, 64);
        assert_eq!((ran.code, rows(&ran, "flows")), (Some(code), of(what)), "{}", ran.stdout);
    }
    // Nobody accepted less room than the daemon gave it: the map stays as it is.
    compile(&sandbox, "flows.o", &hash("flows", 64));
    std::fs::remove_file(sandbox.path("maps.lock")).expect("a lock");
    done(&sandbox, "init --object flows.o");
    let ran = check(json!(100), 128);
    assert_eq!((ran.code, rows(&ran, "flows")), (Some(0), of("reuse")), "{}", ran.stdout);
    assert!(ran.stdout.contains("max_entries stays at 128"), "{}", ran.stdout);
}

#[test]
fn maps_that_are_gone_or_have_another_name_are_found_under_their_pins() {
    let sandbox = Sandbox::new();
    compile(&sandbox, "flows.o", &(hash("flows", 64) + &hash("recent", 64)));
    done(&sandbox, "init --object flows.o");
    let before = sandbox.read("maps.lock");
    compile(&sandbox, "flows.o", &hash("streams", 64));
    done(&sandbox, "accept streams --renamed-from flows --reason clearer --object flows.o");
    done(&sandbox, "accept recent --on-upgrade drop --reason unused --object flows.o");
    done(&sandbox, "update --object flows.o");
    let check = |document: &Value| {
        sandbox.write("node.json", document.to_string());
        sandbox.run("check --object flows.o --fleet node.json --message-format json")
    };
    let digest = Lock::parse(&before).expect("a lock").maps["flows"].def.digest().short();
    let of = |what: &str| vec![format!("{digest} {what} node")];
    let mut document = inspected(&before, 3);
    let ran = check(&document);
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert_eq!((rows(&ran, "streams"), rows(&ran, "recent")), (of("reuse"), of("drop!")), "{}", ran.stdout);
    assert!(ran.stdout.contains("\"pin\":\"flows\""), "{}", ran.stdout);
    // Nothing is lost of what is empty.
    assert_eq!(rows(&check(&inspected(&before, 0)), "recent"), of("drop"));
    // A pin of which the lock says nothing is left behind, unless it is somebody else's.
    map(&mut document, "recent")["pin"] = "other".into();
    let ran = check(&document);
    assert_eq!((ran.code, rows(&ran, "other")), (Some(100), of("drop! fails")), "{}", ran.stdout);
    document["foreign"] = json!([{ "pin": "other", "kind": "map" }]);
    let ran = check(&document);
    assert_eq!((ran.code, rows(&ran, "other")), (Some(0), Vec::new()), "{}", ran.stdout);
    // Of two pins that are names of one map, only the node can tell.
    map(&mut document, "other")["pin"] = "streams".into();
    let ran = check(&document);
    assert_eq!(ran.code, Some(101), "{}", ran.stdout);
    assert!(ran.stderr.contains("`streams` and `flows` are both pinned, and are names of one map"), "{}", ran.stderr);
}

#[test]
fn the_pins_of_a_node_are_those_of_one_lock() {
    let sandbox = project();
    sandbox.write("node.json", inspected(&released(&sandbox, "v3"), 1).to_string());
    let ran = sandbox.run("check --lock maps.lock --against v3 --fleet");
    assert_eq!(ran.code, Some(2), "{}", ran.stdout);
    sandbox.write("maps.lock", "version = 99\n");
    let ran = sandbox.run("check --lock maps.lock --against v3 --fleet node.json");
    assert_eq!(ran.code, Some(101), "{}", ran.stdout);
    assert!(!ran.stdout.contains("none loses"), "{}", ran.stdout);
}
