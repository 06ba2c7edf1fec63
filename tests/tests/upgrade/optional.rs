//! A map that one build of a release has, and another lacks.

use std::path::Path;

use maplock::internals::sys::Map;
use maplock::layout::lock::LockedMap;
use maplock::layout::map::{MapType, Pinning};
use maplock::layout::{Disposition, Lock, MapDef, ProgramUse};
use maplock::plan::Action;
use maplock::{Options, Report, Rollback, Spec};
use maplock_tests::kernel::{self, Bpffs};

/// The lock of a build with or without `dns`, a type of map whose layout the kernel does not keep.
fn spec(has_dns: bool, flows: u32) -> Spec {
    let map = |name: &str, map_type, key_size, max_entries| {
        let def = MapDef { key_size, value_size: 8, max_entries, ..MapDef::new(name, map_type) };
        let programs = Some(ProgramUse::default());
        let map = LockedMap::new(MapDef { pinning: Pinning::ByName, ..def });
        LockedMap { programs, user_never_deletes: true, ..map }
    };
    let dns = LockedMap { optional: true, ephemeral: !has_dns, ..map("dns", MapType::QUEUE, 0, 16) };
    let maps = [map("flows", MapType::HASH, 4, flows), dns].map(|map| (map.def.name.clone(), map));
    Spec::from(Lock { maps: maps.into(), ..Lock::default() })
}

fn start(dir: &Path, spec: Spec) -> Report {
    let staged = Options::new(spec, dir).begin().expect("begun").stage().expect("staged");
    staged.commit().expect("committed")
}

fn id(dir: &Path) -> u32 {
    Map::open(&dir.join("dns")).expect("it is pinned").info().id
}

#[test]
fn the_map_of_another_build_goes_along_and_is_found_again() {
    if !kernel::available() || !kernel::has_exchange() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = bpffs.path().join("daemon");
    start(&dir, spec(true, 4));
    let dns = Map::open(&dir.join("dns")).expect("it is pinned");
    (7..10_u64).for_each(|value| dns.update(&[], &value.to_ne_bytes(), 0).expect("room"));

    for flows in [8, 16] {
        let upgrade = Options::new(spec(false, flows), &dir).begin().expect("begun");
        let plan = upgrade.plan().map("dns").expect("it is told of").clone();
        assert!(matches!(plan.action, Action::GoAlong { .. }), "{plan:?}");
        assert_eq!(plan.disposition(), Disposition::Reuse);
        assert_eq!(plan.why, "this build lacks it, as it may; it stays pinned as it is");
        assert!(upgrade.plan().outcome().contains("nothing is lost"), "{}", upgrade.plan());
        let staged = upgrade.stage().expect("staged");
        assert!(staged.map("dns").is_none(), "no loader is to see it");
        staged.commit().expect("committed");
        assert_eq!(id(&dir), dns.info().id);
    }
    // The same build again changes nothing, and keeps what is kept.
    let again = Options::new(spec(false, 16), &dir).begin().expect("begun");
    assert!(again.plan().leaves_kept, "{}", again.plan());
    drop(again);

    // The build that has it finds it verified, with its entries.
    let upgrade = Options::new(spec(true, 16), &dir).begin().expect("begun");
    let plan = upgrade.plan().map("dns").expect("it is in the spec");
    assert_eq!((plan.disposition(), plan.why.as_str()), (Disposition::Reuse, "same sizes; its types are unknown"));
    upgrade.stage().expect("staged").commit().expect("committed");
    assert_eq!(id(&dir), dns.info().id);
    Rollback::new(&dir).run().expect("back");
    assert_eq!(id(&dir), dns.info().id);
    assert_eq!(dns.lookup(&[]).expect("a look"), Some(7_u64.to_ne_bytes().to_vec()));
}

#[test]
fn it_goes_along_where_another_loader_has_left_the_pins() {
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = bpffs.path().join("daemon");
    start(&dir, spec(true, 4));
    let before = id(&dir);
    std::fs::remove_file(dir.join("maplock_meta")).expect("a pin");
    let mut lacking = spec(false, 8).lock().clone();
    // Of which the kernel tells nothing but bytes, and nobody else does.
    lacking.maps.remove("flows");
    std::fs::remove_file(dir.join("flows")).expect("a pin");
    start(&dir, Spec::from(lacking));
    assert_eq!(id(&dir), before);
}
