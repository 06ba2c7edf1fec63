//! What an upgrade did.

use std::time::Duration;

use maplock_layout::Disposition;
use serde::Serialize;

/// What an upgrade did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// One for each map, by name.
    pub maps: Vec<MapReport>,
    /// What happened to each link.
    pub links: Vec<LinkReport>,
    /// From the first link's switch to the commit.
    pub window: Duration,
    /// From the plan to the commit.
    pub total: Duration,
}

/// What became of one map.
#[derive(Debug, Clone, Serialize)]
pub struct MapReport {
    /// Name of the map.
    pub map: String,
    /// What happened to its state.
    #[serde(serialize_with = "disposition")]
    pub disposition: Disposition,
    /// Entries that are there as before.
    pub kept: u64,
    /// Entries that were converted.
    pub converted: u64,
    /// Entries that are gone; `None` where the map's type can't be counted.
    pub lost: Option<u64>,
    /// Bytes that were copied.
    pub bytes: u64,
    /// How they were copied.
    pub method: Option<&'static str>,
    /// Time that it took.
    pub time: Duration,
}

/// What became of one link.
#[derive(Debug, Clone, Serialize)]
pub struct LinkReport {
    /// Name of the link.
    pub link: String,
    /// `updated`, `attached`, `replaced`, `reattached`, `detached`.
    pub what: &'static str,
}

fn disposition<S: serde::Serializer>(value: &Disposition, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(value.name())
}
