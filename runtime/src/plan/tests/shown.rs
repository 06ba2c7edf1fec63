//! How a plan is told.

use serde_json::Value;

use super::*;
use crate::generation::records::Recovered;
use crate::plan::{CommitBy, Unfinished};

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
    Case { lock: asked, live, ..Case::default() }.known(&ProgramUse::default(), &ProgramUse::default())
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
fn a_plan_after_an_upgrade_that_did_not_end_promises_nothing() {
    let unfinished = |holds| Unfinished {
        is_roll_back: false,
        next: if holds { Recovered::Discarded } else { Recovered::Completed },
        needs_code: Vec::new(),
        holds,
        leads_here: false,
    };
    let same = Case::one(&hash(&counters(4), 64), &hash(&counters(4), 64));
    let same = same.known(&ProgramUse::default(), &ProgramUse::default());
    let told = |case: &Case, holds| {
        let plan = Plan { unfinished: Some(unfinished(holds)), ..case.plan() };
        (plan.head()[0].clone(), plan.outcome())
    };
    let (head, outcome) = told(&same, false);
    let wanted = "an upgrade at `/bpf/mesh` is at its commit, or ended there; if it ended, the next start completes it first, or fails; \
                  this plan is of what is pinned now, and another one is made then";
    assert_eq!(head, wanted);
    assert!(
        outcome.starts_with("an upgrade is at its commit: this is of what is pinned now · under 1 ms"),
        "{outcome}"
    );
    let (head, outcome) = told(&same, true);
    assert!(head.ends_with("the next start takes it back first, and this plan holds"), "{head}");
    assert!(outcome.starts_with("nothing is lost · "), "{outcome}");
    let mut refused = mixed();
    refused.lock = lock(refused.lock.maps.into_values().map(|map| map.def));
    let wanted =
        "an upgrade is at its commit: this is of what is pinned now · the upgrade does not start: stats refused";
    assert_eq!(told(&refused, false).1, wanted);
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
        "doubts",
        "entries",
        "estimate_ms",
        "exact",
        "findings",
        "from",
        "from_kept",
        "gives_up",
        "goes_back",
        "id",
        "inexact",
        "loses_entries",
        "map",
        "max_entries",
        "may_drop_entries",
        "old_max_entries",
        "other_pins",
        "overwritten",
        "pin",
        "pin_removed",
        "snapshot_bytes",
        "sums",
        "to",
        "types_unknown",
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

fn first_lines(plan: &Plan) -> (String, String) {
    let text = plan.to_string();
    let line = |line: Option<&str>| line.unwrap_or_default().to_owned();
    (line(text.lines().next()), line(text.lines().last()))
}

#[test]
fn a_plan_over_nothing_says_so_first_and_promises_nothing() {
    let asked = lock([hash(&counters(4), 64)]);
    let case = Case { lock: asked, ..Case::default() };
    let plan = case.plan();
    let (first, last) = first_lines(&plan);
    assert!(first.starts_with("nothing is pinned at `/bpf/mesh`: "), "{plan}");
    assert!(last.starts_with("nothing is pinned here: a first installation · "), "{plan}");
    assert_is(&case.decide(), D::Create, "not pinned here");
    assert_eq!(plan.to_json()["unpinned"]["has_kept"], false);

    // Others' maps are none of the release's.
    let theirs = MapDef { name: "theirs".to_owned(), ..hash(&counters(8), 64) };
    let case = Case { live: vec![pinned(&theirs, 3, 0)], ..case };
    let plan = case.plan();
    let wanted = "nothing of this release is pinned at `/bpf/mesh`, which holds `theirs`; this is a first installation";
    assert_eq!(first_lines(&plan).0, wanted);

    // What is kept and can't be returned to is no first installation.
    let case = Case { live: Vec::new(), ..case }.kept(&hash(&counters(8), 64));
    let (first, last) = first_lines(&case.plan());
    assert!(
        first.ends_with("; no map of the kept generation fits this release, and every map starts empty"),
        "{first}"
    );
    assert!(last.starts_with("nothing is pinned here: every map starts empty"), "{last}");
}

#[test]
fn where_one_map_is_pinned_the_plan_is_none_over_nothing() {
    let stats = hash(&counters(4), 64);
    let section = MapDef { name: ".bss".to_owned(), ..def("", T::ARRAY, &uint(4), 1) };
    let cut = MapDef { name: "connections_by_source".to_owned(), ..stats.clone() };
    let live = vec![
        pinned(&stats, 3, 0),
        pinned(&MapDef { name: "minimesh_bss".to_owned(), ..section.clone() }, 4, 1),
        pinned(&MapDef { name: "connections_by_".to_owned(), ..cut.clone() }, 5, 1),
    ];
    let plan = Case { lock: lock([stats, section, cut]), live, ..Case::default() }.plan();
    assert!(plan.unpinned.is_none(), "{plan}");
    let why = |map: &str| plan.map(map).expect("asked for").why.clone();
    assert_eq!(
        why(".bss"),
        "new in this release; `minimesh_bss` may be it: libbpf puts the object's name before a section's"
    );
    assert_eq!(
        why("connections_by_source"),
        "new in this release; `connections_by_` may be it: the kernel keeps 15 bytes of a name"
    );
}

#[test]
fn what_is_known_by_its_size_alone_is_no_same_layout() {
    let bare = |def: MapDef| MapDef { key: None, value: None, ..def };
    let named = |name: &str, def: MapDef| MapDef { name: name.to_owned(), ..def };
    let (same, grown) = (bare(hash(&counters(4), 64)), bare(named("grown", hash(&counters(4), 64))));
    let typed = named("typed", hash(&counters(4), 64));
    let in_part = MapDef { value: None, ..named("part", hash(&counters(4), 64)) };
    let live = vec![pinned(&same, 1, 2), pinned(&grown, 2, 2), pinned(&typed, 3, 2), pinned(&in_part, 4, 2)];
    let asked = [same, MapDef { max_entries: 128, ..grown }, typed, in_part];
    let plan = Case { lock: lock(asked), live, ..Case::default() }.plan();
    let expected = "\
map    entries  what   why
grown     2/64  grow   max_entries 64 -> 128, every entry kept; its types are unknown
part      2/64  reuse  same sizes; the type of its value is unknown
stats     2/64  reuse  same sizes; its types are unknown
typed     2/64  reuse  same layout
every entry is kept; nothing says what all programs do with `grown`: what they write and delete meanwhile may be lost or come back \
· 2 of 4 maps are known by their sizes alone, and 1 in part · under 1 ms · traffic keeps running";
    assert_eq!(plan.to_string(), expected);
    let json = plan.to_json();
    let told: Vec<_> = json["maps"].as_array().expect("maps").iter().map(|map| map["types_unknown"].clone()).collect();
    assert_eq!(told, ["all".into(), "value".into(), "all".into(), serde_json::Value::Null]);
    assert_eq!(json["types_unknown"], 3);
}

#[test]
fn a_map_that_a_policy_takes_as_it_is_counts_as_known_by_its_sizes() {
    let typed = hash(&counters(4), 64);
    let case = Case { live: vec![untyped(&typed, 7)], lock: lock([typed]), ..Case::default() };
    let refused = case.plan().to_string();
    assert!(refused.ends_with("stats refused · 1 of 1 map is known by its sizes alone"), "{refused}");
    let case = case.policy(policy(OnMismatch::Reuse));
    assert_is(
        &case.decide(),
        D::Reuse,
        "its layout is unknown: it has no BTF, and no maplock_meta names it (policy: reuse)",
    );
    assert_eq!(case.plan().untold().as_deref(), Some("1 of 1 map is known by its sizes alone"));
}

#[test]
fn a_plan_says_how_the_pins_change_places_and_why() {
    let told = |exchanges| {
        let plan = Plan { commit: CommitBy::on_a_kernel_that(exchanges), ..mixed().plan() };
        let (json, text) = (plan.to_json(), plan.to_string());
        (json["commit"].clone(), json["commit_why"].clone(), text.rsplit(" · ").next().unwrap_or_default().to_owned())
    };
    assert_eq!(told(Some(true)), ("exchange".into(), Value::Null, "traffic keeps running".to_owned()));
    let why = "this kernel can't exchange directories on bpffs";
    assert_eq!(told(Some(false)), ("each-pin".into(), why.into(), format!("pins are renamed one by one: {why}")));
    let why = "nothing tells whether this kernel can exchange directories on bpffs";
    assert_eq!(
        told(None),
        ("exchange-or-each-pin".into(), why.into(), format!("pins may be renamed one by one: {why}"))
    );
}
