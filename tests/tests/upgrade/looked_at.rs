//! What a plan shows of the entries themselves: samples and rehearsals. They are those of the very map, or none.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::symlink;
use std::path::Path;

use maplock::internals::rehearse::rehearse;
use maplock::internals::sample::sample;
use maplock::internals::sys::{Map, NewMap, NewProg, Prog};
use maplock::layout::lock::LockedMap;
use maplock::layout::map::{MapType, Pinning};
use maplock::layout::{Lock, MapDef};
use maplock::{AttachType, Migrations, Options, Policies, Spec, dry_run};
use maplock_tests::generations::{Daemon, Release};
use maplock_tests::kernel::{self, Bpffs, Cgroup};

#[test]
fn a_pin_that_became_a_link_or_another_map_meanwhile_is_not_shown() {
    if !kernel::available() {
        return;
    }
    let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::new());
    let daemon = Daemon::new(bpffs.dir("of").join("daemon"), &cgroup);
    daemon.start(Release::One).expect("it is installed");
    let plan = dry_run(&daemon.spec(Release::Two), &daemon.dir, &daemon.policies()).expect("a plan");
    let wide = plan.map(&daemon.map("wide")).expect("the release has it");
    let migrations = Migrations::default();
    let looked = || {
        let sampled = sample(wide, &daemon.dir, &migrations, 2).map(|samples| samples.len());
        let rehearsed = rehearse(wide, &daemon.dir, &migrations, 2).map(|done| done.map(|done| done.is_ok()));
        (sampled.map_err(|error| error.to_string()), rehearsed.map_err(|error| error.to_string()))
    };
    assert_eq!(looked(), (Ok(2), Ok(Some(true))));

    let (pin, elsewhere) = (daemon.dir.join(daemon.map("wide")), bpffs.path().join("elsewhere"));
    fs::rename(&pin, &elsewhere).expect("one mount");
    // It leads to the very map, and could lead anywhere.
    symlink(&elsewhere, &pin).expect("made");
    let (sampled, rehearsed) = looked();
    for said in [sampled.expect_err("a link"), rehearsed.expect_err("a link")] {
        assert!(said.starts_with(&format!("can't open map `{}`", pin.display())), "{said}");
    }
    fs::remove_file(&pin).expect("ours");
    Map::create(&NewMap::new(MapType::HASH, 4, 8, 64)).expect("made").pin(&pin).expect("pinned");
    let (sampled, rehearsed) = looked();
    for said in [sampled.expect_err("another map"), rehearsed.expect_err("another map")] {
        assert!(said.contains("was exchanged for another while the upgrade was planned"), "{said}");
    }
}

#[test]
fn why_a_map_is_not_rehearsed_is_said_of_its_type() {
    if !kernel::available() {
        return;
    }
    let bpffs = Bpffs::mount();
    let dir = bpffs.dir("of").join("daemon");
    let def = |map_type: MapType, key_size, value_size| MapDef { key_size, value_size, ..MapDef::new("m", map_type) };
    for (map_type, key_size, value_size, why) in [
        (MapType::QUEUE, 0, 8, "a queue can't be read without taking its entries out"),
        (MapType::STACK, 0, 8, "a stack can't be read without taking its entries out"),
        (MapType::HASH_OF_MAPS, 4, 4, "its entries are maps, which go on as they are: there is nothing to convert"),
    ] {
        let release = |max_entries| {
            let inner = MapDef { name: "inner".into(), max_entries: 2, ..def(MapType::ARRAY, 4, 8) };
            let inner = map_type.holds_maps().then(|| Box::new(inner));
            let outer = MapDef { max_entries, inner, pinning: Pinning::ByName, ..def(map_type, key_size, value_size) };
            let maps = BTreeMap::from([("m".to_owned(), LockedMap::new(outer))]);
            Spec::from(Lock { maps, ..Lock::default() })
        };
        start(release(8), &dir);
        let plan = dry_run(&release(16), &dir, &Policies::default()).expect("a plan");
        let rehearsed = rehearse(&plan.maps[0], &dir, &Migrations::default(), 1).expect("it can be looked at");
        let untried = rehearsed.expect("entries are carried over").expect_err("it is not rehearsed");
        assert_eq!(untried.why, why);
        fs::remove_dir_all(&dir).expect("ours");
    }
}

#[test]
fn others_who_have_a_map_that_is_left_behind_are_named_with_where_was_looked() {
    if !kernel::available() {
        return;
    }
    let (bpffs, cgroup) = (Bpffs::mount(), Cgroup::new());
    let daemon = Daemon::new(bpffs.dir("of").join("daemon"), &cgroup);
    daemon.start(Release::One).expect("it is installed");
    let plan = || dry_run(&daemon.spec(Release::Two), &daemon.dir, &daemon.policies()).expect("a plan");
    let before = plan();
    // Its own hooks use it.
    assert_eq!(before.map(&daemon.map("counts")).map(|map| map.why.contains("same map")), Some(false), "{before}");
    // By whatever path it is given.
    let folder = tempfile::tempdir().expect("a folder");
    let link = folder.path().join("view");
    symlink(bpffs.path(), &link).expect("made");
    let seen = dry_run(&daemon.spec(Release::Two), &link.join("of/daemon"), &daemon.policies()).expect("a plan");
    assert_eq!(seen.map(&daemon.map("counts")).map(|map| map.why.contains("same map")), Some(false), "{seen}");
    let looked = before.looked.clone().expect("maps are left behind");
    assert!(looked.directories >= 2 && looked.programs >= 2 && looked.maps > 8, "{looked:?}");
    assert!(!before.to_string().contains("no other"), "{before}");

    let pin = daemon.dir.join(daemon.map("counts"));
    let counts = Map::open(&pin).expect("it is pinned");
    let elsewhere = bpffs.dir("elsewhere").join("deep");
    fs::create_dir(&elsewhere).expect("made");
    fs::hard_link(&pin, elsewhere.join("c")).expect("one mount");
    // What a link leads to is looked at once, where it is.
    symlink(&elsewhere, bpffs.path().join("link")).expect("made");
    // r1 = the map; r0 = 1; exit.
    let fd = u64::from(counts.as_fd().as_raw_fd().cast_unsigned());
    let insns = [0x1118 | fd << 32, 0, 0x0000_0001_0000_00b7, 0x95];
    let prog = Prog::load(&NewProg {
        prog_type: 9,
        expected_attach_type: AttachType::CGROUP_INET_SOCK_CREATE.0,
        name: "theirs",
        insns: &insns,
        flags: 0,
        functions: None,
        attach_btf_id: 0,
    });
    let prog = prog.expect("the verifier takes it");
    let prog_id = prog.info().expect("the kernel tells").id;
    let outer = Map::create(&NewMap {
        name: "theirs_too",
        inner: Some(counts.as_fd()),
        ..NewMap::new(MapType::HASH_OF_MAPS, 4, 4, 4)
    });
    let outer = outer.expect("made");
    outer.update(&[7; 4], &counts.as_fd().as_raw_fd().to_ne_bytes(), 0).expect("it fits");

    let plan = plan();
    let map = plan.map(&daemon.map("counts")).expect("the release has it");
    let shown = elsewhere.join("c").display().to_string();
    assert_eq!(map.other_pins, std::slice::from_ref(&shown));
    for said in [
        format!("`{shown}` is a pin of the same map, and goes on showing the old entries"),
        format!(
            "program `theirs` (id {prog_id}), of no hook here, uses the same map, and goes on with the old entries"
        ),
        format!("map `theirs_too` (id {}) holds the same map, and goes on leading to the old entries", outer.info().id),
    ] {
        assert!(map.why.contains(&said), "{said}: {}", map.why);
    }
    let words = plan.looked_words().expect("somebody was found");
    assert!(words.contains(&format!("directories of `{}`, ", bpffs.path().display())), "{words}");
    assert!(words.ends_with(" maps, not in processes"), "{words}");
    assert!(plan.to_string().contains(&words), "{plan}");
    assert_eq!(plan.to_json()["looked"]["left_out"], serde_json::json!([]));
}

fn start(spec: Spec, dir: &Path) {
    Options::new(spec, dir).begin().expect("begun").stage().expect("staged").commit().expect("committed");
}
