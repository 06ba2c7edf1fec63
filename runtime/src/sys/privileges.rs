//! The capabilities that maplock uses, and which of them this process lacks.

use std::io;

use super::memlock;

/// What BTF, maps, programs and links are looked up with by their numbers (`bpf_*_get_fd_by_id` in kernel/bpf/syscall.c).
pub const BY_ID: &str = "CAP_SYS_ADMIN";

/// Number of CAP_SYS_ADMIN (include/uapi/linux/capability.h). For bpf(2), whoever has it has the other three.
const SYS_ADMIN: u32 = 21;

/// Those that bpf(2) asks for, by number, with what for.
const USED: [(u32, &str, &str); 4] = [
    (39, "CAP_BPF", "to make and open maps"),
    (12, "CAP_NET_ADMIN", "to load and attach programs of networks and cgroups"),
    (38, "CAP_PERFMON", "to load the programs that copy entries"),
    (SYS_ADMIN, BY_ID, "to read BTF and look up ids"),
];

/// The capabilities that this thread lacks, each with what it is for.
#[must_use]
pub fn missing() -> Vec<(&'static str, &'static str)> {
    let status = status();
    let effective = field(&status, "CapEff").and_then(|mask| u64::from_str_radix(mask, 16).ok());
    effective.map_or_else(Vec::new, lacking)
}

fn lacking(effective: u64) -> Vec<(&'static str, &'static str)> {
    let has = |bit: u32| effective >> bit & 1 == 1 || effective >> SYS_ADMIN & 1 == 1;
    USED.iter().filter(|(bit, ..)| !has(*bit)).map(|(_, name, purpose)| (*name, *purpose)).collect()
}

/// The effective user of this thread.
#[must_use]
pub fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Half a sentence on what this process may lack, where the kernel said no: capabilities for EPERM, of which it tells no more than
/// that; the right to the path for EACCES.
#[must_use]
pub fn hint(error: &io::Error) -> Option<String> {
    match error.raw_os_error() {
        Some(libc::EPERM) => {
            let lacks: Vec<_> = missing().iter().map(|(name, purpose)| format!("{name} ({purpose})")).collect();
            if lacks.is_empty() {
                return memlock::too_low().map(|kib| {
                    format!("; before Linux 5.11, maps and programs count against RLIMIT_MEMLOCK, which is {kib} KiB here: raise it")
                });
            }
            Some(format!("; this process, of user {}, lacks {}", user(), lacks.join(", ")))
        }
        Some(libc::EACCES) if user() != 0 => {
            Some(format!("; this process is of user {}: look at owner and mode of the path", user()))
        }
        _ => None,
    }
}

fn status() -> String {
    std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default()
}

fn field<'s>(status: &'s str, name: &str) -> Option<&'s str> {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_sys_admin_lacks_nothing_of_bpf() {
        let names = |effective| lacking(effective).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert!(names(1 << SYS_ADMIN).is_empty());
        assert_eq!(names(1 << 39 | 1 << 12), ["CAP_PERFMON", "CAP_SYS_ADMIN"]);
        assert_eq!(names(0).len(), USED.len());
    }
}
