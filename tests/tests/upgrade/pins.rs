//! What an upgrade does to the directory: names, owners, modes, somebody else's pins.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;

use maplock::internals::sys::{Map, NewMap, Object, bpffs};
use maplock::layout::lock::LockedMap;
use maplock::layout::map::{MapType, Pinning};
use maplock::layout::{Lock, MapDef};
use maplock::plan::CommitBy;
use maplock::{ErrorKind, Options, Policies, Policy, Recovered, Spec};
use maplock_tests::kernel::{self, Bpffs};

fn hash(name: &str, max_entries: u32) -> MapDef {
    MapDef { key_size: 4, value_size: 8, max_entries, pinning: Pinning::ByName, ..MapDef::new(name, MapType::HASH) }
}

fn spec(maps: &[MapDef]) -> Spec {
    let maps = maps.iter().map(|def| (def.name.clone(), LockedMap::new(def.clone())));
    Spec::from(Lock { maps: maps.collect::<BTreeMap<_, _>>(), ..Lock::default() })
}

fn options(dir: &Path, maps: &[MapDef]) -> Options {
    Options::new(spec(maps), dir)
}

fn install(dir: &Path, maps: &[MapDef]) {
    options(dir, maps).begin().expect("begun").stage().expect("staged").commit().expect("committed");
}

fn names(dir: &Path) -> Vec<String> {
    let mut names = bpffs::names(dir).expect("listed").unwrap_or_default();
    names.retain(|name| !name.ends_with(".debug"));
    names
}

fn id(path: &Path) -> u32 {
    Map::open(path).expect("it is pinned").info().id
}

#[test]
fn the_owner_and_mode_of_a_pin_and_of_the_directory_are_kept() {
    if !kernel::available() {
        return;
    }
    for each_pin in [false, true] {
        let bpffs = Bpffs::mount();
        let dir = bpffs.path().join("daemon");
        let options = |maps: &[MapDef]| if each_pin { options(&dir, maps).each_pin() } else { options(&dir, maps) };
        let modes = [("", 0o750), ("grows", 0o640), ("stays", 0o660), ("maplock_meta", 0o644), ("maplock@lock", 0o660)];
        let are_kept = |dir: &Path| {
            for (name, mode) in modes {
                let data = fs::metadata(dir.join(name)).expect("it is there");
                let found = (data.uid(), data.gid(), data.mode() & 0o7777);
                assert_eq!(found, (12, 34, mode), "{}, each pin: {each_pin}", dir.join(name).display());
            }
        };
        install(&dir, &[hash("grows", 4), hash("stays", 4)]);
        for (name, mode) in modes {
            chown(dir.join(name), Some(12), Some(34)).expect("chown");
            fs::set_permissions(dir.join(name), fs::Permissions::from_mode(mode)).expect("chmod");
        }
        let before = id(&dir.join("grows"));
        let staged = options(&[hash("grows", 8), hash("stays", 4)]).begin().expect("begun").stage().expect("staged");
        let snapshot = fs::metadata(bpffs.path().join("daemon@next/grows@base")).expect("a snapshot");
        assert_eq!((snapshot.uid(), snapshot.gid(), snapshot.mode() & 0o7777), (12, 34, 0o640));
        staged.commit().expect("committed");
        assert_ne!(id(&dir.join("grows")), before);
        are_kept(&dir);
        are_kept(&bpffs.path().join("daemon@prev"));
        maplock::Rollback::new(&dir).run().expect("back");
        assert_eq!(id(&dir.join("grows")), before);
        are_kept(&dir);
        are_kept(&bpffs.path().join("daemon@prev"));
    }
}

#[test]
fn dropping_what_is_staged_leaves_the_live_generation_as_it_was() {
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = bpffs.path().join("daemon");
    install(&dir, &[hash("grows", 4), hash("goes", 4)]);
    let (before, map) = (names(&dir), id(&dir.join("grows")));
    let staged = options(&dir, &[hash("grows", 8), hash("comes", 4)]).begin().expect("begun").stage().expect("staged");
    assert_eq!(names(bpffs.path()), ["daemon", "daemon@next"]);
    drop(staged);
    assert_eq!(names(bpffs.path()), ["daemon"]);
    assert_eq!((names(&dir), id(&dir.join("grows"))), (before, map));
}

#[test]
fn a_map_that_does_not_fit_leaves_nothing_behind() {
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = bpffs.path().join("daemon");
    install(&dir, &[hash("grows", 4)]);
    // More memory than any machine has.
    let vast = MapDef { value_size: 1 << 20, max_entries: u32::MAX / 2, ..hash("vast", 1) };
    let error = options(&dir, &[hash("grows", 8), vast]).begin().expect("begun").stage().expect_err("no room");
    let told = error.to_string();
    assert!(told.contains("can't create map `vast` (hash of 2147483647, 4 -> 1048576 bytes"), "{told}");
    assert_eq!(names(bpffs.path()), ["daemon"]);
    assert_eq!(Map::open(&dir.join("grows")).expect("it is pinned").info().max_entries, 4);
}

#[test]
fn pins_of_others_survive_and_the_plan_says_what_that_means() {
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = bpffs.path().join("daemon");
    install(&dir, &[hash("grows", 4), hash("goes", 4)]);
    let foreign = Map::create(&NewMap::new(MapType::ARRAY, 4, 4, 1)).expect("made");
    foreign.pin(&dir.join("somebodys")).expect("pinned");
    fs::create_dir(dir.join("directory")).expect("made");
    let upgrade = options(&dir, &[hash("grows", 8)]).begin().expect("begun");
    assert!(matches!(upgrade.plan().commit, CommitBy::EachPin { .. }), "{}", upgrade.plan());
    assert!(upgrade.plan().to_string().contains("pins are renamed one by one: the directory is shared: `directory`"));
    upgrade.stage().expect("staged").commit().expect("committed");
    assert_eq!(id(&dir.join("somebodys")), foreign.info().id);
    assert_eq!(
        names(&dir),
        ["directory", "grows", "grows@transfer", "maplock@history", "maplock@lock", "maplock_meta", "somebodys"]
    );
    assert_eq!(
        names(&bpffs.path().join("daemon@prev")),
        ["goes", "grows", "maplock@history", "maplock@lock", "maplock_meta"]
    );
    maplock::Rollback::new(&dir).run().expect("back");
    assert_eq!(
        names(&dir),
        [
            "directory",
            "goes",
            "grows",
            "grows@transfer@back",
            "maplock@history",
            "maplock@lock",
            "maplock_meta",
            "somebodys"
        ]
    );
    assert_eq!(Map::open(&dir.join("grows")).expect("it is pinned").info().max_entries, 4);
}

#[test]
fn a_pin_that_comes_while_the_directory_is_exchanged_is_given_back() {
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = bpffs.path().join("daemon");
    install(&dir, &[hash("stays", 4)]);
    let staged = options(&dir, &[hash("stays", 4)]).begin().expect("begun").stage().expect("staged");
    let foreign = Map::create(&NewMap::new(MapType::ARRAY, 4, 4, 1)).expect("made");
    foreign.pin(&dir.join("late")).expect("pinned");
    staged.commit().expect("committed");
    assert_eq!(id(&dir.join("late")), foreign.info().id);
}

#[test]
fn the_root_of_a_mount_is_upgraded_pin_by_pin() {
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = bpffs.path();
    install(dir, &[hash("grows", 4), hash("goes", 4)]);
    Map::open(&dir.join("grows")).expect("pinned").update(&[1, 0, 0, 0], &[7; 8], 0).expect("written");
    let upgrade = options(dir, &[hash("grows", 8), hash("comes", 4)]).begin().expect("begun");
    assert_eq!(upgrade.plan().commit, CommitBy::EachPin { why: "the directory is the root of a mount".to_owned() });
    upgrade.stage().expect("staged").commit().expect("committed");
    assert_eq!(
        names(dir),
        ["comes", "grows", "grows@transfer", "maplock@history", "maplock@lock", "maplock@prev", "maplock_meta"]
    );
    let map = Map::open(&dir.join("grows")).expect("pinned");
    assert_eq!((map.info().max_entries, map.lookup(&[1, 0, 0, 0]).expect("read")), (8, Some(vec![7; 8])));
    maplock::Rollback::new(dir).run().expect("back");
    assert_eq!(
        names(dir),
        ["goes", "grows", "grows@transfer@back", "maplock@history", "maplock@lock", "maplock@prev", "maplock_meta"]
    );
    maplock::confirm(dir, std::time::Duration::ZERO).expect("confirmed");
    assert_eq!(names(dir), ["goes", "grows", "maplock@history", "maplock@lock", "maplock_meta"]);
}

#[test]
fn a_directory_that_is_mounted_over_itself_is_upgraded_pin_by_pin() {
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = bpffs.path().join("daemon");
    install(&dir, &[hash("grows", 4)]);
    rustix::mount::mount_bind(&dir, &dir).expect("mounted");
    let upgrade = options(&dir, &[hash("grows", 8)]).begin().expect("begun");
    assert!(matches!(upgrade.plan().commit, CommitBy::EachPin { .. }), "{}", upgrade.plan());
    upgrade.stage().expect("staged").commit().expect("committed");
    assert_eq!(Map::open(&dir.join("grows")).expect("pinned").info().max_entries, 8);
    rustix::mount::unmount(&dir, rustix::mount::UnmountFlags::DETACH).expect("unmounted");
}

#[test]
fn no_path_is_ever_absent_in_either_way() {
    if !kernel::available() {
        return;
    }
    for each_pin in [false, true] {
        let bpffs = Bpffs::mount();
        let dir = bpffs.path().join("daemon");
        install(&dir, &[hash("one", 4), hash("other", 4)]);
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let (mut opened, mut missed) = (0_u64, 0_u64);
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    for name in ["one", "other", "maplock_meta"] {
                        match Object::open(&dir.join(name)) {
                            Ok(_) => opened += 1,
                            Err(_) => missed += 1,
                        }
                    }
                }
                (opened, missed)
            });
            for round in 0..kernel::times(40, 8) {
                let mut options = options(&dir, &[hash("one", 4 + round), hash("other", 4)]);
                if each_pin {
                    options = options.each_pin();
                }
                options.begin().expect("begun").stage().expect("staged").commit().expect("committed");
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            let (opened, missed) = reader.join().expect("it reads");
            assert!(opened > 100, "{opened}");
            assert_eq!(missed, 0, "of {opened}, each pin: {each_pin}");
        });
    }
}

#[test]
fn a_name_with_a_dot_is_pinned_without() {
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = bpffs.path().join("daemon");
    install(&dir, &[hash("with.dot", 4)]);
    install(&dir, &[hash("with.dot", 8)]);
    assert_eq!(Map::open(&dir.join("with_dot")).expect("pinned").info().max_entries, 8);
    let error = options(&bpffs.path().join("dae.mon"), &[hash("m", 4)]).begin().expect_err("it can't be");
    assert_eq!(error.kind(), ErrorKind::Place, "{error}");
}

#[test]
fn a_place_that_is_no_bpffs_is_named_with_the_command_to_type() {
    let dir = tempfile::tempdir().expect("a directory");
    let error = options(&dir.path().join("pins"), &[hash("m", 4)]).begin().expect_err("it can't be");
    let told = error.to_string();
    assert!(told.contains("is not on a bpffs; mount one: mount -t bpf bpf "), "{told}");
}

#[test]
fn a_map_accepted_as_reuse_counts_as_the_new_definition_from_then_on() {
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = bpffs.path().join("daemon");
    install(&dir, &[hash("m", 4)]);
    let upgrade = options(&dir, &[hash("m", 4)]).begin().expect("begun");
    assert_eq!(upgrade.recovered(), Recovered::Nothing);
    drop(upgrade);
    // Without the meta map nothing tells what the bytes are; with it, the lock does.
    let typed = |name: &str| MapDef {
        key: Some(std::sync::Arc::new(maplock::layout::Layout {
            size: 4,
            typedef: None,
            shape: maplock::layout::Shape::Int(maplock::layout::IntKind::Unsigned),
        })),
        value: Some(std::sync::Arc::new(maplock::layout::Layout {
            size: 8,
            typedef: None,
            shape: maplock::layout::Shape::Int(maplock::layout::IntKind::Unsigned),
        })),
        ..hash(name, 4)
    };
    let told = options(&dir, &[typed("m")]).begin().expect("begun").stage().expect_err("unverifiable").to_string();
    assert!(told.contains("map `m` is refused"), "{told}");
    let trusting =
        Policy { unverifiable: maplock::OnMismatch::Reuse, unknown: maplock::OnMismatch::Reuse, ..Policy::default() };
    let policies = Policies { all: trusting, ..Policies::default() };
    let upgrade = options(&dir, &[typed("m")]).policies(policies).begin().expect("begun");
    upgrade.stage().expect("staged").commit().expect("committed");
    // From here on, no policy is needed.
    options(&dir, &[typed("m")]).begin().expect("begun").stage().expect("it is known now").commit().expect("committed");
}

#[test]
fn a_symbolic_link_to_the_directory_stays_one() {
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let (dir, alias) = (bpffs.path().join("daemon"), bpffs.path().join("alias"));
    install(&dir, &[hash("grows", 4)]);
    std::os::unix::fs::symlink("daemon", &alias).expect("made");
    install(&alias, &[hash("grows", 8)]);
    assert_eq!(names(bpffs.path()), ["alias", "daemon", "daemon@prev"]);
    assert!(alias.is_symlink());
    assert_eq!(Map::open(&dir.join("grows")).expect("it is pinned").info().max_entries, 8);
}

#[test]
fn entries_that_do_not_fit_any_more_keep_both_generations_as_they_are() {
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = bpffs.path().join("daemon");
    install(&dir, &[hash("m", 4)]);
    let write = |number: u32| {
        let map = Map::open(&dir.join("m")).expect("pinned");
        map.update(&number.to_ne_bytes(), &[7; 8], 0).expect("written");
    };
    (0..3).for_each(write);
    install(&dir, &[hash("m", 8)]);
    (3..6).for_each(write);
    let kept = || Map::open(&bpffs.path().join("daemon@prev/m")).expect("kept");
    let count = |map: &Map| maplock::internals::transfer::count(map, std::time::Duration::MAX);
    let before = (id(&dir.join("m")), kept().info().id);
    let error = maplock::Rollback::new(&dir).run().expect_err("6 into 4");
    assert!(error.to_string().contains("it holds 6 entries, and the kept one has room for 4"), "{error}");
    assert_eq!((id(&dir.join("m")), kept().info().id), before);
    assert_eq!((count(&Map::open(&dir.join("m")).expect("pinned")), count(&kept())), (Some(6), Some(3)));
}
