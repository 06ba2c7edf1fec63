//! RLIMIT_MEMLOCK, against which maps, programs and BTF count before Linux 5.11: EPERM, also for root with all capabilities.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::functions;

/// True if the last call that was not permitted was one that makes what may count, with the limit as high as this process can raise it.
static MAY_BE_TOO_LOW: AtomicBool = AtomicBool::new(false);

/// After a refusal that the limit may be the cause of. Raises it, as loaders do: for good, and without bounds if this process may.
/// False if there is nothing to gain by trying again.
pub(super) fn raise() -> bool {
    let before = getrlimit(Resource::Memlock);
    if before.current.is_none() {
        return false;
    }
    // Without CAP_SYS_RESOURCE, up to what the process was given.
    [None, before.maximum].into_iter().filter(|to| *to != before.current).any(|to| {
        let maximum = if to.is_none() { None } else { before.maximum };
        setrlimit(Resource::Memlock, Rlimit { current: to, maximum }).is_ok()
    })
}

/// Notes that a call was not permitted, whatever was raised.
pub(super) fn refused(takes_memory: bool) {
    MAY_BE_TOO_LOW.store(takes_memory, Ordering::Relaxed);
}

/// The limit in KiB, if it may be the cause of the last refusal.
pub(super) fn too_low() -> Option<u64> {
    let bytes = getrlimit(Resource::Memlock).current.filter(|_| MAY_BE_TOO_LOW.load(Ordering::Relaxed))?;
    (charges() != Some(false)).then_some(bytes >> 10)
}

/// True if the kernel that runs counts maps against the limit: until Linux 5.11. `None` where nothing tells.
fn charges() -> Option<bool> {
    static CHARGES: OnceLock<Option<bool>> = OnceLock::new();
    *CHARGES.get_or_init(|| functions::has("bpf_map_charge_init"))
}
