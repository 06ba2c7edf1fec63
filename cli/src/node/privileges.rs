//! What this process may do, for those who see that it may not.

use std::fs;

/// Capabilities by number (include/uapi/linux/capability.h).
const NEEDED: [(u32, &str, &str); 2] =
    [(39, "CAP_BPF", "to open pins"), (21, "CAP_SYS_ADMIN", "to read BTF and look up ids")];

/// The capabilities that this process lacks, each with what it is for.
pub(super) fn missing() -> Vec<(&'static str, &'static str)> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let Some(effective) = field(&status, "CapEff").and_then(|mask| u64::from_str_radix(mask, 16).ok()) else {
        return Vec::new();
    };
    NEEDED.iter().filter(|(bit, ..)| effective >> bit & 1 == 0).map(|(_, name, purpose)| (*name, *purpose)).collect()
}

/// What to do where the kernel says EPERM or EACCES.
pub(super) fn help() -> String {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    // Real, effective, saved, file system.
    let user = field(&status, "Uid").and_then(|ids| ids.split_whitespace().nth(1)).unwrap_or("unknown");
    let missing = missing();
    if missing.is_empty() {
        return format!(
            "this process (user {user}) has CAP_BPF and CAP_SYS_ADMIN: look at owner and mode of the path\n\
             and whether the capabilities are those of the machine, and not of a user namespace only"
        );
    }
    let lacks: Vec<_> = missing.iter().map(|(name, purpose)| format!("{name} ({purpose})")).collect();
    format!(
        "this process (user {user}) lacks {}\n\
         run it as root; in a container, add BPF and SYS_ADMIN to `securityContext.capabilities`",
        lacks.join(" and ")
    )
}

fn field<'s>(status: &'s str, name: &str) -> Option<&'s str> {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}
