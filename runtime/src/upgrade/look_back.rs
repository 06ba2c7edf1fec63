//! What entries hold that go back to an older layout: whether it has a place for all of it is told by the data.

use std::time::Duration;

use maplock_layout::conversion::Conversion;

use crate::generation::derivation::{Ways, ways_between};
use crate::generation::site::Site;
use crate::plan::{Action, Live, Plan, Since};
use crate::sys::Map;
use crate::sys::bpffs::Dir;
use crate::transfer::{self, Found};
use crate::upgrade::report::MapReport;

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
            Action::TakeBack { kept, since: Since::ConvertedBack { live, found }, .. } => {
                let pin = live.pin.file_name().unwrap_or_default().to_string_lossy().into_owned();
                *found = open(live).and_then(|live| found_in_converted(&site.dir, &pin, kept.id, &live));
            }
            _ => {}
        }
    }
}

/// What the entries of a live map hold that was converted from the kept one of that number, which takes its place again.
fn found_in_converted(live_dir: &Dir, pin: &str, kept: u32, live: &Map) -> Option<Found> {
    let ways = ways_between(live_dir, pin, (kept, live.info().id)).ok()??;
    transfer::look(live, ways.back.as_ref()?, &ways.there, LOOKING)
}

/// A map of a newer layout whose entries go back to an older one. Once its programs have ended, what it holds is what there was to be
/// carried back.
#[derive(Debug)]
pub(crate) struct GoesBack {
    /// The name of the map in the report.
    map: String,
    live: Map,
    there: Conversion,
    again: Conversion,
    /// True if entries without a key of the older layout stay behind, and are not put together.
    leaves_keys: bool,
}

impl GoesBack {
    /// Into a new map.
    pub(crate) fn converted(map: &str, live: Map, there: &Conversion, again: &Conversion) -> Self {
        Self { map: map.to_owned(), live, there: there.clone(), again: again.clone(), leaves_keys: false }
    }

    /// Into the kept map from which the live one was converted, which is pinned as `pin`. `None` if no way leads back.
    pub(crate) fn to_kept(map: &str, live: Map, kept: u32, live_dir: &Dir, pin: &str) -> Option<Self> {
        let Ways { there: again, back } = ways_between(live_dir, pin, (kept, live.info().id)).ok()??;
        Some(Self { map: map.to_owned(), live, there: back?, again, leaves_keys: true })
    }

    /// Tells the report of the map what did not go back with its entries.
    pub(crate) fn tell<'r>(&self, mut reports: impl Iterator<Item = &'r mut MapReport>) {
        let Some(report) = reports.find(|report| report.map == self.map) else { return };
        let found = transfer::look(&self.live, &self.there, &self.again, LOOKING);
        report.incomplete = found.filter(|found| found.is_all).map(|found| found.values);
        if self.leaves_keys {
            report.lost = found.and_then(Found::left_behind);
        }
    }
}
