//! The same upgrade as Kmesh's daemon does it, for comparison: what a loader without maplock comes to.
//!
//! Kmesh (`pkg/bpf/restart/bpf_update.go`): for each map whose attributes or layout differ from those of the release before, a
//! new empty map is pinned under a temporary name, the old pin is removed and the new one renamed to its place. Then the
//! programs are loaded onto what is pinned, the links updated, and at last the control plane fills the maps again. A map that
//! did not change is kept. Two things here are kinder than there: names hold no dot, so that the renaming works at all, and the
//! control plane answers within [`CONTROL_PLANE`].

use std::fs::File;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::thread;
use std::time::Duration;

use aya::EbpfLoader;
use aya::programs::CgroupSockAddr;
use maplock::internals::sys::{Link, Map, NewLink, NewMap, Object, bpffs};
use maplock::{AttachType, Spec};

use crate::daemon::{Daemon, HOOK, PROGRAM, settle};

/// From the daemon's first question to the configuration: some round trips to another node, encrypted.
pub(crate) const CONTROL_PLANE: Duration = Duration::from_millis(10);

impl Daemon {
    /// Upgrades what runs from the release of `old` to this release, and ends.
    ///
    /// # Errors
    /// Where it fails, in whatever state things then are.
    pub fn run_the_kmesh_way(&self, old: Option<&Spec>) -> Result<(), Box<dyn std::error::Error>> {
        bpffs::make_dir(&self.pins)?;
        for new in self.release.spec.maps() {
            let name = &new.def.name;
            let pin = self.pins.join(name);
            let same = old.and_then(|old| old.map(name)).is_some_and(|old| old.same_definition(new));
            if same {
                continue;
            }
            let def = &new.def;
            let map = NewMap {
                name,
                flags: def.flags,
                ..NewMap::new(def.map_type, def.key_size, def.value_size, def.max_entries)
            };
            let temporary = self.pins.join(format!("{name}_tmp"));
            Map::create(&map)?.pin(&temporary)?;
            bpffs::unlink(&pin)?;
            bpffs::rename(&temporary, &pin)?;
        }

        let pins: Vec<_> =
            self.release.spec.maps().map(|map| (map.def.name.as_str(), self.pins.join(&map.def.name))).collect();
        let mut loader = EbpfLoader::new();
        for (name, pin) in &pins {
            loader.map_pin_path(name, pin.as_path());
        }
        let mut ebpf = loader.load(&self.release.object)?;
        let program: &mut CgroupSockAddr =
            ebpf.program_mut(PROGRAM).ok_or("the object has no program `minimesh_connect4`")?.try_into()?;
        program.load()?;
        let link = self.pins.join(HOOK);
        match Object::open(&link) {
            Ok(Object::Link(link)) => link.update(program.fd()?.as_fd(), None)?,
            _ => {
                let cgroup = File::open(&self.cgroup)?;
                let new = NewLink {
                    prog: program.fd()?.as_fd(),
                    target: cgroup.as_raw_fd().cast_unsigned(),
                    attach_type: AttachType::CGROUP_INET4_CONNECT.0,
                    flags: 0,
                };
                Link::create(&new)?.pin(&link)?;
            }
        }

        thread::sleep(CONTROL_PLANE);
        let entries = self.config.as_ref().map(|config| config.entries(&self.release.spec)).transpose()?;
        for map in entries.iter().flatten() {
            settle(&Map::open(&self.pins.join(map.map))?, map)?;
        }
        Ok(())
    }
}
