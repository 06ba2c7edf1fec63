//! The programs of a staged generation, those at its hooks and those that they reach by a table: all use the staged maps, and no others of
//! their names.

use std::collections::BTreeSet;

use maplock_layout::map::kept_name;

use crate::error::{Error, ErrorKind, Trying as _};
use crate::inspect::programs_in;
use crate::sys::privileges::BY_ID;
use crate::sys::{Map, Prog};
use crate::upgrade::stage::Staged;

/// What was looked at already, and what this process may not look at.
#[derive(Default)]
struct Seen {
    maps: BTreeSet<u32>,
    progs: BTreeSet<u32>,
    is_denied: bool,
}

impl Staged {
    /// Holds every program that runs in this generation against the staged maps, and the pins of these against what was staged.
    pub(super) fn check_programs(&self) -> Result<(), Error> {
        for (name, staged) in &self.maps {
            let pinned = Map::open(&staged.pin).trying(|| format!("can't open map `{}`", staged.pin.display()))?;
            if pinned.info().id != staged.map.info().id {
                let what = format!("the pin `{}` is of another map", staged.pin.display());
                return Err(another(name, pinned.info().id, &what));
            }
        }
        let mut seen = Seen::default();
        for (name, (prog, _)) in &self.hooks {
            self.check_program(&format!("the program of hook `{name}`"), prog, &mut seen)?;
        }
        // Those that a program which is attached otherwise may call.
        for (name, staged) in &self.maps {
            if seen.maps.insert(staged.map.info().id) {
                self.check_table(name, &staged.map, &mut seen)?;
            }
        }
        if seen.is_denied {
            tracing::warn!(
                "without {BY_ID} nothing tells whether programs that are called by a table use the staged maps"
            );
        }
        Ok(())
    }

    fn check_program(&self, whose: &str, prog: &Prog, seen: &mut Seen) -> Result<(), Error> {
        let info = prog.info().trying(|| format!("can't look at {whose}"))?;
        if !seen.progs.insert(info.id) {
            return Ok(());
        }
        for id in info.map_ids {
            self.check_map_of(whose, id)?;
            if !seen.maps.insert(id) {
                continue;
            }
            let staged = self.maps.iter().find(|(_, staged)| staged.map.info().id == id);
            match staged {
                Some((name, staged)) => self.check_table(name, &staged.map, seen)?,
                // A table of the loader's own. What may not be looked at, or is gone, can't be looked into.
                None => {
                    if let Ok(map) = Map::from_id(id) {
                        self.check_table(&map.info().name.clone(), &map, seen)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The programs in a table: those that are called by its entries.
    fn check_table(&self, name: &str, map: &Map, seen: &mut Seen) -> Result<(), Error> {
        for (at, id) in programs_in(map).trying(|| format!("can't read the entries of map `{name}`"))? {
            match Prog::from_id(id) {
                Ok(prog) => self.check_program(&format!("the program at {at} of table `{name}`"), &prog, seen)?,
                Err(error) if error.raw_os_error() == Some(libc::EPERM) => seen.is_denied = true,
                // Taken out since.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(error).trying(|| format!("can't look at the program at {at} of table `{name}`"));
                }
            }
        }
        Ok(())
    }

    /// A map that a program uses is a staged one, or none of the spec's.
    pub(super) fn check_map_of(&self, whose: &str, id: u32) -> Result<(), Error> {
        if self.maps.values().any(|staged| staged.map.info().id == id) {
            return Ok(());
        }
        let live = self.plan().maps.iter().find(|plan| plan.action.source().is_some_and(|(_, of)| of == id));
        if let Some(plan) = live {
            return Err(another(&plan.map, id, &format!("{whose} uses the live map")));
        }
        // Ids can't be looked up in a user namespace, or without CAP_SYS_ADMIN.
        let Ok(map) = Map::from_id(id) else { return Ok(()) };
        let info = map.info();
        let is_meant = |spec: &str| kept_name(spec) == info.name;
        let meant =
            self.maps.iter().find(|(spec, staged)| is_meant(spec) && staged.map.info().map_type == info.map_type);
        match meant {
            Some((spec, _)) => Err(another(spec, id, &format!("{whose} uses a map of its own called"))),
            None => Ok(()),
        }
    }

    /// A map that the loader pinned beside the staged ones: it would end with its programs, and its entries with it.
    pub(super) fn stranger(&self, name: &str) -> Error {
        let message = format!(
            "the loader pinned `{name}` beside the staged maps, and the lock that this release was built with has no such map: no \
             upgrade would keep its entries; run `cargo maplock update` and build again, or name it under `ephemeral`"
        );
        Error::new(ErrorKind::Usage, message)
    }
}

/// Another map than the staged one, with how each loader is told of that.
fn another(map: &str, id: u32, what: &str) -> Error {
    let message = format!(
        "{what} `{map}` (id {id}), not the staged one; hand the loader `staged.pin(\"{map}\")` before it loads: `staged.aya()` does \
         (`map_pin_path`), and `staged.libbpf(..)` (it clears the map's pin path and calls `reuse_fd`)"
    );
    Error::new(ErrorKind::Usage, message)
}
