//! An older release starts over a newer one, whose layouts its own lock does not know: the newer lock is pinned with the generation.

use std::path::Path;

use maplock::internals::sys::{Map, NewMap, bpffs};
use maplock::layout::config::{Config, Levels};
use maplock::layout::conversion::Answers;
use maplock::layout::lock::{Merge, OnUpgrade};
use maplock::layout::map::MapType;
use maplock::layout::{Disposition, Lock, ObjectMaps, epochs, observe, observe_after};
use maplock::{ErrorKind, OnMismatch, Options, Policies, Policy, Report, Rollback, Spec, confirm, dry_run};
use maplock_tests::kernel::{self, Bpffs};
use maplock_tests::maps_of;
use maplock_tests::toolchain::{Clang, Order};

/// The definitions of an object with one map, `flows`.
fn object(clang: &Clang, key: &str, value: &str) -> Vec<ObjectMaps> {
    let folder = tempfile::tempdir().expect("a folder");
    let (file, object) = (folder.path().join("flows.c"), folder.path().join("flows.o"));
    let source = format!(
        "#include \"bpf_min.h\"\nstruct key {{ {key} }};\nstruct flow {{ {value} }};\nstruct {{ __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 64); __uint(pinning, 1); __type(key, struct key); __type(value, struct flow); }} flows SEC(\".maps\");\n"
    );
    std::fs::write(&file, source).expect("a file");
    clang.compile(Order::Little, &file, &object);
    vec![ObjectMaps::new("flows.o", maps_of(&std::fs::read(object).expect("an object")).expect("a good object"))]
}

fn first(object: &[ObjectMaps]) -> Lock {
    observe(object, &Config::default()).expect("no name is configured").lock
}

/// The lock in which the next object is accepted, its entries converted.
fn next(lock: &Lock, object: &[ObjectMaps], answers: &Answers) -> Lock {
    let now = observe_after(object, &Config::default(), lock).expect("no name is configured");
    let accepted = epochs::accept(lock, &now, "flows", OnUpgrade::Migrate, "as agreed", &Levels::default());
    epochs::convert(&accepted.expect("a break"), "flows", Some(answers)).expect("all is answered")
}

fn with_default(member: &str, text: &str) -> Answers {
    Answers { default: [(member.to_owned(), text.to_owned())].into(), ..Answers::default() }
}

fn start(lock: &Lock, dir: &Path) -> Report {
    let upgrade = Options::new(Spec::from(lock.clone()), dir).begin().expect("begun");
    upgrade.stage().expect("staged").commit().expect("committed")
}

fn outcome(lock: &Lock, dir: &Path) -> String {
    dry_run(&Spec::from(lock.clone()), dir, &Policies::default()).expect("a plan").to_string()
}

fn flows(dir: &Path) -> Map {
    Map::open(&dir.join("flows")).expect("it is pinned")
}

fn put(dir: &Path, key: &[u32], value: &[u64]) {
    let key: Vec<u8> = key.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let value: Vec<u8> = value.iter().flat_map(|word| word.to_ne_bytes()).collect();
    flows(dir).update(&key, &value, 0).expect("there is room");
}

fn get(dir: &Path, key: u32) -> Option<Vec<u8>> {
    flows(dir).lookup(&key.to_ne_bytes()).expect("the kernel tells")
}

const ID: &str = "__u32 id;";

#[test]
fn counts_come_back_over_every_release_that_they_went_up() {
    let Some(clang) = Clang::newest() else { return };
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = bpffs.dir("daemon");
    let v1 = first(&object(&clang, ID, "__u32 n; __u32 seen;"));
    let v2 = next(&v1, &object(&clang, ID, "__u64 n; __u64 seen;"), &Answers::default());
    let v2 = epochs::merge(&v2, "flows", &[("n".to_owned(), Merge::Sum)].into()).expect("a counter");
    let v3 =
        next(&v2, &object(&clang, "__u32 id; __u32 port;", "__u64 n; __u64 seen;"), &with_default("key.port", "0"));
    start(&v1, &dir);
    flows(&dir).update(&1_u32.to_ne_bytes(), &[5_u32, 9].map(u32::to_ne_bytes).concat(), 0).expect("there is room");
    start(&v2, &dir);
    start(&v3, &dir);
    put(&dir, &[1, 0], &[6, 9]);
    put(&dir, &[1, 80], &[10, 9]);
    put(&dir, &[2, 443], &[100, 9]);

    // The kept map has no place for counts by port: they are put together all the same.
    let plan = outcome(&v2, &dir);
    assert!(
        plan.contains("converted back, and put together if only key.port differs, by the lock of the newer release"),
        "{plan}"
    );
    assert!(plan.contains("2 of 3 entries of `flows` lose key.port, and are put together"), "{plan}");
    assert!(!plan.contains("nothing is lost"), "{plan}");
    let report = start(&v2, &dir);
    assert_eq!(report.maps[0].disposition, Disposition::Migrate);
    assert_eq!(get(&dir, 1).map(|value| value[..8].to_vec()), Some(16_u64.to_ne_bytes().to_vec()));
    assert_eq!(get(&dir, 2).map(|value| value[..8].to_vec()), Some(100_u64.to_ne_bytes().to_vec()));

    // And on, where what is kept is of another release; and up again.
    assert!(
        outcome(&v1, &dir).contains("every entry of `flows` goes back whole as it is now"),
        "{}",
        outcome(&v1, &dir)
    );
    start(&v1, &dir);
    assert_eq!(get(&dir, 1), Some([16_u32, 9].map(u32::to_ne_bytes).concat()));
    start(&v3, &dir);
    let key = [1_u32, 0].map(u32::to_ne_bytes).concat();
    let value = flows(&dir).lookup(&key).expect("the kernel tells").expect("it is there");
    assert_eq!(value, [16_u64, 9].map(u64::to_ne_bytes).concat());
    // Over both at once.
    start(&v1, &dir);
    assert_eq!(get(&dir, 1), Some([16_u32, 9].map(u32::to_ne_bytes).concat()));
}

#[test]
fn what_the_older_layout_has_no_place_for_is_counted_by_the_data() {
    let Some(clang) = Clang::newest() else { return };
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = bpffs.dir("daemon");
    let v1 = first(&object(&clang, ID, "__u64 n;"));
    let v2 = next(&v1, &object(&clang, ID, "__u64 n; __u64 color;"), &with_default("value.color", "7"));
    for is_kept in [true, false] {
        start(&v2, &dir);
        for id in 1..=3 {
            put(&dir, &[id], &[10, 7]);
        }
        if is_kept {
            // As this release was before.
            start(&v1, &dir);
            start(&v2, &dir);
        } else {
            confirm(&dir, std::time::Duration::ZERO).expect("confirmed");
        }
        let whole = "every entry of `flows` goes back whole as it is now";
        assert!(outcome(&v1, &dir).contains(whole), "{}", outcome(&v1, &dir));
        put(&dir, &[3], &[10, 8]);
        let told = match is_kept {
            true => "1 of 3 entries of `flows` hold what the older layout has no place for, and that does not go back",
            false => "1 of 3 entries of `flows` lose what the older layout has no place for",
        };
        assert!(outcome(&v1, &dir).contains(told), "{}", outcome(&v1, &dir));
        let report = start(&v1, &dir);
        assert_eq!((report.maps[0].lost, report.maps[0].incomplete), (Some(0), Some(1)), "{report}");
        assert!(
            !report.maps[0].exact && report.to_string().contains("1 without what the older layout has no place for")
        );
        for id in 1..=3 {
            assert_eq!(get(&dir, id), Some(10_u64.to_ne_bytes().to_vec()));
        }
    }
}

#[test]
fn a_roll_back_counts_the_keys_that_the_older_layout_has_no_place_for() {
    let Some(clang) = Clang::newest() else { return };
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = bpffs.dir("daemon");
    let v1 = first(&object(&clang, ID, "__u64 n;"));
    let v2 = next(&v1, &object(&clang, "__u32 id; __u32 port;", "__u64 n;"), &with_default("key.port", "0"));
    start(&v1, &dir);
    put(&dir, &[1], &[5]);
    start(&v2, &dir);
    put(&dir, &[1, 0], &[6]);
    put(&dir, &[1, 80], &[10]);
    put(&dir, &[2, 80], &[10]);
    // Nothing is summed, so that nothing says how entries of one key are put together.
    let plan = outcome(&v1, &dir);
    let told = "2 of 3 entries of `flows` have a key that the older layout has no place for, and stay behind";
    assert!(plan.contains(told), "{plan}");
    let report = Rollback::new(&dir).run().expect("there is a way back");
    assert_eq!((report.maps[0].kept, report.maps[0].lost), (1, Some(2)));
    assert_eq!(get(&dir, 1), Some(6_u64.to_ne_bytes().to_vec()));
}

/// What is written between the copy and the switch is counted too.
#[test]
fn what_goes_back_incomplete_is_counted_once_nothing_writes_it_any_more() {
    let Some(clang) = Clang::newest() else { return };
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = bpffs.dir("daemon");
    let v1 = first(&object(&clang, ID, "__u64 n;"));
    let v2 = next(&v1, &object(&clang, ID, "__u64 n; __u64 color;"), &with_default("value.color", "7"));
    for way in ["a new map", "the kept map", "a roll-back"] {
        start(&v2, &dir);
        if way != "a new map" {
            start(&v1, &dir);
            start(&v2, &dir);
        } else {
            confirm(&dir, std::time::Duration::ZERO).expect("confirmed");
        }
        put(&dir, &[1], &[10, 8]);
        put(&dir, &[2], &[10, 7]);
        let report = if way == "a roll-back" {
            Rollback::new(&dir).run().expect("there is a way back")
        } else {
            let staged = Options::new(Spec::from(v1.clone()), &dir).begin().expect("begun").stage().expect("staged");
            put(&dir, &[2], &[10, 9]);
            staged.commit().expect("committed")
        };
        let wanted = if way == "a roll-back" { 1 } else { 2 };
        assert_eq!(report.maps[0].incomplete, Some(wanted), "{way}: {report}");
        assert!(report.to_prometheus().contains(&format!("what=\"incomplete\"}} {wanted}\n")), "{way}");
        start(&v1, &dir);
    }
}

/// The layout is the same, so that no epoch says anything.
#[test]
fn a_smaller_older_release_adds_up_what_the_newer_one_knows_as_counts() {
    let Some(clang) = Clang::newest() else { return };
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = bpffs.dir("daemon");
    let v1 = first(&object(&clang, ID, "__u64 n;"));
    let mut v2 = epochs::merge(&v1, "flows", &[("n".to_owned(), Merge::Sum)].into()).expect("a counter");
    v2.maps.get_mut("flows").expect("it is there").def.max_entries = 256;
    start(&v1, &dir);
    start(&v2, &dir);
    put(&dir, &[1], &[10]);
    let all = Policy { larger: OnMismatch::Refuse, ..Policy::default() };
    let options = Options::new(Spec::from(v1), &dir).policies(Policies { all, ..Policies::default() });
    let staged = options.begin().expect("begun").stage().expect("staged");
    let map = staged.map("flows").expect("it is staged");
    assert_eq!(map.info().max_entries, 64);
    // Both count before it is settled.
    put(&dir, &[1], &[13]);
    map.update(&1_u32.to_ne_bytes(), &14_u64.to_ne_bytes(), 0).expect("there is room");
    let report = staged.commit().expect("committed");
    assert_eq!(get(&dir, 1), Some(17_u64.to_ne_bytes().to_vec()), "{report}");
}

#[test]
fn a_pinned_lock_that_is_none_counts_as_absent() {
    let Some(clang) = Clang::newest() else { return };
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = bpffs.dir("daemon");
    let v1 = first(&object(&clang, ID, "__u64 n;"));
    let v2 = next(&v1, &object(&clang, ID, "__u64 n; __u64 color;"), &with_default("value.color", "7"));
    start(&v2, &dir);
    let pin = dir.join("maplock@history");
    let refused = |what: &str| {
        let error = Options::new(Spec::from(v1.clone()), &dir).begin().expect("begun").stage().expect_err("no way");
        assert_eq!(error.kind(), ErrorKind::Refused, "{what}: {error}");
        assert!(error.to_string().contains("no accepted change leads from"), "{what}: {error}");
    };
    for (what, text, is_frozen) in [
        ("no lock", "version = 1\n[map.flows]\n", true),
        ("not UTF-8", "\u{0}\u{0}", true),
        ("a newer version", "version = 2\n", true),
        ("not frozen", &v2.to_string(), false),
    ] {
        bpffs::unlink(&pin).expect("ours");
        let size = u32::try_from(text.len()).expect("short");
        let map =
            Map::create(&NewMap { name: "maplock_history", ..NewMap::new(MapType::ARRAY, 4, size, 1) }).expect("made");
        map.update(&[0; 4], text.as_bytes(), 0).expect("written");
        if is_frozen {
            map.freeze().expect("frozen");
        }
        map.pin(&pin).expect("pinned");
        refused(what);
    }
    bpffs::unlink(&pin).expect("ours");
    refused("absent");
}

#[test]
fn where_no_way_leads_back_the_refusal_says_why() {
    let Some(clang) = Clang::newest() else { return };
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = bpffs.dir("daemon");
    let v1 = first(&object(&clang, ID, "__u64 n;"));
    let v2 = next(&v1, &object(&clang, "__u32 id; __u32 port;", "__u64 n;"), &with_default("key.port", "0"));
    start(&v2, &dir);
    let plan = outcome(&v1, &dir);
    let told = "no way leads back by the lock of the newer release: entries that differ in `key.port` would become one, and no member is summed (`cargo maplock accept MAP --merge MEMBER=sum` in the newer release)";
    assert!(plan.contains(told), "{plan}");
    // What it offers.
    let v2 = epochs::merge(&v2, "flows", &[("n".to_owned(), Merge::Sum)].into()).expect("a counter");
    start(&v2, &dir);
    put(&dir, &[1, 80], &[10]);
    start(&v1, &dir);
    assert_eq!(get(&dir, 1), Some(10_u64.to_ne_bytes().to_vec()));
}
