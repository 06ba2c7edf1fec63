//! The configuration: services, and where their connections go.

use std::net::SocketAddrV4;
use std::path::Path;

use maplock::Spec;
use maplock::layout::{Layout, MapDef};
use serde::{Deserialize, Serialize};

use crate::entries::{Entry, Number, encode, has_member};

/// The file, in TOML: a `[[service]]` for each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The services.
    #[serde(default)]
    pub service: Vec<Service>,
}

/// One service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// The number by which maps speak of it: one for life.
    pub id: u32,
    /// The virtual address that applications connect to.
    pub address: SocketAddrV4,
    /// True where one user's connections are to go to one backend.
    #[serde(default)]
    pub by_user: bool,
    /// Where they go instead.
    pub backends: Vec<SocketAddrV4>,
    /// Those of them that get no new connections.
    #[serde(default)]
    pub draining: Vec<SocketAddrV4>,
}

/// The entries that a configuration makes of one map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapEntries {
    /// The map's name.
    pub map: &'static str,
    /// Its entries.
    pub entries: Vec<Entry>,
}

/// `IPPROTO_TCP`.
const TCP: u64 = 6;

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// Where it can't be read, or is no configuration.
    pub fn read(path: &Path) -> Result<Self, String> {
        let at = |problem: &dyn std::fmt::Display| format!("{}: {problem}", path.display());
        let text = std::fs::read_to_string(path).map_err(|error| at(&error))?;
        toml::from_str(&text).map_err(|error| at(&error))
    }

    /// The entries of the three maps that the daemon writes, as the release's layouts have them. In the order in which they are
    /// to be written: what an entry points at comes before it.
    ///
    /// # Errors
    /// Where the release has not these maps, or a number does not fit.
    pub fn entries(&self, spec: &Spec) -> Result<[MapEntries; 3], String> {
        let map = |name| Writer::new(spec, name);
        let (mut backends, mut services, mut frontends) = (map("backends")?, map("services")?, map("frontends")?);
        for service in &self.service {
            let id = Number::Host(service.id.into());
            for (index, address) in (0..).zip(&service.backends) {
                let key = [("service", id), ("index", Number::Host(index))];
                let drains = service.draining.contains(address);
                let can_drain = has_member(backends.value, "draining");
                let mut value = vec![
                    ("addr", Number::Net(address.ip().to_bits().into())),
                    ("port", Number::Net(address.port().into())),
                    // Before v4 a backend that drains was one that is not ready.
                    ("ready", Number::Host((can_drain || !drains).into())),
                ];
                if can_drain {
                    value.push(("draining", Number::Host(drains.into())));
                }
                backends.push(&key, &value)?;
            }
            let count = Number::Host(service.backends.len() as u64);
            let balance = Number::Host(service.by_user.into());
            services.push(&[("service", id)], &[("backend_count", count), ("balance", balance)])?;
            let address = [
                ("vip", Number::Net(service.address.ip().to_bits().into())),
                ("port", Number::Net(service.address.port().into())),
                ("protocol", Number::Host(TCP)),
            ];
            frontends.push(&address, &[("service", id)])?;
        }
        Ok([backends, services, frontends].map(|writer| MapEntries { map: writer.map, entries: writer.entries }))
    }
}

/// The entries of one map, as they come together.
struct Writer<'a> {
    map: &'static str,
    key: &'a Layout,
    value: &'a Layout,
    entries: Vec<Entry>,
}

impl<'a> Writer<'a> {
    fn new(spec: &'a Spec, map: &'static str) -> Result<Self, String> {
        let def: &MapDef = &spec.map(map).ok_or_else(|| format!("the release has no map `{map}`"))?.def;
        match (def.key.as_deref(), def.value.as_deref()) {
            (Some(key), Some(value)) => Ok(Self { map, key, value, entries: Vec::new() }),
            _ => Err(format!("the lock has no layout for map `{map}`")),
        }
    }

    fn push(&mut self, key: &[(&str, Number)], value: &[(&str, Number)]) -> Result<(), String> {
        let at = |problem| format!("map `{}`: {problem}", self.map);
        self.entries.push((encode(self.key, key).map_err(at)?, encode(self.value, value).map_err(at)?));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::release::Release;

    const TEXT: &str = r#"
        [[service]]
        id = 1
        address = "10.96.0.10:80"
        backends = ["127.0.0.1:8001", "127.0.0.1:8002"]
        draining = ["127.0.0.1:8002"]
    "#;

    #[test]
    fn a_draining_backend_is_written_as_each_release_understands_it() {
        let config: Config = toml::from_str(TEXT).unwrap();
        let values = |release: &str| -> Vec<Vec<u8>> {
            let [backends, ..] = config.entries(&Release::embedded(release).unwrap().spec).unwrap();
            backends.entries.into_iter().map(|(_, value)| value[6..].to_vec()).collect()
        };
        assert_eq!(values("v3"), [[1, 0], [0, 0]]);
        // `draining`, `ready`
        assert_eq!(values("v4"), [[0, 1], [1, 1]]);
    }

    #[test]
    fn addresses_are_in_network_order_whatever_the_host() {
        let config: Config = toml::from_str(TEXT).unwrap();
        let [.., frontends] = config.entries(&Release::embedded("v1").unwrap().spec).unwrap();
        let (key, _) = &frontends.entries[0];
        assert_eq!(key[..6], [10, 96, 0, 10, 0, 80]);
        assert_eq!(key[6..], 6_u16.to_ne_bytes());
    }

    #[test]
    fn a_misspelt_key_is_no_configuration() {
        assert!(toml::from_str::<Config>("[[service]]\nid = 1\nadress = \"10.96.0.10:80\"\nbackends = []").is_err());
    }
}
