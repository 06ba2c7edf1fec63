//! What becomes of one map.

use std::collections::BTreeMap;

use maplock_layout::conversion::{Collide, Conversion, Leg};
use maplock_layout::history::Converting;
use maplock_layout::lock::{LockedMap, OnUpgrade};
use maplock_layout::map_type::{Behaviour, Fate, fate};
use maplock_layout::rules::{Attribute, Compares};
use maplock_layout::{Digest, Disposition, Finding, Lock, Loss, MapDef, Untold, compare, config::Levels};

use super::back;
use super::capacity;
use super::cost::carry;
use super::decision::{By, Decision};
use super::fits::fits;
use super::flags;
use super::hazard::room;
use super::names::Found;
use super::phrases::{carried, change, why};
use super::recognise::{Recognised, is_exactly, lacks_layout, recognise};
use super::removed;
use super::sums;
use super::types::{Action, Asked, Inputs, Kept, Live, MapPlan, Since};
use crate::generation::names::pin_name;
use crate::inspect::{Observed, Source};
use crate::plan::policy::{OnMismatch, Policy};
use crate::sys::privileges::BY_ID;
use crate::transfer::{Sum, Way};

/// How a map of the kept generation is returned to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Back {
    /// The live map's entries are copied into a new map that is like it.
    Carried,
    /// What was written since is converted back into it.
    Converted,
    /// It is as it was left.
    Left,
}

/// A map that the spec has.
pub(super) fn map(inputs: &Inputs<'_>, found: &Found<'_>, locked: &LockedMap) -> MapPlan {
    let name = locked.def.name.as_str();
    let policy = inputs.policies.of(name);
    let mut asked = locked.clone();
    asked.def.max_entries = inputs.policies.max_entries(&locked.def);
    // The capacity is no part of it.
    let digest = inputs.spec.digest(name).unwrap_or_else(|| asked.def.digest());
    let pin = pin_name(name);
    let live = found.live(name);
    let was = live.filter(|live| live.pin != pin).map(|live| live.pin.clone());
    let kept = inputs.kept.iter().find(|map| map.pin == pin);
    let is_told = !asked.def.lacks_capacity();
    if let Some(pinned) = live.or(kept).filter(|_| !is_told) {
        asked.def.max_entries = capacity::of_pinned(&asked.def, &pinned.def).unwrap_or_default();
    }
    let kept = kept.filter(|kept| is_exactly(inputs, kept, &asked));
    let removed = if live.is_none() { removed::find(inputs, locked) } else { None };

    let (sums, problem) = match sums::resolve(asked.def.value.as_deref(), &policy.sum) {
        Ok(sums) => (sums, None),
        Err(problem) => (Vec::new(), Some(problem)),
    };
    let (flags, problem) = match flags::chosen(locked, policy, live.or(kept)) {
        Ok(flags) => (flags, problem),
        Err(no) => (0, problem.or(Some(no))),
    };
    let (action, why, findings, needs) = match (live, kept) {
        (Some(live), kept) => {
            let rival = found.rival(name);
            replace(inputs, (live, kept, rival), (&asked, digest), (policy, is_told), sums)
        }
        (None, kept) => {
            let new = Asked { def: asked.def, digest };
            let (action, why) = match (kept, removed) {
                // The very map is kept: it goes on as if nothing had happened.
                (Some(kept), Some((_, map))) if map.id == kept.id => {
                    let action = Action::TakeBack { kept: kept_map(kept), new, since: Since::Nothing };
                    (action, "somebody removed its pin; the kept generation has the very same map".to_owned())
                }
                (_, Some(removed)) => removed::answer(inputs, removed, new, policy),
                (Some(kept), None) => {
                    let action = Action::TakeBack { kept: kept_map(kept), new, since: Since::Nothing };
                    (action, "returns to the map kept since the last upgrade".to_owned())
                }
                (None, None) if !is_told => {
                    let def = MapDef { max_entries: 0, ..new.def };
                    (Action::Refuse { live: None, new: Some(Asked { def, digest }) }, capacity::untold(name))
                }
                (None, None) => (Action::Create { new, loses_entries: false }, "new in this release".to_owned()),
            };
            (action, why, Vec::new(), None)
        }
    };
    let plan = match (problem, action.new_map()) {
        // Whatever happens to the map today: a later upgrade would fail.
        (Some(why), Some(new)) => {
            let action = Action::Refuse { live: action.live().cloned(), new: Some(new.clone()) };
            MapPlan::new(name, was, action, why, findings)
        }
        _ => MapPlan { needs, ..MapPlan::new(name, was, flags::with(action, flags), why, findings) },
    };
    MapPlan { removed: removed.map(|(_, map)| map.id), ..plan }
}

/// A map that the spec has, if one is live.
fn replace(
    inputs: &Inputs<'_>,
    (live, kept, rival): (&Observed, Option<&Observed>, Option<&Observed>),
    (asked, digest): (&LockedMap, Digest),
    (policy, is_told): (&Policy, bool),
    sums: Vec<Sum>,
) -> (Action, String, Vec<Finding>, Option<&'static str>) {
    let mut known = recognise(inputs, live, asked, digest);
    let mut sums = sums::with_locks(sums, asked, known.digest);
    let (decision, findings) = decide(live, &known, asked, policy);
    let decision = match rival {
        Some(rival) => by_names((live, rival), policy, decision),
        None => decision,
    };
    // What the kept map still has of members that were given up since returns with it.
    let returns = kept.is_some_and(|kept| kept.id != live.id) && inputs.ways_back.contains(&live.pin);
    let is_newer = decision.by == By::Unknown && rival.is_none();
    let (decision, by_newer) = match is_newer.then(|| back::find(inputs, live, digest)).flatten() {
        Some(Ok(way)) if !returns || !way.entries.together.is_empty() => {
            let decision = fits(way.decision(&asked.def, live), live, &way.known.old);
            sums = sums::together(sums, way.sums);
            known = way.known;
            (decision, Some((way.conversion, way.entries)))
        }
        Some(Err(problem)) if !returns => {
            let why = format!("{}; no way leads back by the lock of the newer release: {problem}", decision.why);
            (Decision { why, ..decision }, None)
        }
        _ => (decision, None),
    };
    let (decision, back) = match kept {
        Some(kept) if kept.id != live.id => take_up_kept(inputs, live, &known.old, decision),
        _ => (decision, None),
    };
    let decision = if back.is_some() { decision } else { as_the_type_allows(&known, digest, policy, decision) };
    let is_converted = decision.disposition == Disposition::Migrate;
    let (decision, conversion, entries) = match by_newer {
        Some((conversion, entries)) if is_converted => (decision, Some(conversion), Some(entries)),
        Some(_) => (decision, None, None),
        None => {
            let (decision, conversion) = with_conversion(inputs, &known, (asked, digest), policy, decision);
            (decision, conversion, None)
        }
    };
    let decision = capacity::told(inputs, is_told, decision);
    let is_copied =
        matches!(decision.disposition, Disposition::Grow | Disposition::Migrate) || back == Some(Back::Carried);
    let may_drop_entries = is_copied && may_drop(inputs, live, &known.old, &decision.def);

    // An older release of the same layout.
    if is_copied && known.digest == digest && decision.def.max_entries < known.old.max_entries {
        sums = back::with_newer_sums(inputs, live, (asked, digest), sums);
    }

    let Decision { disposition, mut why, def, by } = decision;
    let needs = (by == By::Denied && disposition == Disposition::Refuse).then_some(BY_ID);
    if is_copied {
        why.push_str(&carried(disposition == Disposition::Grow, may_drop_entries, &known.old, &def));
    }
    let stays = back.is_none() && matches!(disposition, Disposition::Reuse | Disposition::Grow);
    let keeps_bytes = stays || is_copied && conversion.is_none();
    // By a policy, that was said.
    if let Some(untold) = Untold::of(&known.old).filter(|_| keeps_bytes && by != By::Unverifiable) {
        why.push_str(&format!("; {untold}"));
    }
    if let Some(note) = &known.note {
        why.push_str("; ");
        why.push_str(note);
    }
    let has_entries = live.entries != Some(0);
    let is_state = known.old.map_type.is_state();
    let live =
        Live { id: live.id, pin: live.path.clone(), digest: known.digest, def: known.old, entries: live.entries };
    // Of those that go back it is told how many there are.
    let may_drop_entries = may_drop_entries || entries.is_none() && conversion.as_ref().is_some_and(puts_together);
    let carry = || carry(inputs.node, &live, &def, sums, may_drop_entries);
    let action = match (back.zip(kept), disposition) {
        (Some((Back::Carried, _)), _) => {
            let carry = carry();
            Action::CarryBack { live, new: Asked { def, digest }, carry }
        }
        (Some((Back::Converted, kept)), _) => {
            let since = Since::ConvertedBack { live, found: None };
            Action::TakeBack { kept: kept_map(kept), new: Asked { def, digest }, since }
        }
        (Some((Back::Left, kept)), _) => {
            let since = Since::Left { live, loses_entries: has_entries };
            Action::TakeBack { kept: kept_map(kept), new: Asked { def, digest }, since }
        }
        (None, Disposition::Reuse) => Action::Reuse { live, new: Asked { def, digest } },
        (None, Disposition::Grow) => {
            let carry = carry();
            Action::Grow { live, new: Asked { def, digest }, carry }
        }
        (None, Disposition::Migrate) => {
            let carry = carry();
            let new = Asked { def, digest };
            match conversion {
                Some(conversion) => {
                    let loss = Loss::of(&Converting::on_way(asked, live.digest));
                    Action::Convert { live, new, conversion, loss, back: entries, carry }
                }
                None => Action::Shrink { live, new, carry },
            }
        }
        (None, Disposition::Swap) => {
            Action::Swap { live, new: Asked { def, digest }, loses_entries: has_entries && is_state }
        }
        // Of a map that is there on both sides, no comparison says that it is new or gone.
        (None, Disposition::Refuse | Disposition::Create | Disposition::Drop) => {
            Action::Refuse { live: Some(live), new: Some(Asked { def, digest }) }
        }
    };
    (action, why, findings, needs)
}

fn kept_map(kept: &Observed) -> Kept {
    Kept { id: kept.id, pin: kept.path.clone() }
}

fn one(name: &str, locked: &LockedMap) -> Lock {
    Lock { maps: BTreeMap::from([(name.to_owned(), locked.clone())]), ..Lock::default() }
}

fn decide(live: &Observed, known: &Recognised, asked: &LockedMap, policy: &Policy) -> (Decision, Vec<Finding>) {
    let old = &known.old;
    if known.is_asked && old.max_entries == asked.def.max_entries {
        let why = Untold::same(Untold::of(old)).to_owned();
        return (Decision { disposition: Disposition::Reuse, why, def: asked.def.clone(), by: By::Lock }, Vec::new());
    }
    let name = asked.def.name.as_str();
    let comparison = compare(&one(name, &LockedMap::new(old.clone())), &one(name, asked), &Levels::default());
    let mut findings = comparison.findings;
    findings.retain(|finding| finding.rule.effect.compares == Compares::Releases);
    let verdict = comparison.maps.first();
    let answer = verdict.map_or(OnUpgrade::Refuse, |verdict| verdict.answer);
    let disposition = match answer {
        OnUpgrade::Reuse if asked.def.max_entries > old.max_entries => Disposition::Grow,
        OnUpgrade::Reuse => Disposition::Reuse,
        OnUpgrade::Migrate => Disposition::Migrate,
        OnUpgrade::Swap | OnUpgrade::Drop => Disposition::Swap,
        OnUpgrade::Refuse => Disposition::Refuse,
    };

    let mut open = findings.iter().filter(|finding| finding.needs_decision() && finding.accepted.is_none()).peekable();
    let is_same = verdict.is_some_and(|verdict| verdict.from == verdict.to);
    let by = if !known.is_known && lacks_layout(old, &asked.def) {
        // Who lacks a privilege is not to decide by a policy for maps of which nobody can tell.
        if live.is_denied { By::Denied } else { By::Unverifiable }
    } else if open.peek().is_none() {
        By::Lock
    } else if is_same && open.all(|finding| finding.rule.effect.attribute == Some(Attribute::MaxEntries)) {
        By::Larger
    } else {
        By::Unknown
    };
    let decision = match by {
        By::Lock => {
            let reason = verdict.and_then(|verdict| verdict.reason.as_deref());
            let why = why(disposition, &findings, old, &asked.def, reason);
            Decision { disposition, why, def: asked.def.clone(), by }
        }
        By::Unknown => {
            let why = format!("{}; no accepted change leads from layout {}", change(&findings), known.digest.short());
            by_policy(policy.unknown, by, why, &findings, old, asked)
        }
        By::Unverifiable => {
            let nothing = match (&live.problem, live.source) {
                (Some(problem), _) => format!("its layout is unknown: {problem}"),
                (None, Source::Attributes) => {
                    "its layout is unknown: it has no BTF, and no maplock_meta names it".to_owned()
                }
                (None, _) => "nothing tells all of its layout".to_owned(),
            };
            by_policy(policy.unverifiable, by, nothing, &findings, old, asked)
        }
        By::Denied => {
            let why = live.problem.clone().unwrap_or_default();
            Decision { disposition: Disposition::Refuse, why, def: asked.def.clone(), by }
        }
        By::Larger
            if policy.larger == OnMismatch::Reuse
                && !findings.iter().any(|finding| finding.rule.effect.rules_out_reuse) =>
        {
            capacity::stays(old, asked, policy)
        }
        By::Larger => {
            let room = capacity::asked_for(&asked.def, policy);
            let why = format!("holds up to {} entries, {room}", old.max_entries);
            by_policy(policy.larger, by, why, &findings, old, asked)
        }
    };
    (fits(decision, live, old), findings)
}

/// Of a map that is pinned under two of its names, nothing says which of the two has the entries.
fn by_names((live, rival): (&Observed, &Observed), policy: &Policy, decision: Decision) -> Decision {
    let (one, other) = (&live.pin, &rival.pin);
    let why = format!("another map is pinned as `{other}`, its name before, and nothing says which has the entries");
    match policy.unknown {
        OnMismatch::Refuse => {
            let why = format!("{why}; remove the pin that is not needed, `{one}` or `{other}`");
            Decision { disposition: Disposition::Refuse, why, by: By::Unknown, ..decision }
        }
        OnMismatch::Swap => {
            Decision { disposition: Disposition::Swap, why: format!("{why} (policy: swap)"), ..decision }
        }
        OnMismatch::Reuse => {
            Decision { why: format!("{}; `{other}` is given up (policy: reuse)", decision.why), ..decision }
        }
    }
}

fn by_policy(
    answer: OnMismatch,
    by: By,
    problem: String,
    findings: &[Finding],
    old: &MapDef,
    asked: &LockedMap,
) -> Decision {
    let def = asked.def.clone();
    match answer {
        OnMismatch::Refuse => Decision { disposition: Disposition::Refuse, why: problem, def, by },
        OnMismatch::Swap => {
            Decision { disposition: Disposition::Swap, why: format!("{problem} (policy: swap)"), def, by }
        }
        OnMismatch::Reuse => {
            let against = findings.iter().find(|finding| finding.rule.effect.rules_out_reuse);
            match against {
                Some(finding) => {
                    let why = format!("{problem}; policy `reuse` is not possible: {}", finding.message());
                    Decision { disposition: Disposition::Refuse, why, def, by }
                }
                None => {
                    let def = MapDef { max_entries: old.max_entries, ..def };
                    Decision { disposition: Disposition::Reuse, why: format!("{problem} (policy: reuse)"), def, by }
                }
            }
        }
    }
}

/// Returns to the kept map if that is better than what was decided.
fn take_up_kept(inputs: &Inputs<'_>, live: &Observed, old: &MapDef, decision: Decision) -> (Decision, Option<Back>) {
    let has_bad_end = matches!(decision.disposition, Disposition::Refuse | Disposition::Swap);
    if !has_bad_end || decision.by == By::Denied || !old.map_type.is_state() {
        return (decision, None);
    }
    let room = decision.def.max_entries;
    let has_keys = matches!(old.map_type.row().entries, Behaviour::Copied | Behaviour::OneByOne);
    let (back, why) =
        if decision.by == By::Larger && has_keys && fate(old, &decision.def, OnUpgrade::Migrate) == Fate::Carried {
            // An array is always full, and of many entries the number is not known: the copy finds out, and changes nothing where
            // they don't fit.
            let told = live.entries.filter(|_| !old.map_type.is_array());
            if let Some(entries) = told.filter(|entries| *entries > u64::from(room)) {
                let why = format!("{}; {entries} entries don't fit the kept map", decision.why);
                return (Decision { why, ..decision }, None);
            }
            let why = match told {
                Some(entries) => format!("returns to the kept map of {room}, {entries} entries carried back"),
                None => format!("returns to the kept map of {room}, entries carried back if they fit"),
            };
            (Back::Carried, why)
        } else if inputs.ways_back.contains(&live.pin) {
            let why = "returns to the map kept since the last upgrade; what was written since is converted back";
            (Back::Converted, why.to_owned())
        } else {
            let count = live.entries.map_or("entries".to_owned(), |entries| match entries {
                1 => "1 entry".to_owned(),
                entries => format!("{entries} entries"),
            });
            let why =
                format!("returns to the map kept since the last upgrade; {count} of the live one not carried back");
            (Back::Left, why)
        };
    (Decision { disposition: Disposition::Reuse, why, ..decision }, Some(back))
}

/// Bends a decision to what can become of the entries of such a map.
fn as_the_type_allows(known: &Recognised, asked_digest: Digest, policy: &Policy, decision: Decision) -> Decision {
    use Disposition as D;
    let new = &decision.def;
    // What counts as the same is the same to all who are asked.
    let old = match known.digest == asked_digest {
        true => &MapDef { max_entries: known.old.max_entries, ..new.clone() },
        false => &known.old,
    };
    let answer = match decision.disposition {
        D::Reuse | D::Grow => OnUpgrade::Reuse,
        D::Migrate => OnUpgrade::Migrate,
        // Of what carries nothing over, a smaller map loses nothing.
        D::Refuse if decision.by == By::Larger && !old.map_type.is_state() => OnUpgrade::Migrate,
        // Filled anew whatever the answer is.
        D::Refuse if fate(old, new, OnUpgrade::Swap) == Fate::Refilled && old.map_type == new.map_type => {
            OnUpgrade::Swap
        }
        D::Swap => OnUpgrade::Swap,
        D::Refuse | D::Create | D::Drop => return decision,
    };
    let (from, to) = (old.max_entries, new.max_entries);
    let fate = fate(old, new, answer);
    let words = fate.words().unwrap_or_default();
    match &fate {
        Fate::Refilled if old.map_type == new.map_type => {
            Decision { disposition: D::Swap, why: words.to_owned(), ..decision }
        }
        Fate::LeftToReader if answer != OnUpgrade::Swap => {
            let change = if from == to { String::new() } else { format!("{from} -> {to} bytes; ") };
            Decision { disposition: D::Swap, why: format!("{change}{words}"), ..decision }
        }
        Fate::KeepSize(because) => {
            let why = format!("max_entries stays at {from}: {because}");
            let def = MapDef { max_entries: from, ..decision.def };
            Decision { disposition: D::Reuse, why, def, ..decision }
        }
        Fate::Refused(because) if answer == OnUpgrade::Migrate => {
            not_converted(policy, format!("{because}; accept it as `swap`"), decision)
        }
        Fate::Refused(because) => {
            let why = format!("{}; {because}", decision.why);
            Decision { disposition: D::Refuse, why, ..decision }
        }
        _ => decision,
    }
}

/// True if entries may be dropped while others are copied into a full LRU: each CPU takes up to 128 free entries for itself.
fn may_drop(inputs: &Inputs<'_>, live: &Observed, old: &MapDef, new: &MapDef) -> bool {
    let entries = live.entries.unwrap_or(old.max_entries.into());
    room(new, inputs.node.cpus).is_some_and(|room| entries > room)
}

/// How entries of another layout are converted. If they can't be, the policy says what to do instead. Those of the same layout are
/// copied into the smaller map that was accepted.
fn with_conversion(
    inputs: &Inputs<'_>,
    known: &Recognised,
    (asked, asked_digest): (&LockedMap, Digest),
    policy: &Policy,
    decision: Decision,
) -> (Decision, Option<Conversion>) {
    if decision.disposition != Disposition::Migrate || known.digest == asked_digest {
        return (decision, None);
    }
    let old = &known.old;
    let conversion = Conversion::lead(asked, known.digest).map_err(|error| error.to_string());
    let way = conversion.and_then(|conversion| {
        let way = inputs.migrations.map(|code| Way::new(&conversion, code, old.key_size, old.value_size));
        way.transpose().map(|_| conversion).map_err(|error| error.to_string())
    });
    let problem = match way {
        Ok(conversion) => return (decision, Some(conversion)),
        Err(problem) => problem,
    };
    let why = format!("{}; its entries can't be converted: {problem}", decision.why);
    (not_converted(policy, why, decision), None)
}

/// Entries that were to be converted, and can't be.
fn not_converted(policy: &Policy, why: String, decision: Decision) -> Decision {
    match policy.unknown {
        OnMismatch::Swap => {
            let why = format!("{why} (policy: swap)");
            Decision { disposition: Disposition::Swap, why, ..decision }
        }
        OnMismatch::Refuse | OnMismatch::Reuse => Decision { disposition: Disposition::Refuse, why, ..decision },
    }
}

/// True if entries whose keys become one are put together, so that there are fewer.
fn puts_together(conversion: &Conversion) -> bool {
    let is_derived = |leg: &Leg| matches!(leg, Leg::Derived(_));
    let may_meet = matches!(conversion.collide(), Some(Collide::Sum | Collide::KeepOne));
    may_meet && conversion.legs.iter().all(is_derived)
}
