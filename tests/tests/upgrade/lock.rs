//! The lock of a site: its own, wherever it is seen from.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use maplock::internals::sys::{Map, NewMap, bpffs};
use maplock::layout::lock::LockedMap;
use maplock::layout::map::{MapType, Pinning};
use maplock::layout::{Lock, MapDef};
use maplock::{Error, ErrorKind, Options, Rollback, Spec};
use maplock_tests::kernel::{self, Bpffs};

/// What is locked.
const LOCK: &str = "maplock@lock";

fn spec(max_entries: u32) -> Spec {
    let def = MapDef::new("flows", MapType::HASH);
    let def = MapDef { key_size: 4, value_size: 8, max_entries, pinning: Pinning::ByName, ..def };
    Spec::from(Lock { maps: BTreeMap::from([("flows".to_owned(), LockedMap::new(def))]), ..Lock::default() })
}

fn options(dir: &Path, max_entries: u32) -> Options {
    Options::new(spec(max_entries), dir).wait(Duration::ZERO)
}

fn start(options: Options) -> Result<(), Error> {
    options.begin()?.stage()?.commit().map(drop)
}

fn inode(path: &Path) -> u64 {
    fs::symlink_metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).ino()
}

fn is_busy(dir: &Path) {
    let error = options(dir, 16).begin().expect_err("somebody holds the lock");
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    let own = format!("process {} (", std::process::id());
    let told = format!("holds the lock of `{}`; gave up after 0 s", dir.display());
    assert!(error.to_string().starts_with(&own) && error.to_string().ends_with(&told), "{error}");
}

#[test]
fn an_upgrade_keeps_nobody_beside_it_waiting_and_nor_does_a_reader_of_the_parent() {
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let (dir, other) = (bpffs.path().join("flow"), bpffs.path().join("flow2"));
    let parent = bpffs::open_dir(bpffs.path()).expect("a reader");
    assert!(bpffs::try_lock(&parent).expect("anybody may"));
    // From the first start on.
    let first = options(&dir, 4).begin().expect("begun");
    is_busy(&dir);
    start(options(&other, 4)).expect("nothing is in the way");
    let staged = first.stage().expect("staged");
    is_busy(&dir);
    staged.commit().expect("committed");
    let slow = options(&dir, 8).begin().expect("begun").stage().expect("staged");
    is_busy(&dir);
    start(options(&other, 8)).expect("nothing is in the way");
    Rollback::new(&other).wait(Duration::ZERO).run().expect("back");
    drop(slow);
    start(options(&dir, 8)).expect("nobody holds it any more");
}

#[test]
fn the_lock_is_one_in_all_generations_and_follows_the_exchange() {
    if !kernel::available() {
        return;
    }
    for each_pin in [false, true] {
        let bpffs = Bpffs::mount();
        let dir = bpffs.path().join("flow");
        let options = |entries| if each_pin { options(&dir, entries).each_pin() } else { options(&dir, entries) };
        start(options(4)).expect("installed");
        let lock = inode(&dir.join(LOCK));
        let data = fs::metadata(dir.join(LOCK)).expect("it is there");
        assert_eq!((data.mode() & 0o7777, data.uid()), (0o600, 0));
        let staged = options(8).begin().expect("begun").stage().expect("staged");
        assert_eq!(inode(&bpffs.path().join("flow@next").join(LOCK)), lock);
        staged.commit().expect("committed");
        let kept = bpffs.path().join("flow@prev");
        assert_eq!((inode(&dir.join(LOCK)), inode(&kept.join(LOCK))), (lock, lock));
        // A kept generation from which somebody removed it gets it back.
        fs::remove_file(kept.join(LOCK)).expect("a pin");
        Rollback::new(&dir).run().expect("back");
        assert_eq!((inode(&dir.join(LOCK)), inode(&kept.join(LOCK))), (lock, lock));
        maplock::confirm(&dir, Duration::ZERO).expect("confirmed");
        assert_eq!(inode(&dir.join(LOCK)), lock);
        // It is no map of the daemon's, and nobody's else.
        let found = maplock::internals::inspect::generations(&dir).expect("looked");
        assert_eq!(found.live.map_names().collect::<Vec<_>>(), ["flows"]);
        assert_eq!(found.foreign, Vec::<String>::new());
        let names: Vec<_> = bpffs::names(bpffs.path()).expect("listed").into_iter().flatten().collect();
        assert_eq!(names.iter().filter(|name| !name.contains('.')).collect::<Vec<_>>(), ["flow"]);
    }
}

#[test]
fn a_bind_mount_of_the_pins_has_the_same_lock() {
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let (dir, view) = (bpffs.path().join("flow"), tempfile::tempdir().expect("a directory"));
    start(options(&dir, 4)).expect("installed");
    rustix::mount::mount_bind(&dir, view.path()).expect("mounted");
    let upgrade = options(&dir, 8).begin().expect("begun");
    is_busy(view.path());
    drop(upgrade);
    let upgrade = options(view.path(), 8).begin().expect("begun");
    is_busy(&dir);
    drop(upgrade);
    rustix::mount::unmount(view.path(), rustix::mount::UnmountFlags::DETACH).expect("unmounted");
}

#[test]
fn of_three_first_starts_one_is_first_and_nothing_of_the_lock_stays_beside() {
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let (mut busy, mut waited) = (0, 0);
    for round in 0..60 {
        let dir = bpffs.path().join(format!("flow{round}"));
        // In every second round they wait for each other.
        let waits = round % 2 == 0;
        let wait = if waits { Duration::from_secs(60) } else { Duration::ZERO };
        let barrier = Barrier::new(3);
        let run = |commits: bool| {
            barrier.wait();
            let upgrade = options(&dir, 4).wait(wait).begin()?;
            // One of them ends without a generation.
            if commits { upgrade.stage()?.commit().map(drop) } else { Ok(()) }
        };
        let results = thread::scope(|scope| {
            let others = [(); 2].map(|()| scope.spawn(move || run(true)));
            let own = run(false);
            let mut results: Vec<_> = others.into_iter().map(|other| other.join().expect("no panic")).collect();
            results.push(own);
            results
        });
        for error in results.iter().filter_map(|result| result.as_ref().err()) {
            assert_eq!(error.kind(), ErrorKind::Busy, "round {round}: {error}");
            busy += 1;
        }
        assert!(results.iter().any(Result::is_ok), "round {round}: {results:?}");
        if waits {
            assert!(results.iter().all(Result::is_ok), "round {round}: {results:?}");
            assert!(dir.join(LOCK).exists());
            waited += 1;
        }
        assert!(!bpffs.path().join(format!("flow{round}@lock")).exists(), "round {round}");
    }
    println!("{waited} rounds in which they waited, {busy} starts that did not");
}

#[test]
fn a_start_of_nothing_leaves_no_lock_behind() {
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = bpffs.path().join("flow");
    drop(options(&dir, 4).begin().expect("begun"));
    assert!(!bpffs.path().join("flow@lock").exists() && !dir.exists());
    // The pins of another loader.
    fs::create_dir(&dir).expect("made");
    Map::create(&NewMap::new(MapType::HASH, 4, 8, 4)).expect("made").pin(&dir.join("other")).expect("pinned");
    drop(options(&dir, 4).begin().expect("begun"));
    assert_eq!(bpffs::names(&dir).expect("listed").expect("there"), ["other"]);
}

/// As on a kernel that opens no pin of a map.
#[test]
fn where_the_pin_can_not_be_opened_the_lock_is_that_of_the_parent() {
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = bpffs.path().join("flow");
    fs::create_dir(&dir).expect("made");
    Map::create(&NewMap::new(MapType::ARRAY, 4, 8, 1)).expect("made").pin(&dir.join(LOCK)).expect("pinned");
    let parent = bpffs::open_dir(bpffs.path()).expect("a reader");
    assert!(bpffs::try_lock(&parent).expect("nobody holds it"));
    is_busy(&dir);
    drop(parent);
    start(options(&dir, 4)).expect("installed");
}
