//! What `/proc/self/fdinfo` tells of a map: more than its info in one respect (frozen), less in all others.

/// What `/proc/self/fdinfo` tells of a map (`bpf_map_show_fdinfo` in kernel/bpf/syscall.c). What an old kernel leaves out is 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FdInfo {
    /// Number of its type.
    pub map_type: u32,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Capacity.
    pub max_entries: u32,
    /// `BPF_F_*`.
    pub flags: u32,
    /// Extra data of some types. Linux 5.16.
    pub map_extra: u64,
    /// Bytes of kernel memory that it takes, by the kernel's estimate.
    pub memory: u64,
    /// The kernel's number for the map.
    pub id: u32,
    /// True if system calls can't change it any more.
    pub frozen: bool,
}

impl FdInfo {
    /// Reads the text of the file. `None` if it is not that of a map.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let number = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?.trim();
            match value.strip_prefix("0x") {
                Some(digits) => u64::from_str_radix(digits, 16).ok(),
                None => value.parse().ok(),
            }
        };
        let small = |name: &str| number(name).and_then(|number| u32::try_from(number).ok());
        Some(Self {
            map_type: small("map_type")?,
            key_size: small("key_size")?,
            value_size: small("value_size")?,
            max_entries: small("max_entries")?,
            flags: small("map_flags").unwrap_or(0),
            map_extra: number("map_extra").unwrap_or(0),
            memory: number("memlock").unwrap_or(0),
            id: small("map_id").unwrap_or(0),
            frozen: number("frozen") == Some(1),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::FdInfo;

    #[test]
    fn fdinfo_of_a_map_is_read() {
        let text = "pos:\t0\nflags:\t02000002\nmnt_id:\t16\nino:\t2\nmap_type:\t14\nkey_size:\t4\nvalue_size:\t8\n\
                    max_entries:\t64\nmap_flags:\t0x80\nmap_extra:\t0x100000000\nmemlock:\t4096\nmap_id:\t17\nfrozen:\t1\n";
        let expected = FdInfo {
            map_type: 14,
            key_size: 4,
            value_size: 8,
            max_entries: 64,
            flags: 0x80,
            map_extra: 1 << 32,
            memory: 4096,
            id: 17,
            frozen: true,
        };
        assert_eq!(FdInfo::parse(text), Some(expected));
    }

    #[test]
    fn what_an_old_kernel_leaves_out_is_zero() {
        let text = "pos:\t0\nflags:\t02000002\nmap_type:\t1\nkey_size:\t4\nvalue_size:\t8\nmax_entries:\t64\nmap_flags:\t0x1\n";
        let info = FdInfo::parse(text).expect("a map's");
        assert_eq!((info.flags, info.map_extra, info.id, info.frozen), (1, 0, 0, false));
    }

    #[test]
    fn fdinfo_of_something_else_is_none() {
        assert_eq!(FdInfo::parse("pos:\t0\nflags:\t02\nprog_type:\t6\n"), None);
        assert_eq!(FdInfo::parse("map_type:\tx\nkey_size:\t4\nvalue_size:\t8\nmax_entries:\t1\n"), None);
    }
}
