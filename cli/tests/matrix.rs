//! What upgrades from all releases keep, what the ways back do, and the policy that says which of it is denied.

mod support;

use support::{Sandbox, object};

/// A repository with the releases v1 to v4, of which v3 and v4 convert the counters; and a tag that is older than the lock.
fn project() -> Sandbox {
    let sandbox = Sandbox::with_minimesh();
    sandbox.git_init();
    sandbox.release("v0.9");
    let tool = |line: &str| {
        let ran = sandbox.run(line);
        assert_eq!(ran.code, Some(0), "{line}: {}{}", ran.stdout, ran.stderr);
    };
    tool(&format!("init --object {}", object("v1")));
    sandbox.release("v1");
    tool(&format!("update --object {}", object("v2")));
    sandbox.release("v2");
    tool(&format!("accept stats --on-upgrade migrate --reason wrapped --object {}", object("v3")));
    tool(&format!("update --object {}", object("v3")));
    sandbox.release("v3");
    sandbox
}

fn cells(matrix: &serde_json::Value, table: &str, map: &str) -> Vec<String> {
    let rows = matrix[table].as_array().expect("rows");
    let row = rows.iter().find(|row| row["map"] == map).unwrap_or_else(|| panic!("{map}: {matrix}"));
    let text = |cell: &serde_json::Value| match cell["what"].as_str() {
        Some(what) => format!("{what}{}", if cell["loses"] == true { "!" } else { "" }),
        None => "-".to_owned(),
    };
    row["cells"].as_array().expect("cells").iter().map(text).collect()
}

#[test]
fn every_release_is_a_column_up_and_down() {
    let sandbox = project();
    let ran = sandbox.run("matrix --lock maps.lock --tags v* --reverse --message-format json");
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    let matrix = ran.json();
    let tags: Vec<_> =
        matrix["releases"].as_array().expect("a list").iter().map(|release| release["tag"].as_str()).collect();
    assert_eq!(tags, [Some("v0.9"), Some("v1"), Some("v2"), Some("v3")]);
    assert_eq!(matrix["releases"][0]["unknown"], "it has no lock");
    assert_eq!(cells(&matrix, "maps", "stats"), ["-", "migrate", "migrate", "reuse"]);
    assert_eq!(cells(&matrix, "maps", "backends"), ["-", "grow", "reuse", "reuse"]);
    assert_eq!(cells(&matrix, "maps", "drops"), ["-", "create", "reuse", "reuse"]);
    assert_eq!(cells(&matrix, "back", "stats"), ["-", "migrate", "migrate", "reuse"]);
    // The map of v1 has room for 64 entries, and a roll-back with more of them does not happen.
    assert_eq!(cells(&matrix, "back", "backends"), ["-", "migrate", "reuse", "reuse"]);
    let row = matrix["back"].as_array().expect("rows").iter().find(|row| row["map"] == "backends").expect("a row");
    assert_eq!([&row["cells"][1]["must_fit"], &row["cells"][2]["must_fit"]], [&64.into(), &serde_json::Value::Null]);
    let human = sandbox.run("matrix --lock maps.lock --tags v* --reverse").stdout;
    insta::assert_snapshot!("matrix_human", human);
    insta::assert_snapshot!(
        "matrix_markdown",
        sandbox.run("matrix --lock maps.lock --tags v* --message-format markdown").stdout
    );
    // What is not accepted is refused.
    std::fs::remove_file(sandbox.path("maps.lock")).expect("a lock");
    assert_eq!(sandbox.run(&format!("init --object {}", object("v4"))).code, Some(0));
    let ran = sandbox.run("matrix --lock maps.lock --tags v* --message-format json");
    assert_eq!(ran.code, Some(100), "{}", ran.stdout);
    assert_eq!(cells(&ran.json(), "maps", "stats"), ["-", "refuse!", "refuse!", "refuse!"]);
}

#[test]
fn what_each_side_reads_in_its_own_way_is_no_whole_way_back() {
    let sandbox = Sandbox::new();
    sandbox.git_init();
    let map = |members: &str| {
        format!(
            "struct v {{ {members} }}; struct {{ __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 8); __uint(pinning, 1); __type(key, __u32); __type(value, struct v); }} flows SEC(\".maps\");\n"
        )
    };
    support::compile(&sandbox, "flows.o", &map("__u32 rx; __u32 tx;"));
    assert_eq!(sandbox.run("init --object flows.o").code, Some(0));
    sandbox.release("v1");
    support::compile(&sandbox, "flows.o", &map("__u32 tx; __u32 rx;"));
    let ran = sandbox.run("accept flows --on-upgrade reuse --reason \"nobody reads them\" --object flows.o");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let ran = sandbox.run("matrix --lock maps.lock --tags v1 --reverse --message-format json");
    let matrix = ran.json();
    assert_eq!(cells(&matrix, "maps", "flows"), ["reuse!"]);
    assert_eq!(cells(&matrix, "back", "flows"), ["reuse!"]);
    // Several are several.
    sandbox.git("checkout --quiet v1 -- maps.lock");
    support::compile(&sandbox, "flows.o", &map("__u32 more;"));
    let accept = "accept flows --on-upgrade migrate --drop value.rx --drop value.tx --reason why --object flows.o";
    let ran = sandbox.run(accept);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let told = sandbox.run("matrix --lock maps.lock --tags v1 --reverse").stdout;
    assert!(told.contains("flows: `rx` and `tx` do not come back as they were\n"), "{told}");
}

#[test]
fn a_way_back_promises_what_the_release_wrote_and_no_more() {
    let sandbox = Sandbox::new();
    sandbox.git_init();
    let map = |members: &str| {
        format!(
            "struct k {{ {members} }}; struct v {{ __u64 packets; }}; struct {{ __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 8); __uint(pinning, 1); __type(key, struct k); __type(value, struct v); }} flows SEC(\".maps\");\n"
        )
    };
    support::compile(&sandbox, "flows.o", &map("__u32 address;"));
    assert_eq!(sandbox.run("init --object flows.o").code, Some(0));
    sandbox.release("v1");
    support::compile(&sandbox, "flows.o", &map("__u32 address; __u32 port;"));
    let accept =
        "accept flows --on-upgrade migrate --default key.port=0 --merge packets=sum --reason why --object flows.o";
    let ran = sandbox.run(accept);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    for format in ["human", "markdown"] {
        let told =
            sandbox.run(&format!("matrix --lock maps.lock --tags v1 --reverse --message-format {format}")).stdout;
        assert!(told.contains("what each release wrote comes back to it whole"), "{told}");
        assert!(
            told.contains("gives up what newer programs wrote where the older layout has no place for it"),
            "{told}"
        );
    }
}

#[test]
fn a_matrix_of_nothing_is_an_error() {
    let sandbox = project();
    for (line, said) in [
        ("matrix --lock maps.lock", "no release is named"),
        ("matrix --lock maps.lock --tags w*", "no tag is called w*"),
        ("matrix --lock maps.lock --tags v0*", "no release has maps.lock"),
    ] {
        for format in ["human", "json", "markdown"] {
            let ran = sandbox.run(&format!("{line} --message-format {format}"));
            assert_eq!(ran.code, Some(101), "{line}: {}", ran.stdout);
            assert!(ran.stderr.contains(said), "{line}: {}", ran.stderr);
            assert!(!ran.stdout.contains("none loses"), "{}", ran.stdout);
        }
    }
    // A lock that can't be read is no column that is clean.
    sandbox.write("maps.lock", "version = 99\n");
    sandbox.release("v5");
    sandbox.git("checkout --quiet v3 -- maps.lock");
    let ran = sandbox.run("matrix --lock maps.lock --tags v*");
    assert_eq!(ran.code, Some(101), "{}", ran.stdout);
    assert!(ran.stdout.contains("? v5: ") && ran.stdout.contains("2 releases are not known"), "{}", ran.stdout);
    let ran = sandbox.run("matrix --lock maps.lock --tags v5 --message-format json");
    assert_eq!((ran.code, &ran.json()["fails"]), (Some(101), &true.into()));
    let ran = sandbox.run("matrix --lock maps.lock --tags v5 --message-format markdown");
    assert!(ran.stdout.contains("nothing was compared; 1 release is not known"), "{}", ran.stdout);
}

#[test]
fn the_policy_counts_all_releases_and_the_way_back() {
    let sandbox = project();
    let check = |config: &str| {
        sandbox.write("maplock.toml", config);
        sandbox.run("check --against v3 --message-format json")
    };
    let of = |ran: &support::Ran, at: usize, key: &str| ran.json()["locks"][at][key].clone();
    let ran = check("releases = \"v*\"\nacross = \"all\"\n");
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    let against: Vec<_> = (0..3).map(|at| of(&ran, at, "against")).collect();
    assert_eq!(against, ["v3", "v1", "v2"]);
    // What programs of today do is said once, however many releases there are.
    sandbox.git("tag v1.1 v1");
    let ran = sandbox.run("check --against v3");
    sandbox.git("tag --delete v1.1");
    assert!(
        ran.stdout.contains("maps.lock against v1: ") && ran.stdout.contains("maps.lock against v2: "),
        "{}",
        ran.stdout
    );
    assert_eq!(ran.stdout.matches("warning[unmerged-counter]: map `drops`").count(), 1, "{}", ran.stdout);
    // The counters come back as they were.
    let ran = check("releases = \"v*\"\nacross = \"all\"\ndirection = \"both\"\n");
    assert_eq!(ran.code, Some(0), "{}", ran.stdout);
    // Given up, they don't.
    let accept =
        format!("accept stats --on-upgrade swap --reason \"no matter\" --object {} --lock maps.lock", object("v3"));
    assert_eq!(sandbox.run(&accept).code, Some(0));
    let ran = check("releases = \"v*\"\nacross = \"all\"\n");
    assert_eq!(ran.code, Some(0), "{}", ran.stdout);
    let ran = check("releases = \"v*\"\nacross = \"all\"\ndirection = \"both\"\n");
    assert_eq!(ran.code, Some(100), "{}", ran.stdout);
    assert!(of(&ran, 1, "one_way")["stats"].as_str().is_some_and(|why| why.contains("`swap`")), "{}", ran.stdout);
    let denied = "1 break without a lossless way back, which `direction = \"both\"` denies: `stats`";
    for (format, said) in [
        ("human", denied),
        ("markdown", "no way back without a loss"),
        ("github", "::error file=maps.lock,line="),
        ("sarif", "\"ruleId\":\"no-way-back\""),
        ("gitlab", "\"check_name\":\"no-way-back\""),
        ("junit", "name=\"stats\"><failure message=\"no way back without a loss: "),
    ] {
        let ran = sandbox.run(&format!("check --against v1 --message-format {format}"));
        assert_eq!(ran.code, Some(100), "{format}: {}", ran.stdout);
        assert!(ran.stdout.contains(said), "{format}: {}", ran.stdout);
    }
    // A policy that can't be kept is said to be that.
    let ran = check("across = \"all\"\n");
    assert_eq!(ran.code, Some(101), "{}", ran.stdout);
    assert!(ran.stderr.contains("`across = \"all\"` names no releases"), "{}", ran.stderr);
    let ran = check("across = \"every\"\n");
    assert!(ran.stderr.contains("`across` is \"named\" or \"all\", not `every`"), "{}", ran.stderr);
}
