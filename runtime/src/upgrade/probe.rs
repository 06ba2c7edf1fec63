//! Whether the maps of a plan will be settled in one step, tried on empty ones: of the same types, sizes, flags and layouts, by the very code
//! that settles. So what a plan says before is what a report says afterwards.

use std::sync::Arc;

use maplock_layout::conversion::Conversion;
use maplock_layout::{Layout, MapDef, lock_of, uncarried};

use crate::error::{Error, ErrorKind, Trying as _};
use crate::generation::derivation::{Derivation, Ways};
use crate::generation::site::Site;
use crate::plan::hazard::Doubt;
use crate::plan::{Action, MapPlan, Plan, Since};
use crate::sys::Map;
use crate::transfer::{self, Convert, Inexact, Prepared, Side, Sum, Transfer, TransferError, TransferOptions, Way};
use crate::upgrade::create::{PROBE, create};

/// If a write of a new program can be lost as entries are settled, that is told before. `records` are of the ways back that are there.
pub(super) fn foresee_settling(plan: &mut Plan, site: &Site, records: &[(String, Derivation)]) {
    let mut tried: Vec<(Kind, Option<Inexact>)> = Vec::new();
    for map in &mut plan.maps {
        let Some(probe) = Probe::of(map, site, records) else { continue };
        let inexact = match probe {
            Err(error) => {
                tracing::debug!(map = map.map, %error, "can't try how it is settled");
                Some(error.io().map_or(Inexact::Failed, Inexact::of))
            }
            Ok(probe) => match tried.iter().find(|(kind, _)| *kind == probe.kind) {
                Some((_, inexact)) => *inexact,
                None => {
                    let inexact = probe.inexact();
                    tried.push((probe.kind, inexact));
                    inexact
                }
            },
        };
        map.hazard.doubts.extend(inexact.map(Doubt::Settling));
    }
}

/// True if what is settled between two maps by that record loses and doubles nothing, though an attempt before may have been killed.
pub(super) fn is_certain(maps: [(&MapDef, &Map); 2], record: &Derivation, ways: Option<&Ways>) -> bool {
    let how = match (&record.converted, ways) {
        (None, _) => How::Same(record.sums.clone()),
        (Some(converted), Some(ways)) => How::Converted {
            there: ways.there.clone(),
            back: ways.back.clone(),
            base_of: converted.base_of,
            sums: record.sums.clone(),
        },
        (Some(_), None) => return false,
    };
    let [from, to] = maps.map(|(_, map)| map.try_clone());
    let (Ok(from), Ok(to)) = (from, to) else { return false };
    let probe = Probe::new(how, maps.map(|(def, _)| def), [Some(from), Some(to)]);
    probe.prepared(|prepared| prepared.inexact().is_none() && !prepared.repeats()).unwrap_or(false)
}

/// All that the programs for two maps depend on.
#[derive(Debug, Clone, PartialEq)]
struct Kind {
    maps: [Like; 2],
    how: How,
}

/// What the programs for a map depend on.
#[derive(Debug, Clone, PartialEq)]
struct Like {
    map_type: u32,
    sizes: (u32, u32),
    flags: u32,
    /// If the value has members of the kernel's: its layout.
    value: Option<Arc<Layout>>,
    /// If it has, or if nothing tells: the numbers of the map's BTF and of the value's type.
    types: (u32, u32),
}

#[derive(Debug, Clone, PartialEq)]
enum How {
    Same(Vec<Sum>),
    Converted { there: Conversion, back: Option<Conversion>, base_of: Side, sums: Vec<Sum> },
}

/// A probe of one map.
struct Probe {
    kind: Kind,
    /// What is made: empty maps of the old one and of the new one.
    defs: [MapDef; 2],
    /// The maps that these are like, where there are.
    like: [Option<Map>; 2],
}

impl Probe {
    /// `None` if nothing is settled, or not by keys: whatever is moved or filled anew loses no write.
    fn of(map: &MapPlan, site: &Site, records: &[(String, Derivation)]) -> Option<Result<Self, Error>> {
        let (live, new) = (map.action.live()?, map.action.new_map()?);
        if !transfer::needs_base(live.def.map_type) {
            return None;
        }
        let open = |pin: &std::path::Path| {
            let at = site.pin(pin)?;
            Map::open(&at).trying(|| format!("can't open map `{}`", at.display()))
        };
        let of = |how: How, like: [Option<Map>; 2]| Self::new(how, [&live.def, &new.def], like);
        match &map.action {
            Action::Grow { carry, .. } | Action::Shrink { carry, .. } | Action::CarryBack { carry, .. } => {
                Some(open(&live.pin).map(|old| of(How::Same(carry.sums.clone()), [Some(old), None])))
            }
            Action::Convert { conversion, carry, .. } => {
                let (there, back) = (conversion.clone(), conversion.inverse());
                let how = How::Converted { there, back, base_of: Side::From, sums: carry.sums.clone() };
                Some(open(&live.pin).map(|old| of(how, [Some(old), None])))
            }
            Action::TakeBack { kept, since: Since::ConvertedBack { .. }, .. } => {
                let ids = (kept.id, live.id);
                let (was, record) = records.iter().find(|(_, record)| record.is_between(ids))?;
                let converted = record.converted.as_ref()?;
                let how = Ways::read(&site.dir, was, record.came).map(|ways| {
                    let there = ways.back.unwrap_or_default();
                    let (back, sums) = (Some(ways.there), converted.old_sums.clone());
                    How::Converted { there, back, base_of: Side::To, sums }
                });
                Some(how.and_then(|how| Ok(of(how, [Some(open(&live.pin)?), Some(open(&kept.pin)?)]))))
            }
            _ => None,
        }
    }

    fn new(how: How, [old, new]: [&MapDef; 2], like: [Option<Map>; 2]) -> Self {
        let defs = [empty(old, like[0].as_ref()), empty(new, like[1].as_ref())];
        let maps = [Like::of(&defs[0], like[0].as_ref()), Like::of(&defs[1], like[1].as_ref())];
        Self { kind: Kind { maps, how }, defs, like }
    }

    fn inexact(&self) -> Option<Inexact> {
        match self.prepared(|prepared| prepared.inexact()) {
            Ok(inexact) => inexact,
            Err(error) => {
                tracing::debug!(%error, "can't try how it is settled");
                Some(error.io().map_or(Inexact::Failed, Inexact::of))
            }
        }
    }

    /// What the second pass between two such maps says, once it is made ready.
    fn prepared<T>(&self, ask: impl Fn(&Prepared<'_>) -> T) -> Result<T, Error> {
        let [old, new] = &self.like;
        let from = create(&self.defs[0], old.as_ref())?;
        let options = TransferOptions { is_probe: true, ..TransferOptions::default() };
        let base_of = |map: &Map| {
            let base = transfer::needs_base(map.info().map_type).then(|| transfer::base_for_probe(map));
            base.transpose().trying(|| "can't make an empty map".to_owned())
        };
        let failed = |error: TransferError| Error::because(ErrorKind::Kernel, "can't try".to_owned(), error);
        match &self.kind.how {
            How::Same(sums) => {
                let to = create(&self.defs[1], old.as_ref())?;
                let base = base_of(&from)?;
                let transfer = Transfer { from: &from, to: &to, base: base.as_ref(), sums };
                transfer.prepare(&options).map(|prepared| ask(&prepared)).map_err(failed)
            }
            How::Converted { there, back, base_of: side, sums } => {
                let to = create(&self.defs[1], new.as_ref())?;
                let base = base_of(if *side == Side::From { &from } else { &to })?;
                let way = |conversion: &Conversion, of: &Map| {
                    Way::for_probe(conversion, of.info().key_size, of.info().value_size)
                };
                let (there, back) = (way(there, &from), back.as_ref().map(|back| way(back, &to)));
                let convert = Convert {
                    from: &from,
                    to: &to,
                    base: base.as_ref(),
                    base_of: *side,
                    there: &there,
                    back: back.as_ref(),
                    sums,
                };
                convert.prepare(&options).map(|prepared| ask(&prepared)).map_err(failed)
            }
        }
    }
}

/// The definition of an empty map like that one.
fn empty(def: &MapDef, like: Option<&Map>) -> MapDef {
    let mut def = MapDef { name: PROBE.to_owned(), max_entries: 1, ..def.clone() };
    if let Some(info) = like.map(Map::info) {
        (def.map_type, def.flags, def.map_extra) = (info.map_type, info.flags, info.map_extra);
        (def.key_size, def.value_size) = (info.key_size, info.value_size);
    }
    def
}

impl Like {
    fn of(def: &MapDef, like: Option<&Map>) -> Self {
        let is_plain = |value: &Arc<Layout>| lock_of(value).is_none() && uncarried(value).is_none();
        let types = like.map_or((0, 0), |map| (map.info().btf_id, map.info().btf_value_type_id));
        let (value, types) = match &def.value {
            Some(value) if is_plain(value) => (None, (0, 0)),
            value => (value.clone(), types),
        };
        Self { map_type: def.map_type.0, sizes: (def.key_size, def.value_size), flags: def.flags, value, types }
    }
}
