//! Programs that use some maps, and the links that attach them: also those that nothing pins.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::{Duration, Instant};

use crate::sys::privileges::BY_ID;
use crate::sys::{Link, LinkInfo, Prog};

/// How long is looked.
const LOOKING: Duration = Duration::from_millis(500);

/// A program that uses some of the maps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// The kernel's number for it.
    pub id: u32,
    /// Its name, of which the kernel keeps 15 bytes.
    pub name: String,
    /// Its type: `enum bpf_prog_type`.
    pub prog_type: u32,
    /// Those of the maps that it uses.
    pub maps: Vec<u32>,
    /// The links that run it.
    pub links: Vec<LinkInfo>,
}

/// All programs that use some of these maps; and what was not looked at, if anything: a phrase. If a program has no link, it may be attached
/// by a call that makes none.
#[must_use]
pub fn attached(maps: &BTreeSet<u32>) -> (Vec<Attached>, Option<String>) {
    let until = Instant::now() + LOOKING;
    match look(maps, until) {
        Ok(found) if Instant::now() > until => (found, Some("there are more programs than are looked at".to_owned())),
        Ok(found) => (found, None),
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
            (Vec::new(), Some(format!("looking at programs needs {BY_ID}")))
        }
        Err(error) => (Vec::new(), Some(format!("programs can't be looked at: {error}"))),
    }
}

fn look(maps: &BTreeSet<u32>, until: Instant) -> io::Result<Vec<Attached>> {
    let (mut found, mut last) = (BTreeMap::new(), 0);
    while let Some(id) = Prog::next_id(last)?
        && Instant::now() <= until
    {
        last = id;
        // One that has ended since is none.
        let Ok(info) = Prog::from_id(id).and_then(|prog| prog.info()) else { continue };
        let used: Vec<_> = info.map_ids.into_iter().filter(|map| maps.contains(map)).collect();
        if !used.is_empty() {
            let (name, prog_type) = (info.name, info.prog_type);
            found.insert(id, Attached { id, name, prog_type, maps: used, links: Vec::new() });
        }
    }
    let mut last = 0;
    while let Some(id) = Link::next_id(last)?
        && Instant::now() <= until
    {
        last = id;
        let Ok(info) = Link::from_id(id).and_then(|link| link.info()) else { continue };
        if let Some(program) = found.get_mut(&info.prog_id) {
            program.links.push(info);
        }
    }
    Ok(found.into_values().collect())
}
