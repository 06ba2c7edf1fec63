//! A daemon made of nothing but maplock, in two releases: what the tests kill, starve and set against itself.
//!
//! Its programs count the sockets that are made in a cgroup, so that the truth is known without asking the kernel's maps: that many
//! sockets were made, and that many must be counted, whatever happened to the daemon meanwhile.
//!
//! | map | release one | release two | |
//! |---|---|---|---|
//! | `counts` | hash of 64 | hash of 256 | two counters, both added up |
//! | `state` | hash of 64 | hash of 256 | 12 bytes that are not added up; keys come and go |
//! | `slots` | array of 16 | array of 64 | one counter, added up |
//! | `config` | hash of 16 | the same | |
//! | `first`, then `second` | hash of 64 | hash of 256 | renamed; two counters, both added up |
//! | `before`, then `after` | hash of 16 | the same | renamed |
//! | `old` | array | | accepted as `drop` |
//! | `new` | | array | |
//! | `swapped` | values of 4 bytes | of 8 | accepted as `swap` |
//! | `wide` | `{ u32 n; u32 more; }` | `{ u64 more; u64 n; }` | accepted as `migrate`, `n` added up |

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::kernel::Cgroup;
use crate::program::Program;
use maplock::internals::sys::{Map, NewProg, Prog};
use maplock::layout::config::Levels;
use maplock::layout::conversion::Answers;
use maplock::layout::lock::{LockedMap, Merge, OnUpgrade};
use maplock::layout::map::{MapType, Pinning};
use maplock::layout::{
    Composite, CompositeKind, Disposition, IntKind, Layout, Lock, MapDef, Member, Observation, Shape, epochs,
};
use maplock::{
    AttachType, Entries, Error, Hook, MapValue, Migrate, MigrateError, OnMismatch, Options, Policies, Policy, Report,
    Spec, Staged,
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// `BPF_PROG_TYPE_CGROUP_SOCK`.
const CGROUP_SOCK: u32 = 9;

/// Entries that the first release fills its hashes with.
pub const FILLED: u32 = 40;

/// A key of `state` that goes with the first socket.
pub const DOOMED: u32 = 1;

/// The slot, and the key of `counts`, that programs count in.
pub const COUNTED: u32 = 3;

/// A release of the daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// The first.
    One,
    /// The second.
    Two,
}

impl Release {
    /// Its hooks: name, and what it is attached to.
    #[must_use]
    pub fn hooks(self) -> [(&'static str, AttachType); 2] {
        let created = ("sock_create", AttachType::CGROUP_INET_SOCK_CREATE);
        match self {
            Self::One => [("post_bind4", AttachType::CGROUP_INET4_POST_BIND), created],
            Self::Two => [created, ("sock_release", AttachType::CGROUP_INET_SOCK_RELEASE)],
        }
    }

    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        if self == Self::One { Self::Two } else { Self::One }
    }

    /// The map of counters that the other release calls otherwise.
    #[must_use]
    pub fn counters(self) -> &'static str {
        match self {
            Self::One => "first",
            Self::Two => "second",
        }
    }

    /// The map without counters that the other release calls otherwise.
    #[must_use]
    pub fn settings(self) -> &'static str {
        match self {
            Self::One => "before",
            Self::Two => "after",
        }
    }

    /// The map that the other release has not.
    #[must_use]
    pub fn own(self) -> &'static str {
        match self {
            Self::One => "old",
            Self::Two => "new",
        }
    }
}

/// One daemon on one node.
#[derive(Debug, Clone)]
pub struct Daemon {
    /// Its pins.
    pub dir: PathBuf,
    /// Where it attaches.
    pub cgroup: PathBuf,
    /// Ends the names of its maps and programs: at most 7 characters, so that the kernel keeps them.
    pub tag: String,
    /// Rename the pins one by one.
    pub each_pin: bool,
    /// Don't wait for another one.
    pub is_impatient: bool,
    /// Use maps that have grown as they are where the release asks for less; else return to the kept ones.
    pub keeps_larger: bool,
    /// `wide` is converted by code, which the second release alone has.
    pub by_hand: bool,
    /// So many generations are kept.
    pub keep: usize,
}

impl Daemon {
    /// One with its pins at `dir`, whose names nothing else has.
    #[must_use]
    pub fn new(dir: PathBuf, cgroup: &Cgroup) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let mut number = u64::from(std::process::id()) << 10 | u64::from(NEXT.fetch_add(1, Ordering::Relaxed) & 0x3ff);
        let mut tag = String::new();
        while number > 0 {
            tag.extend(char::from_digit((number % 36) as u32, 36));
            number /= 36;
        }
        let cgroup = cgroup.path().to_owned();
        Self { dir, cgroup, tag, each_pin: false, is_impatient: false, keeps_larger: false, by_hand: false, keep: 1 }
    }

    /// The name of one of its maps.
    #[must_use]
    pub fn map(&self, name: &str) -> String {
        format!("{name}_{}", self.tag)
    }

    /// What a release was built with.
    ///
    /// # Panics
    /// Where its history can't be made.
    #[must_use]
    pub fn spec(&self, release: Release) -> Spec {
        let two = release == Release::Two;
        let grown = |old: u32| if two { old * 4 } else { old };
        let counts = || structure("counts", &[("a", uint(8)), ("b", uint(8))]);
        let renamed = |release: Release, max_entries| {
            let counters = self.def(release.counters(), MapType::HASH, counts(), max_entries);
            [counters, self.def(release.settings(), MapType::HASH, uint(8), 16)]
        };
        let state = structure("state", &[("x", uint(4)), ("y", uint(4)), ("z", uint(4))]);
        let slot = structure("slot", &[("hits", uint(8))]);
        let swapped = |size| self.def("swapped", MapType::HASH, uint(size), 16);
        let narrow = || structure("wide", &[("n", uint(4)), ("more", uint(4))]);
        let wide = || structure("wide", &[("more", uint(8)), ("n", uint(8))]);
        let wide = |two| self.def("wide", MapType::HASH, if two { wide() } else { narrow() }, 64);
        let maps = [
            self.def("counts", MapType::HASH, counts(), grown(64)),
            self.def("state", MapType::HASH, state, grown(64)),
            self.def("slots", MapType::ARRAY, slot, grown(16)),
            self.def("config", MapType::HASH, uint(8), 16),
            self.def(release.own(), MapType::ARRAY, uint(8), 4),
            self.def("table", MapType::PERF_EVENT_ARRAY, uint(4), 4),
            swapped(if two { 8 } else { 4 }),
            wide(two),
        ];
        let lock = lock(maps.into_iter().chain(renamed(release, grown(64))));
        if !two {
            return Spec::from(lock);
        }
        let observed = Observation { lock: lock.clone(), ..Observation::default() };
        let old = self.def(Release::One.own(), MapType::ARRAY, uint(8), 4);
        let before = self::lock([swapped(4), wide(false), old].into_iter().chain(renamed(Release::One, 64)));
        let mut accepted = Lock { maps: lock.maps.into_iter().chain(before.maps).collect(), ..Lock::default() };
        for name in [Release::counters, Release::settings] {
            let (old, new) = (self.map(name(Release::One)), self.map(name(Release::Two)));
            accepted.maps.remove(&new);
            let renamed = epochs::rename(&accepted, &observed, (&old, &new), None, "for the test", &Levels::default());
            accepted = renamed.expect("another name, and no more");
        }
        let old = self.map(Release::One.own());
        accepted = epochs::accept(&accepted, &observed, &old, OnUpgrade::Drop, "for the test", &Levels::default())
            .expect("it is gone");
        for (map, on_upgrade) in [("swapped", OnUpgrade::Swap), ("wide", OnUpgrade::Migrate)] {
            let (name, levels) = (self.map(map), Levels::default());
            let entered = epochs::accept(&accepted, &observed, &name, on_upgrade, "for the test", &levels);
            let by_hand = (self.by_hand && map == "wide").then(|| Answers { by_hand: true, ..Answers::default() });
            accepted = epochs::convert(&entered.expect("a break"), &name, by_hand.as_ref()).expect("nothing is asked");
        }
        let sum = [("n".to_owned(), Merge::Sum)].into();
        Spec::from(epochs::merge(&accepted, &self.map("wide"), &sum).expect("a counter"))
    }

    fn def(&self, name: &str, map_type: MapType, value: Arc<Layout>, max_entries: u32) -> MapDef {
        MapDef {
            key_size: 4,
            value_size: u32::try_from(value.size).expect("small"),
            max_entries,
            pinning: Pinning::ByName,
            key: Some(uint(4)),
            value: Some(value),
            ..MapDef::new(self.map(name), map_type)
        }
    }

    /// What the daemon wants where the lock has no answer.
    #[must_use]
    pub fn policies(&self) -> Policies {
        let sum =
            |paths: &[&str]| Policy { sum: paths.iter().map(|path| (*path).to_owned()).collect(), ..Policy::default() };
        let mut policies = Policies::default();
        let larger = if self.keeps_larger { OnMismatch::Reuse } else { OnMismatch::Refuse };
        for map in ["counts", Release::One.counters(), Release::Two.counters()] {
            policies.maps.insert(self.map(map), Policy { larger, ..sum(&["a", "b"]) });
        }
        policies.maps.insert(self.map("state"), Policy { larger, ..Policy::default() });
        // An array is always full, and can't return to less.
        policies.maps.insert(self.map("slots"), Policy { larger: OnMismatch::Reuse, ..sum(&["hits"]) });
        for map in ["swapped", "wide"] {
            policies.maps.insert(self.map(map), Policy { unknown: OnMismatch::Swap, ..Policy::default() });
        }
        policies
    }

    /// The upgrade that a start of this release asks for.
    #[must_use]
    pub fn options(&self, release: Release) -> Options {
        let spec = self.spec(release);
        let epoch = spec.map(&self.map("wide")).and_then(|wide| wide.epochs.first());
        let code = epoch.filter(|_| self.by_hand).map(|epoch| (epoch.from.to_string(), epoch.to.to_string()));
        let options = Options::new(spec, &self.dir).policies(self.policies());
        let options = match code {
            Some((from, to)) => options.migration::<Wide, Narrow>(&from, &to),
            None => options,
        };
        let options = options.keep(self.keep);
        let options = if self.each_pin { options.each_pin() } else { options };
        if self.is_impatient { options.wait(Duration::ZERO) } else { options }
    }

    /// All that a start of this release does.
    ///
    /// # Errors
    /// maplock's, or the kernel's where the programs are loaded.
    pub fn start(&self, release: Release) -> Result<Report, Box<dyn std::error::Error + Send + Sync>> {
        let staged = self.options(release).begin()?.stage()?;
        Ok(self.load(staged, release)?.commit()?)
    }

    /// A start of `what`, a release or `rollback`, as a process: `binary` is that of `tests/src/bin/generation.rs`.
    #[must_use]
    pub fn command(&self, binary: &str, what: &str) -> Command {
        let mut command = Command::new(binary);
        command.arg(&self.dir).arg(&self.cgroup).args([&self.tag, what]);
        for (word, is_given) in [("each-pin", self.each_pin), ("by-hand", self.by_hand)] {
            command.args(is_given.then_some(word));
        }
        command.arg(format!("keep={}", self.keep));
        command
    }

    /// Fills new maps and loads the programs, as a loader does.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn load(
        &self,
        mut staged: Staged,
        release: Release,
    ) -> Result<Staged, Box<dyn std::error::Error + Send + Sync>> {
        let created = staged.plan().maps.iter().filter(|map| map.disposition() == Disposition::Create);
        for name in created.map(|map| map.map.clone()).collect::<Vec<_>>() {
            if let Some(map) = staged.map(&name) {
                fill(map, name.split('_').next().unwrap_or_default())
                    .map_err(|error| format!("can't fill `{name}`: {error}"))?;
            }
        }
        let cgroup = File::open(&self.cgroup).map_err(|error| format!("can't open the cgroup: {error}"))?;
        for (hook, attach_type) in release.hooks() {
            let insns = self.program(&staged, release, hook);
            let prog = Prog::load(&NewProg {
                prog_type: CGROUP_SOCK,
                expected_attach_type: attach_type.0,
                name: &self.map(&hook[5..]),
                insns: &insns,
                flags: 0,
                functions: None,
                attach_btf_id: 0,
            });
            let prog = prog.map_err(|error| {
                let lacks = maplock::missing_privilege(&error).unwrap_or_default();
                format!("can't load the program of `{hook}`: {error}; {lacks}")
            })?;
            let hook_at =
                Hook::cgroup(&cgroup, attach_type).map_err(|error| format!("can't hold the cgroup: {error}"))?;
            staged.hook(hook, &prog, hook_at)?;
        }
        Ok(staged)
    }

    fn program(&self, staged: &Staged, release: Release, hook: &str) -> Vec<u64> {
        let map = |name: &str| staged.map(&self.map(name)).expect("the release has the map");
        let mut program = Program::default();
        match hook {
            "sock_create" => {
                program.count(map("counts"), COUNTED, &[(0, 1), (8, 2)]);
                program.count(map("slots"), COUNTED, &[(0, 1)]);
                program.churn(map("state"));
                program.count(map("config"), COUNTED, &[]);
                program.count(map(release.counters()), COUNTED, &[(0, 1), (8, 2)]);
                program.count(map(release.settings()), COUNTED, &[]);
                program.count(map("swapped"), COUNTED, &[]);
                match release {
                    Release::One => program.count_narrow(map("wide"), COUNTED),
                    Release::Two => program.count(map("wide"), COUNTED, &[(8, 1)]),
                }
            }
            _ => program.count(map(release.own()), 0, &[(0, 1)]),
        }
        program.allow()
    }
}

/// What a new map of that name starts with: a value for each key.
#[must_use]
pub fn filling(name: &str) -> Vec<(u32, Vec<u8>)> {
    let words = |words: &[u64]| words.iter().flat_map(|word| word.to_ne_bytes()).collect::<Vec<u8>>();
    let at_rest = |key: u32, value: u64| if key == COUNTED { 0 } else { value };
    match name {
        "counts" | "first" | "second" => (0..FILLED)
            .map(|key| (key, words(&[at_rest(key, u64::from(key) * 10), at_rest(key, u64::from(key) + 7)])))
            .collect(),
        "state" => (0..FILLED).map(|key| (key, state(&[key, key + 1, key * key]))).collect(),
        "slots" => (0..16).map(|key| (key, words(&[at_rest(key, u64::from(key) * 100)]))).collect(),
        "config" | "before" | "after" => (0..10).map(|key| (key, words(&[u64::from(key) << 40]))).collect(),
        "swapped" => (0..5).map(|key: u32| (key, (key + 1000).to_ne_bytes().to_vec())).collect(),
        _ => Vec::new(),
    }
}

/// What `wide` starts with, in the layout of a release.
#[must_use]
pub fn wide(release: Release, key: u32, counted: u64) -> Vec<u8> {
    let n = if key == COUNTED { counted } else { u64::from(key) * 3 };
    let more = key + 70_000;
    match release {
        Release::One => [(n as u32).to_ne_bytes(), more.to_ne_bytes()].concat(),
        Release::Two => [u64::from(more).to_ne_bytes(), n.to_ne_bytes()].concat(),
    }
}

/// `wide` of the first release.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Narrow {
    n: u32,
    more: u32,
}

/// `wide` of the second.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Wide {
    more: u64,
    n: u64,
}

impl MapValue for Narrow {}
impl MapValue for Wide {}

impl Migrate<Narrow> for Wide {
    type OldKey = u32;
    type Key = u32;

    fn migrate(key: &u32, old: &Narrow, new: &mut Entries<'_, u32, Self>) -> Result<(), MigrateError> {
        new.insert(*key, Self { more: old.more.into(), n: old.n.into() });
        Ok(())
    }
}

/// A value of `state`.
#[must_use]
pub fn state(words: &[u32; 3]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// The value of `state` that programs write, and the keys at which they do.
#[must_use]
pub fn churned() -> (Vec<u8>, std::ops::Range<u32>) {
    (state(&[7, 8, 9]), 100..108)
}

fn fill(map: &Map, name: &str) -> io::Result<()> {
    let release = if map.value_bytes() == 8 { Release::One } else { Release::Two };
    if name == "wide" {
        return (0..FILLED).try_for_each(|key| map.update(&key.to_ne_bytes(), &wide(release, key, 0), 0));
    }
    // The second release's own `swapped` starts empty on a node that never had the first.
    let fits = |value: &[u8]| value.len() == map.value_bytes();
    for (key, value) in filling(name).into_iter().filter(|(_, value)| fits(value)) {
        map.update(&key.to_ne_bytes(), &value, 0)?;
    }
    Ok(())
}

fn uint(size: u64) -> Arc<Layout> {
    Arc::new(Layout::new(size, Shape::Int(IntKind::Unsigned)))
}

fn structure(name: &str, members: &[(&str, Arc<Layout>)]) -> Arc<Layout> {
    let mut end = 0;
    let members = members.iter().map(|(name, layout)| {
        let offset_bits = end * 8;
        end += layout.size;
        Member { name: (*name).into(), offset_bits, bits: None, layout: Arc::clone(layout) }
    });
    let members: Vec<_> = members.collect();
    let composite = Composite::new(CompositeKind::Struct, Some(name.into()), members).expect("few members");
    Arc::new(Layout::new(end, Shape::Composite(Arc::new(composite))))
}

fn lock(maps: impl IntoIterator<Item = MapDef>) -> Lock {
    Lock { maps: maps.into_iter().map(|def| (def.name.clone(), LockedMap::new(def))).collect(), ..Lock::default() }
}

/// Back to the kept generation.
///
/// # Errors
/// maplock's.
pub fn roll_back(dir: &Path) -> Result<Report, Error> {
    maplock::Rollback::new(dir).run()
}
