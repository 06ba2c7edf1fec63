//! Whether a map that is gone may be one that is new, under another name.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::digest::Digest;
use crate::layout::Layout;
use crate::map::MapDef;

/// Most pairs that are looked at member by member: of more maps that come and go at once, those with the same digest are told.
const MAX_PAIRS: usize = 10_000;

/// What two maps have in common, the most last.
#[derive(Debug, PartialEq, PartialOrd)]
struct Likeness {
    /// All that a digest tells.
    is_same: bool,
    /// The part of the members, of the map that has more, that are in both.
    members: f64,
    /// How like the names are.
    name: f64,
}

/// The most likely pairs of `gone` and `new`: none of them is in two.
pub(super) fn pairs<'a>(gone: &[&'a MapDef], new: &[&'a MapDef]) -> Vec<(&'a MapDef, &'a MapDef)> {
    if gone.is_empty() || new.is_empty() {
        return Vec::new();
    }
    let sides = |defs: &[&'a MapDef]| -> Vec<Side<'a>> { defs.iter().map(|def| Side::of(def)).collect() };
    let (gone, new) = (sides(gone), sides(new));
    if gone.len().saturating_mul(new.len()) > MAX_PAIRS {
        return same(&gone, &new);
    }
    let mut found = Vec::new();
    for (at, old) in gone.iter().enumerate() {
        let like = new.iter().enumerate().filter_map(|(other, new)| Some((old.likeness(new)?, at, other)));
        found.extend(like);
    }
    found.sort_by(|a, b| b.0.partial_cmp(&a.0).unwrap_or(std::cmp::Ordering::Equal).then((a.1, a.2).cmp(&(b.1, b.2))));
    let (mut used_gone, mut used_new) = (BTreeSet::new(), BTreeSet::new());
    let mut pairs: Vec<_> = found
        .into_iter()
        .filter(|(_, at, other)| {
            !used_gone.contains(at) && !used_new.contains(other) && used_gone.insert(*at) && used_new.insert(*other)
        })
        .map(|(_, at, other)| (gone[at].def, new[other].def))
        .collect();
    pairs.sort_by(|a, b| a.0.name.cmp(&b.0.name));
    pairs
}

/// Those with the same digest, in the order of their names.
fn same<'a>(gone: &[Side<'a>], new: &[Side<'a>]) -> Vec<(&'a MapDef, &'a MapDef)> {
    let mut by_digest: BTreeMap<Digest, VecDeque<&'a MapDef>> = BTreeMap::new();
    new.iter().for_each(|side| by_digest.entry(side.digest).or_default().push_back(side.def));
    gone.iter().filter_map(|side| Some((side.def, by_digest.get_mut(&side.digest)?.pop_front()?))).collect()
}

struct Side<'a> {
    def: &'a MapDef,
    digest: Digest,
    key: Option<Digest>,
    members: BTreeSet<(String, u64)>,
}

impl<'a> Side<'a> {
    fn of(def: &'a MapDef) -> Self {
        let members = |value: &Layout| -> BTreeSet<(String, u64)> {
            let members = value.composite().map(|of| of.flat_members()).unwrap_or_default();
            members.iter().map(|flat| (flat.member.name.to_string(), flat.member.size_bits())).collect()
        };
        let key = def.key.as_deref().map(Layout::digest);
        let members = def.value.as_deref().map(members).unwrap_or_default();
        Self { def, digest: def.digest(), key, members }
    }

    fn likeness(&self, other: &Self) -> Option<Likeness> {
        let (one, two) = (self.def, other.def);
        let is_same = self.digest == other.digest;
        let has_type_and_key = (one.map_type, one.key_size) == (two.map_type, two.key_size)
            && (self.key == other.key || self.key.is_none() || other.key.is_none());
        let common = self.members.intersection(&other.members).count();
        let most = self.members.len().max(other.members.len());
        let members = match most {
            // Values without members: all of them, or none.
            0 if one.value_size == two.value_size => 1.0,
            0 => 0.0,
            _ => {
                f64::from(u32::try_from(common).unwrap_or(u32::MAX))
                    / f64::from(u32::try_from(most).unwrap_or(u32::MAX))
            }
        };
        let is_like = is_same || has_type_and_key && members > 0.5;
        let name = strsim::jaro_winkler(&one.name, &two.name);
        is_like.then_some(Likeness { is_same, members, name })
    }
}
