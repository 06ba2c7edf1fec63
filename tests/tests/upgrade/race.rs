//! Somebody who may write beside the pins plants links, directories and records at all our names, as fast as he can, while the daemon
//! starts, returns and confirms. Whatever that comes to, nothing outside of the daemon's own directories is touched.
//!
//! 500 rounds, or as many as `MAPLOCK_RACE_ROUNDS` says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, lchown, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use maplock::internals::inspect::generations;
use maplock::internals::sys::{Map, bpffs};
use maplock::layout::lock::LockedMap;
use maplock::layout::map::{MapType, Pinning};
use maplock::layout::{Lock, MapDef};
use maplock::{Error, Options, Policies, Rollback, Spec};
use maplock_tests::kernel::{self, Bpffs};
use rustix::process::Uid;

/// Whoever that is, it is neither root nor this process's user.
const SOMEBODY: u32 = 4711;

fn rounds() -> u64 {
    std::env::var("MAPLOCK_RACE_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(500)
}

fn spec(max_entries: u32) -> Spec {
    let def = MapDef::new("flows", MapType::HASH);
    let def = MapDef { key_size: 4, value_size: 8, max_entries, pinning: Pinning::ByName, ..def };
    Spec::from(Lock { maps: BTreeMap::from([("flows".to_owned(), LockedMap::new(def))]), ..Lock::default() })
}

fn start(dir: &Path, max_entries: u32, each_pin: bool) -> Result<(), Error> {
    let options = Options::new(spec(max_entries), dir).wait(Duration::from_secs(5));
    let options = if each_pin { options.each_pin() } else { options };
    options.begin()?.stage()?.commit().map(drop)
}

/// What must stay as it is: files of the machine, and the pins of another daemon.
struct Outside {
    files: PathBuf,
    pins: PathBuf,
    before: (BTreeMap<String, String>, BTreeMap<String, (u64, u32)>),
}

impl Outside {
    fn new(files: &Path, pins: &Path) -> Self {
        for number in 0..4 {
            fs::write(files.join(format!("precious{number}")), "text").expect("written");
        }
        start(pins, 4, false).expect("installed");
        start(pins, 8, false).expect("upgraded");
        let (files, pins) = (files.to_owned(), pins.to_owned());
        let before = Self::look(&files, &pins);
        Self { files, pins, before }
    }

    fn look(files: &Path, pins: &Path) -> (BTreeMap<String, String>, BTreeMap<String, (u64, u32)>) {
        let entries = |dir: &Path| fs::read_dir(dir).expect("it is there").map(|entry| entry.expect("listed").path());
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let files = entries(files).map(|path| (name(&path), fs::read_to_string(&path).expect("a file")));
        let pins = entries(pins).map(|path| {
            let data = fs::symlink_metadata(&path).expect("a pin");
            (name(&path), (data.ino(), data.mode()))
        });
        (files.collect(), pins.collect())
    }

    fn check(&self, round: u64) {
        assert_eq!(Self::look(&self.files, &self.pins), self.before, "round {round}");
    }
}

/// Numbers without an order, the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

const PLACES: [&str; 3] = ["flow@next", "flow@prev", "flow@lock"];
const RECORDS: [(&str, &str); 4] = [
    ("commit@record", "upgrade exchange"),
    ("moving@record", "roll-back each-pin"),
    ("returning@record", "1"),
    ("flows@transfer", "1 2 "),
];

/// One thing that somebody does. Most of it fails.
fn plant(parent: &Path, outside: (&Path, &Path), numbers: &mut Numbers) {
    let mut place = || parent.join(PLACES[numbers.below(3) as usize]);
    let (one, other) = (place(), place());
    let live = parent.join("flow");
    match numbers.below(10) {
        0 => _ = symlink(outside.0, &one),
        1 => _ = symlink(outside.1, &one),
        2 => _ = fs::create_dir(&one),
        3 => {
            _ = fs::create_dir(&one);
            for (record, text) in RECORDS {
                _ = symlink(text, one.join(record));
            }
            for name in ["left@pins", "flows", "maplock_meta", "maplock@lock"] {
                _ = symlink([outside.0, outside.1][numbers.below(2) as usize], one.join(name));
            }
        }
        4 => _ = symlink("upgrade exchange", live.join("commit@record")),
        5 => _ = fs::hard_link(outside.1.join("flows"), &one),
        6 => _ = fs::rename(&one, &other),
        7 => {
            let (from, to) = [(&one, &live), (&live, &one)][numbers.below(2) as usize];
            _ = fs::rename(from, to);
        }
        // Out of the way again, so that now and then an upgrade comes further.
        _ => {
            for name in PLACES {
                let place = parent.join(name);
                if fs::symlink_metadata(&place).is_ok_and(|data| data.uid() == SOMEBODY) {
                    clear(&place);
                }
            }
            thread::sleep(Duration::from_micros(numbers.below(3000)));
        }
    }
}

fn clear(place: &Path) {
    // Nothing of what is removed here is followed either.
    if fs::symlink_metadata(place).is_ok_and(|data| data.is_dir()) {
        for entry in fs::read_dir(place).into_iter().flatten().flatten() {
            _ = fs::remove_file(entry.path());
        }
        _ = fs::remove_dir(place);
    } else {
        _ = fs::remove_file(place);
    }
}

/// Runs all rounds in a directory that `open` makes writable for somebody else. How many calls came to their end, and how many failed.
fn race(open: impl Fn(&Path), keeps_the_live_one: bool) -> (u64, u64) {
    let bpffs = Bpffs::mount_with(c"mode=0755");
    let (parent, elsewhere) = (bpffs.dir("tenant"), bpffs.dir("elsewhere"));
    let (dir, files) = (parent.join("flow"), tempfile::tempdir().expect("a directory"));
    let outside = Outside::new(files.path(), &elsewhere.join("other"));
    start(&dir, 4, false).expect("installed");
    open(&parent);
    let (stop, planted) = (AtomicBool::new(false), AtomicU64::new(0));
    let (mut done, mut failed) = (0, 0);
    thread::scope(|scope| {
        scope.spawn(|| {
            let somebody = Uid::from_raw(SOMEBODY);
            // Of this thread alone.
            rustix::thread::set_thread_res_uid(somebody, somebody, somebody).expect("root may");
            let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
            while !stop.load(Ordering::Relaxed) {
                plant(&parent, (&outside.files, &outside.pins), &mut numbers);
                planted.fetch_add(1, Ordering::Relaxed);
            }
        });
        for round in 0..rounds() {
            let result = match round % 8 {
                0 | 3 => start(&dir, 8, false),
                1 | 5 => start(&dir, 4, round % 16 == 1),
                2 => Rollback::new(&dir).wait(Duration::from_secs(5)).run().map(drop),
                4 => maplock::confirm(&dir, Duration::from_secs(5)).map(drop),
                6 => generations(&dir).map(drop),
                _ => maplock::dry_run(&spec(8), &dir, &Policies::default()).map(drop),
            };
            match result {
                Ok(()) => done += 1,
                Err(error) => {
                    failed += 1;
                    assert!(!error.to_string().is_empty());
                }
            }
            outside.check(round);
            if keeps_the_live_one {
                let live = fs::symlink_metadata(&dir).expect("it is always there");
                assert!(live.is_dir() && live.uid() == 0, "round {round}");
                let map = Map::open(&dir.join("flows")).expect("it is always pinned");
                assert!([4, 8].contains(&map.info().max_entries), "round {round}");
            } else if fs::symlink_metadata(&dir).is_err() {
                // He who owns the directory may move what is in it.
                let names: BTreeSet<_> = bpffs::names(&parent).expect("listed").into_iter().flatten().collect();
                names.iter().for_each(|name| clear(&parent.join(name)));
                _ = start(&dir, 4, false);
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    for name in PLACES {
        let place = parent.join(name);
        if fs::symlink_metadata(&place).is_ok_and(|data| data.uid() == SOMEBODY) {
            clear(&place);
        }
    }
    if keeps_the_live_one {
        start(&dir, 16, false).expect("nothing is in the way any more");
    }
    outside.check(rounds());
    assert!(planted.load(Ordering::Relaxed) > 0, "nothing was in the way");
    println!("{} rounds: {done} done, {failed} refused or failed, {planted:?} times planted", rounds());
    (done, failed)
}

#[test]
fn nothing_outside_is_touched_where_everybody_may_write_beside_the_pins() {
    if !kernel::available() {
        return;
    }
    let sticky = |parent: &Path| fs::set_permissions(parent, fs::Permissions::from_mode(0o1777)).expect("chmod");
    let (done, failed) = race(sticky, true);
    assert!(done > 0 && failed > 0, "{done} done, {failed} failed");
}

#[test]
fn nothing_outside_is_touched_where_somebody_else_owns_the_directory_beside_the_pins() {
    if !kernel::available() {
        return;
    }
    let owned = |parent: &Path| chown(parent, Some(SOMEBODY), Some(SOMEBODY)).expect("root may");
    let (done, failed) = race(owned, false);
    assert!(done > 0 && failed > 0, "{done} done, {failed} failed");
}

#[test]
fn a_lock_that_somebody_else_put_there_is_none() {
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = bpffs.path().join("flow");
    let early = bpffs.path().join("flow@lock");
    symlink(bpffs.path(), &early).expect("made");
    lchown(&early, Some(SOMEBODY), Some(SOMEBODY)).expect("root may");
    let error = start(&dir, 4, false).expect_err("it is no lock").to_string();
    assert!(error.contains(&format!("`{}` is no pin, and no lock of `{}`", early.display(), dir.display())), "{error}");
    fs::remove_file(&early).expect("a link");
    start(&dir, 4, false).expect("nothing is in the way");
    assert!(!early.exists());
    let lock = dir.join("maplock@lock");
    chown(&lock, Some(SOMEBODY), Some(SOMEBODY)).expect("root may");
    let error = start(&dir, 8, false).expect_err("it is no lock").to_string();
    assert!(error.contains(&format!("`{}` was put there by user {SOMEBODY}", lock.display())), "{error}");
}
