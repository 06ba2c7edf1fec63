//! What has a name that the new generation needs, and is somebody else's: it is refused by its kind, and stays what it is.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};

use maplock::internals::sys::{Link, LinkTarget, Map, NewLink, NewMap, NewProg, Object, Prog, bpffs};
use maplock::layout::lock::LockedMap;
use maplock::layout::map::{MapType, Pinning};
use maplock::layout::{Disposition, Lock, MapDef};
use maplock::{AttachType, Error, ErrorKind, Hook, OnMissing, Options, Policies, Policy, Rollback, Spec};
use maplock_tests::kernel::{self, Bpffs, Cgroup};

const CREATE: AttachType = AttachType::CGROUP_INET_SOCK_CREATE;

fn spec(names: &[&str]) -> Spec {
    let maps = names.iter().map(|name| {
        let def = MapDef { key_size: 4, value_size: 8, max_entries: 4, ..MapDef::new(*name, MapType::HASH) };
        ((*name).to_owned(), LockedMap::new(MapDef { pinning: Pinning::ByName, ..def }))
    });
    Spec::from(Lock { maps: maps.collect::<BTreeMap<_, _>>(), ..Lock::default() })
}

fn start(dir: &Path, names: &[&str]) -> Result<(), Error> {
    Options::new(spec(names), dir).begin()?.stage()?.commit().map(drop)
}

/// Somebody else's program, which lets every socket be made.
fn program() -> Prog {
    let new = NewProg {
        prog_type: 9,
        expected_attach_type: CREATE.0,
        name: "theirs",
        insns: &[0x0000_0001_0000_00b7, 0x95],
        flags: 0,
        functions: None,
        attach_btf_id: 0,
    };
    Prog::load(&new).expect("the verifier takes it")
}

fn link(cgroup: &Cgroup) -> Link {
    let (prog, at) = (program(), cgroup.fd());
    let target = at.as_fd().as_raw_fd().cast_unsigned();
    Link::create(&NewLink { prog: prog.as_fd(), target, attach_type: CREATE.0, flags: 0 }).expect("attached")
}

/// Puts a thing of that kind there.
fn plant(kind: &str, at: &Path, cgroup: &Cgroup) {
    match kind {
        "map" => Map::create(&NewMap::new(MapType::ARRAY, 4, 4, 1)).expect("made").pin(at).expect("pinned"),
        "program" => program().pin(at).expect("pinned"),
        "link" => link(cgroup).pin(at).expect("pinned"),
        "directory" => fs::create_dir(at).expect("made"),
        _ => symlink("flows", at).expect("made"),
    }
}

/// It is the very thing, and a link still attached.
fn is_as_before(at: &Path, inode: u64, cgroup: &Cgroup) {
    let data = fs::symlink_metadata(at).unwrap_or_else(|error| panic!("{}: {error}", at.display()));
    assert_eq!(data.ino(), inode, "{}", at.display());
    if data.is_file()
        && let Object::Link(link) = Object::open(at).expect("a pin")
    {
        let id = fs::metadata(cgroup.path()).expect("the cgroup").ino();
        assert_eq!(link.info().expect("info").target, LinkTarget::Cgroup { id, attach_type: CREATE.0 });
    }
}

fn inode(at: &Path) -> u64 {
    fs::symlink_metadata(at).expect("it is there").ino()
}

#[test]
fn what_is_no_map_at_the_name_of_one_is_refused_by_its_kind_and_stays() {
    if !kernel::available() {
        return;
    }
    for kind in ["program", "link", "directory", "symbolic link"] {
        // In the place of a map that is new, of one that somebody removed, and where no generation is yet.
        for before in [&["flows"][..], &["flows", "hh"], &[]] {
            let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::new());
            let (dir, wanted) = (bpffs.path().join("daemon"), ["flows", "hh"]);
            if before.is_empty() {
                fs::create_dir(&dir).expect("made");
            } else {
                start(&dir, before).expect("installed");
            }
            let at = dir.join("hh");
            _ = bpffs::unlink(&at).expect("ours");
            plant(kind, &at, &cgroup);
            let inode = inode(&at);

            let plan = maplock::dry_run(&spec(&wanted), &dir, &Policies::default()).expect("a plan");
            let map = plan.map("hh").expect("it is in the spec");
            assert_eq!(map.disposition(), Disposition::Refuse, "{kind}");
            assert_eq!(map.why, format!("its name is taken by a {kind}; find out whose that is, and move it away"));
            let error = start(&dir, &wanted).expect_err("the name is taken");
            let said = format!(
                "`{}` is a {kind}, and map `hh` is to be pinned there; find out whose that is, and move it away",
                at.display()
            );
            assert_eq!((error.kind(), error.to_string()), (ErrorKind::Refused, said));
            is_as_before(&at, inode, &cgroup);
            assert!(!bpffs.path().join("daemon@next").exists());

            // What is said can be done; and it is not taken along to where the old generation is kept.
            let theirs = dir.join("theirs");
            fs::rename(&at, &theirs).expect("moved");
            if before.contains(&"hh") {
                let error = start(&dir, &wanted).expect_err("it had such a map");
                assert!(error.to_string().contains("somebody removed its pin `hh`"), "{error}");
                let all = Policy { missing: OnMissing::Create, ..Policy::default() };
                let options = Options::new(spec(&wanted), &dir).policies(Policies { all, ..Policies::default() });
                options.begin().expect("begun").stage().expect("staged").commit().expect("nothing is in the way");
            } else {
                start(&dir, &wanted).expect("nothing is in the way");
            }
            is_as_before(&theirs, inode, &cgroup);
            assert!(Map::open(&at).is_ok());
            let found = maplock::internals::inspect::generations(&dir).expect("looked");
            assert_eq!((found.foreign, found.live.kind_of("theirs")), (vec!["theirs".to_owned()], Some(kind)));
        }
    }
}

/// A start with a hook, as a daemon makes one.
fn with_hook(dir: &Path, cgroup: &Cgroup) -> Result<(), Error> {
    let mut staged = Options::new(spec(&["flows"]), dir).begin()?.stage()?;
    staged.hook("create", program(), Hook::cgroup(cgroup.fd(), CREATE).expect("a descriptor"))?;
    staged.commit().map(drop)
}

#[test]
fn a_pin_under_the_name_of_a_hook_that_is_not_ours_stays() {
    if !kernel::available() {
        return;
    }
    for kind in ["map", "program", "link", "directory", "symbolic link"] {
        let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::new());
        let dir = bpffs.path().join("daemon");
        start(&dir, &["flows"]).expect("installed");
        let at = dir.join("create");
        plant(kind, &at, &cgroup);
        let inode = inode(&at);
        let ran = || match Object::open(&at) {
            Ok(Object::Link(link)) => Some(link.info().expect("info").prog_id),
            _ => None,
        };
        let runs = ran();
        let error = with_hook(&dir, &cgroup).expect_err("the name is taken");
        assert_eq!(error.kind(), ErrorKind::Place, "{error}");
        let said = format!("`{}` is a {kind} that is not of the live generation", at.display());
        assert!(error.to_string().starts_with(&said), "{error}");
        is_as_before(&at, inode, &cgroup);
        assert_eq!(ran(), runs);
        assert!(!bpffs.path().join("daemon@next").exists());
        fs::rename(&at, dir.join("theirs")).expect("moved");
        with_hook(&dir, &cgroup).expect("nothing is in the way");
        is_as_before(&dir.join("theirs"), inode, &cgroup);
    }
}

#[test]
fn what_took_the_name_of_a_kept_pin_is_not_displaced_by_a_roll_back() {
    if !kernel::available() {
        return;
    }
    for kind in ["map", "program", "link", "directory", "symbolic link"] {
        let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::new());
        let dir: PathBuf = bpffs.path().join("daemon");
        start(&dir, &["flows", "goes"]).expect("installed");
        start(&dir, &["flows"]).expect("upgraded");
        let at = dir.join("goes");
        plant(kind, &at, &cgroup);
        let inode = inode(&at);
        let error = Rollback::new(&dir).run().expect_err("the name is taken");
        assert!(error.to_string().contains("is not of the live generation"), "{kind}: {error}");
        is_as_before(&at, inode, &cgroup);
        fs::rename(&at, dir.join("theirs")).expect("moved");
        Rollback::new(&dir).run().expect("nothing is in the way");
        is_as_before(&dir.join("theirs"), inode, &cgroup);
        assert!(Map::open(&at).is_ok());
    }
}
