//! Names for what the kernel tells as numbers, as libbpf and bpftool spell them; and where links are attached.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use maplock::internals::sys::{LinkTarget, LinkType};

/// `enum bpf_prog_type` (include/uapi/linux/bpf.h), from 1.
const PROG_TYPES: [&str; 32] = [
    "socket_filter",
    "kprobe",
    "sched_cls",
    "sched_act",
    "tracepoint",
    "xdp",
    "perf_event",
    "cgroup_skb",
    "cgroup_sock",
    "lwt_in",
    "lwt_out",
    "lwt_xmit",
    "sock_ops",
    "sk_skb",
    "cgroup_device",
    "sk_msg",
    "raw_tracepoint",
    "cgroup_sock_addr",
    "lwt_seg6local",
    "lirc_mode2",
    "sk_reuseport",
    "flow_dissector",
    "cgroup_sysctl",
    "raw_tracepoint_writable",
    "cgroup_sockopt",
    "tracing",
    "struct_ops",
    "ext",
    "lsm",
    "sk_lookup",
    "syscall",
    "netfilter",
];

/// Those of `enum bpf_attach_type` that a link may be asked for.
const ATTACH_TYPES: [(u32, &str); 30] = [
    (0, "cgroup_inet_ingress"),
    (1, "cgroup_inet_egress"),
    (2, "cgroup_inet_sock_create"),
    (3, "cgroup_sock_ops"),
    (6, "cgroup_device"),
    (8, "cgroup_inet4_bind"),
    (9, "cgroup_inet6_bind"),
    (10, "cgroup_inet4_connect"),
    (11, "cgroup_inet6_connect"),
    (12, "cgroup_inet4_post_bind"),
    (13, "cgroup_inet6_post_bind"),
    (14, "cgroup_udp4_sendmsg"),
    (15, "cgroup_udp6_sendmsg"),
    (17, "flow_dissector"),
    (18, "cgroup_sysctl"),
    (19, "cgroup_udp4_recvmsg"),
    (20, "cgroup_udp6_recvmsg"),
    (21, "cgroup_getsockopt"),
    (22, "cgroup_setsockopt"),
    (29, "cgroup_inet4_getpeername"),
    (30, "cgroup_inet6_getpeername"),
    (31, "cgroup_inet4_getsockname"),
    (32, "cgroup_inet6_getsockname"),
    (34, "cgroup_inet_sock_release"),
    (36, "sk_lookup"),
    (37, "xdp"),
    (46, "tcx_ingress"),
    (47, "tcx_egress"),
    (54, "netkit_primary"),
    (55, "netkit_peer"),
];

pub(super) fn prog_type(number: u32) -> String {
    let name = usize::try_from(number).ok().and_then(|number| PROG_TYPES.get(number.checked_sub(1)?));
    name.map_or_else(|| number.to_string(), |name| (*name).to_owned())
}

pub(super) fn link_type(link: LinkType) -> String {
    let name = match link {
        LinkType::RAW_TRACEPOINT => "raw_tracepoint",
        LinkType::TRACING => "tracing",
        LinkType::CGROUP => "cgroup",
        LinkType::ITER => "iter",
        LinkType::NETNS => "netns",
        LinkType::XDP => "xdp",
        LinkType::PERF_EVENT => "perf_event",
        LinkType::KPROBE_MULTI => "kprobe_multi",
        LinkType::STRUCT_OPS => "struct_ops",
        LinkType::NETFILTER => "netfilter",
        LinkType::TCX => "tcx",
        LinkType::UPROBE_MULTI => "uprobe_multi",
        LinkType::NETKIT => "netkit",
        LinkType::SOCKMAP => "sockmap",
        LinkType(number) => return number.to_string(),
    };
    name.to_owned()
}

fn attach_type(number: u32) -> String {
    let name = ATTACH_TYPES.iter().find(|(of, _)| *of == number);
    name.map_or_else(|| format!("attach type {number}"), |(_, name)| (*name).to_owned())
}

/// `cgroup_inet4_connect at /sys/fs/cgroup/pods`, `xdp at eth0`
pub(super) fn target(target: LinkTarget) -> String {
    match target {
        LinkTarget::Cgroup { id, attach_type: at } => match cgroup(id) {
            Some(path) => format!("{} at {}", attach_type(at), path.display()),
            None => format!("{} at cgroup {id}", attach_type(at)),
        },
        LinkTarget::Netns { inode, attach_type: at } => format!("{} at netns {inode}", attach_type(at)),
        LinkTarget::Device { ifindex: 0, .. } => "its device is gone".to_owned(),
        LinkTarget::Device { ifindex, attach_type: at } => match device(ifindex) {
            Some(name) => format!("{} at {name}", attach_type(at)),
            None => format!("{} at device {ifindex}", attach_type(at)),
        },
        LinkTarget::Other => "-".to_owned(),
    }
}

/// The directory of a cgroup, whose inode number is its id, in the first mount of the tree.
fn cgroup(id: u64) -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let root = mounts.lines().find_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (root, kind) = (words.next()?, words.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(root))
    })?;
    find(&root, id)
}

fn find(dir: &Path, inode: u64) -> Option<PathBuf> {
    if fs::metadata(dir).ok()?.ino() == inode {
        return Some(dir.to_owned());
    }
    let entries = fs::read_dir(dir).ok()?.flatten();
    let dirs = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    dirs.map(|entry| entry.path()).find_map(|dir| find(&dir, inode))
}

/// The name of a network device of this namespace.
fn device(ifindex: u32) -> Option<String> {
    fs::read_dir("/sys/class/net").ok()?.flatten().find_map(|entry| {
        let index = fs::read_to_string(entry.path().join("ifindex")).ok()?;
        (index.trim().parse() == Ok(ifindex)).then(|| entry.file_name().to_string_lossy().into_owned())
    })
}

/// `512 B`, `8.2 KiB`, `1.5 GiB`
pub(crate) fn bytes(number: u64) -> String {
    if number < 1024 {
        return format!("{number} B");
    }
    #[allow(clippy::cast_precision_loss, reason = "one digit behind the point is shown")]
    let mut size = number as f64 / 1024.0;
    let mut units = ["KiB", "MiB", "GiB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    for larger in units {
        if size < 1024.0 {
            break;
        }
        (size, unit) = (size / 1024.0, larger);
    }
    format!("{size:.1} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_names_of_the_kernel() {
        assert_eq!(prog_type(6), "xdp");
        assert_eq!(prog_type(18), "cgroup_sock_addr");
        assert_eq!((prog_type(0), prog_type(33)), ("0".to_owned(), "33".to_owned()));
        assert_eq!(target(LinkTarget::Device { ifindex: 1, attach_type: 46 }), "tcx_ingress at lo");
        assert_eq!(target(LinkTarget::Netns { inode: 7, attach_type: 99 }), "attach type 99 at netns 7");
    }

    #[test]
    fn sizes_are_short() {
        assert_eq!([bytes(1023), bytes(1024), bytes(1 << 20)], ["1023 B", "1.0 KiB", "1.0 MiB"]);
        assert_eq!(bytes(5 << 40), "5120.0 GiB");
    }
}
