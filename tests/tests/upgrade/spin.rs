//! Values with a lock: its bytes are the kernel's, and whoever counts by a plain `+= 1` holds it.

use std::path::Path;

use maplock::internals::sys::Map;
use maplock::layout::lock::LockedMap;
use maplock::layout::map::{MapType, Pinning};
use maplock::layout::{Lock, MapDef, ProgramUse};
use maplock::{Options, Policies, Policy, Report, Rollback, Spec};
use maplock_tests::kernel::{self, Bpffs};
use maplock_tests::shapes::{self, settles_exactly, uint};

fn start(dir: &Path, map_type: MapType, max_entries: u32) -> Report {
    let def = MapDef {
        key_size: 4,
        value_size: 16,
        max_entries,
        pinning: Pinning::ByName,
        key: Some(uint(4)),
        value: Some(shapes::locked("bpf_spin_lock")),
        ..MapDef::new("m", map_type)
    };
    let maps = [(
        "m".to_owned(),
        LockedMap { programs: Some(ProgramUse::default()), user_never_deletes: true, ..LockedMap::new(def) },
    )]
    .into();
    let policy = Policy { sum: vec!["n".to_owned()], ..Policy::default() };
    let policies = Policies { maps: [("m".to_owned(), policy)].into(), ..Policies::default() };
    let upgrade = Options::new(Spec::from(Lock { maps, ..Lock::default() }), dir).policies(policies).begin();
    upgrade.expect("begun").stage().expect("staged").commit().expect("committed")
}

fn put(dir: &Path, key: u32, (n, x): (u64, u32)) {
    let value = [&n.to_ne_bytes()[..], &[0; 4], &x.to_ne_bytes()].concat();
    Map::open(&dir.join("m")).expect("pinned").update(&key.to_ne_bytes(), &value, 0).expect("room");
}

fn get(dir: &Path, key: u32) -> Option<(u64, u32)> {
    let value = Map::open(&dir.join("m")).expect("pinned").lookup(&key.to_ne_bytes()).expect("a map")?;
    let (n, x) = (value[..8].try_into().expect("8 bytes"), value[12..].try_into().expect("4 bytes"));
    Some((u64::from_ne_bytes(n), u32::from_ne_bytes(x)))
}

#[test]
fn a_map_with_a_lock_in_its_value_grows_and_returns() {
    if !kernel::available() {
        return;
    }
    for map_type in [MapType::ARRAY, MapType::HASH] {
        let bpffs = Bpffs::mount();
        let dir = bpffs.path().join("daemon");
        let exact = settles_exactly(map_type, true);
        start(&dir, map_type, 16);
        put(&dir, 3, (5, 7));
        let report = start(&dir, map_type, 32);
        assert_eq!((get(&dir, 3), report.maps[0].exact), (Some((5, 7)), exact), "{map_type}\n{report}");
        put(&dir, 3, (6, 8));
        let report = Rollback::new(&dir).run().unwrap_or_else(|error| panic!("{map_type}: {error:?}"));
        assert_eq!((get(&dir, 3), report.maps[0].exact), (Some((6, 8)), exact), "{map_type}\n{report}");
        assert_eq!(Map::open(&dir.join("m")).expect("pinned").info().max_entries, 16);
    }
}
