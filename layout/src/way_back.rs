//! The way back from a newer lock's definition to one that it has left: for an older release, which knows only its own.

use std::collections::BTreeSet;
use std::fmt;

use crate::conversion::{Cast, Collide, Conversion, Leg, Step, Unfit};
use crate::digest::Digest;
use crate::history::{Converting, LeadError};
use crate::lock::LockedMap;
use crate::sum::{SumPlace, sum_places};

/// How entries of a newer definition become those of an older one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WayBack {
    /// To the older definition. Without a leg: the bytes stay as they are.
    pub back: Conversion,
    /// To the newer one again, by which it is told what an entry lost.
    pub again: Conversion,
    /// Where counts are in the older value that are added up.
    pub sums: Vec<SumPlace>,
    /// Members of the newer key by which entries are told apart, and older ones are not: those are put together.
    pub together: BTreeSet<String>,
}

/// Why no way leads back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoWayBack {
    /// No way leads there either, or one that gives entries up.
    Lead(LeadError),
    /// Code of the newer daemon has converted them, and none converts them back.
    ByHand(Digest),
    /// A member of the key was given up, cast or scaled.
    Key(Digest),
    /// Entries would be put together, and nothing says how.
    Together(BTreeSet<String>),
}

impl fmt::Display for NoWayBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lead(LeadError::NoWay(from)) => write!(f, "it does not know {}", from.short()),
            Self::Lead(error) => error.fmt(f),
            Self::ByHand(from) => {
                write!(f, "entries of {} were converted by hand, which leads one way only", from.short())
            }
            Self::Key(from) => write!(f, "keys of {} can't be told from those that they became", from.short()),
            Self::Together(members) => {
                let members: Vec<_> = members.iter().map(|member| format!("`{member}`")).collect();
                write!(
                    f,
                    "entries that differ in {} would become one, and no member is summed (`cargo maplock accept MAP --merge MEMBER=sum` in \
                     the newer release)",
                    members.join(", ")
                )
            }
        }
    }
}

impl LockedMap {
    /// The way back to the definition with the digest `to`, over the epochs that lead from there to today's.
    ///
    /// # Errors
    /// If none leads back.
    pub fn way_back(&self, to: Digest) -> Result<WayBack, NoWayBack> {
        let again = Conversion::lead(self, to).map_err(NoWayBack::Lead)?;
        if let Some(from) = again.legs.iter().find_map(|leg| match leg {
            Leg::ByHand { from, .. } => Some(*from),
            Leg::Derived(_) => None,
        }) {
            return Err(NoWayBack::ByHand(from));
        }
        let mut back = again.inverse().ok_or(NoWayBack::Key(to))?;
        let value = self.def.value.as_deref();
        let places = |path: &String| value.and_then(|value| sum_places(value, path).ok()).unwrap_or_default();
        let sums: Vec<_> = self.summed(to).iter().flat_map(places).collect();
        let sums = again.sums_back(&sums);

        let mut together = BTreeSet::new();
        for (step, leg) in Converting::on_way(self, to).iter().zip(back.legs.iter_mut().rev()) {
            let Leg::Derived(leg) = leg else { continue };
            // A key that does not fit is not that of another entry.
            leg.key.steps.iter_mut().for_each(refuse);
            let Ok(Some(derived)) = step.derive() else { continue };
            let added = derived
                .members
                .iter()
                .filter(|member| member.is_of_key() && member.old.is_none() && !member.is_padding());
            let added: Vec<_> = added.map(|member| member.name().to_owned()).collect();
            if !added.is_empty() {
                (leg.collide, leg.keeps_key) = (Some(Collide::Sum), false);
                together.extend(added);
            }
        }
        if !together.is_empty() && sums.is_empty() {
            return Err(NoWayBack::Together(together));
        }
        Ok(WayBack { back, again, sums, together })
    }
}

fn refuse(step: &mut Step) {
    match step {
        Step::Int(int) => int.cast = int.cast.map(|_| Cast::Refuse),
        Step::Repeat { steps, .. } => steps.iter_mut().for_each(refuse),
        Step::Copy { .. } | Step::Set { .. } => {}
    }
}

/// What of an entry comes again, once it went to another layout and back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Again {
    /// Its key is the same.
    pub key: bool,
    /// Its value is the same.
    pub value: bool,
}

impl Conversion {
    /// What of an entry that this converts is there once `again` has converted it back. A member that the other layout has no place for is,
    /// if it holds what it holds by default.
    ///
    /// # Errors
    /// If it can't be converted.
    pub fn comes_again(&self, again: &Self, key: &[u8], value: &[u8]) -> Result<Again, Unfit> {
        let legs = |conversion: &Self, (key, value): (Vec<u8>, Vec<u8>)| {
            conversion.legs.iter().try_fold((key, value), |(key, value), leg| match leg {
                Leg::Derived(leg) => Ok((leg.key.convert(&key)?, leg.value.convert(&value)?)),
                Leg::ByHand { .. } => Err(Unfit::Outside),
            })
        };
        let there = legs(self, (key.to_vec(), value.to_vec()))?;
        let (key_again, value_again) = legs(again, there)?;
        Ok(Again { key: key_again == key, value: value_again == value })
    }
}
