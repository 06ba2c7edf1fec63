//! What the same bytes mean: by the meta map, by the tag that a struct kept, or as old as can be.

use maplock_layout::conversion::{Answers, Scale};
use maplock_layout::without_versions;

use super::*;

/// A hash of counters with these versions of the map and of the struct.
fn versioned(of_map: u32, of_struct: u32) -> MapDef {
    let value = counters(8);
    let of = value.composite().expect("a struct").clone().with_version(of_struct);
    let value = Arc::new(Layout { shape: Shape::Composite(Arc::new(of)), ..(*value).clone() });
    MapDef { version: of_map, ..hash(&value, 64) }
}

/// As the kernel tells of a map of that definition, whose loader left tags out or not.
fn bare(def: &MapDef, keeps_tags: bool) -> Observed {
    let told = if keeps_tags { MapDef { version: 0, ..def.clone() } } else { without_versions(def) };
    pinned(&told, 7, 12)
}

fn told(def: &MapDef) -> Observed {
    Observed { source: Source::Meta, tells_version: true, ..pinned(def, 7, 12) }
}

/// What is planned for a map after these steps, each accepted as said.
fn planned(first: &MapDef, steps: &[(MapDef, OnUpgrade)], live: Observed) -> (D, String) {
    let mut lock = lock([first.clone()]);
    for (def, way) in steps {
        lock = accept(&lock, def, *way);
        if *way == OnUpgrade::Migrate {
            let scale = [("value.seen".to_owned(), Scale { multiply: 1, divide: 1000 })].into();
            let answers = Answers { scale, ..Answers::default() };
            lock = epochs::convert(&lock, "stats", Some(&answers)).expect("all is answered");
        }
    }
    let map = Case { lock, live: vec![live], ..Case::default() }.decide();
    (map.disposition(), map.why)
}

const OLDEST: &str = "nothing tells the version of its meaning, so it counts as the oldest: ";

#[test]
fn the_generation_tells_which_version_its_map_has() {
    let steps = [(versioned(1, 0), OnUpgrade::Swap)];
    assert_eq!(planned(&versioned(0, 0), &steps, told(&versioned(1, 0))), (D::Reuse, "same layout".to_owned()));
    let (disposition, why) = planned(&versioned(0, 0), &steps, told(&versioned(0, 0)));
    assert_eq!(disposition, D::Swap);
    assert_eq!(
        why,
        "starts empty: map `stats` means something else now: version 1, it had none (accepted: \"because\")"
    );
    // A meaning that is back: what has none is not the oldest, for it is known.
    let steps = [(versioned(1, 0), OnUpgrade::Swap), (versioned(2, 0), OnUpgrade::Swap)];
    assert_eq!(planned(&versioned(0, 0), &steps, told(&versioned(2, 0))).0, D::Reuse);
    assert_eq!(planned(&versioned(0, 0), &steps, told(&versioned(1, 0))).0, D::Swap);
}

#[test]
fn what_nobody_wrote_down_counts_as_the_oldest_and_the_plan_says_so() {
    for (way, disposition) in [
        (OnUpgrade::Swap, D::Swap),
        (OnUpgrade::Migrate, D::Migrate),
        (OnUpgrade::Refuse, D::Refuse),
        (OnUpgrade::Reuse, D::Reuse),
    ] {
        let (did, why) = planned(&versioned(0, 0), &[(versioned(1, 0), way)], bare(&versioned(0, 0), true));
        assert_eq!(did, disposition, "{why}");
        assert!(why.ends_with(&format!("; {OLDEST}no version")), "{why}");
    }
    let steps = [(versioned(3, 0), OnUpgrade::Swap), (versioned(4, 0), OnUpgrade::Swap)];
    let (did, why) = planned(&versioned(2, 0), &steps, bare(&versioned(2, 0), true));
    assert_eq!(did, D::Swap);
    assert!(why.ends_with(&format!("{OLDEST}version 2")), "{why}");
}

#[test]
fn a_struct_tells_its_version_where_the_kernel_kept_the_tag() {
    let steps = [(versioned(0, 2), OnUpgrade::Swap)];
    let planned = |live: &MapDef, keeps_tags| planned(&versioned(0, 1), &steps, bare(live, keeps_tags));
    assert_eq!(planned(&versioned(0, 2), true), (D::Reuse, "same layout".to_owned()));
    let (did, why) = planned(&versioned(0, 1), true);
    assert_eq!((did, why.contains(OLDEST)), (D::Swap, false), "{why}");
    for blank in [versioned(0, 1), versioned(0, 2)] {
        let (did, why) = planned(&blank, false);
        assert_eq!(did, D::Swap, "it may be either");
        assert!(why.ends_with(&format!("; {OLDEST}version 1")), "{why}");
    }
}

#[test]
fn where_there_was_only_one_meaning_nothing_has_to_be_told() {
    assert_eq!(planned(&versioned(2, 3), &[], bare(&versioned(2, 3), false)), (D::Reuse, "same layout".to_owned()));
}

#[test]
fn a_layout_of_before_is_what_it_was_whatever_tells_no_version() {
    let narrow = hash(&counters(4), 64);
    let steps = [(versioned(0, 0), OnUpgrade::Swap), (versioned(1, 0), OnUpgrade::Swap)];
    let (did, why) = planned(&narrow, &steps, bare(&narrow, true));
    assert_eq!((did, why.contains(OLDEST)), (D::Swap, false), "{why}");
    // Of the layout of today, the version before the first that was accepted.
    let (_, why) = planned(&narrow, &steps, bare(&versioned(0, 0), true));
    assert!(why.ends_with(&format!("{OLDEST}no version")), "{why}");
}

#[test]
fn inner_maps_mean_what_their_holder_is_known_to_hold() {
    let holder = |version| {
        let inner = Some(Box::new(versioned(0, version)));
        MapDef { inner, ..def("stats", T::HASH_OF_MAPS, &uint(4), 8) }
    };
    let steps = [(holder(1), OnUpgrade::Swap)];
    let empty = |keeps_tags| {
        let live = bare(&holder(0), keeps_tags);
        Observed { def: MapDef { inner: None, ..live.def.clone() }, ..live }
    };
    let (did, why) = planned(&holder(0), &steps, empty(true));
    assert_eq!(did, D::Swap);
    assert!(why.ends_with(&format!("; {OLDEST}no version")), "{why}");
    assert_eq!(planned(&holder(0), &steps, told(&holder(1))).0, D::Reuse);
    assert_eq!(planned(&holder(0), &steps, bare(&holder(1), true)).0, D::Reuse, "an inner map tells");
}

#[test]
fn an_older_release_returns_to_the_map_of_its_own_meaning() {
    let older = lock([versioned(1, 0)]);
    let newer = told(&versioned(2, 0));
    let kept = Observed { path: PathBuf::from("/bpf/mesh@prev/stats"), id: 3, ..told(&versioned(1, 0)) };
    let mut case = Case { lock: older, live: vec![newer], kept: vec![kept], ..Case::default() };
    let map = case.decide();
    assert!(matches!(map.action, Action::TakeBack { .. }), "{map:?}");
    // What is kept means something else too: nothing to return to.
    case.kept[0].def.version = 2;
    let map = case.decide();
    assert_eq!(map.disposition(), D::Refuse);
    assert!(map.why.starts_with("map `stats` goes back to an older meaning: version 1, it was 2"), "{}", map.why);
}
