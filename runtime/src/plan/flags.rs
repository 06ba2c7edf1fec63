//! The flags of a map of which the lock leaves them to the daemon.

use maplock_layout::lock::LockedMap;
use maplock_layout::map_type::{FLAGS_OF_MEMORY, flag_names};

use super::policy::Policy;
use super::types::Action;
use crate::inspect::Observed;
use crate::sys::consts::BPF_F_NUMA_NODE;

/// What a daemon can set. Of which node the memory is, no policy says and no pinned map tells.
const SETTABLE: u32 = FLAGS_OF_MEMORY & !BPF_F_NUMA_NODE;

/// The flags that a map gets which is made, beside those of the lock: the policy's, else those of the pinned one.
///
/// # Errors
/// If the policy says what is not the daemon's to say: a phrase.
pub(super) fn chosen(locked: &LockedMap, policy: &Policy, pinned: Option<&Observed>) -> Result<u32, String> {
    match (policy.map_flags, locked.runtime_flags) {
        (None, false) => Ok(0),
        (None, true) => Ok(pinned.map_or(0, |pinned| pinned.def.flags & SETTABLE)),
        (Some(flags), true) if flags & !SETTABLE == 0 => Ok(flags),
        (Some(flags), true) => {
            let more = flag_names(flags & !SETTABLE);
            Err(format!("a policy sets {more}, which decides what the map can be used for; the object has to declare it"))
        }
        (Some(_), false) => {
            Err("a policy sets map_flags, which maps.lock has; `flags = \"runtime\"` in the configuration leaves them to the daemon"
                .to_owned())
        }
    }
}

/// The same action, in which a map that is made has these flags too.
pub(super) fn with(mut action: Action, flags: u32) -> Action {
    match &mut action {
        Action::Create { new, .. }
        | Action::Grow { new, .. }
        | Action::Shrink { new, .. }
        | Action::Convert { new, .. }
        | Action::Swap { new, .. }
        | Action::CarryBack { new, .. } => new.def.flags |= flags,
        Action::Reuse { .. }
        | Action::TakeBack { .. }
        | Action::GoAlong { .. }
        | Action::Refuse { .. }
        | Action::GiveUp { .. } => {}
    }
    action
}
