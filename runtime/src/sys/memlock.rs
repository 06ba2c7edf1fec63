//! RLIMIT_MEMLOCK, against which maps, programs and BTF count before Linux 5.11: EPERM, also for root with all capabilities.

use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// True once something was refused while the limit could not be raised.
static MAY_BE_TOO_LOW: AtomicBool = AtomicBool::new(false);

/// After a refusal that the limit may be the cause of. Raises it, as loaders do: for good, and without bounds if this process may.
/// False if there is nothing to gain by trying again.
pub(super) fn raise() -> bool {
    let before = getrlimit(Resource::Memlock);
    if before.current.is_none() {
        return false;
    }
    // Without CAP_SYS_RESOURCE, up to what the process was given.
    let raised = [None, before.maximum].into_iter().filter(|to| *to != before.current).any(|to| {
        let maximum = if to.is_none() { None } else { before.maximum };
        setrlimit(Resource::Memlock, Rlimit { current: to, maximum }).is_ok()
    });
    if !raised {
        MAY_BE_TOO_LOW.store(true, Ordering::Relaxed);
    }
    raised
}

/// The limit in KiB, if it may be the cause of a refusal.
pub(super) fn too_low() -> Option<u64> {
    let bytes = getrlimit(Resource::Memlock).current.filter(|_| MAY_BE_TOO_LOW.load(Ordering::Relaxed))?;
    Some(bytes >> 10)
}
