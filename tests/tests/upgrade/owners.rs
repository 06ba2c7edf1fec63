//! What root does on a node to a daemon that is another user: what it makes is the daemon's. And a roll-back that fails leaves what is kept whole.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::Path;

use maplock::internals::meta::Meta;
use maplock::internals::sys::bpffs::{self, Dir};
use maplock::internals::sys::{Map, NewMap};
use maplock::layout::lock::LockedMap;
use maplock::layout::map::{MapType, Pinning};
use maplock::layout::{Lock, MapDef};
use maplock::{OnMismatch, Options, Policies, Policy, Rollback, Spec};
use maplock_tests::kernel::{self, Bpffs};
use maplock_tests::truth;

/// The user that the daemon is.
const SOMEBODY: u32 = 4711;

fn hash(name: &str, max_entries: u32) -> MapDef {
    MapDef { key_size: 4, value_size: 8, max_entries, pinning: Pinning::ByName, ..MapDef::new(name, MapType::HASH) }
}

fn options(dir: &Path, maps: &[MapDef]) -> Options {
    let maps = maps.iter().map(|def| (def.name.clone(), LockedMap::new(def.clone())));
    let spec = Spec::from(Lock { maps: maps.collect::<BTreeMap<_, _>>(), ..Lock::default() });
    // Nothing tells the layout of what another loader made without BTF.
    let all = Policy { unverifiable: OnMismatch::Reuse, ..Policy::default() };
    Options::new(spec, dir).policies(Policies { all, ..Policies::default() })
}

fn start(dir: &Path, maps: &[MapDef]) {
    options(dir, maps).begin().expect("begun").stage().expect("staged").commit().expect("committed");
}

/// Pins of another loader, all of them the daemon's.
fn pinned_by_another(dir: &Path, maps: &[&str]) {
    fs::create_dir(dir).expect("made");
    for name in maps {
        let map = Map::create(&NewMap::new(MapType::HASH, 4, 8, 4)).expect("made");
        map.pin(&dir.join(name)).expect("pinned");
    }
    give(dir);
}

/// A directory, and all that is pinned there, is the daemon's.
fn give(dir: &Path) {
    for name in truth::names(dir).iter().map(String::as_str).chain([""]) {
        let at = dir.join(name);
        if !fs::symlink_metadata(&at).expect("it is there").is_symlink() {
            chown(at, Some(SOMEBODY), Some(SOMEBODY)).expect("chown");
        }
    }
}

/// Pins in a directory, itself included, that are not the daemon's.
fn of_others(dir: &Path) -> Vec<String> {
    let names = truth::names(dir).into_iter().chain([String::new()]);
    let uid = |name: &String| fs::symlink_metadata(dir.join(name)).expect("it is there");
    // Records are removed by whoever may write to the directory.
    names.filter(|name| !uid(name).is_symlink() && uid(name).uid() != SOMEBODY).collect()
}

#[test]
fn after_a_roll_back_of_roots_all_pins_are_the_daemons() {
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = bpffs.path().join("daemon");
    pinned_by_another(&dir, &["grows", "goes"]);
    start(&dir, &[hash("grows", 8), hash("goes", 4)]);
    // As if it had done that by itself.
    give(&dir);
    Rollback::new(&dir).run().expect("back");
    assert!(dir.join("maplock_meta").exists(), "the roll-back makes one, as the other loader had made none");
    for dir in [dir.clone(), truth::beside(&dir, "prev")] {
        assert_eq!(of_others(&dir), Vec::<String>::new(), "{}", dir.display());
    }
}

#[test]
fn a_lock_that_root_makes_is_the_daemons() {
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = bpffs.path().join("daemon");
    pinned_by_another(&dir, &["grows"]);
    let upgrade = options(&dir, &[hash("grows", 8)]).begin().expect("begun");
    let lock = fs::metadata(dir.join("maplock@lock")).expect("it is held");
    assert_eq!((lock.uid(), lock.gid()), (SOMEBODY, SOMEBODY));
    drop(upgrade);
}

#[test]
fn a_roll_back_without_a_map_that_fails_leaves_the_kept_generation_whole() {
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = bpffs.path().join("daemon");
    start(&dir, &[hash("grows", 4), hash("lost", 4)]);
    start(&dir, &[hash("grows", 8), hash("lost", 4)]);
    let prev = truth::beside(&dir, "prev");
    give(&dir);
    give(&prev);
    fs::remove_file(prev.join("lost")).expect("removed");
    let state = || {
        let mut names = truth::names(&prev);
        // How entries began to come back: written anew at each roll-back.
        names.retain(|name| !name.ends_with("@back"));
        (Meta::read(&Dir::at(&prev)).expect("read"), names)
    };
    let before = state();
    // The last step before the switch finds its name taken.
    bpffs::write_record(&prev.join("commit@record"), "taken").expect("written");
    let back = || Rollback::new(&dir).without("lost").run();
    let error = back().expect_err("the record is there").to_string();
    assert!(error.contains("commit@record"), "{error}");
    assert_eq!(state(), before);
    let error = Rollback::new(&dir).run().expect_err("it lacks a map as before").to_string();
    assert!(error.contains("--without lost"), "{error}");
    back().expect("without it");
    let meta = Meta::read(&Dir::at(&dir)).expect("read").expect("it is there");
    assert!(!meta.maps.contains_key("lost") && meta.maps.contains_key("grows"));
    let owner = fs::metadata(dir.join("maplock_meta")).expect("it is there").uid();
    assert_eq!(owner, SOMEBODY, "root wrote it anew");
}
