//! Programs that rtnetlink(7) attaches to the devices of this network namespace: XDP and tc. No link shows them.

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with};

/// How long devices are looked at.
const LOOKING: Duration = Duration::from_millis(500);

/// `struct nlmsghdr`.
const HEADER: usize = 16;

// include/uapi/linux/netlink.h
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_DUMP: u16 = 0x300;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// Without the flags for nested ones and for the byte order.
const NLA_TYPE_MASK: u16 = 0x3fff;

// include/uapi/linux/rtnetlink.h, if_link.h
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const IFLA_IFNAME: u16 = 3;
const IFLA_XDP: u16 = 43;
/// `IFLA_XDP_DRV_PROG_ID`, `IFLA_XDP_SKB_PROG_ID` and `IFLA_XDP_HW_PROG_ID`: each with what ip-link(8) calls its mode.
const XDP_PROG_IDS: [(u16, &str); 3] = [(5, "xdpdrv"), (6, "xdpgeneric"), (7, "xdpoffload")];

// include/uapi/linux/rtnetlink.h, pkt_sched.h, pkt_cls.h
const RTM_NEWTFILTER: u16 = 44;
const RTM_GETTFILTER: u16 = 46;
const TCA_OPTIONS: u16 = 2;
const TCA_BPF_ID: u16 = 11;
const TC_INGRESS: u32 = 0xffff_fff2;
const TC_EGRESS: u32 = 0xffff_fff3;
/// The qdisc at the root of the device.
const TC_ROOT: u32 = 0;

/// A program that is attached so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ByNetlink {
    /// The kernel's number for the program.
    pub prog_id: u32,
    /// Where it runs.
    pub hook: NetlinkHook,
    /// The name of the device.
    pub device: String,
}

/// Where rtnetlink(7) attaches a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetlinkHook {
    /// As XDP: there is place for one in each mode.
    Xdp {
        /// As ip-link(8) has it: `xdpgeneric`, `xdpdrv` or `xdpoffload`. Its `xdp` is the driver's own if it has one, whatever is attached.
        mode: &'static str,
    },
    /// As a filter of tc.
    Tc {
        /// As tc has it: `ingress`, `egress`, or of a qdisc `parent 1:`.
        at: String,
        /// Its priority.
        pref: u32,
        /// Its number among those.
        handle: u32,
    },
}

/// Those of XDP, and of tc's filters at clsact, ingress and the root of each device. XDP that a link attaches is among them. Filters of other
/// qdiscs and of shared blocks are not, nor are tc's actions.
///
/// # Errors
/// The kernel's; that it takes too long.
pub fn by_netlink() -> io::Result<Vec<ByNetlink>> {
    let until = Instant::now() + LOOKING;
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    let (mut found, mut devices) = (Vec::new(), Vec::new());
    // struct ifinfomsg: all unspecified.
    dump(&socket, RTM_GETLINK, &[0; 16], &mut |kind, body| {
        let Some((head, rest)) = body.split_at_checked(16).filter(|_| kind == RTM_NEWLINK) else { return };
        let device = attributes(rest).find(|(kind, _)| *kind == IFLA_IFNAME).map_or(&[][..], |(_, name)| name);
        let device = String::from_utf8_lossy(device).trim_end_matches('\0').to_owned();
        devices.push((number(&head[4..]), device.clone()));
        let nested = attributes(rest).filter(|(kind, _)| *kind == IFLA_XDP).flat_map(|(_, data)| attributes(data));
        for (kind, data) in nested.filter(|(_, data)| data.len() == 4) {
            let mode = XDP_PROG_IDS.iter().find(|(of, _)| *of == kind);
            found.extend(mode.map(|(_, mode)| ByNetlink {
                prog_id: number(data),
                hook: NetlinkHook::Xdp { mode },
                device: device.clone(),
            }));
        }
    })?;
    for (ifindex, device) in devices {
        for parent in [TC_INGRESS, TC_EGRESS, TC_ROOT] {
            if Instant::now() > until {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "there are more devices than are looked at"));
            }
            // struct tcmsg: family, device, handle, parent, information.
            let mut request = [0; 20];
            request[4..8].copy_from_slice(&ifindex.to_ne_bytes());
            request[12..16].copy_from_slice(&parent.to_ne_bytes());
            dump(&socket, RTM_GETTFILTER, &request, &mut |kind, body| {
                let Some((head, rest)) = body.split_at_checked(20).filter(|_| kind == RTM_NEWTFILTER) else { return };
                // One of a shared block is none of this device alone, and no command for the device deletes it.
                if number(&head[4..]) != ifindex {
                    return;
                }
                let at = match number(&head[12..]) {
                    TC_INGRESS => "ingress".to_owned(),
                    TC_EGRESS => "egress".to_owned(),
                    of => format!("parent {:x}:", of >> 16),
                };
                // The protocol is in the lower half.
                let hook = NetlinkHook::Tc { at, pref: number(&head[16..]) >> 16, handle: number(&head[8..]) };
                let options = attributes(rest).filter(|(kind, _)| *kind == TCA_OPTIONS);
                let ids = options.flat_map(|(_, data)| attributes(data)).filter(|(kind, _)| *kind == TCA_BPF_ID);
                found.extend(ids.filter(|(_, data)| data.len() == 4).map(|(_, data)| ByNetlink {
                    prog_id: number(data),
                    hook: hook.clone(),
                    device: device.clone(),
                }));
            })?;
        }
    }
    Ok(found)
}

/// Asks for all there is of something, and tells each message with its type.
fn dump(socket: &OwnedFd, kind: u16, body: &[u8], each: &mut dyn FnMut(u16, &[u8])) -> io::Result<()> {
    let mut message = Vec::new();
    message.extend(u32::try_from(HEADER + body.len()).map_err(io::Error::other)?.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend((NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    // Sequence number and port.
    message.extend([0; 8]);
    message.extend(body);
    send(socket, &message, SendFlags::empty())?;
    // The kernel makes no larger pieces of a dump.
    let mut buffer = vec![0; 64 << 10];
    loop {
        let (read, length) = recv(socket, &mut buffer[..], RecvFlags::TRUNC)?;
        let mut rest =
            buffer.get(..length.max(read)).ok_or_else(|| io::Error::other("a message of rtnetlink is too long"))?;
        while let Some((head, behind)) = rest.split_at_checked(HEADER) {
            let length = (number(head) as usize).saturating_sub(HEADER);
            let Some(body) = behind.get(..length) else { break };
            match u16::from_ne_bytes([head[4], head[5]]) {
                NLMSG_DONE => return Ok(()),
                NLMSG_ERROR => {
                    let error = body.first_chunk().map_or(0, |bytes| i32::from_ne_bytes(*bytes));
                    return Err(io::Error::from_raw_os_error(error.wrapping_neg()));
                }
                kind => each(kind, body),
            }
            rest = behind.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

/// The attributes that lie behind each other: type and data.
fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let head = rest.first_chunk::<4>()?;
        let (length, kind) = (u16::from_ne_bytes([head[0], head[1]]), u16::from_ne_bytes([head[2], head[3]]));
        let data = rest.get(4..length.into())?;
        rest = rest.get(usize::from(length).next_multiple_of(4)..).unwrap_or_default();
        Some((kind & NLA_TYPE_MASK, data))
    })
}

/// A number in the first four bytes, of which the callers have seen that they are there.
fn number(bytes: &[u8]) -> u32 {
    bytes.first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes))
}
