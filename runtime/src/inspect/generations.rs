//! All that lies at a directory of pins: the live generation, and those beside it.

use std::path::Path;

use super::directory::{Inventory, KERNEL_OWN, within};
use crate::error::Error;
use crate::generation::records::{Recovered, Unfinished, unfinished};
use crate::generation::site::Site;
use crate::sys::bpffs::{Dir, Named as _};

/// The generations of one daemon, as they lie there at the moment.
#[derive(Debug)]
pub struct Generations {
    /// The live one.
    pub live: Inventory,
    /// The one that is kept for a roll-back.
    pub kept: Option<Inventory>,
    /// One that is being staged, or that an upgrade left which did not end.
    pub staged: Option<Inventory>,
    /// What the next upgrade, roll-back or confirmation would do first, unless an upgrade runs at this moment.
    pub next: Recovered,
    /// Names in the live directory that are not of the live generation: somebody else's, which no upgrade touches.
    pub foreign: Vec<String>,
}

/// Looks at a directory of pins and at what is beside it. Takes no lock, and changes nothing.
///
/// # Errors
/// Where the directory is not on a bpffs, or the kernel does not let us look.
pub fn generations(dir: &Path) -> Result<Generations, Error> {
    let site = Site::at(dir)?;
    let beside = |dir: &Dir| -> Result<_, Error> {
        let inventory = within(dir)?;
        Ok(inventory.exists.then_some(inventory))
    };
    let (live, kept, staged) = (within(&site.dir)?, beside(&site.prev)?, beside(&site.next)?);
    let next = Unfinished::will_be(unfinished(&site)?);
    let mut foreign = live.foreign(|_| false);
    foreign.retain(|name| {
        let beside = [&site.next, &site.prev].iter().any(|dir| dir.name().is_ok_and(|beside| beside == &**name));
        !(KERNEL_OWN.contains(&name.as_str()) || site.is_root && beside)
    });
    Ok(Generations { live, kept, staged, next, foreign })
}
