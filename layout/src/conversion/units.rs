//! Units that names end in.

use super::Scale;

/// What is measured, and how many of the smallest unit one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unit {
    name: &'static str,
    kind: Kind,
    size: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Time,
    Data,
    Packets,
}

const UNITS: [(&[&str], Unit); 15] = [
    (&["ns", "nsec", "nsecs"], Unit { name: "nanoseconds", kind: Kind::Time, size: 1 }),
    (&["us", "usec", "usecs"], Unit { name: "microseconds", kind: Kind::Time, size: 1_000 }),
    (&["ms", "msec", "msecs"], Unit { name: "milliseconds", kind: Kind::Time, size: 1_000_000 }),
    (&["s", "sec", "secs", "second", "seconds"], Unit { name: "seconds", kind: Kind::Time, size: 1_000_000_000 }),
    (&["min", "mins", "minutes"], Unit { name: "minutes", kind: Kind::Time, size: 60_000_000_000 }),
    (&["hours"], Unit { name: "hours", kind: Kind::Time, size: 3_600_000_000_000 }),
    (&["bits"], Unit { name: "bits", kind: Kind::Data, size: 1 }),
    (&["bytes"], Unit { name: "bytes", kind: Kind::Data, size: 8 }),
    (&["kb"], Unit { name: "kB", kind: Kind::Data, size: 8_000 }),
    (&["kib"], Unit { name: "KiB", kind: Kind::Data, size: 8 << 10 }),
    (&["mb"], Unit { name: "MB", kind: Kind::Data, size: 8_000_000 }),
    (&["mib"], Unit { name: "MiB", kind: Kind::Data, size: 8 << 20 }),
    (&["gb"], Unit { name: "GB", kind: Kind::Data, size: 8_000_000_000 }),
    (&["gib"], Unit { name: "GiB", kind: Kind::Data, size: 8 << 30 }),
    (&["packets", "pkts"], Unit { name: "packets", kind: Kind::Packets, size: 1 }),
];

impl Unit {
    /// The unit that the name of a member or typedef ends in: `seen_ns`, `bytes`, `nsec_t`.
    pub(super) fn of(name: &str) -> Option<Self> {
        let lower = name.to_ascii_lowercase();
        let last = lower.strip_suffix("_t").unwrap_or(&lower).rsplit('_').next()?;
        // A member called `s` or `min` says nothing of a unit.
        let alone = last.len() == lower.len() && last.len() < 4;
        let found = UNITS.iter().find(|(names, _)| names.contains(&last)).filter(|_| !alone);
        found.map(|(_, unit)| *unit)
    }

    /// Its name, as a sentence has it.
    pub(super) fn name(self) -> &'static str {
        self.name
    }

    /// What a number of this unit is multiplied and divided by to be one of `other`.
    pub(super) fn scale_to(self, other: Self) -> Option<Scale> {
        if self.kind != other.kind {
            return None;
        }
        let (mut a, mut b) = (self.size, other.size);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        let scale = Scale { multiply: u32::try_from(self.size / a).ok()?, divide: u32::try_from(other.size / a).ok()? };
        Some(scale)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_what_a_name_ends_in() {
        let unit = |name| Unit::of(name).map(Unit::name);
        assert_eq!(unit("seen_ns"), Some("nanoseconds"));
        assert_eq!(unit("LAST_MSECS"), Some("milliseconds"));
        assert_eq!(unit("bytes"), Some("bytes"));
        assert_eq!(unit("nsec_t"), Some("nanoseconds"));
        assert_eq!(unit("rx_packets"), Some("packets"));
        for none in ["s", "min", "ms", "flags", "address", "chains", "items", "", "_t"] {
            assert_eq!(unit(none), None, "{none}");
        }
    }

    #[test]
    fn units_of_one_kind_are_a_fraction_of_each_other() {
        let scale = |from, to| Unit::of(from)?.scale_to(Unit::of(to)?).map(|scale| scale.to_string());
        assert_eq!(scale("a_ns", "a_us").as_deref(), Some("1/1000"));
        assert_eq!(scale("a_secs", "a_ms").as_deref(), Some("1000"));
        assert_eq!(scale("a_mib", "a_mb").as_deref(), Some("16384/15625"));
        assert_eq!(scale("a_bytes", "a_packets"), None);
        assert_eq!(scale("a_hours", "a_ns"), None, "it has no 32 bits");
    }
}
