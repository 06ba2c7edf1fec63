//! The mesh under test: pins, cgroup, network and backends, and the daemon that is run over and over.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use maplock::internals::sys::Map;
use maplock_tests::kernel::{Bpffs, Cgroup, Netns};
use minimesh::config::{Config, Service};
use minimesh::entries::read_all;
use minimesh::release::Release;
use minimesh::traffic::{Backends, Client, Ledger, Target};
use tempfile::TempDir;

use crate::daemon::Daemon;

pub(crate) struct Mesh {
    pub(crate) pins: PathBuf,
    pub(crate) ledger: Ledger,
    /// The id of the `stats` of the release that runs.
    runs: Option<u32>,
    daemon: Daemon,
    targets: Vec<Target>,
    folder: TempDir,
    cgroup: Cgroup,
    bpffs: Bpffs,
}

/// What the kernel shows of a map.
pub(crate) struct Snapshot {
    pub(crate) id: u32,
    pub(crate) max_entries: u32,
    pub(crate) entries: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Mesh {
    /// Runs `test` on a mesh with nothing installed, in a network of its own without a way out.
    pub(crate) fn run(daemon: Daemon, test: impl FnOnce(&mut Self) + Send) {
        Netns::new().run(|| test(&mut Self::new(daemon)));
    }

    fn new(daemon: Daemon) -> Self {
        let backends = Backends::start(&["cart-1", "cart-2", "cart-3", "old-1", "web-1", "web-2"]).unwrap();
        let service = |id, address: &str, backends, draining| Service {
            id,
            address: address.parse().unwrap(),
            by_user: false,
            backends,
            draining,
        };
        // One that answers by another name is among those of `cart`, and gets no connection: unless `draining` is read where
        // another layout has something else.
        let old = backends.addresses("old-");
        let cart = [backends.addresses("cart-"), old.clone()].concat();
        let config = Config {
            service: vec![
                service(1, "10.96.0.10:80", cart, old),
                service(2, "10.96.0.11:80", backends.addresses("web-"), Vec::new()),
            ],
        };
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("services.toml"), toml::to_string(&config).unwrap()).unwrap();
        let prefixes = ["cart-", "web-"].map(str::to_owned);
        let targets =
            config.service.iter().zip(prefixes).map(|(service, prefix)| Target { address: service.address, prefix });
        let bpffs = Bpffs::mount();
        Self {
            pins: bpffs.path().join("minimesh"),
            ledger: Ledger::default(),
            runs: None,
            daemon,
            targets: targets.collect(),
            folder,
            cgroup: Cgroup::new(),
            bpffs,
        }
    }

    /// Runs a daemon that upgrades to `release` and ends. With or without a configuration to fill maps from.
    pub(crate) fn upgrade(&mut self, release: &str, is_configured: bool) {
        let mut command = self.daemon.command(&[self.bpffs.path(), self.cgroup.path(), self.folder.path()]);
        command.args(["daemon", "--once", "--release", release]);
        command.arg("--cgroup").arg(self.cgroup.path()).arg("--pins").arg(&self.pins);
        if is_configured {
            command.arg("--config").arg(self.folder.path().join("services.toml"));
        }
        let output = command.output().unwrap_or_else(|error| panic!("{:?}: {error}", command.get_program()));
        let [out, err] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
        assert!(output.status.success(), "the upgrade to {release}: {}\n{out}\n{err}", output.status);
        let stats = self.ledger.note(&self.pins, &Release::embedded(release).unwrap().spec).unwrap();
        if let Some(before) = self.runs.replace(stats).filter(|before| *before != stats) {
            self.ledger.carry(before, stats).unwrap();
        }
    }

    /// Starts a client in the mesh's cgroup.
    pub(crate) fn client(&self) -> Client {
        Client::start(std::env::current_exe().unwrap(), self.cgroup.path(), &self.targets).unwrap()
    }

    pub(crate) fn look(&self, map: &str) -> Snapshot {
        let map = self.open(map);
        let entries = read_all(&map).unwrap().into_iter().collect();
        Snapshot { id: map.info().id, max_entries: map.info().max_entries, entries }
    }

    /// What the live `stats` counts.
    pub(crate) fn counted(&self) -> u64 {
        self.ledger.of(self.runs.unwrap()).unwrap()
    }

    pub(crate) fn forget(&self, map: &str) {
        let map = self.open(map);
        for (key, _) in read_all(&map).unwrap() {
            map.delete(&key).unwrap();
        }
    }

    fn open(&self, map: &str) -> Map {
        Map::open(&self.pins.join(map)).unwrap_or_else(|error| panic!("pin `{map}`: {error}"))
    }

    /// The live generation, and the one before it for a roll-back: nothing else, and nothing of the way there.
    pub(crate) fn assert_nothing_is_left_over(&self) {
        let names = |dir: &Path| -> Vec<String> {
            let names = maplock::internals::sys::bpffs::names(dir).unwrap().unwrap();
            names.into_iter().filter(|name| !name.ends_with(".debug")).collect()
        };
        assert_eq!(names(self.bpffs.path()), ["minimesh", "minimesh@prev"]);
        // How `stats` and `backends` were converted stays until the generation is confirmed.
        let own = |name: &String| {
            !name.starts_with("maplock@") && !name.ends_with("@transfer") && !name.ends_with("@conversion")
        };
        let live = ["backends", "connect4", "connect4@prog", "frontends", "maplock_meta", "services", "stats"];
        assert_eq!(names(&self.pins).into_iter().filter(own).collect::<Vec<_>>(), live);
    }
}
