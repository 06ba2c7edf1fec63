//! All that lies at a directory of pins: the live generation, and those beside it.

use std::path::Path;

use super::WayBack;
use super::directory::{Inventory, KERNEL_OWN, within};
use crate::error::Error;
use crate::generation::derivation::lacks_code;
use crate::generation::directory::has_record;
use crate::generation::kept;
use crate::generation::names;
use crate::generation::records::{Recovered, Unfinished, unfinished};
use crate::generation::site::Site;
use crate::transfer::migrate::Migrations;

/// The generations of one daemon, as they lie there at the moment.
#[derive(Debug)]
pub struct Generations {
    /// The live one.
    pub live: Inventory,
    /// Those that are kept for a roll-back, the newest first.
    pub kept: Vec<Kept>,
    /// One that is being staged, or that an upgrade left which did not end.
    pub staged: Option<Inventory>,
    /// True if a roll-back that was interrupted led here, and a start completed it: the next roll-back says so, and no more.
    pub has_returned: bool,
    /// What the next upgrade, roll-back or confirmation would do first, unless an upgrade runs at this moment.
    pub next: Recovered,
    /// If that is to complete an upgrade: the maps whose entries only the code of its own daemon converts. Any other start, and a
    /// roll-back, takes it back, and a confirmation refuses.
    pub needs_code: Vec<String>,
    /// Names in the live directory that are not of the live generation: somebody else's, which no upgrade touches.
    pub foreign: Vec<String>,
}

/// A generation that is kept for a roll-back.
#[derive(Debug)]
pub struct Kept {
    /// What is pinned in it.
    pub inventory: Inventory,
    /// A roll-back left it: it is newer than the live one.
    pub is_newer: bool,
    /// True of the one that a roll-back leads to.
    pub is_next: bool,
    /// Where a return to it leads.
    pub way_back: WayBack,
}

impl Generations {
    /// What a roll-back would lead to.
    #[must_use]
    pub fn way_back(&self) -> Option<&WayBack> {
        self.kept.iter().find(|kept| kept.is_next).map(|kept| &kept.way_back)
    }
}

/// Looks at a directory of pins and at what is beside it. Takes no lock, and changes nothing.
///
/// # Errors
/// If the directory is not on a bpffs, or the kernel does not let us look.
pub fn generations(dir: &Path) -> Result<Generations, Error> {
    let site = Site::at(dir)?.as_found()?;
    let (live, staged) = (within(&site.dir)?, within(&site.next)?);
    let staged = staged.exists.then_some(staged);
    let found = kept::all(&site)?;
    let next_place = kept::one_back(&found).map(|kept| kept.place);
    let mut kept = Vec::new();
    for of in &found {
        let inventory = within(&of.dir)?;
        let way_back = WayBack::between(&live, &inventory);
        let (is_newer, is_next) = (of.is_newer, next_place == Some(of.place));
        kept.push(Kept { inventory, is_newer, is_next, way_back });
    }
    let unfinished = unfinished(&site)?;
    let next = Unfinished::will_be(unfinished);
    let needs_code = match unfinished {
        Some(Unfinished::Switching { commit, is_moving: false }) => {
            lacks_code(&site.next, commit, &Migrations::default())?
        }
        _ => Vec::new(),
    };
    let has_returned = has_record(&site.dir, names::RETURNED)?;
    let mut foreign = live.foreign(|_| false);
    foreign.retain(|name| !(KERNEL_OWN.contains(&name.as_str()) || site.is_within(name)));
    Ok(Generations { live, kept, staged, has_returned, next, needs_code, foreign })
}
