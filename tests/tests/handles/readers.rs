//! Those who read the maps of a daemon while it is upgraded, and the old daemon itself.

use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use maplock::handles::{Directory, HashMap, Verified, Watch};
use maplock::layout::MapDef;
use maplock::layout::map::{MapType, Pinning};
use maplock::{Error, ErrorKind, Options, Rollback, Spec};
use maplock_tests::kernel::{self, Bpffs};
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
