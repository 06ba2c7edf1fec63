//! What entries hold that go back to an older layout: whether it has a place for all of it is told by the data.

use std::time::Duration;

use crate::generation::derivation::Ways;
use crate::generation::site::Site;
use crate::plan::{Action, Live, Plan, Since};
use crate::sys::Map;
use crate::sys::bpffs::Dir;
use crate::transfer::{self, Found};

/// How long the entries of one map may be looked at.
const LOOKING: Duration = Duration::from_secs(1);

/// Looks at the entries of those maps of a plan that go back. What can't be looked at is told without a number.
pub(crate) fn look_back(plan: &mut Plan, site: &Site) {
    let open = |live: &Live| Map::open(&site.pin(&live.pin).ok()?).ok();
    for map in &mut plan.maps {
        match &mut map.action {
            Action::Convert { live, conversion, back: Some(back), .. } => {
                back.found = open(live).and_then(|live| transfer::look(&live, conversion, &back.again, LOOKING));
            }
            Action::TakeBack { since: Since::ConvertedBack { live, found }, .. } => {
                let pin = live.pin.file_name().unwrap_or_default().to_string_lossy().into_owned();
                *found = open(live).and_then(|live| found_in_converted(&site.dir, &pin, &live));
            }
            _ => {}
        }
    }
}

/// What the entries of a live map hold that was converted from the kept one, which takes its place again.
pub(crate) fn found_in_converted(live_dir: &Dir, pin: &str, live: &Map) -> Option<Found> {
    let ways = Ways::read(live_dir, pin).ok()?;
    transfer::look(live, ways.back.as_ref()?, &ways.there, LOOKING)
}
