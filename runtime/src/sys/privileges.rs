//! The capabilities that maplock uses, and which of them this process lacks.

use std::io;

use super::memlock;
use super::syscall::bpf_of_no_command;

/// What BTF, maps, programs and links are looked up with by their numbers (`bpf_*_get_fd_by_id` in kernel/bpf/syscall.c).
pub const BY_ID: &str = "CAP_SYS_ADMIN";

/// Number of CAP_SYS_ADMIN (include/uapi/linux/capability.h). For bpf(2), whoever has it has the other three.
const SYS_ADMIN: u32 = 21;

/// Number of CAP_BPF.
const BPF: u32 = 39;

/// Number of CAP_PERFMON.
const PERFMON: u32 = 38;
const CAP_PERFMON: &str = "CAP_PERFMON";

/// Those that bpf(2) asks for, by number, with what for.
const USED: [(u32, &str, &str); 4] = [
    (BPF, "CAP_BPF", "to make and open maps, and to load programs"),
    (12, "CAP_NET_ADMIN", "to load and attach programs of networks and cgroups"),
    (PERFMON, CAP_PERFMON, "to load the programs that copy entries"),
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
    USED.iter().filter(|(bit, ..)| !has(effective, *bit)).map(|(_, name, purpose)| (*name, *purpose)).collect()
}

/// For bpf(2), whoever has CAP_SYS_ADMIN has the other three.
fn has(effective: u64, bit: u32) -> bool {
    effective >> bit & 1 == 1 || effective >> SYS_ADMIN & 1 == 1
}

/// True if this process has the capability for bpf(2), and a seccomp filter answers in place of the kernel.
#[must_use]
pub fn is_filtered() -> bool {
    let status = status();
    let effective = field(&status, "CapEff").and_then(|mask| u64::from_str_radix(mask, 16).ok()).unwrap_or_default();
    // In a user namespace, capabilities are not those of the machine, and the kernel itself says EPERM.
    let is_machines = || std::fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| map.contains("4294967295"));
    field(&status, "Seccomp") == Some("2")
        && has(effective, BPF)
        && is_machines()
        && bpf_of_no_command().raw_os_error() == Some(libc::EPERM)
}

/// The effective user of this thread.
#[must_use]
pub fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Half a sentence on what this process may lack, if the kernel said no: capabilities for EPERM, of which it tells no more than
/// that; the right to the path for EACCES.
#[must_use]
pub fn hint(error: &io::Error) -> Option<String> {
    match error.raw_os_error() {
        Some(libc::EPERM) if is_filtered() => Some(
            "; a seccomp filter denies bpf(2) to this process, though it has CAP_BPF: give the container a profile that lets it pass"
                .to_owned(),
        ),
        Some(libc::EPERM) => not_permitted(&missing(), memlock::too_low(), user()),
        Some(libc::EROFS) => Some("; the bpffs is mounted read-only here: mount it writable".to_owned()),
        Some(libc::EACCES) if user() != 0 => {
            Some(format!("; this process is of user {}: look at owner and mode of the path", user()))
        }
        _ => None,
    }
}

/// What may be the cause of EPERM: capabilities that are missing, and the limit on memory, in KiB, where it may be that.
fn not_permitted(missing: &[(&str, &str)], limit: Option<u64>, user: u32) -> Option<String> {
    // What counts against the limit is made without looking anything up.
    let lacks = missing.iter().filter(|(name, _)| limit.is_none() || *name != BY_ID);
    let lacks: Vec<_> = lacks.map(|(name, purpose)| format!("{name} ({purpose})")).collect();
    let lacks = (!lacks.is_empty()).then(|| format!("; this process, of user {user}, lacks {}", lacks.join(", ")));
    let limit = limit.map(|kib| {
        format!(
            "; before Linux 5.11, maps and programs count against RLIMIT_MEMLOCK, which is {kib} KiB here: raise it, or give this process CAP_SYS_RESOURCE"
        )
    });
    let hints: String = lacks.into_iter().chain(limit).collect();
    (!hints.is_empty()).then_some(hints)
}

/// The same, of a program that the verifier has refused: what it takes from a process with CAP_PERFMON, it may refuse to one without. The
/// numbers are those of its limits (E2BIG; ENOSPC, for its log) and of its verdicts.
#[must_use]
pub fn hint_of_load(error: &io::Error) -> Option<String> {
    if is_verdict(error) && lacks_perfmon() {
        let user = user();
        return Some(format!(
            "; this process, of user {user}, lacks CAP_PERFMON, without which the verifier refuses programs that it takes otherwise"
        ));
    }
    hint(error)
}

/// The capability for want of which this process could not load a program that copies or settles entries, as far as the error tells.
#[must_use]
pub fn missing_to_load(error: &io::Error) -> Option<&'static str> {
    let is_denied = error.raw_os_error() == Some(libc::EPERM);
    if (is_denied || is_verdict(error)) && lacks_perfmon() {
        return Some(CAP_PERFMON);
    }
    // Nothing of BTF or ids is asked for then.
    is_denied.then(missing)?.into_iter().map(|(name, _)| name).find(|name| *name != BY_ID)
}

fn is_verdict(error: &io::Error) -> bool {
    let verdict = [libc::E2BIG, libc::ENOSPC, libc::EACCES, libc::EINVAL];
    error.raw_os_error().is_some_and(|number| verdict.contains(&number))
}

fn lacks_perfmon() -> bool {
    missing().iter().any(|(name, _)| *name == CAP_PERFMON)
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

    #[test]
    fn a_limit_on_memory_is_named_whatever_else_is_missing() {
        let limited = "; before Linux 5.11, maps and programs count against RLIMIT_MEMLOCK, which is 64 KiB here: raise it, or give this process CAP_SYS_RESOURCE";
        // As in the container of the manifest.
        let by_id = lacking(1 << BPF | 1 << 12 | 1 << PERFMON);
        assert_eq!(not_permitted(&by_id, Some(64), 0).as_deref(), Some(limited));
        let lacks = "; this process, of user 0, lacks CAP_SYS_ADMIN (to read BTF and look up ids)";
        assert_eq!(not_permitted(&by_id, None, 0).as_deref(), Some(lacks));
        let hints = not_permitted(&lacking(1 << 12 | 1 << PERFMON), Some(64), 7).unwrap_or_default();
        assert_eq!(
            hints,
            format!("; this process, of user 7, lacks CAP_BPF (to make and open maps, and to load programs){limited}")
        );
        assert_eq!((not_permitted(&[], Some(64), 0).as_deref(), not_permitted(&[], None, 0)), (Some(limited), None));
    }
}
