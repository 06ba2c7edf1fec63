//! What to do with 100 pinned maps: look at them in the kernel, and plan. The goal is under 5 ms in all.

use std::path::Path;
use std::process::Command;
use std::{fs, io};

use criterion::Criterion;
use maplock::internals::inspect::{self, Source};
use maplock::internals::meta::Meta;
use maplock::internals::meta::MetaMap;
use maplock::internals::normalise::Node;
use maplock::internals::sys::bpffs::{self, Dir};
use maplock::layout::lock::LockedMap;
use maplock::layout::{Disposition, Lock, MapDef};
use maplock::plan::{Inputs, PinnedLock, plan};
use maplock::{Policies, Spec};
use maplock_bench::compare::{Contestant, compare};
use maplock_tests::toolchain::{Clang, Fixture, Order, root};
use maplock_tests::{libbpf, maps_of};

const MAPS: usize = 100;

fn main() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mount = folder.path().join("bpf");
    fs::create_dir(&mount).expect("an empty folder");
    let mounted = Command::new("mount").args(["-t", "bpf", "none"]).arg(&mount).status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("skipped: needs root, to mount a bpffs");
        return;
    }
    if let Err(error) = run(&mount, folder.path()) {
        eprintln!("skipped: needs CAP_BPF ({error})");
    }
    Command::new("umount").arg("-l").arg(&mount).status().expect("mounted above");
}

fn run(mount: &Path, folder: &Path) -> io::Result<()> {
    let node = Node::this()?;
    let mut criterion = Criterion::default().configure_from_args();
    let mut sets = vec![("of 25 objects", mount.join("minimesh"), minimesh(&mount.join("minimesh"))?)];
    if let Some(clang) = Clang::newest()
        && let Some(object) = Fixture::named("many").compile(&clang, Order::Little, folder)
    {
        let dir = mount.join("many");
        sets.push(("of one object", dir.clone(), many(&dir, &fs::read(object)?)?));
    }
    for (name, dir, defs) in sets {
        assert_eq!(defs.len(), MAPS);
        let maps = defs.iter().map(|def| (def.name.clone(), LockedMap::new(def.clone()))).collect();
        let lock = Lock { maps, ..Lock::default() };
        let (spec, policies) = (Spec::from(lock.clone()), Policies::default());
        let decide = |source: Source| {
            let found = inspect::directory(&dir).expect("a directory of pins");
            let live = found.observed();
            let meta = found.meta.as_ref();
            let inputs = Inputs {
                spec: &spec,
                dir: &dir,
                live: &live,
                kept: &[],
                ways_back: &Default::default(),
                meta,
                newer: &PinnedLock::default(),
                migrations: None,
                policies: &policies,
                node,
            };
            let plan = plan(&inputs);
            let reused = plan.maps.iter().filter(|map| map.disposition() == Disposition::Reuse).count();
            let is_as_meant = live.iter().all(|map| map.source == source);
            assert!(reused == MAPS && is_as_meant, "{plan}");
            reused as u64
        };
        let group = format!("decide/{MAPS} maps {name}");
        compare(&mut criterion, &group, &[Contestant::new("inspect and plan", || decide(Source::Btf))]);
        let found = inspect::directory(&dir).expect("a directory of pins");
        let maps = found
            .maps
            .iter()
            .map(|(pin, map)| (pin.clone(), MetaMap { id: map.observed.id, max_entries: map.observed.def.max_entries }))
            .collect();
        let mut meta = Meta { generation: 1, maps, lock, ..Meta::default() };
        meta.write(&Dir::at(&dir))?;
        let all = format!("{group}, all in maplock_meta");
        compare(&mut criterion, &all, &[Contestant::new("inspect and plan", || decide(Source::Meta))]);
        meta.leave_out_what_btf_tells(&found.observed(), node);
        meta.write(&Dir::at(&dir))?;
        let short = format!("{group}, maplock_meta without what BTF tells");
        compare(&mut criterion, &short, &[Contestant::new("inspect and plan", || decide(Source::Btf))]);
    }
    criterion.final_summary();
    Ok(())
}

/// The four maps of minimesh, 25 times, each time with a BTF of its own as a node with many daemons has it.
fn minimesh(dir: &Path) -> io::Result<Vec<MapDef>> {
    let object = fs::read(root().join("bpf/minimesh/v1/minimesh.bpf.o"))?;
    let declared = maps_of(&object).map_err(io::Error::other)?;
    fs::create_dir(dir)?;
    let one = dir.join("one");
    fs::create_dir(&one)?;
    let mut defs = Vec::new();
    for copy in 0..MAPS / declared.len() {
        libbpf::pin_maps(&object, &one, &[])?;
        for def in &declared {
            let name = format!("{}_{copy}", def.name);
            bpffs::rename(&one.join(&def.name), &dir.join(&name))?;
            defs.push(MapDef { name, ..def.clone() });
        }
    }
    Ok(defs)
}

/// The first of the 200 maps of one large object, whose values have 20 members each.
fn many(dir: &Path, object: &[u8]) -> io::Result<Vec<MapDef>> {
    let mut defs = maps_of(object).map_err(io::Error::other)?;
    let rest: Vec<_> = defs.split_off(MAPS).into_iter().map(|def| def.name).collect();
    fs::create_dir(dir)?;
    libbpf::pin_maps(object, dir, &rest.iter().map(String::as_str).collect::<Vec<_>>())?;
    Ok(defs)
}
