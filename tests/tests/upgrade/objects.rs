//! Maps whose entries are objects of the kernel: what user space does with them meanwhile.

use std::collections::BTreeMap;
use std::os::fd::{AsFd as _, AsRawFd as _};

use maplock::internals::sys::{Map, NewMap};
use maplock::layout::lock::LockedMap;
use maplock::layout::map::{MapType, Pinning};
use maplock::layout::{Lock, MapDef, ProgramUse};
use maplock::{Options, Spec};
use maplock_tests::kernel::{self, Bpffs};

fn release(max_entries: u32) -> Spec {
    let def = |map_type: MapType, value_size| MapDef { key_size: 4, value_size, ..MapDef::new("by_zone", map_type) };
    let inner = MapDef { name: "inner".into(), max_entries: 2, ..def(MapType::ARRAY, 8) };
    let outer = def(MapType::HASH_OF_MAPS, 4);
    let outer = MapDef { max_entries, inner: Some(Box::new(inner)), pinning: Pinning::ByName, ..outer };
    // All that can be known of who writes it.
    let locked = LockedMap { user_never_deletes: true, programs: Some(ProgramUse::default()), ..LockedMap::new(outer) };
    Spec::from(Lock { maps: BTreeMap::from([("by_zone".to_owned(), locked)]), ..Lock::default() })
}

fn put(outer: &Map, key: u32) -> u32 {
    let inner = Map::create(&NewMap::new(MapType::ARRAY, 4, 8, 2)).expect("made");
    outer.update(&key.to_ne_bytes(), &inner.as_fd().as_raw_fd().to_ne_bytes(), 0).expect("it fits");
    inner.info().id
}

fn get(outer: &Map, key: u32) -> Option<u32> {
    let id = outer.lookup(&key.to_ne_bytes()).expect("the kernel tells");
    id.map(|id| u32::from_ne_bytes(id.try_into().expect("an id")))
}

#[test]
fn an_inner_map_that_user_space_replaced_after_the_copy_is_left_behind_and_never_called_exact() {
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = bpffs.dir("of").join("daemon");
    Options::new(release(4), &dir).begin().expect("begun").stage().expect("staged").commit().expect("committed");
    let old = Map::open(&dir.join("by_zone")).expect("pinned");
    let first = put(&old, 1);
    let upgrade = Options::new(release(8), &dir).begin().expect("begun");
    let said = "what user space writes over an entry of `by_zone` until the switch is not brought over";
    assert!(upgrade.plan().to_string().contains(said), "{}", upgrade.plan());
    let staged = upgrade.stage().expect("staged");
    let (replaced, made) = (put(&old, 1), put(&old, 2));
    let report = staged.commit().expect("committed");
    let new = Map::open(&dir.join("by_zone")).expect("pinned");
    assert_eq!((get(&new, 1), get(&new, 2)), (Some(first), Some(made)));
    assert_ne!(first, replaced);
    assert!(!report.maps[0].exact, "{report}");
    assert!(report.to_string().contains("maybe not exact: user space may replace what it holds"), "{report}");
}
