//! A grace period for programs that run.

use std::io;

use super::consts::MEMBARRIER_CMD_GLOBAL;
use super::cpus::online_cpus;
use super::map::{Map, NewMap};
use super::syscall::raw;

/// Waits until every program that ran when this was called has returned: a grace period of RCU. Sleepable programs are not
/// waited for.
///
/// By `membarrier(MEMBARRIER_CMD_GLOBAL)`; if that can't be (ENOSYS under some seccomp profiles, EINVAL with `nohz_full` CPUs), or
/// returns at once since a single CPU is online, by an update of a map in a map, after which the kernel waits by itself
/// (`maybe_wait_bpf_programs`).
///
/// # Errors
/// The kernel's, if neither can be.
pub fn wait_for_running_programs() -> io::Result<()> {
    if online_cpus().is_ok_and(|cpus| cpus.len() == 1) {
        return wait_by_map_in_map();
    }
    // SAFETY: no pointers.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) };
    if result >= 0 {
        return Ok(());
    }
    wait_by_map_in_map()
}

fn wait_by_map_in_map() -> io::Result<()> {
    use maplock_layout::map::MapType;
    use std::os::fd::AsFd as _;
    let inner = Map::create(&NewMap::new(MapType::ARRAY, 4, 4, 1))?;
    let outer = Map::create(&NewMap { inner: Some(inner.as_fd()), ..NewMap::new(MapType::ARRAY_OF_MAPS, 4, 4, 1) })?;
    outer.update(&0_u32.to_ne_bytes(), &raw(inner.as_fd()).to_ne_bytes(), 0)
}

#[cfg(test)]
mod tests {
    #[test]
    fn there_is_a_second_way_to_wait_for_running_programs() {
        match super::wait_by_map_in_map() {
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => println!("skipped: needs CAP_BPF"),
            result => result.expect("the kernel waits"),
        }
    }
}
