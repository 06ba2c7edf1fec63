//! What must be there when a start of the daemon of [`generations`](crate::generations) has ended well, read from the kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use maplock::internals::meta::Meta;
use maplock::internals::sys::bpffs::Dir;
use maplock::internals::sys::{Link, LinkInfo, LinkTarget, Map, Object, Prog};

use crate::generations::{COUNTED, DOOMED, Daemon, FILLED, Release, churned, filling, wide};

/// For how long objects that nobody holds any more may still be seen: the kernel frees them after a grace period.
const FREEING: Duration = Duration::from_secs(60);

/// The map that is locked.
const LOCK: &str = "maplock@lock";

/// The pin of the lock that a generation was made with.
const HISTORY: &str = "maplock@history";

/// What lies in a directory of pins.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pins {
    /// Ids of maps, by name.
    pub maps: BTreeMap<String, u32>,
    /// Ids of programs.
    pub progs: BTreeMap<String, u32>,
    /// Ids of links, and of the programs that they run.
    pub links: BTreeMap<String, (u32, u32)>,
    /// Texts of records.
    pub records: BTreeMap<String, String>,
    /// The inode of the lock.
    pub lock: Option<u64>,
    /// Entries of maps.
    pub entries: BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>>,
}

impl Pins {
    /// Reads all of them. Empty where there is no such directory.
    ///
    /// # Panics
    /// Where one can't be read.
    #[must_use]
    pub fn read(dir: &Path) -> Self {
        let mut pins = Self::default();
        for name in names(dir) {
            let path = dir.join(&name);
            if let Ok(text) = fs::read_link(&path) {
                pins.records.insert(name, text.to_string_lossy().into_owned());
                continue;
            }
            // Somebody else's.
            if path.is_dir() {
                continue;
            }
            if name == LOCK {
                pins.lock = Some(fs::metadata(&path).expect("it is there").ino());
                continue;
            }
            match Object::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())) {
                Object::Map(map) => {
                    pins.entries.insert(name.clone(), entries(&map));
                    pins.maps.insert(name, map.info().id);
                }
                Object::Prog(prog) => _ = pins.progs.insert(name, prog.info().expect("a program").id),
                Object::Link(link) => {
                    let LinkInfo { id, prog_id, .. } = link.info().expect("a link");
                    pins.links.insert(name, (id, prog_id));
                }
            }
        }
        pins
    }

    /// How it differs from another, in words.
    #[must_use]
    pub fn difference(&self, other: &Self) -> String {
        let differ = |name: &&String| self.entries.get(*name) != other.entries.get(*name);
        let names: BTreeSet<_> = self.entries.keys().chain(other.entries.keys()).filter(differ).collect();
        let entries: Vec<_> =
            names.into_iter().map(|name| (name, self.entries.get(name), other.entries.get(name))).collect();
        let bare = |pins: &Self| Self { entries: BTreeMap::new(), ..pins.clone() };
        format!("entries differ in {entries:?}\n    {:?}\n    {:?}", bare(self), bare(other))
    }

    fn names(&self) -> BTreeSet<String> {
        let names = self.maps.keys().chain(self.progs.keys()).chain(self.links.keys()).chain(self.records.keys());
        names.cloned().collect()
    }
}

/// The names in a directory; none where it is not there.
#[must_use]
pub fn names(dir: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn entries(map: &Map) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut entries = BTreeMap::new();
    // Of a table that loaders fill, the kernel does not tell them.
    if !map.info().map_type.is_state() {
        return entries;
    }
    let mut key = map.next_key(None).expect("a map with keys");
    while let Some(at) = key {
        let value = map.lookup(&at).expect("a map with values").expect("nothing writes it");
        key = map.next_key(Some(&at)).expect("a map with keys");
        entries.insert(at, value);
    }
    entries
}

/// The directory beside that of a daemon, such as `DIR@prev`.
#[must_use]
pub fn beside(dir: &Path, what: &str) -> PathBuf {
    let name = dir.file_name().expect("a directory").to_string_lossy();
    dir.with_file_name(format!("{name}@{what}"))
}

/// The directories of the generations that are kept, the newest first.
#[must_use]
pub fn kept(dir: &Path) -> Vec<PathBuf> {
    let places = std::iter::once("prev".to_owned()).chain((2..10).map(|place| format!("prev{place}")));
    places.map(|place| beside(dir, &place)).filter(|dir| dir.exists()).collect()
}

/// How many of those that are kept are older than the live one.
#[must_use]
pub fn older(dir: &Path) -> usize {
    kept(dir).iter().filter(|dir| !is_newer(&Pins::read(dir))).count()
}

/// True where a roll-back left it.
fn is_newer(kept: &Pins) -> bool {
    kept.records.contains_key("newer@record")
}

/// What is wrong, if anything, where `release` should be live and its programs have seen `sockets`. Nothing may be writing.
#[must_use]
pub fn problems(daemon: &Daemon, release: Release, sockets: u64) -> Vec<String> {
    let mut problems = Vec::new();
    let mut check = |what: &str, is: &dyn std::fmt::Debug, is_right: bool| {
        if !is_right {
            problems.push(format!("{what}: {is:?}"));
        }
    };
    let dir = &daemon.dir;
    let name = dir.file_name().expect("a directory").to_string_lossy().into_owned();
    let around: Vec<_> = names(dir.parent().expect("a mount"))
        .into_iter()
        .filter(|other| *other == name || other.starts_with(&format!("{name}@")))
        .collect();
    let kept_dirs = kept(dir);
    let count = kept_dirs.len();
    check("directories", &around, around.len() == count + 1 && count <= daemon.keep);

    let live = Pins::read(dir);
    let kept: Vec<_> = kept_dirs.iter().map(|dir| Pins::read(dir)).collect();
    check("lock", &(live.lock, kept.iter().map(|pins| pins.lock).collect::<Vec<_>>()), {
        live.lock.is_some() && kept.iter().all(|pins| pins.lock == live.lock)
    });
    let newer = kept.iter().take_while(|pins| is_newer(pins)).count();
    check("order", &count, kept[newer..].iter().all(|pins| !is_newer(pins)));
    let ids = |pins: Option<&Pins>| -> BTreeMap<String, u32> { pins.map(|pins| pins.maps.clone()).unwrap_or_default() };
    let live_ids = ids(Some(&live));
    // The neighbours, as it came from them.
    let (older_ids, newer_ids) = (ids(kept.get(newer)), ids(newer.checked_sub(1).map(|at| &kept[at])));
    let kept_ones = kept_dirs.iter().zip(&kept).map(|(dir, pins)| ("kept", dir.clone(), pins, false));
    for (which, at, pins, is_live) in std::iter::once(("live", dir.clone(), &live, true)).chain(kept_ones) {
        let meta = match Meta::read(&Dir::at(&at)) {
            Ok(Some(meta)) => meta,
            other => {
                check(which, &other.map_err(|error| error.to_string()), false);
                continue;
            }
        };
        for (map, told) in &meta.maps {
            check(&format!("{which}: id of {map}"), &(told, pins.maps.get(map)), pins.maps.get(map) == Some(&told.id));
        }
        // Each hook's program, its link, or the record of where that was; each map; the meta map; how a map was derived.
        let mut wanted: BTreeSet<String> = meta.maps.keys().cloned().collect();
        wanted.extend(["maplock_meta", HISTORY].map(str::to_owned));
        for hook in &meta.links {
            wanted.insert(format!("{hook}@prog"));
            let ending = if is_live || pins.links.contains_key(hook) { "" } else { "@target" };
            wanted.insert(format!("{hook}{ending}"));
        }
        let names = ["counts", "state", "slots", "wide", Release::One.counters(), Release::Two.counters()];
        let derived: BTreeSet<_> = names
            .iter()
            .flat_map(|map| ["", "@back"].map(|came| format!("{}@transfer{came}", daemon.map(map))))
            .collect();
        let ways = ["", "@back"].map(|came| format!("{}@conversion{came}", daemon.map("wide")));
        // Until somebody asks for it again, that a start has completed a roll-back.
        let may_be = |name: &&String| {
            let record = if is_live { "returned@record" } else { "newer@record" };
            ways.contains(*name) || *name == record
        };
        let found: BTreeSet<_> = pins.names().difference(&derived).filter(|name| !may_be(name)).cloned().collect();
        check(&format!("{which}: pins"), &(&found, &wanted), found == wanted);
        for (record, text) in pins.records.iter().filter(|(record, _)| is_live && derived.contains(*record)) {
            let (map, came) = record.split_once("@transfer").expect("a record");
            let is_renamed = map == daemon.map(release.counters());
            let was = if is_renamed { daemon.map(release.other().counters()) } else { map.to_owned() };
            let neighbour = if came.is_empty() { &older_ids } else { &newer_ids };
            // That one may be gone.
            if neighbour.is_empty() {
                continue;
            }
            let ids = [neighbour.get(&was), live_ids.get(map)].map(|id| id.map(u32::to_string).unwrap_or_default());
            check("record", &(record, text, &ids), text.starts_with(&format!("{} {} ", ids[0], ids[1])));
        }
    }

    let wanted: BTreeSet<String> = daemon.spec(release).maps().map(|map| map.def.name.clone()).collect();
    let found: BTreeSet<String> = live.maps.keys().filter(|name| !is_text(name)).cloned().collect();
    check("maps", &found, found == wanted);
    contents(daemon, release, sockets, &live, &mut check);

    let hooks: BTreeSet<_> = release.hooks().iter().map(|(hook, _)| (*hook).to_owned()).collect();
    check("hooks", &live.links.keys(), live.links.keys().cloned().collect::<BTreeSet<_>>() == hooks);
    let cgroup = fs::metadata(&daemon.cgroup).expect("the cgroup").ino();
    for (hook, attach_type) in release.hooks() {
        let Some((id, prog)) = live.links.get(hook) else { continue };
        check(&format!("program of {hook}"), prog, live.progs.get(&format!("{hook}@prog")) == Some(prog));
        let target = Link::from_id(*id).and_then(|link| link.info()).map(|info| info.target);
        let is_there =
            matches!(target, Ok(LinkTarget::Cgroup { id, attach_type: at }) if (id, at) == (cgroup, attach_type.0));
        check(&format!("target of {hook}"), &target, is_there);
        let uses = Prog::from_id(*prog).and_then(|prog| prog.info()).map(|info| info.map_ids).unwrap_or_default();
        let are_live = !uses.is_empty() && uses.iter().all(|id| live_ids.values().any(|live| live == id));
        check(&format!("maps of {hook}"), &(&uses, &live_ids), are_live);
        for (kept, _) in kept.iter().filter_map(|pins| pins.links.get(hook)) {
            check(&format!("kept link of {hook}"), &(kept, id), kept == id);
        }
    }

    let own = |maps: &BTreeMap<String, u32>| -> BTreeSet<u32> {
        maps.iter().filter(|(name, _)| !is_text(name)).map(|(_, id)| *id).collect()
    };
    let wanted = Census {
        maps: std::iter::once(&live).chain(&kept).flat_map(|pins| own(&pins.maps)).collect(),
        progs: std::iter::once(&live).chain(&kept).flat_map(|pins| pins.progs.values().copied()).collect(),
        links: live.links.values().map(|(id, _)| *id).collect(),
    };
    let found = Census::settled(daemon, &wanted);
    check("in the kernel, and pinned", &(&found, &wanted), found == wanted);
    problems
}

/// A map that maplock has written for itself.
fn is_text(name: &str) -> bool {
    name == "maplock_meta" || name == HISTORY || name.contains("@conversion")
}

fn contents(
    daemon: &Daemon,
    release: Release,
    sockets: u64,
    live: &Pins,
    check: &mut dyn FnMut(&str, &dyn std::fmt::Debug, bool),
) {
    let two = release == Release::Two;
    let capacity = |name: &str| Map::open(&daemon.dir.join(daemon.map(name))).map(|map| map.info().max_entries).ok();
    let capacities = [
        ("counts", 64, 256),
        (release.counters(), 64, 256),
        ("state", 64, 256),
        ("slots", 16, 64),
        ("config", 16, 16),
        (release.settings(), 16, 16),
    ];
    for (name, one, other) in capacities {
        let capacity = capacity(name);
        // An array that has grown stays so.
        let may_be_larger = daemon.keeps_larger || name == "slots";
        let is_right = capacity == Some(if two { other } else { one }) || may_be_larger && capacity == Some(other);
        check(&format!("capacity of {name}"), &capacity, is_right);
    }
    let empty = BTreeMap::new();
    let of = |name: &str| live.entries.get(&daemon.map(name)).unwrap_or(&empty);
    let as_filled = |name: &str| -> BTreeMap<Vec<u8>, Vec<u8>> {
        filling(name).into_iter().map(|(key, value)| (key.to_ne_bytes().to_vec(), value)).collect()
    };
    let words = |words: &[u64]| words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>();
    let key = |key: u32| key.to_ne_bytes().to_vec();

    let mut wanted = as_filled("counts");
    wanted.insert(key(COUNTED), words(&[sockets, 2 * sockets]));
    differ("counts", of("counts"), &wanted, check);
    differ(release.counters(), of(release.counters()), &wanted, check);

    let mut wanted = as_filled("slots");
    wanted.insert(key(COUNTED), words(&[sockets]));
    for slot in 16..u32::try_from(of("slots").len()).unwrap_or_default() {
        wanted.insert(key(slot), words(&[0]));
    }
    differ("slots", of("slots"), &wanted, check);

    let mut wanted = as_filled("state");
    if sockets > 0 {
        wanted.remove(&key(DOOMED));
    }
    let (value, keys) = churned();
    for at in keys.map(key).filter(|at| of("state").contains_key(at)) {
        wanted.insert(at, value.clone());
    }
    differ("state", of("state"), &wanted, check);
    assert!(wanted.len() >= FILLED as usize - 1);

    // Where it could not be converted back, and no map was kept, it begins empty.
    if !(daemon.keeps_larger && !two && of("wide").is_empty()) {
        // No way leads back from code: what the second release counted is lost to the first, which must be told.
        let counted = if daemon.by_hand && !two { counted_narrow(daemon).min(sockets) } else { sockets };
        let wanted = (0..FILLED).map(|at| (key(at), wide(release, at, counted))).collect();
        differ("wide", of("wide"), &wanted, check);
    }

    differ("config", of("config"), &as_filled("config"), check);
    differ(release.settings(), of(release.settings()), &as_filled("config"), check);
    // Without a kept map to return to, one that was swapped starts anew.
    let is_new = two || daemon.keeps_larger && of("swapped").is_empty();
    differ("swapped", of("swapped"), &if is_new { BTreeMap::new() } else { as_filled("swapped") }, check);
    let seen = of(release.own()).get(&key(0)).and_then(|value| <[u8; 8]>::try_from(value.as_slice()).ok());
    check(release.own(), &seen, seen.is_some_and(|seen| u64::from_ne_bytes(seen) <= sockets));
}

/// What `wide` counted, in the layout of the first release.
///
/// # Panics
/// Where it has no such entry.
#[must_use]
pub fn counted_narrow(daemon: &Daemon) -> u64 {
    let map = Map::open(&daemon.dir.join(daemon.map("wide"))).expect("pinned");
    let value = map.lookup(&COUNTED.to_ne_bytes()).expect("a map").expect("an entry");
    u32::from_ne_bytes(value[..4].try_into().expect("4 bytes")).into()
}

fn differ(
    name: &str,
    found: &BTreeMap<Vec<u8>, Vec<u8>>,
    wanted: &BTreeMap<Vec<u8>, Vec<u8>>,
    check: &mut dyn FnMut(&str, &dyn std::fmt::Debug, bool),
) {
    let differing: Vec<_> = found
        .keys()
        .chain(wanted.keys())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .filter(|key| found.get(*key) != wanted.get(*key))
        .map(|key| (key, found.get(key), wanted.get(key)))
        .collect();
    check(&format!("{name}: key, found, wanted"), &differing, differing.is_empty());
}

/// The objects of a daemon that live in the kernel, pinned or not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Census {
    /// Ids of maps.
    pub maps: BTreeSet<u32>,
    /// Ids of programs.
    pub progs: BTreeSet<u32>,
    /// Ids of links that are attached to its cgroup.
    pub links: BTreeSet<u32>,
}

impl Census {
    /// Takes it now.
    ///
    /// # Panics
    /// Where ids can't be gone through.
    #[must_use]
    pub fn take(daemon: &Daemon) -> Self {
        let ending = format!("_{}", daemon.tag);
        let cgroup = fs::metadata(&daemon.cgroup).expect("the cgroup").ino();
        let is_here = |info: LinkInfo| matches!(info.target, LinkTarget::Cgroup { id, .. } if id == cgroup);
        Self {
            maps: ids(Map::next_id, |id| Map::from_id(id).is_ok_and(|map| map.info().name.ends_with(&ending))),
            progs: ids(Prog::next_id, |id| {
                Prog::from_id(id).and_then(|prog| prog.info()).is_ok_and(|info| info.name.ends_with(&ending))
            }),
            links: ids(Link::next_id, |id| Link::from_id(id).and_then(|link| link.info()).is_ok_and(is_here)),
        }
    }

    /// Takes it until it is what is wanted, or does not become so.
    ///
    /// # Panics
    /// As [`Self::take`].
    #[must_use]
    pub fn settled(daemon: &Daemon, wanted: &Self) -> Self {
        let start = Instant::now();
        loop {
            let found = Self::take(daemon);
            if found == *wanted || start.elapsed() > FREEING {
                return found;
            }
            // The longer it takes, the less it is asked: to look at every map of the machine is work too.
            thread::sleep((start.elapsed() / 8).clamp(Duration::from_millis(2), Duration::from_millis(200)));
        }
    }
}

fn ids(next: impl Fn(u32) -> std::io::Result<Option<u32>>, is_ours: impl Fn(u32) -> bool) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    let mut at = 0;
    while let Some(id) = next(at).expect("ids can be gone through") {
        if is_ours(id) {
            found.insert(id);
        }
        at = id;
    }
    found
}

/// Removes all pins of a daemon, after which nothing of it must be left in the kernel. Says what is.
#[must_use]
pub fn cleared(daemon: &Daemon) -> Option<String> {
    for dir in [daemon.dir.clone(), beside(&daemon.dir, "next")].into_iter().chain(kept(&daemon.dir)) {
        for name in names(&dir) {
            let path = dir.join(name);
            fs::remove_file(&path).or_else(|_| fs::remove_dir(&path)).expect("a pin, or an empty directory");
        }
        _ = fs::remove_dir(dir);
    }
    let left = Census::settled(daemon, &Census::default());
    (left != Census::default()).then(|| format!("left in the kernel without a pin: {left:?}"))
}
