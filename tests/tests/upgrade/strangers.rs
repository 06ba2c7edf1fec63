//! What lies at our names beside the live generation, and was put there by somebody else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{chown, lchown, symlink};
use std::path::{Path, PathBuf};

use maplock::internals::inspect::generations;
use maplock::internals::sys::{Map, NewMap, bpffs};
use maplock::layout::lock::LockedMap;
use maplock::layout::map::{MapType, Pinning};
use maplock::layout::{Lock, MapDef};
use maplock::{Error, ErrorKind, Options, Policies, Recovery, Rollback, Spec, WayOut};
use maplock_tests::kernel::{self, Bpffs};

/// Whoever that is, it is neither root nor this process's user.
const SOMEBODY: u32 = 4711;

fn spec(max_entries: u32) -> Spec {
    let def = MapDef::new("flows", MapType::HASH);
    let def = MapDef { key_size: 4, value_size: 8, max_entries, pinning: Pinning::ByName, ..def };
    Spec::from(Lock { maps: BTreeMap::from([("flows".to_owned(), LockedMap::new(def))]), ..Lock::default() })
}

fn start(dir: &Path, max_entries: u32) -> Result<(), Error> {
    Options::new(spec(max_entries), dir).begin()?.stage()?.commit().map(drop)
}

/// All that looks at the generations, or changes them.
fn each_way(dir: &Path) -> [(&'static str, Result<(), Error>); 6] {
    [
        ("begin", start(dir, 16)),
        ("confirm", maplock::confirm(dir, std::time::Duration::ZERO).map(drop)),
        ("rollback", Rollback::new(dir).run().map(drop)),
        ("recover", Recovery::new(dir, WayOut::Discard).run().map(drop)),
        ("inspect", generations(dir).map(drop)),
        ("plan", maplock::dry_run(&spec(16), dir, &Policies::default()).map(drop)),
    ]
}

/// All refuse, and say this.
fn refused(dir: &Path, wanted: &str) {
    for (what, result) in each_way(dir) {
        let error = result.expect_err(what);
        assert_eq!(error.kind(), ErrorKind::Place, "{what}: {error}");
        assert!(error.to_string().contains(wanted), "{what}: {error}");
    }
}

/// A live generation, a kept one, and another daemon's.
fn daemons(bpffs: &Bpffs) -> (PathBuf, PathBuf) {
    let (dir, other) = (bpffs.path().join("flow"), bpffs.path().join("other"));
    start(&dir, 4).expect("installed");
    start(&dir, 8).expect("upgraded");
    start(&other, 4).expect("installed");
    (dir, other)
}

fn put_in_the_place_of(path: &Path, to: &Path) {
    if path.exists() {
        fs::rename(path, path.with_file_name("aside")).expect("moved");
    }
    symlink(to, path).expect("planted");
}

#[test]
fn a_symbolic_link_in_the_place_of_a_generation_is_refused_and_nothing_is_removed_through_it() {
    if !kernel::available() {
        return;
    }
    for which in ["next", "prev"] {
        let bpffs = Bpffs::mount();
        let (dir, other) = daemons(&bpffs);
        let place = bpffs.path().join(format!("flow@{which}"));
        let files = tempfile::tempdir().expect("a directory");
        fs::write(files.path().join("precious"), "text").expect("written");
        for to in [files.path(), &other] {
            put_in_the_place_of(&place, to);
            let before = bpffs::names(to).expect("listed");
            let wanted = format!(
                "`{0}` is a symbolic link to `{1}`, and no generation of `{2}`; find out who put it there, and remove it: rm {0}",
                place.display(),
                to.display(),
                dir.display()
            );
            refused(&dir, &wanted);
            assert_eq!(bpffs::names(to).expect("listed"), before);
            fs::remove_file(&place).expect("a link");
        }
        let names: BTreeSet<_> = bpffs::names(&dir).expect("listed").into_iter().flatten().collect();
        assert!(names.contains("flows"), "{names:?}");
    }
}

#[test]
fn a_directory_of_another_user_in_the_place_of_a_generation_is_refused_whatever_record_it_has() {
    if !kernel::available() {
        return;
    }
    for which in ["next", "prev"] {
        let bpffs = Bpffs::mount();
        let (dir, _) = daemons(&bpffs);
        let place = bpffs.path().join(format!("flow@{which}"));
        if place.exists() {
            fs::rename(&place, bpffs.path().join("aside")).expect("moved");
        }
        fs::create_dir(&place).expect("made");
        bpffs::write_record(&place.join("commit@record"), "upgrade exchange").expect("written");
        chown(&place, Some(SOMEBODY), Some(SOMEBODY)).expect("root may");
        let live = Map::open(&dir.join("flows")).expect("pinned").info().id;
        let wanted = format!("`{}` is a directory of user {SOMEBODY}, and no generation", place.display());
        refused(&dir, &wanted);
        assert_eq!(Map::open(&dir.join("flows")).expect("pinned").info().id, live);
        assert_eq!(bpffs::names(&place).expect("listed").expect("there"), ["commit@record"]);
        // That of the live directory's owner is one.
        chown(&dir, Some(SOMEBODY), Some(SOMEBODY)).expect("root may");
        generations(&dir).expect("they are told");
    }
}

#[test]
fn a_pin_or_a_mount_in_the_place_of_a_generation_is_refused() {
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let (dir, _) = daemons(&bpffs);
    let place = bpffs.path().join("flow@next");
    let map = Map::create(&NewMap::new(MapType::ARRAY, 4, 4, 1)).expect("made");
    map.pin(&place).expect("pinned");
    refused(&dir, &format!("`{}` is no directory, and no generation", place.display()));
    assert_eq!(Map::open(&place).expect("it is still there").info().id, map.info().id);
    fs::remove_file(&place).expect("a pin");

    fs::create_dir(&place).expect("made");
    rustix::mount::mount("bpf", &place, "bpf", rustix::mount::MountFlags::empty(), None).expect("mounted");
    refused(&dir, &format!("remove it: umount {}", place.display()));
    rustix::mount::unmount(&place, rustix::mount::UnmountFlags::DETACH).expect("unmounted");
}

#[test]
fn a_record_that_somebody_else_wrote_decides_nothing() {
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let (dir, _) = daemons(&bpffs);
    let record = dir.join("commit@record");
    bpffs::write_record(&record, "upgrade exchange").expect("written");
    lchown(&record, Some(SOMEBODY), Some(SOMEBODY)).expect("root may");
    let wanted = format!("`{}` was put there by user {SOMEBODY}", record.display());
    for (what, result) in each_way(&dir) {
        // A plan asks no records.
        if what != "plan" {
            let error = result.expect_err(what);
            assert!(error.to_string().contains(&wanted), "{what}: {error}");
        }
    }
    assert!(bpffs.path().join("flow@prev").exists());
    fs::remove_file(record).expect("a link");
    maplock::confirm(&dir, std::time::Duration::ZERO).expect("nothing is in the way");
}

#[test]
fn a_link_to_the_pins_is_followed_where_root_or_the_caller_made_it() {
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let (dir, _) = daemons(&bpffs);
    let link = bpffs.path().join("link");
    symlink(&dir, &link).expect("made");
    start(&link, 16).expect("upgraded");
    assert_eq!(Map::open(&dir.join("flows")).expect("pinned").info().max_entries, 16);
    lchown(&link, Some(SOMEBODY), Some(SOMEBODY)).expect("root may");
    refused(&link, &format!("`{}` is a symbolic link of user {SOMEBODY}", link.display()));
}
