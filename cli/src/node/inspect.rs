//! `maplock inspect`: what is pinned.

use std::time::Duration;

use maplock::internals::inspect::{Generations, Inventory, generations};
use maplock::internals::sys;

use super::args::InspectArgs;
use super::{failed, names, no_directory};
use crate::Said;
use crate::error::Error;

/// How long the entries of one map may be counted.
const COUNTING: Duration = Duration::from_millis(200);

/// What is pinned in a directory, and beside it.
pub(crate) struct Pins {
    pub(crate) found: Generations,
    pub(crate) links: Vec<Link>,
    pub(crate) programs: Vec<Program>,
    /// Whether people want to see the types, which programs always do.
    pub(crate) with_layouts: bool,
}

/// A link that is pinned.
pub(crate) struct Link {
    pub(crate) pin: String,
    pub(crate) id: u32,
    pub(crate) kind: String,
    pub(crate) target: String,
    pub(crate) program_id: u32,
    /// The name of its program, if that could be looked at.
    pub(crate) program: Option<String>,
}

/// A program that is pinned.
pub(crate) struct Program {
    pub(crate) pin: String,
    pub(crate) id: u32,
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) map_ids: Vec<u32>,
}

pub(super) fn run(args: &InspectArgs) -> Result<Said, Error> {
    let dir = args.dir.display();
    let mut found =
        generations(&args.dir).map_err(|error| failed(format!("could not look at the pins in {dir}"), error))?;
    if !found.live.exists {
        return Err(no_directory(&args.dir));
    }
    found.live.count_entries(|map| maplock::internals::transfer::count(map, COUNTING));
    let (links, programs) = (links(&found.live)?, programs(&found.live)?);
    Ok(Said::well(args.message_format.tell(&Pins { found, links, programs, with_layouts: args.layouts })?))
}

fn links(inventory: &Inventory) -> Result<Vec<Link>, Error> {
    let mut links = Vec::new();
    for (pin, link) in &inventory.links {
        let info = link.info().map_err(|error| Error::new(format!("could not look at link `{pin}`")).because(error))?;
        let program = sys::Prog::from_id(info.prog_id).and_then(|program| program.info());
        links.push(Link {
            pin: pin.clone(),
            id: info.id,
            kind: names::link_type(info.link_type),
            target: names::target(info.target),
            program_id: info.prog_id,
            program: program.ok().map(|program| program.name),
        });
    }
    Ok(links)
}

fn programs(inventory: &Inventory) -> Result<Vec<Program>, Error> {
    let mut programs = Vec::new();
    for (pin, program) in &inventory.progs {
        let info =
            program.info().map_err(|error| Error::new(format!("could not look at program `{pin}`")).because(error))?;
        let kind = names::prog_type(info.prog_type);
        programs.push(Program { pin: pin.clone(), id: info.id, kind, name: info.name, map_ids: info.map_ids });
    }
    Ok(programs)
}
