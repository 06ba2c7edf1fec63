//! What to do for those who see that they may not.

use maplock::internals::sys::privileges::{is_filtered, missing, user};

/// What to do if the kernel says EPERM or EACCES.
pub(super) fn help() -> String {
    if is_filtered() {
        return "in a container, let `securityContext.seccompProfile` name a profile in which CAP_BPF is enough for bpf(2)".to_owned();
    }
    if missing().is_empty() {
        return format!(
            "this process (user {}) has the capabilities that bpf(2) asks for: look at owner and mode of the path\n\
             and whether the capabilities are those of the machine, and not of a user namespace only",
            user()
        );
    }
    "run it as root; in a container, add BPF to `securityContext.capabilities`, and SYS_ADMIN for pins of others"
        .to_owned()
}

/// What to do if a capability is missing.
pub(super) fn help_for(capability: &str) -> String {
    let name = capability.trim_start_matches("CAP_");
    format!("run it with {capability}; in a container, add {name} to `securityContext.capabilities`")
}
