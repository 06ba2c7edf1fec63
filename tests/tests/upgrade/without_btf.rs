//! A kernel that does not tell its own types (`CONFIG_DEBUG_INFO_BTF=n`): no iterator's program is loaded there. The file that tells them is
//! hidden.

use std::process::Command;

use maplock::layout::map::MapType;
use maplock_tests::kernel;
use maplock_tests::trace::{self, Fate};
use serde_json::Value;

use crate::meanwhile::{Node, counting, def, lock};

/// What is planned and what is reported of a map of a type that grows, with the file or without.
fn grown(map_type: MapType, is_hidden: bool) -> (String, Value) {
    let release = |max_entries| lock(def(map_type, max_entries, false), Some(counting(false)), true);
    let node = Node::new(release(64));
    for key in 0..40_u32 {
        let value = [u64::from(key).to_ne_bytes(), [0; 8]].concat();
        node.map().update(&key.to_ne_bytes(), &value, 0).expect("there is room");
    }
    let (new, plan) =
        (tempfile::NamedTempFile::new().expect("a file"), tempfile::NamedTempFile::new().expect("a file"));
    std::fs::write(new.path(), release(128).to_string()).expect("written");
    let hide = if is_hidden { "mount -t tmpfs none /sys/kernel/btf && " } else { "" };
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &format!("{hide}exec \"$@\""), "sh", env!("CARGO_BIN_EXE_meanwhile")]);
    command.arg(node.dir()).arg(new.path()).arg("st.n").env("MAPLOCK_TEST_PLAN", plan.path());
    let ended = trace::run(&mut command, |_| Fate::Made);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let report: Value = serde_json::from_str(&ended.stderr).expect("a report");
    let sum: u64 = (0..40_u32)
        .map(|key| node.map().lookup(&key.to_ne_bytes()).expect("a map").expect("it is there"))
        .map(|value| u64::from_ne_bytes(value[..8].try_into().expect("8 bytes")))
        .sum();
    assert_eq!(sum, (0..40).sum::<u64>(), "every entry is kept");
    (std::fs::read_to_string(plan.path()).expect("a plan"), report["maps"][0].clone())
}

#[test]
fn a_hash_goes_by_system_calls_and_an_array_by_programs_and_the_plan_says_so() {
    if !kernel::available() {
        return;
    }
    let doubt = "at the very moment of settling may be lost: ";
    let hidden = "the programs that settle in one step could not be made ready";
    for (map_type, needs_types) in [(MapType::HASH, true), (MapType::ARRAY, false)] {
        for is_hidden in [false, true] {
            let (plan, report) = grown(map_type, is_hidden);
            // Where the kernel settles the type by programs at all.
            let exact = !(needs_types && is_hidden) && maplock_tests::shapes::settles_exactly(map_type, true);
            assert_eq!(report["exact"], Value::from(exact), "{map_type}, hidden: {is_hidden}: {report}");
            assert_eq!(plan.contains(doubt), !exact, "{map_type}, hidden: {is_hidden}:\n{plan}\n{report}");
            let is_it = needs_types && is_hidden;
            assert_eq!(plan.contains(hidden), is_it, "{map_type}, hidden: {is_hidden}:\n{plan}\n{report}");
        }
    }
}
