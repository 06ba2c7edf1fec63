//! Those who read the maps of a daemon while it is upgraded, and the old daemon itself.

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use maplock::handles::{Directory, HashMap, Opaque, Verified, Watch};
use maplock::layout::MapDef;
use maplock::layout::map::{MapType, Pinning};
use maplock::{Error, ErrorKind, Options, Rollback, Spec};
use maplock_tests::generations::{Daemon, Release};
use maplock_tests::kernel::{self, Bpffs, Cgroup};
use maplock_tests::toolchain;

/// On both sides of `maplock_meta` in the order in which pins are renamed.
const MAPS: [&str; 2] = ["counts", "total"];

fn spec_with(value_size: u32, max_entries: u32) -> Spec {
    let def = |name: &str| {
        let pinning = Pinning::ByName;
        MapDef { key_size: 4, value_size, max_entries, pinning, ..MapDef::new(name, MapType::HASH) }
    };
    Spec::from(maplock_tests::lock(&MAPS.map(def)))
}

fn spec(max_entries: u32) -> Spec {
    spec_with(8, max_entries)
}

fn upgrade(dir: &Path, max_entries: u32, each_pin: bool) {
    let options = Options::new(spec(max_entries), dir);
    let options = if each_pin { options.each_pin() } else { options };
    options.begin().expect("begun").stage().expect("staged").commit().expect("committed");
}

/// Whether another generation is live, without waiting.
fn is_new(watch: &mut Watch) -> bool {
    watch.wait(Some(Duration::ZERO)).expect("it can be watched")
}

fn number(watch: &Watch) -> Option<u64> {
    watch.generation().and_then(|generation| generation.number())
}

/// Reads the live map again and again, and each that takes its place, until `read` returns false.
fn follow(spec: &Spec, dir: &Path, mut read: impl FnMut(&HashMap<u32, u64>) -> bool) -> Result<(), Error> {
    loop {
        let mut maps = Directory::open(spec, dir)?;
        let counts: HashMap<u32, u64> = maps.map("counts")?;
        let mut watch = maps.origin().watch()?;
        while !watch.wait(Some(Duration::from_millis(100)))? {
            if !read(&counts) {
                return Ok(());
            }
        }
    }
}

#[test]
fn the_reader_of_the_page_reads_each_map_that_takes_the_place_of_another() {
    let page = std::fs::read_to_string(toolchain::root().join("docs/readers.md")).expect("the page");
    let (_, shown) = page.split_once("/// Reads the live map").expect("it shows one");
    let (shown, _) = shown.split_once("```").expect("it ends");
    assert!(include_str!("readers.rs").contains(shown), "the page shows another function than runs here");
    if !kernel::available() {
        return;
    }
    for each_pin in [false, true] {
        let bpffs = Bpffs::mount();
        let dir = bpffs.path().join("daemon");
        upgrade(&dir, 4, each_pin);
        let (seen, sees) = mpsc::channel();
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                follow(&spec(4), &dir, |counts| {
                    let told = (counts.generation(), counts.capacity());
                    _ = seen.send(told);
                    told != (Some(3), 16)
                })
            });
            for (generation, max_entries) in [(1, 4), (2, 8), (3, 16)] {
                // As long as it takes.
                let wanted = (Some(generation), max_entries);
                while sees.recv_timeout(Duration::from_secs(60)).expect("it reads") != wanted {}
                if generation < 3 {
                    upgrade(&dir, max_entries * 2, each_pin);
                }
            }
            reader.join().expect("it ends").expect("each is what the reader was built with");
        });
    }
}

#[test]
fn each_generation_is_told_once_and_nothing_else_is() {
    if !kernel::available() {
        return;
    }
    for each_pin in [false, true] {
        let bpffs = Bpffs::mount();
        let (dir, beside) = (bpffs.path().join("daemon"), bpffs.path().join("neighbour"));
        // Nothing is there yet.
        let mut watch = Watch::new(&dir).expect("watched");
        assert!(watch.generation().is_none() && !is_new(&mut watch));
        upgrade(&dir, 4, each_pin);
        assert!(is_new(&mut watch) && number(&watch) == Some(1) && !is_new(&mut watch));
        upgrade(&beside, 4, each_pin);
        maplock::internals::sys::Map::open(&dir.join("counts"))
            .expect("pinned")
            .pin(&dir.join("theirs"))
            .expect("pinned");
        assert!(!is_new(&mut watch), "neither a neighbour nor another pin");
        std::fs::remove_file(dir.join("theirs")).expect("a pin");
        upgrade(&dir, 8, each_pin);
        assert!(is_new(&mut watch) && number(&watch) == Some(2) && !is_new(&mut watch));
        // Of several, the last; a restart is one too.
        upgrade(&dir, 8, each_pin);
        upgrade(&dir, 8, each_pin);
        assert!(is_new(&mut watch) && number(&watch) == Some(4) && !is_new(&mut watch));
        Rollback::new(&dir).run().expect("back");
        assert!(is_new(&mut watch) && number(&watch) == Some(1) && !is_new(&mut watch));
        // No number is given twice.
        upgrade(&dir, 16, each_pin);
        assert!(is_new(&mut watch) && number(&watch) == Some(5));
        maplock::confirm(&dir, Duration::ZERO).expect("confirmed");
        assert!(!is_new(&mut watch));
        for entry in std::fs::read_dir(&dir).expect("listed").map(|entry| entry.expect("listed")) {
            std::fs::remove_file(entry.path()).expect("a pin");
        }
        std::fs::remove_dir(&dir).expect("it is empty");
        assert!(is_new(&mut watch) && watch.generation().is_none() && !is_new(&mut watch));
    }
}

#[test]
fn a_change_before_it_is_watched_is_told_at_once() {
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = bpffs.path().join("daemon");
    upgrade(&dir, 4, false);
    let release = spec(4);
    let maps = Directory::open(&release, &dir).expect("opened");
    upgrade(&dir, 8, false);
    let mut watch = maps.origin().watch().expect("watched");
    assert!(watch.wait(None).expect("told"), "it would wait for ever");
    assert_eq!(number(&watch), Some(2));
    // By a link to the directory, which is exchanged where it is.
    std::fs::create_dir(bpffs.path().join("links")).expect("made");
    let link = bpffs.path().join("links/daemon");
    std::os::unix::fs::symlink(&dir, &link).expect("made");
    let mut linked = Watch::new(&link).expect("watched");
    upgrade(&dir, 16, false);
    assert!(is_new(&mut linked) && number(&linked) == Some(3));
    let error = Watch::new(bpffs.path().join("no/daemon")).expect_err("there is no directory above it");
    assert_eq!(error.kind(), ErrorKind::Place, "{error}");
}

#[test]
fn a_daemon_learns_that_it_was_replaced_and_that_it_is_back() {
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = bpffs.path().join("daemon");
    let start = |max_entries: u32| {
        let staged = Options::new(spec(max_entries), &dir).begin().expect("begun").stage().expect("staged");
        let origin = staged.origin();
        let counts = Verified::of_staged(&spec(max_entries), "counts", &staged).expect("staged");
        assert!(origin.generation().is_none() && !origin.is_live().expect("told"), "it is not committed");
        staged.commit().expect("committed");
        (origin, counts)
    };
    let (first, counts) = start(4);
    assert!(first.is_live().expect("told"));
    let generation = |map: &Verified| map.origin().and_then(|origin| origin.generation()).and_then(|of| of.number());
    assert_eq!(generation(&counts), Some(1), "those who have a handle of a staged map know it since the commit");
    let by_path = Verified::open(&spec(4), "total", &dir.join("total")).expect("as declared");
    assert_eq!(generation(&by_path), Some(1));
    let (second, _) = start(8);
    assert_eq!((first.is_live().expect("told"), second.is_live().expect("told")), (false, true));
    Rollback::new(&dir).run().expect("back");
    assert_eq!((first.is_live().expect("told"), second.is_live().expect("told")), (true, false));
    // A start of the same release has taken over as well.
    start(4);
    assert!(!first.is_live().expect("told"));
}

#[test]
fn a_reader_of_another_layout_is_refused_when_it_opens_again() {
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = bpffs.path().join("daemon");
    upgrade(&dir, 4, false);
    let error = Directory::open(&spec_with(16, 4), &dir).expect("there").map::<HashMap<u32, u128>>("counts");
    assert_eq!(error.expect_err("values of 8 bytes").kind(), ErrorKind::Layout);
}

#[test]
fn pins_that_are_renamed_one_by_one_are_read_as_one_generation() {
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = bpffs.path().join("daemon");
    upgrade(&dir, 4, true);
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let release = spec(4);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0;
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                let mut maps = Directory::open(&release, &dir).expect("never absent");
                let [one, other] = MAPS.map(|name| {
                    let map: HashMap<u32, u64> = maps.map(name).expect("as declared");
                    (map.capacity(), map.generation())
                });
                assert_eq!(one, other);
                reads += 1;
            }
            reads
        });
        (0..30).for_each(|turn| upgrade(&dir, 8 + turn, true));
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(reader.join().expect("one generation each time") > 0);
    });
}

/// Wherever the reader was when others went on: a scheduler can stop it between any two of its calls.
#[cfg(target_arch = "x86_64")]
#[test]
fn a_reader_that_is_stopped_while_pins_are_renamed_reads_one_generation() {
    use maplock_tests::trace::{self, Fate};
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = bpffs.path().join("daemon");
    let mut sizes = 4..;
    let mut go_on = || upgrade(&dir, sizes.next().expect("endless"), true);
    go_on();
    let lock = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(lock.path(), spec(4).lock().to_string()).expect("written");
    let read = |meanwhile: &mut dyn FnMut(usize)| {
        let ended =
            trace::run(std::process::Command::new(env!("CARGO_BIN_EXE_reader")).arg(&dir).arg(lock.path()), |call| {
                meanwhile(call.index);
                Fate::Made
            });
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        (ended.stderr.trim().to_owned(), ended.calls)
    };
    let (told, calls) = read(&mut |_| ());
    assert_eq!(told, "[Some(1), Some(1)]");
    for stopped in (0..calls).step_by(kernel::times(3, 10) as usize) {
        let before = Directory::open(&spec(4), &dir).expect("there").origin().generation().and_then(|of| of.number());
        let (told, _) = read(&mut |index| {
            if index == stopped {
                go_on()
            }
        });
        let whole = [before, before.map(|number| number + 1)].map(|of| format!("{:?}", [of; 2]));
        assert!(whole.contains(&told), "stopped at call {stopped} of {calls}: {told}");
    }
    // One that never gets further than some calls between two upgrades says why it has no answer.
    for each in [11, 31] {
        let (told, _) = read(&mut |index| {
            if index % each == 0 {
                go_on()
            }
        });
        let is_whole = told
            .split_once(", ")
            .is_some_and(|(one, other)| one.trim_start_matches('[') == other.trim_end_matches(']'));
        assert!(is_whole || told.starts_with("Busy: "), "an upgrade at every {each}th call: {told}");
    }
}

/// Wherever between two renames the upgrade was killed: maps of one generation, or an error, and never maps of two.
#[cfg(target_arch = "x86_64")]
#[test]
fn pins_that_were_left_between_two_generations_are_not_read_as_one() {
    use maplock_tests::trace::{self, Fate};
    use nix::libc;
    if !kernel::available() {
        return;
    }
    let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::new());
    let mut mixed = 0;
    // The first maps are moved by then, and the last ones are not.
    for at in (6..).step_by(kernel::times(5, 100) as usize) {
        let daemon = Daemon { each_pin: true, ..Daemon::new(bpffs.path().join(format!("at{at}")), &cgroup) };
        daemon.start(Release::One).expect("it is installed");
        let (mut is_switched, mut renames) = (false, 0);
        let ended = trace::run(daemon.command(env!("CARGO_BIN_EXE_generation"), "two").arg("traced"), |call| {
            is_switched |= call.number == libc::SYS_membarrier;
            if !is_switched || ![libc::SYS_rename, libc::SYS_renameat, libc::SYS_renameat2].contains(&call.number) {
                return Fate::Made;
            }
            renames += 1;
            if renames > at { Fate::Killed } else { Fate::Made }
        });
        if ended.code.is_some() {
            assert_eq!(ended.code, Some(0), "{}", ended.stderr);
            break;
        }
        for (release, capacity) in [(Release::One, 64), (Release::Two, 256)] {
            let read = ["counts", "state", release.own()].map(|name| daemon.map(name));
            let mut lock = daemon.spec(release).lock().clone();
            lock.maps.retain(|name, _| read.contains(name));
            let spec = Spec::from(lock);
            match Directory::open(&spec, &daemon.dir) {
                Ok(mut maps) => {
                    // Those of the release's own name are of its generation alone.
                    let mut capacity_of = |name: &str| maps.map::<Opaque>(name).expect("as declared").capacity();
                    let found = [capacity_of(&read[0]), capacity_of(&read[1])];
                    assert_eq!(found, [capacity; 2], "{release:?}, killed at rename {at}");
                }
                Err(error) if error.kind() == ErrorKind::Busy => {
                    let told = "as an upgrade that renames them is slow, or was killed: the next start of the daemon completes it";
                    assert!(error.to_string().contains(told), "{error}");
                    mixed += 1;
                }
                // What only the other release has.
                Err(error) => assert!(error.to_string().contains(" is not pinned at "), "{error}"),
            }
        }
        daemon.start(Release::Two).expect("it is completed");
        Directory::open(&daemon.spec(Release::Two), &daemon.dir).expect("all of one generation");
    }
    assert!(mixed > 0, "it was never killed between two of them");
}

#[test]
fn a_map_that_somebody_else_pinned_is_not_read_as_one_of_the_generation() {
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = bpffs.path().join("daemon");
    upgrade(&dir, 4, false);
    let theirs = |name: &'static str| {
        let new =
            maplock::internals::sys::NewMap { name, ..maplock::internals::sys::NewMap::new(MapType::HASH, 4, 8, 4) };
        maplock::internals::sys::Map::create(&new).expect("made").pin(&dir.join(name)).expect("pinned");
    };
    // What the generation does not speak of is whoever's it is.
    theirs("more");
    let def = |name| {
        let pinning = Pinning::ByName;
        MapDef { key_size: 4, value_size: 8, max_entries: 4, pinning, ..MapDef::new(name, MapType::HASH) }
    };
    let more = Spec::from(maplock_tests::lock(&["counts", "total", "more"].map(def)));
    Directory::open(&more, &dir).expect("there");
    std::fs::remove_file(dir.join("total")).expect("a pin");
    theirs("total");
    let error = Directory::open(&spec(4), &dir).expect_err("it is not of generation 1");
    assert_eq!(error.kind(), ErrorKind::Place, "{error}");
    let told = "is not the one that generation 1 has under that name: somebody else pinned it; see what is there: maplock inspect ";
    assert!(error.to_string().contains(told), "{error}");
}
