//! What the gate tells as JSON is what the schemas say, for every rule and every end; and what it offers is taken.

mod support;

use std::fs;

use maplock_layout::rules::{self, Compares, Rule};
use serde_json::{Value, json};
use support::schemas::Told;
use support::{Sandbox, compile_c, object, repository};

/// The releases of each rule's example, compiled, and locks of the old ones at v1.
fn examples() -> (Sandbox, Vec<&'static Rule>) {
    let sandbox = Sandbox::new();
    sandbox.git_init();
    for rule in rules::ALL {
        for (side, source) in [("old", rule.example.old), ("new", rule.example.new)] {
            let name = format!("{side}/{}.o", rule.id);
            sandbox.write(&name, "");
            compile_c(&sandbox, &name, &format!("#include \"bpf_min.h\"\n{source}"));
        }
        let ran = sandbox.run(&format!("init --object old/{0}.o --lock {0}.lock", rule.id));
        assert_eq!(ran.code, Some(0), "{}: {}", rule.id, ran.stderr);
    }
    sandbox.release("v1");
    let of_releases = rules::ALL.iter().filter(|rule| rule.effect.compares == Compares::Releases).copied().collect();
    (sandbox, of_releases)
}

/// What is offered: of each map, the answers.
fn choices(diff: &Value) -> Vec<(String, Value)> {
    let of_map = |map: &Value| {
        let choices = map["choices"].as_array().cloned().unwrap_or_default();
        choices.into_iter().map(|choice| (map["name"].to_string(), choice)).collect::<Vec<_>>()
    };
    diff["maps"].as_array().expect("maps").iter().flat_map(of_map).collect()
}

/// As one would type it.
fn typed(command: &Value) -> String {
    let line = command.as_str().expect("a command").strip_prefix("cargo maplock ").expect("ours");
    line.replace("\"…\"", "why").replace('\'', "\"")
}

#[test]
fn every_rules_documents_fit_and_what_a_diff_offers_is_taken() {
    let (sandbox, of_releases) = examples();
    let mut told = Told::default();
    let (mut taken, mut asked) = (0, 0);
    for rule in of_releases {
        let (id, new) = (rule.id, format!("new/{}.o", rule.id));
        let lock = format!("{id}.lock");
        let empty = told.of(&sandbox, "diff", &format!("diff v1 --lock {lock}"));
        assert!(empty["findings"].as_array().is_some_and(Vec::is_empty) && empty["fails"] == false, "{id}: {empty}");
        told.of(&sandbox, "check", &format!("check --object {new} --lock {lock}"));
        // No command records what lies beside the project.
        let beside = told.of(&sandbox, "diff", &format!("diff old/{id}.o {new}"));
        assert!(choices(&beside).iter().all(|(_, choice)| choice["command"].is_null()), "{id}: {beside}");

        fs::remove_file(sandbox.path(&lock)).expect("a lock");
        let ran = sandbox.run(&format!("init --object {new} --lock {lock}"));
        assert_eq!(ran.code, Some(0), "{id}: {}", ran.stderr);
        let before = sandbox.read(&lock);
        let diff = format!("diff v1 --lock {lock}");
        let open = told.of(&sandbox, "diff", &diff);
        told.of(&sandbox, "check", &format!("check --against v1 --lock {lock}"));
        let human = sandbox.run(&diff).stdout;
        let offered = choices(&open);
        let typing = |text: &str| text.matches("cargo maplock accept ").count();
        // Of counters, the commands accept no change.
        let of_counters = human.lines().filter(|line| line.contains(" --merge ")).count();
        assert_eq!(typing(&human) - of_counters, offered.len(), "{id}: {human}");
        assert_eq!(
            human.contains("be accepted as ") || human.contains("can go on as "),
            !offered.is_empty(),
            "{id}: {human}"
        );
        for (map, choice) in offered {
            let mut line = typed(&choice["command"]);
            let asks = choice["asks"].as_array().expect("a list");
            if !asks.is_empty() {
                asked += 1;
                let ran = sandbox.run(&line);
                assert_eq!(ran.code, Some(101), "{line}: {}", ran.stdout);
                assert!(ran.stderr.contains("answered"), "{line}: {}", ran.stderr);
                let first: Vec<_> = asks.iter().filter_map(|ask| ask["options"][0].as_str()).collect();
                if first.len() < asks.len() || first.iter().any(|option| option.chars().any(char::is_uppercase)) {
                    continue;
                }
                line = format!("{line} {}", first.join(" ").replace('\'', "\""));
            }
            let accepted = told.of(&sandbox, "check", &line);
            assert_eq!(accepted["locks"][0]["result"], "written", "{line}: {accepted}");
            let now = told.of(&sandbox, "diff", &diff);
            assert_eq!(now["fails"], false, "{line}: {now}");
            // What was foreseen is what comes.
            let after = choice["command"].as_str().and_then(|line| line.split(' ').nth(3)).expect("a map");
            let maps = now["maps"].as_array().expect("maps");
            let verdict = maps.iter().find(|of| of["name"] == after).unwrap_or_else(|| panic!("{map}: {now}"));
            let (foreseen, comes) = (choice["entries"].as_str().expect("a phrase"), verdict["entries"].as_str());
            let is_same = comes.is_none_or(|comes| foreseen.starts_with(comes));
            assert!(is_same || !asks.is_empty(), "{line}: {foreseen}, and then {comes:?}");
            assert!(choices(&now).iter().all(|(name, _)| *name != map), "{line}: {now}");
            taken += 1;
            sandbox.write(&lock, &before);
        }
    }
    assert!(taken > 40 && asked > 3, "{taken} taken, {asked} asked");
    // Of what objects say of each other, and of programs.
    for rule in rules::ALL.iter().filter(|rule| rule.effect.compares != Compares::Releases) {
        let id = rule.id;
        told.of(&sandbox, "check", &format!("check --object new/{id}.o --lock {id}.lock"));
        told.of(&sandbox, "check", &format!("check --object old/{id}.o new/{id}.o --lock {id}.lock"));
        told.of(&sandbox, "explain", &format!("explain {id}"));
    }
    told.of(&sandbox, "rules", "rules");
    assert_eq!(told.misfits(&sandbox, &sandbox), "");
}

#[test]
fn every_end_fits_its_schema() {
    let sandbox = Sandbox::with_release();
    let mut told = Told::default();
    let [v1, v2, v3] = ["v1", "v2", "v3"].map(object);
    let mut ends = Vec::new();
    let mut check = |told: &mut Told, line: &str| {
        let document = told.of(&sandbox, "check", line);
        let result = document["locks"][0]["result"].as_str().or(document["result"].as_str()).expect("told").to_owned();
        ends.push(result);
        document
    };
    told.of(&sandbox, "diff", &format!("diff v1 {v1}"));
    let open = told.of(&sandbox, "diff", &format!("diff v1 {v3}"));
    let ways: Vec<_> = choices(&open).into_iter().map(|(map, choice)| format!("{map} {}", choice["entries"])).collect();
    assert_eq!(ways, ["\"stats\" \"every entry is converted\"", "\"stats\" \"its entries are given up\""]);
    told.of(&sandbox, "diff", "diff v9");
    told.of(&sandbox, "diff", "diff v1 nothing.o");
    check(&mut told, &format!("check --object {v1}"));
    check(&mut told, &format!("check --object {v2}"));
    check(&mut told, &format!("check --object {v3}"));
    check(&mut told, &format!("check --object {v1} {v3}"));
    check(&mut told, "check --object nothing.o");
    check(&mut told, "check --lock none.lock --against v1");
    check(&mut told, "check --lock maps.lock --against v9");
    check(&mut told, &format!("init --lock other.lock --object {v1}"));
    check(&mut told, "check --lock other.lock --against v1 --allow-new");
    check(&mut told, &format!("update --object {v3}"));
    check(&mut told, &format!("update --object {v2}"));
    sandbox.release("v2");
    check(&mut told, &format!("accept stats --on-upgrade migrate --reason \"64 bits\" --object {v3}"));
    check(&mut told, "accept drops --merge hits=sum --lock maps.lock");
    check(&mut told, &format!("update --object {v3}"));
    check(&mut told, "check --lock maps.lock --against v1");
    told.of(&sandbox, "diff", "diff v1");
    sandbox.release("v3");
    told.of(&sandbox, "matrix", "matrix --lock maps.lock --tags v* --reverse");
    told.of(&sandbox, "matrix", "matrix --lock maps.lock --tags v1");
    told.of(&sandbox, "matrix", "matrix --lock maps.lock --tags w*");
    told.of(&sandbox, "migrate", "migrate --lock maps.lock");
    told.of(&sandbox, "migrate", "migrate --lock maps.lock --test --entries 5");
    told.of(&sandbox, "migrate", "migrate --lock none.lock");
    let fleet = repository().join("tests/fleet");
    let nodes = format!("--fleet {0}/node-1.json {0}/node-2.json {0}/node-3.json", fleet.display());
    check(&mut told, &format!("check --lock maps.lock --against v1 {nodes}"));
    sandbox.write("maplock.toml", "direction = \"both\"\nreleases = \"v*\"\nacross = \"all\"\n");
    check(&mut told, "accept stats --on-upgrade swap --reason why --against v1");
    let denied = check(&mut told, "check --lock maps.lock --against v1");
    assert!(
        denied["locks"].as_array().is_some_and(|all| all.iter().any(|lock| lock["one_way"].is_object())),
        "{denied}"
    );
    check(&mut told, "accept stats --undo --lock maps.lock");
    check(&mut told, "accept nothing --undo --lock maps.lock");
    fs::remove_file(sandbox.path("maplock.toml")).expect("a configuration");
    for release in ["v1", "v2", "v3", "v4"] {
        told.of(&sandbox, "objects", &format!("inspect {}", object(release)));
    }
    told.of(&sandbox, "objects", "inspect nothing.o");
    ends.sort_unstable();
    ends.dedup();
    let expected =
        ["breaks", "compatible", "new", "not-compared", "not-written", "out-of-date", "up-to-date", "written"];
    assert!(expected.iter().all(|end| ends.iter().any(|found| found == end)), "{ends:?}");
    assert_eq!(told.misfits(&sandbox, &sandbox), "");

    // What has a part more, less or otherwise does not fit.
    told.spoiled(&sandbox, &sandbox, &|document| document["more"] = json!(1));
    told.spoiled(&sandbox, &sandbox, &|document| {
        let last = document.as_object().and_then(|all| all.keys().next_back().cloned()).unwrap_or_default();
        document.as_object_mut().and_then(|all| all.remove(&last));
    });
    let mut deep = Told(told.0.clone());
    deep.0.retain(|(_, _, document)| document["maps"][0]["verdict"].is_string());
    assert!(deep.0.len() > 2);
    deep.spoiled(&sandbox, &sandbox, &|document| document["maps"][0]["more"] = json!(1));
    deep.spoiled(&sandbox, &sandbox, &|document| document["maps"][0]["verdict"] = json!("kept"));
}

#[test]
fn the_page_says_what_each_value_means() {
    let sandbox = Sandbox::new();
    let page = fs::read_to_string(repository().join("docs/json.md")).expect("a page");
    let mut values = 0;
    for of in ["check", "diff", "matrix"] {
        let schema = sandbox.run(&format!("schema {of}")).json();
        each_value(&schema, &mut |value, means| {
            values += 1;
            assert!(page.contains(&format!("| `{value}` | {means} |")), "| `{value}` | {means} |");
        });
    }
    assert!(values > 60, "{values}");
}

/// Each value of an enumeration, with what it means.
fn each_value(schema: &Value, see: &mut dyn FnMut(&str, &str)) {
    match schema {
        Value::Object(all) => {
            if let (Some(value), Some(means)) = (schema["const"].as_str(), schema["description"].as_str()) {
                see(value, means);
            }
            all.values().for_each(|part| each_value(part, see));
        }
        Value::Array(all) => all.iter().for_each(|part| each_value(part, see)),
        _ => {}
    }
}
