//! `[package.metadata.maplock]`, `[workspace.metadata.maplock]` and `maplock.toml`.
#![allow(clippy::unwrap_used, missing_docs)]

use maplock_layout::Config;
use maplock_layout::config::{Levels, Scope};
use maplock_layout::rules::{self, Level};

fn package(text: &str) -> Result<Config, String> {
    let mut config = Config::default();
    config.read(text, Scope::Package).map_err(|error| error.to_string()).map(|_| config)
}

#[test]
fn a_manifest_without_a_word_of_maplock_changes_nothing() {
    for text in ["", "[package]\nname = \"x\"\n", "[package.metadata.other]\nx = 1\n", "[package.metadata.maplock]\n"] {
        assert_eq!(package(text), Ok(Config::default()), "{text}");
    }
}

#[test]
fn everything_that_can_be_said_is_read() {
    let config = package(
        r#"
[package.metadata.maplock]
member-renamed = "warn"
max-entries-increased = "deny"
stale-epoch = "allow"
ephemeral = ["scratch", "events"]
pinned = ["flowtop.bss"]
optional = ["dns"]
types = ["types.o"]

[package.metadata.maplock.maps.frontends]
capacity = "runtime"
flags = "runtime"
user-deletes = "never"
key = "struct frontend_key"
value = "struct frontend_value"

[package.metadata.maplock.maps]
backends.value = "struct backend"
"#,
    )
    .unwrap();
    assert_eq!(config.levels.of(&rules::MEMBER_RENAMED), Level::Warn);
    assert_eq!(config.levels.of(&rules::MAX_ENTRIES_INCREASED), Level::Deny);
    assert_eq!(config.levels.of(&rules::STALE_EPOCH), Level::Allow);
    assert_eq!(config.levels.of(&rules::MEMBER_MOVED), Level::Deny, "the rule's own");
    assert_eq!(config.ephemeral.iter().collect::<Vec<_>>(), ["events", "scratch"]);
    assert_eq!(config.pinned.iter().collect::<Vec<_>>(), ["flowtop.bss"]);
    assert_eq!(config.optional.iter().collect::<Vec<_>>(), ["dns"]);
    assert_eq!(config.types, ["types.o"]);
    let frontends = &config.bindings["frontends"];
    assert_eq!(frontends.key.as_deref(), Some("struct frontend_key"));
    assert!(frontends.runtime_flags && frontends.runtime_capacity && !config.bindings["backends"].runtime_capacity);
    assert!(frontends.user_never_deletes);
    assert_eq!(frontends.value.as_deref(), Some("struct frontend_value"));
    let backends = &config.bindings["backends"];
    assert_eq!((&backends.key, backends.value.as_deref()), (&None, Some("struct backend")));
}

#[test]
fn every_rule_but_the_conflict_can_be_set_to_every_level() {
    for rule in rules::ALL.iter().filter(|rule| rule.id != "map-conflict") {
        for level in Level::ALL {
            let config = package(&format!("[package.metadata.maplock]\n{} = \"{level}\"\n", rule.id)).unwrap();
            assert_eq!(config.levels.of(rule), level);
        }
    }
}

#[test]
fn a_conflict_between_two_objects_can_not_be_lowered() {
    for level in ["warn", "allow"] {
        assert_eq!(
            package(&format!("[package.metadata.maplock]\nmap-conflict = \"{level}\"\n")).unwrap_err(),
            "line 2: `map-conflict` is denied always: there is no right way to build it"
        );
    }
    assert!(package("[package.metadata.maplock]\nmap-conflict = \"deny\"\n").is_ok());
    let mut levels = Levels::default();
    levels.set(&rules::MAP_CONFLICT, Level::Allow);
    assert_eq!(levels.of(&rules::MAP_CONFLICT), Level::Deny);
}

#[test]
fn a_mistake_is_refused_with_its_line_and_with_what_was_meant() {
    for (body, expected) in [
        (
            "member-renmaed = \"warn\"",
            "line 5: `member-renmaed` is neither a key nor a rule; did you mean `member-renamed`?",
        ),
        ("member_moved = \"warn\"", "line 5: `member_moved` is neither a key nor a rule; did you mean `member-moved`?"),
        ("ephemerals = []", "line 5: `ephemerals` is neither a key nor a rule; did you mean `ephemeral`?"),
        ("zzz = 1", "line 5: `zzz` is neither a key nor a rule"),
        ("member-renamed = \"wran\"", "line 5: `wran` is not a level (allow, warn, deny); did you mean `warn`?"),
        ("member-renamed = \"forbid\"", "line 5: `forbid` is not a level (allow, warn, deny)"),
        ("member-renamed = 1", "line 5: not a string"),
        ("ephemeral = \"scratch\"", "line 5: not a list of names of maps"),
        ("pinned = [\"a\",\n 2]", "line 6: not a string"),
        ("maps = 3", "line 5: not a table: write `[package.metadata.maplock.maps.NAME]`"),
        ("maps.flows = \"struct flow\"", "line 5: not a table: write `[package.metadata.maplock.maps.NAME]`"),
        (
            "[package.metadata.maplock.maps.flows]\nvlaue = \"struct flow\"",
            "line 6: `vlaue` is not known here: only `key`, `value`, `capacity`, `flags`, `user-deletes`, `owner`; did you mean `value`?",
        ),
        ("[package.metadata.maplock.maps.flows]\nkey = 3", "line 6: not a string"),
    ] {
        let text = format!("[package]\nname = \"x\"\n\n[package.metadata.maplock]\n{body}\n");
        assert_eq!(package(&text).unwrap_err(), expected);
    }
    assert_eq!(package("[package.metadata]\nmaplock = 1\n").unwrap_err(), "line 2: `maplock` is not a table");
}

#[test]
fn a_manifest_that_is_no_toml_is_refused_at_the_line_where_it_breaks() {
    let error = package("[package]\nname = \"x\"\nversion = = 1\n").unwrap_err();
    assert!(error.starts_with("line 3: "), "{error}");
}

#[test]
fn each_scope_reads_its_own_table() {
    let text =
        "[workspace.metadata.maplock]\nmember-moved = \"warn\"\n[package.metadata.maplock]\nmember-added = \"warn\"\n";
    let mut config = Config::default();
    config.read(text, Scope::Workspace).unwrap();
    assert_eq!(config.levels.of(&rules::MEMBER_MOVED), Level::Warn);
    assert_eq!(config.levels.of(&rules::MEMBER_ADDED), Level::Deny);
    config.read(text, Scope::Package).unwrap();
    assert_eq!(config.levels.of(&rules::MEMBER_ADDED), Level::Warn);
}

#[test]
fn a_package_adds_to_its_workspace_and_overrules_it() {
    let workspace = "
[workspace.metadata.maplock]
member-moved = \"warn\"
member-added = \"warn\"
ephemeral = [\"scratch\"]
maps.flows.value = \"struct old\"
";
    let package = "
[package.metadata.maplock]
member-moved = \"allow\"
ephemeral = [\"events\"]
maps.flows.value = \"struct new\"
";
    let mut config = Config::default();
    config.read(workspace, Scope::Workspace).unwrap();
    config.read(package, Scope::Package).unwrap();
    assert_eq!(config.levels.of(&rules::MEMBER_MOVED), Level::Allow);
    assert_eq!(config.levels.of(&rules::MEMBER_ADDED), Level::Warn);
    assert_eq!(config.ephemeral.len(), 2);
    assert_eq!(config.bindings["flows"].value.as_deref(), Some("struct new"));
}

#[test]
fn a_package_overrules_which_of_its_workspaces_maps_are_pinned() {
    let mut config = Config::default();
    config
        .read("[workspace.metadata.maplock]\nephemeral = [\"flows\"]\npinned = [\"events\"]\n", Scope::Workspace)
        .unwrap();
    config
        .read("[package.metadata.maplock]\nephemeral = [\"events\"]\npinned = [\"flows\"]\n", Scope::Package)
        .unwrap();
    assert_eq!(config.pinned.iter().collect::<Vec<_>>(), ["flows"]);
    assert_eq!(config.ephemeral.iter().collect::<Vec<_>>(), ["events"]);
}

#[test]
fn a_map_can_not_be_pinned_and_ephemeral_at_once() {
    let error = package("[package.metadata.maplock]\npinned = [\"a\", \"b\"]\nephemeral = [\n  \"c\",\n  \"b\",\n]\n")
        .unwrap_err();
    // Either list is a place to look at; no line is none.
    assert!(["line 2: ", "line 3: ", "line 5: "].iter().any(|line| error.starts_with(line)), "{error}");
    assert!(error.ends_with("map `b` is both `pinned` and `ephemeral`"), "{error}");
}

fn file(text: &str) -> Result<Config, String> {
    let mut config = Config::default();
    config.read(text, Scope::File).map_err(|error| error.to_string()).map(|_| config)
}

#[test]
fn a_file_of_its_own_takes_the_keys_of_a_manifest_with_the_same_errors() {
    let body = "member-renamed = \"warn\"\nephemeral = [\"scratch\"]\npinned = [\"flows\"]\n";
    let maps = |head: &str| format!("[{head}]\nkey = \"struct a\"\nvalue = \"struct b\"\n");
    let in_manifest =
        package(&format!("[package.metadata.maplock]\n{body}{}", maps("package.metadata.maplock.maps.flows")));
    assert_eq!(file(&format!("{body}{}", maps("maps.flows"))), in_manifest);
    for (body, expected) in [
        ("member-movd = \"warn\"", "line 2: `member-movd` is neither a key nor a rule; did you mean `member-moved`?"),
        ("ephemeral = 1", "line 2: not a list of names of maps"),
        ("maps = 3", "line 2: not a table: write `[maps.NAME]`"),
        ("map-conflict = \"warn\"", "line 2: `map-conflict` is denied always: there is no right way to build it"),
        ("objects = \"a.o\"", "line 2: not a list of files"),
        ("object = [\"a.o\"]", "line 2: `object` is neither a key nor a rule; did you mean `objects`?"),
        ("lock = []", "line 2: not a string"),
    ] {
        assert_eq!(file(&format!("\n{body}\n")).unwrap_err(), expected);
    }
}

#[test]
fn what_cargo_knows_is_not_said_again() {
    let config = file("objects = [\"bpf/a.o\", \"bpf/b.o\"]\nlock = \"agent/maps.lock\"\n").unwrap();
    assert_eq!(config.objects, ["bpf/a.o", "bpf/b.o"]);
    assert_eq!(config.lock.as_deref(), Some("agent/maps.lock"));
    let objects = "line 2: `objects` is not for a Cargo package: its build script names the objects";
    assert_eq!(package("[package.metadata.maplock]\nobjects = [\"a.o\"]\n").unwrap_err(), objects);
    let mut config = Config::default();
    let error = config.read("\nlock = \"x\"\n", Scope::FileOfPackage).unwrap_err().to_string();
    assert_eq!(error, "line 2: `lock` is not for a Cargo package: its lock is beside its Cargo.toml");
}

#[test]
fn packages_are_given_up_by_their_workspace() {
    let mut config = Config::default();
    config.read("[workspace.metadata.maplock]\nretired = [\"agent/maps.lock\"]\n", Scope::Workspace).unwrap();
    assert!(config.retired.contains("agent/maps.lock"));
    assert!(package("[package.metadata.maplock]\nretired = []\n").unwrap_err().contains("neither a key nor a rule"));
}

#[test]
fn an_architecture_with_a_lock_of_its_own_has_it_by_its_name() {
    let config = package("[package.metadata.maplock]\ntargets = [\"aarch64\"]\n").unwrap();
    assert_eq!(
        (config.lock_name("aarch64"), config.lock_name("x86_64")),
        ("maps.aarch64.lock".into(), "maps.lock".into())
    );
}
