//! A bind mount of the directory goes on to show a generation that was exchanged: nobody begins there.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::Path;
use std::time::Duration;

use maplock::internals::inspect::generations;
use maplock::internals::sys::{Map, NewProg, Prog, bpffs};
use maplock::layout::lock::LockedMap;
use maplock::layout::map::{MapType, Pinning};
use maplock::layout::{Lock, MapDef};
use maplock::{AttachType, Error, ErrorKind, Hook, Options, Policies, Recovered, Recovery, Rollback, Spec, WayOut};
use maplock_tests::kernel::{self, Bpffs, Cgroup};
use tempfile::TempDir;

const CREATE: AttachType = AttachType::CGROUP_INET_SOCK_CREATE;

fn spec(max_entries: u32) -> Spec {
    let def = MapDef { key_size: 4, value_size: 8, max_entries, ..MapDef::new("flows", MapType::HASH) };
    let def = MapDef { pinning: Pinning::ByName, ..def };
    Spec::from(Lock { maps: BTreeMap::from([("flows".to_owned(), LockedMap::new(def))]), ..Lock::default() })
}

/// A start, with a program that uses the map where there is a cgroup.
fn start(dir: &Path, max_entries: u32, cgroup: Option<&Cgroup>) -> Result<(), Error> {
    start_keeping(1, dir, max_entries, cgroup)
}

/// As [`start`], of a daemon that keeps so many generations.
fn start_keeping(keep: usize, dir: &Path, max_entries: u32, cgroup: Option<&Cgroup>) -> Result<(), Error> {
    let mut staged = Options::new(spec(max_entries), dir).keep(keep).begin()?.stage()?;
    if let Some(cgroup) = cgroup {
        let map = staged.map("flows").expect("staged").as_fd().as_raw_fd().cast_unsigned();
        let insns = [0x18 | 1 << 8 | 1 << 12 | u64::from(map) << 32, 0, 0x0000_0001_0000_00b7, 0x95];
        let new = NewProg {
            prog_type: 9,
            expected_attach_type: CREATE.0,
            name: "pass",
            insns: &insns,
            flags: 0,
            functions: None,
            attach_btf_id: 0,
        };
        let prog = Prog::load(&new).expect("the verifier takes it");
        staged.hook("create", &prog, Hook::cgroup(cgroup.fd(), CREATE).expect("a descriptor"))?;
    }
    staged.commit().map(drop)
}

/// A bind mount, until it is dropped.
struct View(TempDir);

impl View {
    fn of(dir: &Path) -> Self {
        let at = tempfile::tempdir().expect("a directory");
        rustix::mount::mount_bind(dir, at.path()).expect("mounted");
        Self(at)
    }
}

impl Drop for View {
    fn drop(&mut self) {
        _ = rustix::mount::unmount(self.0.path(), rustix::mount::UnmountFlags::DETACH);
    }
}

fn id(dir: &Path) -> u32 {
    Map::open(&dir.join("flows")).expect("pinned").info().id
}

#[test]
fn nothing_begins_at_a_bind_mount_that_shows_an_older_generation() {
    if !kernel::available() || !kernel::exchanges_directories() {
        return;
    }
    for has_hooks in [false, true] {
        let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::new());
        let (dir, cgroup) = (bpffs.path().join("flow"), has_hooks.then_some(&cgroup));
        start(&dir, 4, cgroup).expect("installed");
        let view = View::of(&dir);
        let seen = view.0.path();
        start(&dir, 16, cgroup).expect("upgraded");
        assert_ne!(id(seen), id(&dir));
        let before = (id(seen), id(&dir));
        let said =
            format!("`{}` shows a generation that is not live: another one was put in its place", seen.display());
        for (what, result) in [
            ("begin", start(seen, 32, cgroup)),
            ("plan", maplock::dry_run(&spec(32), seen, &Policies::default()).map(drop)),
            ("rollback", Rollback::new(seen).run().map(drop)),
            ("confirm", maplock::confirm(seen, Duration::ZERO).map(drop)),
            ("recover", Recovery::new(seen, WayOut::Discard).run().map(drop)),
        ] {
            let error = result.expect_err(what);
            assert_eq!(error.kind(), ErrorKind::Place, "{what}: {error}");
            assert!(error.to_string().starts_with(&said), "{what}: {error}");
        }
        assert_eq!((id(seen), id(&dir)), before);
        // A roll-back puts it back: while it shows the live one, it is as good as the directory.
        Rollback::new(&dir).run().expect("back");
        start(seen, 32, cgroup).expect("it is live again");
        assert_eq!(id(seen), id(&dir));
    }
}

/// Through the mount as well as in the directory itself.
#[test]
fn several_generations_that_were_kept_through_a_bind_mount_are_those_of_the_directory() {
    if !kernel::available() {
        return;
    }
    let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::new());
    let dir = bpffs.path().join("flow");
    let start = |dir: &Path, max_entries| start_keeping(2, dir, max_entries, Some(&cgroup)).expect("started");
    for max_entries in [4, 8, 16] {
        start(&dir, max_entries);
    }
    let view = View::of(&dir);
    let mut ids = vec![id(&dir)];
    for max_entries in [32, 64] {
        start(view.0.path(), max_entries);
        ids.insert(0, id(&dir));
    }
    assert_eq!((id(&dir.join("maplock@prev")), id(&dir.join("maplock@prev2"))), (ids[1], ids[2]));
    let kept = || -> Vec<_> {
        let found = generations(&dir).expect("it can be looked at");
        assert_eq!(found.foreign, Vec::<String>::new());
        found.kept.iter().map(|kept| kept.inventory.maps["flows"].observed.id).collect()
    };
    // As those see it who only look, and as it is from then on: what was beside the directory is of before.
    assert_eq!(kept(), ids[1..]);
    for id_of in &ids[1..] {
        Rollback::new(&dir).run().expect("there is a way back");
        assert_eq!(id(&dir), *id_of);
    }
    assert_eq!(kept(), ids[..2]);
    assert!(!dir.join("maplock@prev").exists() && !dir.join("maplock@prev2").exists());
}

/// Through the mount there is no place beside the directory.
#[test]
fn what_was_kept_through_a_bind_mount_is_the_kept_generation_of_the_directory() {
    if !kernel::available() {
        return;
    }
    for then in ["roll back", "upgrade", "confirm"] {
        let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::new());
        let (dir, prev) = (bpffs.path().join("flow"), bpffs.path().join("flow@prev"));
        start(&dir, 4, Some(&cgroup)).expect("installed");
        start(&dir, 8, Some(&cgroup)).expect("upgraded");
        let view = View::of(&dir);
        let id_of_8 = id(&dir);
        start(view.0.path(), 16, Some(&cgroup)).expect("it is live");
        assert_eq!((id(view.0.path()), id(&dir.join("maplock@prev"))), (id(&dir), id_of_8));
        // As those see it who only look.
        let seen = generations(&dir).expect("it can be looked at");
        let ids: Vec<_> = seen.kept.iter().map(|kept| kept.inventory.maps["flows"].observed.id).collect();
        assert_eq!(ids, [id_of_8]);
        assert_eq!(seen.foreign, Vec::<String>::new());
        let plan = maplock::dry_run(&spec(32), &dir, &Policies::default()).expect("a plan");
        // Nothing in it is somebody else's.
        let elsewhere = Bpffs::mount();
        let is_exchanged = bpffs::exchange(&elsewhere.dir("one"), &elsewhere.dir("other")).is_ok();
        assert_eq!(plan.to_string().contains("one by one"), !is_exchanged, "{plan}");
        match then {
            "roll back" => {
                let report = Rollback::new(&dir).run().expect("there is a way back");
                assert_eq!((id(&dir), report.maps[0].lost), (id_of_8, Some(0)), "{report}");
            }
            "upgrade" => {
                let id_of_16 = id(&dir);
                start(&dir, 32, Some(&cgroup)).expect("upgraded");
                assert_eq!(id(&prev), id_of_16);
            }
            _ => {
                maplock::confirm(&dir, Duration::ZERO).expect("confirmed");
                assert!(!prev.exists());
            }
        }
        assert!(!dir.join("maplock@prev").exists() && !prev.join("maplock@prev").exists(), "{then}");
        assert!(!dir.join("maplock@next").exists() && !bpffs.path().join("flow@next").exists(), "{then}");
    }
}

/// A crash on the way of an upgrade through the mount.
#[test]
fn what_was_staged_through_a_bind_mount_is_brought_into_order_from_the_directory() {
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = bpffs.path().join("flow");
    start(&dir, 4, None).expect("installed");
    let view = View::of(&dir);
    let staged = Options::new(spec(8), view.0.path()).begin().expect("begun").stage().expect("staged");
    let (within, aside) = (dir.join("maplock@next"), bpffs.dir("aside"));
    let names = bpffs::names(&within).expect("it can be listed").expect("it is there");
    names.iter().for_each(|name| fs::hard_link(within.join(name), aside.join(name)).expect("linked"));
    drop(staged);
    // As a process leaves it that was killed.
    fs::rename(&aside, &within).expect("moved");
    let seen = generations(&dir).expect("it can be looked at");
    assert_eq!((seen.next, seen.foreign), (Recovered::Discarded, Vec::new()));
    let upgrade = Options::new(spec(4), &dir).begin().expect("begun");
    assert_eq!(upgrade.recovered(), Recovered::Discarded);
    assert!(!within.exists() && !bpffs.path().join("flow@next").exists());
}

#[test]
fn what_the_links_run_tells_where_the_lock_says_nothing() {
    if !kernel::available() || !kernel::exchanges_directories() {
        return;
    }
    let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::new());
    let dir = bpffs.path().join("flow");
    start(&dir, 4, Some(&cgroup)).expect("installed");
    let view = View::of(&dir);
    start(&dir, 8, Some(&cgroup)).expect("upgraded");
    let lock = Map::open(&dir.join("maplock@lock")).expect("a map");
    lock.update(&[0; 4], &[0; 8], 0).expect("written");
    let error = start(view.0.path(), 8, Some(&cgroup)).expect_err("it is not live").to_string();
    let said = format!(
        "shows a generation that is not live: the link of hook `create` runs a program of another one, with a map `flows` of id {}, which \
         is {} here",
        id(&dir),
        id(view.0.path())
    );
    assert!(error.contains(&said), "{error}");
    start(&dir, 16, Some(&cgroup)).expect("it is live");
}

/// As the page says.
#[test]
fn a_generation_that_somebody_put_back_by_hand_is_live_where_its_lock_is_removed() {
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let (dir, kept) = (bpffs.path().join("flow"), bpffs.path().join("flow@prev"));
    start(&dir, 4, None).expect("installed");
    start(&dir, 8, None).expect("upgraded");
    fs::rename(&dir, bpffs.path().join("aside")).expect("moved");
    fs::rename(&kept, &dir).expect("moved");
    let error = start(&dir, 8, None).expect_err("nothing says that it is live").to_string();
    assert!(error.contains("is not live"), "{error}");
    fs::remove_file(dir.join("maplock@lock")).expect("a pin");
    start(&dir, 8, None).expect("it is taken for live");
    Rollback::new(&dir).run().expect("back");
}
