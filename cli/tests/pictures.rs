//! Pictures of layouts, the page of a lock, and the walk through what waits for an answer.

mod support;

use std::process::{Command, Stdio};

use support::{Sandbox, compile, object};

/// A repository in which v1 was released, v3 was accepted, and the lock knows both.
fn project() -> Sandbox {
    let sandbox = Sandbox::with_minimesh();
    sandbox.git_init();
    let tool = |line: &str| {
        let ran = sandbox.run(line);
        assert_eq!(ran.code, Some(0), "{line}: {}{}", ran.stdout, ran.stderr);
    };
    tool(&format!("init --object {}", object("v1")));
    sandbox.release("v1");
    tool(&format!("accept stats --on-upgrade migrate --reason \"<b>wrapped\" --object {}", object("v3")));
    tool(&format!("update --object {}", object("v3")));
    sandbox.release("v3");
    sandbox
}

/// True where python's reader of XML takes a text.
fn is_xml(text: &str) -> bool {
    use std::io::Write as _;
    let mut command = Command::new("python3");
    command.args(["-c", "import sys, xml.etree.ElementTree as x; x.fromstring(sys.stdin.buffer.read())"]);
    let mut child = command.stdin(Stdio::piped()).spawn().expect("python3 is installed");
    child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("it reads");
    child.wait().expect("it ends").success()
}

#[test]
fn a_picture_shows_old_bytes_over_new_ones_and_says_so_in_words() {
    let sandbox = project();
    let ran = sandbox.run("layout stats --lock maps.lock --svg stats.svg");
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "wrote stats.svg\n"), "{}", ran.stderr);
    let svg = sandbox.read("stats.svg");
    assert!(is_xml(&svg), "{svg}");
    for part in [
        "role=\"img\"",
        "<title id=\"title\">Bytes of the map stats</title>",
        "bytes 8 to 15: connections, u64, grew, was at byte 4.",
        "prefers-color-scheme:dark",
        "marker-end=\"url(#tip)\"",
        "value of stats: 16 bytes before, 24 after",
    ] {
        assert!(svg.contains(part), "{part}: {svg}");
    }
    // `connections` and `last_seen` are elsewhere now.
    assert_eq!(svg.matches("marker-end").count(), 2);
    // Arrows pass below text, and no heading stands between where they begin and where they end.
    let number = |text: &str| -> u64 {
        text.chars().take_while(char::is_ascii_digit).collect::<String>().parse().expect("a number")
    };
    let after = |line: &str, mark: &str| line.find(mark).map(|at| number(&line[at + mark.len()..]));
    let arrows: Vec<_> = svg.lines().filter(|line| line.starts_with("<path marker-end")).collect();
    let heads = svg.lines().filter(|line| line.starts_with("<text class=\"head\"") && line.contains(" of stats"));
    for y in heads.filter_map(|line| after(line, " y=\"")) {
        for arrow in &arrows {
            let start = number(arrow.split_once("d=\"M").expect("a path").1.split_once(' ').expect("y").1);
            let end = number(arrow.rsplit_once('V').expect("its end").1);
            assert!(!(start..end).contains(&y), "{y}: {arrow}");
        }
    }
    let (last_arrow, first_text) = (svg.rfind("<path marker-end"), svg.find("<text "));
    assert!(last_arrow < first_text, "{svg}");
    insta::assert_snapshot!("layout_text", sandbox.run("layout stats --lock maps.lock").stdout);
    insta::assert_snapshot!("layout_of_one", sandbox.run("layout frontends --lock maps.lock").stdout);
    let ran = sandbox.run("layout stats --lock maps.lock --against v1");
    assert!(ran.stdout.contains("value of stats, 16 -> 24 bytes"), "{}{}", ran.stdout, ran.stderr);
    let ran = sandbox.run("layout nothing --lock maps.lock");
    assert_eq!(ran.code, Some(101));
    assert!(ran.stderr.contains("maps.lock has no map `nothing`"), "{}", ran.stderr);
}

#[test]
fn bytes_of_no_member_are_hatched_and_said_to_be_that() {
    let sandbox = Sandbox::new();
    let value = "struct value { __u32 packets; __u64 seen; };";
    let map = "struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 8); __uint(pinning, 1); __type(key, __u32); __type(value, struct value); } flows SEC(\".maps\");";
    compile(&sandbox, "flows.o", &format!("{value}\n{map}\n"));
    assert_eq!(sandbox.run("init --object flows.o").code, Some(0));
    let ran = sandbox.run("layout flows --lock maps.lock --svg flows.svg");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let svg = sandbox.read("flows.svg");
    let is_hatched = |line: &&str| line.starts_with("<rect class=\"hole\"") && line.contains("<title>");
    let hatched: Vec<_> = svg.lines().filter(is_hatched).collect();
    assert!(matches!(hatched[..], [hole] if hole.contains("<title>bytes 4 to 7: no member</title>")), "{svg}");
    assert!(svg.contains("rect.hole{fill:url(#hole)}") && svg.contains("<pattern id=\"hole\""), "{svg}");
}

#[test]
fn the_page_stands_by_itself_and_has_all_that_the_lock_says() {
    let sandbox = project();
    let ran = sandbox.run("report --lock maps.lock --html out --against v1 --tags v*");
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "wrote out/index.html\n"), "{}", ran.stderr);
    let page = sandbox.read("out/index.html");
    for part in [
        "id=\"map-stats\"",
        "id=\"rule-member-moved\"",
        "breaks of 1 map accepted",
        "<th>v1</th><th>v3</th>",
        "&lt;b&gt;wrapped",
        "role=\"img\"",
        "id=\"search\"",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("<b>wrapped"));
    // Nothing is asked for: no address, no file beside it.
    for request in ["src=", "<link", "@import", "fetch(", "http://", "XMLHttp"] {
        assert!(!page.contains(request), "{request}");
    }
    let addresses: Vec<_> = page.match_indices("href=\"").map(|(at, _)| &page[at + 6..at + 7]).collect();
    assert!(addresses.len() > 10 && addresses.iter().all(|first| *first == "#"), "{addresses:?}");
    // Each leads to something, also of a map that is given up.
    let drop = format!("accept drops --on-upgrade drop --reason \"nobody reads it\" --object {}", object("v1"));
    assert_eq!(sandbox.run(&drop).code, Some(0));
    assert_eq!(sandbox.run("report --lock maps.lock --html out --against v3 --tags v*").code, Some(0));
    let page = sandbox.read("out/index.html");
    for (at, _) in page.match_indices("href=\"#") {
        let name = page[at + 7..].split('"').next().unwrap_or_default();
        assert!(page.contains(&format!(" id=\"{name}\"")), "{name}");
    }
    let (_, gone) = page.split_once("id=\"map-drops\"").expect("a map that is given up");
    assert!(
        gone.split("</details>").next().is_some_and(|gone| gone.contains("<b>drop</b>, nobody reads it")),
        "{gone}"
    );
    // What was not compared is told on the page, and by the exit code.
    let ran = sandbox.run("report --lock maps.lock --html out --against v9");
    assert_eq!(ran.code, Some(101), "{}", ran.stdout);
    assert!(sandbox.read("out/index.html").contains("nothing was compared"));
    let ran = sandbox.run("report --lock maps.lock --html maps.lock");
    let told = "error: maps.lock is a file, where `--html` takes a directory\n";
    assert!(ran.code == Some(101) && ran.stderr.starts_with(told), "{}", ran.stderr);
    assert!(!ran.stderr.contains("compared"), "{}", ran.stderr);
    let ran = sandbox.run("report --lock maps.lock --html out");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(sandbox.read("out/index.html").contains("Nothing was compared: no revision was named"));
}

#[test]
fn of_an_array_one_element_has_arrows_and_a_legend_says_what_colours_mean() {
    let sandbox = Sandbox::new();
    let release = |slot: &str| {
        let types = format!("struct slot {{ {slot} }}; struct value {{ struct slot slots[8]; unsigned char last; }};");
        compile(&sandbox, "flows.o", &format!("{types}\n{}", table("flows", "__u32", "struct value")));
    };
    release("__u32 port; __u32 hits;");
    assert_eq!(sandbox.run("init --object flows.o").code, Some(0));
    release("__u32 port; __u32 zone; __u64 seen; __u32 hits;");
    let accept = "accept flows --on-upgrade swap --reason why --object flows.o --lock maps.lock";
    assert_eq!(sandbox.run(accept).code, Some(0));
    assert_eq!(sandbox.run("layout flows --lock maps.lock --svg flows.svg").code, Some(0));
    let svg = sandbox.read("flows.svg");
    assert!(is_xml(&svg), "{svg}");
    // `slots[0].hits`, and `last`.
    assert_eq!(svg.matches("marker-end").count(), 2, "{svg}");
    assert_eq!(svg.matches("Of an array, arrows show the first element that has members elsewhere.").count(), 2);
    for meaning in ["new", "moved", "no member"] {
        assert_eq!(svg.matches(&format!(">{meaning}</text>")).count(), 1, "{meaning}: {svg}");
    }
    assert!(!svg.contains(">gone</text>"), "{svg}");
    // Each side says where the other has it.
    for title in [
        "<title>bytes 4 to 7: slots[0].hits, u32, moved, now at byte 16</title>",
        "<title>bytes 16 to 19: slots[0].hits, u32, moved, was at byte 4</title>",
        "<title>byte 64: last, u8, moved, now at byte 192</title>",
        "<title>byte 192: last, u8, moved, was at byte 64</title>",
    ] {
        assert!(svg.contains(title), "{title}: {svg}");
    }
}

/// A hash in C.
fn table(name: &str, key: &str, value: &str) -> String {
    format!(
        "struct {{ __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 8); __uint(pinning, LIBBPF_PIN_BY_NAME);\n\
         __type(key, {key}); __type(value, {value}); }} {name} SEC(\".maps\");\n"
    )
}

/// A map in C that holds hashes.
fn outer(name: &str, map_type: &str, key: &str, inner: &str) -> String {
    format!(
        "struct {{ __uint(type, BPF_MAP_TYPE_{map_type}); __uint(max_entries, 8); __uint(pinning, LIBBPF_PIN_BY_NAME);\n\
         __type(key, {key}); __array(values, struct {{ __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 64); {inner} }}); }} {name} SEC(\".maps\");\n"
    )
}

/// A repository in which maps that hold maps were released, and a later release, of which every change is accepted.
fn with_inner_maps() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.git_init();
    let typed = "__type(key, struct addr); __type(value, struct flow);";
    let number = "__type(key, __u32); __type(value, __u64);";
    let pair = "__type(key, __u32); __type(value, struct pair);";
    // In a template alone, clang leaves a struct without its members.
    let used = "SEC(\"socket\") int program(struct addr *a, struct flow *b, struct pair *c) { return 0; }\n";
    let old = "struct addr { __u32 ip; }; struct pair { __u32 rx; __u32 tx; };\n\
        struct flow { __u32 packets; __u32 port; __u64 seen; };\n"
        .to_owned()
        + used
        + &outer("shards", "HASH_OF_MAPS", "__u32", typed)
        + &outer("by_cpu", "ARRAY_OF_MAPS", "__u32", pair)
        + &outer("steady", "HASH_OF_MAPS", "struct addr", number)
        + &outer("flat_now", "HASH_OF_MAPS", "__u32", typed)
        + &table("holds_now", "__u32", "struct addr");
    let new =
        "struct addr { __u32 ip; }; struct zoned { __u32 ip; __u32 zone; }; struct pair { __u32 tx; __u32 rx; };\n\
        struct flow { __u64 packets; __u32 port; __u32 ttl; __u64 seen; };\n"
            .to_owned()
            + used
            + &outer("shards", "HASH_OF_MAPS", "__u32", typed)
            + &outer("by_cpu", "ARRAY_OF_MAPS", "__u32", pair)
            + &outer("steady", "HASH_OF_MAPS", "struct zoned", number)
            + &table("flat_now", "__u32", "struct addr")
            + &outer("holds_now", "HASH_OF_MAPS", "__u32", typed);
    let tool = |line: &str| {
        let ran = sandbox.run(line);
        assert_eq!(ran.code, Some(0), "{line}: {}{}", ran.stdout, ran.stderr);
    };
    compile(&sandbox, "maps.bpf.o", &old);
    tool("init --object maps.bpf.o");
    sandbox.release("v1");
    compile(&sandbox, "maps.bpf.o", &new);
    // What is not accepted yet is not offered as a conversion either.
    let ran = sandbox.run("check --object maps.bpf.o --message-format markdown");
    assert!(ran.stdout.contains("inner value: packets") && ran.stdout.contains("read as  key: "), "{}", ran.stdout);
    assert!(!ran.stdout.contains("becomes "), "{}", ran.stdout);
    for map in ["shards", "by_cpu", "steady", "flat_now", "holds_now"] {
        let way = if map == "by_cpu" { "reuse" } else { "swap" };
        tool(&format!("accept {map} --on-upgrade {way} --reason \"filled within a minute\" --object maps.bpf.o"));
    }
    sandbox
}

#[test]
fn what_inner_maps_hold_is_shown_below_what_the_outer_one_holds() {
    let sandbox = with_inner_maps();
    let ok = |line: &str| {
        let ran = sandbox.run(line);
        assert_eq!(ran.code, Some(0), "{line}: {}{}", ran.stdout, ran.stderr);
        ran.stdout
    };
    let seen = ["human", "markdown"].map(|format| ok(&format!("diff v1 --message-format {format}")));
    for seen in &seen {
        assert!(seen.contains("inner value of shards, 16 -> 24 bytes"), "{seen}");
        // No node converts what is in inner maps, nor a key by which one is found.
        assert!(seen.contains("read as  inner value: tx 2, rx 3"), "{seen}");
        assert!(!seen.contains("becomes  inner") && !seen.contains("becomes  key"), "{seen}");
    }
    insta::assert_snapshot!("inner_diff", seen.join("\n== markdown ==\n"));
    let seen: String = ["shards", "by_cpu", "steady", "flat_now", "holds_now"]
        .map(|map| format!("$ layout {map}\n{}\n", ok(&format!("layout {map} --lock maps.lock"))))
        .concat();
    insta::assert_snapshot!("inner_layouts", seen);

    ok("layout shards --lock maps.lock --svg shards.svg");
    let svg = sandbox.read("shards.svg");
    assert!(is_xml(&svg), "{svg}");
    // The tip of an arrow to the first row points down, as all do: a line of no length would turn it.
    ok("layout by_cpu --lock maps.lock --svg by_cpu.svg");
    let swapped = sandbox.read("by_cpu.svg");
    let arrows: Vec<_> = swapped.lines().filter_map(|line| line.strip_prefix("<path marker-end=")).collect();
    assert_eq!(arrows.len(), 2, "{swapped}");
    for arrow in arrows {
        let (curve, line) = arrow.trim_end_matches("\"/>").rsplit_once('V').expect("it leaves its box");
        assert!(line.contains('C') || !curve.ends_with(&format!(" {line}")), "{arrow}");
    }

    ok("report --lock maps.lock --html out --against v1");
    let page = sandbox.read("out/index.html");
    let pictures =
        page.lines().filter(|line| line.contains("<svg viewBox") || line.starts_with("<text class=\"head\""));
    for picture in [svg.lines().collect::<Vec<_>>(), pictures.collect()] {
        let picture = picture.join("\n");
        let places = [
            "The key: bytes 0 to 3: key, u32.",
            "The inner key: bytes 0 to 3: ip, u32.",
            "The inner value: bytes 0 to 7: packets, u64, grew. bytes 8 to 11: port, u32, moved, was at byte 4.",
            ">inner value of shards: 16 bytes before, 24 after</text>",
        ]
        .map(|part| picture.find(part).unwrap_or_else(|| panic!("{part}: {picture}")));
        assert!(places.is_sorted(), "{places:?}");
    }
    let json = sandbox.run("diff v1 --message-format json").json();
    let maps = json["maps"].as_array().expect("a list");
    let shards = maps.iter().find(|map| map["name"] == "shards").expect("it is there");
    let value = &shards["bytes"]["inner"]["value"];
    assert_eq!((&value["old_size"], &value["new_size"]), (&16.into(), &24.into()), "{shards}");
    assert_eq!(shards["bytes"].get("value"), None);
}

#[test]
fn without_a_terminal_a_review_prints_the_commands_and_they_settle_it() {
    let sandbox = Sandbox::with_minimesh();
    assert_eq!(sandbox.run(&format!("init --object {}", object("v1"))).code, Some(0));
    let review = format!("review --object {} --lock maps.lock", object("v3"));
    let ran = sandbox.run(&review);
    assert_eq!(ran.code, Some(100), "{}", ran.stderr);
    insta::assert_snapshot!("review_commands", ran.stdout);
    let line = ran.stdout.lines().find(|line| line.contains("--on-upgrade migrate")).expect("an answer");
    let line = line.strip_prefix("cargo maplock ").expect("a command").replace("\"…\"", "\"it wrapped\"");
    assert_eq!(sandbox.run(&line).code, Some(0), "{line}");
    let ran = sandbox.run(&review);
    assert!(ran.stdout.contains("# all else, without a question\ncargo maplock update"), "{}", ran.stdout);
    assert_eq!(sandbox.run(&format!("update --object {} --lock maps.lock", object("v3"))).code, Some(0));
    let ran = sandbox.run(&review);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "nothing waits for an answer\n"));
}

/// Both programs, as who has them from Cargo calls them and as who has not.
const PROGRAMS: [(&str, &str); 2] = [("cargo maplock", env!("CARGO_BIN_EXE_cargo-maplock")), (TOOL, TOOL)];
const TOOL: &str = env!("CARGO_BIN_EXE_maplock");

/// A review of a release in a terminal, which `script` makes, with what is typed there: its exit code, and what is seen.
fn review(sandbox: &Sandbox, program: &str, release: &str, typed: &str) -> (Option<i32>, String) {
    use std::io::Write as _;
    let line = format!("{program} review --object {} --lock maps.lock --color never", object(release));
    let mut command = Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).current_dir(sandbox.path("")).env_remove("CI").env("CARGO", "cargo");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("script is installed");
    child.stdin.take().expect("piped").write_all(typed.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n"))
}

#[test]
fn in_a_terminal_each_map_is_asked_about() {
    for (name, program) in PROGRAMS {
        let sandbox = Sandbox::with_minimesh();
        assert_eq!(sandbox.run(&format!("init --object {}", object("v1"))).code, Some(0));
        let review = |typed: &str| review(&sandbox, program, "v3", typed);
        let before = sandbox.read("maps.lock");
        let (code, seen) = review("s\n");
        assert!(
            code == Some(100) && seen.contains("1 of 1: stats") && seen.contains("1 map waits for an answer"),
            "{seen}"
        );
        assert!(seen.contains("value of stats, 16 -> 24 bytes"), "{seen}");
        // Each command once: with its key, as this program is called.
        assert_eq!(seen.matches(&format!("{name} accept stats --on-upgrade migrate --reason")).count(), 1, "{seen}");
        assert_eq!(seen.matches("--on-upgrade migrate --reason").count(), 1, "{seen}");
        assert_eq!(seen.matches("--on-upgrade swap --reason").count(), 1, "{seen}");
        assert_eq!(sandbox.read("maps.lock"), before);
        // A key that is none is asked for again, and so is an empty reason.
        let (_, seen) = review("x\n9\n1\n\n1\n-- it's \"wrapped\"\n");
        assert_eq!(seen.matches("> type 1, 2, s or q\n").count(), 2, "{seen}");
        assert!(seen.contains("an answer needs a reason") && seen.contains("accepted `stats`: migrate"), "{seen}");
        assert!(!seen.contains("error: "), "{seen}");
        // What is left is no answer: the map is settled.
        assert!(
            seen.ends_with(&format!(
                "# all else, without a question\n{name} update --object {} --lock maps.lock\n",
                object("v3")
            )),
            "{seen}"
        );
        assert!(
            sandbox.read("maps.lock").contains(r#"reason = "-- it's \"wrapped\"""#),
            "{}",
            sandbox.read("maps.lock")
        );
        assert_eq!(sandbox.run(&format!("update --object {}", object("v3"))).code, Some(0));
        assert_eq!(review(""), (Some(0), "nothing waits for an answer\n".to_owned()));
    }
}

/// A break of which the layouts do not tell all: the reader is asked, and no command is left to type.
#[test]
fn what_an_answer_still_asks_is_asked_in_the_walk() {
    for (typed, default) in [
        ("1\n", "\"key.port\" = \"0\""),
        // Words that are no answer, and a member that there is not.
        ("\n7\n--never\n--default key.nothing=1\n--default key.port=443\n", "\"key.port\" = \"443\""),
        ("--by-hand\n", "by-hand"),
    ] {
        let sandbox = Sandbox::with_minimesh();
        assert_eq!(sandbox.run(&format!("init --object {}", object("v3"))).code, Some(0));
        let review = |typed: &str| review(&sandbox, TOOL, "v4", typed);
        let before = sandbox.read("maps.lock");
        // Back to the answers, and none of them.
        let (code, seen) = review("s\n1\nwhy\nb\nq\n");
        assert!(code == Some(100) && seen.contains("2 of 2: stats") && seen.contains("--default key.port=0"), "{seen}");
        assert!(!seen.contains("--color") && !seen.contains("error: entries"), "{seen}");
        assert_eq!(sandbox.read("maps.lock"), before);
        let (_, seen) = review(&format!("1\nwhy\n1\nby port\n{typed}"));
        let lock = sandbox.read("maps.lock");
        assert!(lock.contains(default), "{typed:?}: {seen}{lock}");
        assert!(
            seen.contains("accepted `stats`: migrate") && seen.ends_with("\nnothing waits for an answer\n"),
            "{seen}"
        );
        if typed.contains("nothing") {
            assert!(seen.contains("unexpected argument '--never'"), "{seen}");
            assert!(seen.contains("--default key.nothing=1: "), "{seen}");
        }
    }
}
