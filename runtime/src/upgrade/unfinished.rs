//! What a plan says of an upgrade that did not end.

use crate::error::Error;
use crate::generation::derivation;
use crate::generation::directory::is_returning;
use crate::generation::pinned_lock::PinnedLock;
use crate::generation::records::{self, Commit, Recovered};
use crate::generation::site::Site;
use crate::plan::Unfinished;
use crate::plan::spec::Spec;
use crate::sys::bpffs::Dir;
use crate::transfer::migrate::Migrations;

/// What lies at `site` that did not end, for the plan of a release with that spec.
pub(super) fn found(site: &Site, spec: &Spec) -> Result<Option<Unfinished>, Error> {
    let Some(unfinished) = records::unfinished(site)? else { return Ok(None) };
    let is_of = |dir: &Dir| PinnedLock::of(dir).lock().map(|lock| spec.pins_as(&Spec::from(lock.clone())));
    let committed = |commit: Commit, needs_code, leads_here| Unfinished {
        is_roll_back: commit.is_roll_back(),
        next: Recovered::Completed,
        needs_code,
        holds: false,
        leads_here,
    };
    Ok(Some(match unfinished {
        records::Unfinished::InPlace(commit) => committed(commit, Vec::new(), is_of(&site.dir).unwrap_or(false)),
        // The lock may be in its place already.
        records::Unfinished::Switching { commit, is_moving: true } => {
            committed(commit, Vec::new(), is_of(&site.next).or_else(|| is_of(&site.dir)).unwrap_or(false))
        }
        records::Unfinished::Switching { commit, is_moving: false } => {
            let needs_code = derivation::lacks_code(&site.next, commit, &Migrations::default())?;
            // Whoever does not have the code takes it back.
            let is_back = || !needs_code.is_empty() && is_of(&site.dir).unwrap_or(false);
            let leads_here = is_of(&site.next).unwrap_or(false) || is_back();
            committed(commit, needs_code, leads_here)
        }
        records::Unfinished::Staged | records::Unfinished::Returning => {
            // What a roll-back was about to return to is not in its place.
            let is_roll_back = is_returning(&site.next)?;
            Unfinished {
                is_roll_back: is_roll_back || unfinished == records::Unfinished::Returning,
                next: Recovered::Discarded,
                needs_code: Vec::new(),
                holds: !is_roll_back,
                leads_here: is_of(&site.dir).unwrap_or(false),
            }
        }
    }))
}
