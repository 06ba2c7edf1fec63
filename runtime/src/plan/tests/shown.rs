//! How a plan is told.

use super::*;

fn mixed() -> Case {
    let named = |name: &str, def: MapDef| MapDef { name: name.to_owned(), ..def };
    let frontends = named("frontends", hash(&counters(4), 64));
    let stats = accept(&lock([hash(&counters(4), 4096)]), &hash(&counters(8), 4096), OnUpgrade::Swap);
    let mut asked =
        lock([frontends.clone(), named("backends", hash(&counters(4), 4096)), named("drops", hash(&uint(8), 64))]);
    asked.maps.extend(stats.maps);
    let live = vec![
        pinned(&frontends, 1, 12),
        pinned(&named("backends", hash(&counters(4), 64)), 2, 64),
        pinned(&hash(&counters(4), 4096), 3, 812),
    ];
    Case { lock: asked, live, ..Case::default() }
}

#[test]
fn the_table_is_read_in_ten_seconds() {
    let expected = "\
map         entries  what    why
backends    64/64    grow    max_entries 64 -> 4096, every entry kept
drops        -       create  new in this release
frontends   12/64    reuse   same layout
stats      812/4096  swap    starts empty: packets u32 -> u64 (accepted: \"because\")
lost: 812 entries of stats · under 1 ms · traffic keeps running";
    assert_eq!(mixed().plan().to_string(), expected);

    let mut refused = mixed();
    refused.lock = lock(refused.lock.maps.into_values().map(|map| map.def));
    let text = refused.plan().to_string();
    assert!(text.ends_with("\nthe upgrade does not start: stats refused"), "{text}");
}

#[test]
fn the_json_has_the_documented_names() {
    let json = mixed().plan().to_json();
    assert_eq!(json["dir"], "/bpf/mesh");
    assert_eq!(json["refused"], false);
    let stats = &json["maps"][3];
    assert_eq!((&stats["map"], &stats["disposition"]), (&"stats".into(), &"swap".into()));
    assert_eq!((&stats["entries"], &stats["loses_entries"]), (&812.into(), &true.into()));
    assert_eq!(stats["findings"][0]["rule"], "member-type-changed");
    assert_eq!(stats["findings"][0]["accepted"], "swap");
    let keys: Vec<_> = stats.as_object().expect("an object").keys().map(String::as_str).collect();
    let documented = [
        "by_hand",
        "carried_back",
        "disposition",
        "entries",
        "estimate_ms",
        "findings",
        "from",
        "from_kept",
        "gives_up",
        "id",
        "inexact",
        "loses_entries",
        "map",
        "max_entries",
        "may_drop_entries",
        "old_max_entries",
        "pin",
        "snapshot_bytes",
        "sums",
        "to",
        "was",
        "why",
    ];
    assert_eq!(keys, documented);
}

#[test]
fn a_plan_can_be_denied_for_what_it_does() {
    let plan = mixed().plan();
    let denied = |deny: &[D]| plan.denied(deny).map(|map| map.map.clone()).collect::<Vec<_>>();
    assert_eq!(denied(&[D::Swap, D::Refuse]), ["stats"]);
    assert_eq!(denied(&[D::Grow]), ["backends"]);
    assert!(denied(&[D::Drop]).is_empty());
    assert!(!plan.is_refused());
}
