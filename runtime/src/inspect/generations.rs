//! All that lies at a directory of pins: the live generation, and those beside it.

use std::path::Path;

use super::WayBack;
use super::directory::{Inventory, KERNEL_OWN, within};
use crate::error::Error;
use crate::generation::derivation::lacks_code;
use crate::generation::directory::has_record;
use crate::generation::names;
use crate::generation::records::{Recovered, Unfinished, unfinished};
use crate::generation::site::Site;
use crate::sys::bpffs::Dir;
use crate::transfer::migrate::Migrations;

/// The generations of one daemon, as they lie there at the moment.
#[derive(Debug)]
pub struct Generations {
    /// The live one.
    pub live: Inventory,
    /// The one that is kept for a roll-back.
    pub kept: Option<Inventory>,
    /// One that is being staged, or that an upgrade left which did not end.
    pub staged: Option<Inventory>,
    /// What a roll-back would lead to.
    pub way_back: Option<WayBack>,
    /// True where a roll-back that was interrupted led here, and a start completed it: the next roll-back says so, and no more.
    pub has_returned: bool,
    /// What the next upgrade, roll-back or confirmation would do first, unless an upgrade runs at this moment.
    pub next: Recovered,
    /// Where that is to complete an upgrade: the maps whose entries only the code of its own daemon converts. Any other start, and a
    /// roll-back, takes it back, and a confirmation refuses.
    pub needs_code: Vec<String>,
    /// Names in the live directory that are not of the live generation: somebody else's, which no upgrade touches.
    pub foreign: Vec<String>,
}

/// Looks at a directory of pins and at what is beside it. Takes no lock, and changes nothing.
///
/// # Errors
/// Where the directory is not on a bpffs, or the kernel does not let us look.
pub fn generations(dir: &Path) -> Result<Generations, Error> {
    let site = Site::at(dir)?.as_found()?;
    let beside = |dir: &Dir| -> Result<_, Error> {
        let inventory = within(dir)?;
        Ok(inventory.exists.then_some(inventory))
    };
    let (live, kept, staged) = (within(&site.dir)?, beside(&site.prev)?, beside(&site.next)?);
    let unfinished = unfinished(&site)?;
    let next = Unfinished::will_be(unfinished);
    let needs_code = match unfinished {
        Some(Unfinished::Switching { commit, is_moving: false }) => {
            lacks_code(&site.next, commit, &Migrations::default())?
        }
        _ => Vec::new(),
    };
    let has_returned = has_record(&site.dir, names::RETURNED)?;
    let way_back = kept.as_ref().map(|kept| WayBack::between(&live, kept));
    let mut foreign = live.foreign(|_| false);
    foreign.retain(|name| !(KERNEL_OWN.contains(&name.as_str()) || site.is_within(name)));
    Ok(Generations { live, kept, staged, way_back, has_returned, next, needs_code, foreign })
}

/// What a roll-back at a site leads to; `None` where nothing is kept there.
pub(crate) fn way_back(site: &Site) -> Result<Option<WayBack>, Error> {
    let kept = within(&site.prev)?;
    if !kept.exists {
        return Ok(None);
    }
    Ok(Some(WayBack::between(&within(&site.dir)?, &kept)))
}
