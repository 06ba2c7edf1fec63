//! What becomes of one map.

use std::collections::{BTreeMap, BTreeSet};

use maplock_layout::conversion::Conversion;
use maplock_layout::lock::{LockedMap, Merge, OnUpgrade};
use maplock_layout::map_type::{Behaviour, Fate, fate};
use maplock_layout::{Digest, Disposition, Finding, Layout, Lock, MapDef, compare, config::Levels, rules, sum_places};

use super::cost::{entry_bytes, estimate};
use super::same::same_but_for_capacity;
use super::{Inputs, MapPlan, sums};
use crate::generation::names::{self, pin_name};
use crate::inspect::normalise::normalise;
use crate::inspect::{Observed, Source};
use crate::plan::policy::{OnMismatch, Policy};
use crate::sys::consts::LOCAL_FREE_TARGET;
use crate::transfer::{self, Way};

/// A decision, while it is made.
struct Decision {
    disposition: Disposition,
    why: String,
    /// What the map will be.
    def: MapDef,
    /// Who answered.
    by: By,
}

/// Why there is an answer, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    /// The rules and the epochs of the lock.
    Lock,
    /// No epoch leads here.
    Unknown,
    /// Nothing tells the layout.
    Unverifiable,
    /// Only the capacity is less.
    Larger,
}

/// A map that the spec has.
pub(super) fn map(inputs: &Inputs<'_>, locked: &LockedMap) -> MapPlan {
    let name = locked.def.name.as_str();
    let policy = inputs.policies.of(name);
    let mut asked = locked.clone();
    asked.def.max_entries = inputs.policies.max_entries(&locked.def);
    let pin = pin_name(name);
    let find = |among: &'_ [Observed]| among.iter().position(|map| map.pin == pin);
    let live = find(inputs.live).map(|at| &inputs.live[at]);
    let kept = find(inputs.kept).map(|at| &inputs.kept[at]).filter(|kept| is_exactly(inputs, kept, &asked));

    // The capacity is no part of it.
    let asked_digest = inputs.spec.digest(name).unwrap_or_else(|| asked.def.digest());
    let mut plan = blank(name);
    plan.to = Some(asked_digest);
    let decision = match live {
        None => {
            let why = "new in this release".to_owned();
            Decision { disposition: Disposition::Create, why, def: asked.def.clone(), by: By::Lock }
        }
        Some(live) => {
            let known = recognise(inputs, live, &asked, asked_digest);
            let old = &known.old;
            (plan.from, plan.id, plan.pin) = (Some(known.digest), Some(live.id), Some(live.path.clone()));
            (plan.entries, plan.old_max_entries) = (live.entries, Some(old.max_entries));
            plan.old = Some(old.clone());
            let (decision, findings) = decide(live, &known, &asked, policy);
            plan.findings = findings;
            let decision = match kept {
                Some(kept) if kept.id != live.id => take_up_kept(inputs, &mut plan, kept, live, old, decision),
                _ => decision,
            };
            let decision =
                if plan.from_kept { decision } else { as_the_type_allows(&known, asked_digest, policy, decision) };
            let decision = with_conversion(inputs, &mut plan, &known, (&asked, asked_digest), policy, decision);
            let decision = warn_of_lru(inputs, &mut plan, live, old, decision);
            let is_lost = match decision.disposition {
                Disposition::Swap => old.map_type.is_state(),
                _ => plan.from_kept && !plan.carried_back && !plan.settled_back && plan.from != plan.to,
            };
            plan.loses_entries = is_lost && live.entries != Some(0);
            decision
        }
    };
    if let (None, Some(kept)) = (live, kept) {
        plan.from_kept = true;
        (plan.from, plan.id, plan.pin) = (Some(asked_digest), Some(kept.id), Some(kept.path.clone()));
        plan.disposition = Disposition::Reuse;
        plan.why = "returns to the map kept since the last upgrade".to_owned();
        plan.def = Some(decision.def);
    } else {
        (plan.disposition, plan.why) = (decision.disposition, decision.why);
        plan.def = Some(decision.def);
    }
    carry_over(inputs, policy, locked, &mut plan);
    plan
}

/// The maps of the old generation that the spec has no more.
pub(super) fn gone(inputs: &Inputs<'_>) -> Vec<MapPlan> {
    let Some(meta) = inputs.meta else {
        // Nothing says which pins are the old release's: all that might be, or a map that was renamed is lost without a word.
        let is_spec = |pin: &str| inputs.spec.maps().any(|locked| pin_name(&locked.def.name) == pin);
        let left = inputs.live.iter().filter(|live| !is_spec(&live.pin) && !names::is_own(&live.pin));
        let why = "not in this release, and nothing says whose it is; its pin stays, its entries are left behind";
        return left.map(|live| given_up(&live.pin, live, why)).collect();
    };
    let gone = meta.maps.iter().filter(|(name, _)| inputs.spec.map(name).is_none());
    let gone = gone.filter_map(|(name, map)| {
        let pin = pin_name(name);
        // Under the same name, a map of another number is somebody else's.
        let live = inputs.live.iter().find(|live| live.pin == pin && live.id == map.id)?;
        let why = if inputs.spec.lock().maps.contains_key(name) {
            "no longer pinned; kept for roll-back"
        } else {
            "not in this release; kept for roll-back"
        };
        Some(given_up(name, live, why))
    });
    gone.collect()
}

fn given_up(name: &str, live: &Observed, why: &str) -> MapPlan {
    let mut plan = blank(name);
    plan.disposition = Disposition::Drop;
    plan.why = why.to_owned();
    plan.loses_entries = live.def.map_type.is_state() && live.entries != Some(0);
    let locked = LockedMap::new(MapDef { name: name.to_owned(), ..live.def.clone() });
    plan.findings = compare(&one(name, &locked), &Lock::default(), &Levels::default()).findings;
    (plan.from, plan.id, plan.pin) = (Some(live.digest()), Some(live.id), Some(live.path.clone()));
    (plan.entries, plan.old_max_entries) = (live.entries, Some(live.def.max_entries));
    plan
}

fn blank(name: &str) -> MapPlan {
    MapPlan {
        map: name.to_owned(),
        disposition: Disposition::Create,
        why: String::new(),
        findings: Vec::new(),
        def: None,
        from: None,
        to: None,
        id: None,
        pin: None,
        from_kept: false,
        carried_back: false,
        settled_back: false,
        loses_entries: false,
        may_drop_entries: false,
        entries: None,
        old_max_entries: None,
        conversion: None,
        old: None,
        sums: Vec::new(),
        snapshot: 0,
        estimate: std::time::Duration::ZERO,
    }
}

fn one(name: &str, locked: &LockedMap) -> Lock {
    Lock { maps: BTreeMap::from([(name.to_owned(), locked.clone())]) }
}

/// What is pinned.
struct Recognised {
    /// In the words of the definition that it is, of those that the lock knows; else in those of today's.
    old: MapDef,
    digest: Digest,
    /// True where it is one of those that the lock knows.
    is_known: bool,
    /// True where it is today's, but for the capacity.
    is_asked: bool,
}

fn recognise(inputs: &Inputs<'_>, live: &Observed, asked: &LockedMap, asked_digest: Digest) -> Recognised {
    let old = normalise(&live.def, &asked.def, inputs.node);
    if same_but_for_capacity(&old, &asked.def) {
        return Recognised { old, digest: asked_digest, is_known: true, is_asked: true };
    }
    let digest = old.digest();
    if digest == asked_digest {
        return Recognised { old, digest, is_known: true, is_asked: false };
    }
    for previous in asked.epochs.iter().rev().map(|epoch| &epoch.previous) {
        let words = normalise(&live.def, previous, inputs.node);
        let digest = words.digest();
        if digest == previous.digest() {
            return Recognised { old: words, digest, is_known: true, is_asked: false };
        }
    }
    Recognised { old, digest, is_known: false, is_asked: false }
}

/// True for a map that the new release could have made.
fn is_exactly(inputs: &Inputs<'_>, kept: &Observed, asked: &LockedMap) -> bool {
    let words = normalise(&kept.def, &asked.def, inputs.node);
    words.max_entries == asked.def.max_entries
        && (same_but_for_capacity(&words, &asked.def) || words.digest() == asked.def.digest())
}

fn decide(live: &Observed, known: &Recognised, asked: &LockedMap, policy: &Policy) -> (Decision, Vec<Finding>) {
    let old = &known.old;
    if known.is_asked && old.max_entries == asked.def.max_entries {
        let why = "same layout".to_owned();
        return (Decision { disposition: Disposition::Reuse, why, def: asked.def.clone(), by: By::Lock }, Vec::new());
    }
    let name = asked.def.name.as_str();
    let comparison = compare(&one(name, &LockedMap::new(old.clone())), &one(name, asked), &Levels::default());
    let mut findings = comparison.findings;
    findings.retain(|finding| finding.rule != &rules::STALE_EPOCH);
    let verdict = comparison.maps.first();
    let disposition = verdict.map_or(Disposition::Refuse, |verdict| verdict.disposition);

    let mut open = findings.iter().filter(|finding| finding.needs_decision() && finding.accepted.is_none()).peekable();
    let is_same = verdict.is_some_and(|verdict| verdict.from == verdict.to);
    let by = if !known.is_known && lacks_layout(old, &asked.def) {
        By::Unverifiable
    } else if open.peek().is_none() {
        By::Lock
    } else if is_same && open.all(|finding| finding.rule == &rules::MAX_ENTRIES_DECREASED) {
        By::Larger
    } else {
        By::Unknown
    };
    let decision = match by {
        By::Lock => {
            let reason = verdict.and_then(|verdict| verdict.reason.as_deref());
            let reason = reason.or_else(|| reuse_reason(&findings, asked, known.digest));
            let why = why(disposition, &findings, old, &asked.def, reason);
            Decision { disposition, why, def: asked.def.clone(), by }
        }
        By::Unknown => {
            let why = format!("{}; no epoch leads from {}", change(&findings), known.digest.short());
            by_policy(policy.unknown, by, why, &findings, old, asked)
        }
        By::Unverifiable => {
            let nothing = match (&live.problem, live.source) {
                (Some(problem), _) => format!("nothing tells its layout: {problem}"),
                (None, Source::Attributes) => "nothing tells its layout: no BTF, no maplock_meta".to_owned(),
                (None, _) => "nothing tells all of its layout".to_owned(),
            };
            by_policy(policy.unverifiable, by, nothing, &findings, old, asked)
        }
        By::Larger => {
            let why = format!("holds up to {} entries, {} asked", old.max_entries, asked.def.max_entries);
            by_policy(policy.larger, by, why, &findings, old, asked)
        }
    };
    (fits(decision, live, old), findings)
}

/// Entries that somebody accepted to bring into less room must fit it.
fn fits(decision: Decision, live: &Observed, old: &MapDef) -> Decision {
    let room = decision.def.max_entries;
    let shrinks = decision.disposition == Disposition::Migrate && room < old.max_entries;
    // An array is always full. The copy finds out whether what it has beyond the new end is zero, and changes nothing where not.
    match live.entries.filter(|_| !old.map_type.is_array()) {
        Some(entries) if shrinks && entries > u64::from(room) => {
            let why = format!("{entries} entries don't fit into {room}");
            Decision { disposition: Disposition::Refuse, why, ..decision }
        }
        _ => decision,
    }
}

/// True where today's definition says types for what the pinned map says bytes, in keys or values that are data.
pub(crate) fn lacks_layout(old: &MapDef, new: &MapDef) -> bool {
    let lacks = |old: &Option<std::sync::Arc<Layout>>, new: &Option<std::sync::Arc<Layout>>, has: bool| {
        has && old.is_none() && new.is_some()
    };
    lacks(&old.key, &new.key, new.key_has_layout())
        || lacks(&old.value, &new.value, new.value_has_layout())
        || old.inner.as_deref().zip(new.inner.as_deref()).is_some_and(|(old, new)| lacks_layout(old, new))
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
            // A capacity does not keep the kernel from taking a map; the loader is given the pinned one anyway.
            let against = findings
                .iter()
                .find(|finding| finding.rule.rules_out_reuse() && finding.rule != &rules::MAX_ENTRIES_DECREASED);
            match against {
                Some(finding) => {
                    let why = format!("{problem}; policy `reuse` can't be: {}", finding.message);
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

/// Takes up the kept map where that is better than what was decided.
fn take_up_kept(
    inputs: &Inputs<'_>,
    plan: &mut MapPlan,
    kept: &Observed,
    live: &Observed,
    old: &MapDef,
    decision: Decision,
) -> Decision {
    let has_bad_end = matches!(decision.disposition, Disposition::Refuse | Disposition::Swap);
    if !has_bad_end || !old.map_type.is_state() {
        return decision;
    }
    let room = decision.def.max_entries;
    let has_keys = matches!(old.map_type.row().entries, Behaviour::Copied | Behaviour::OneByOne);
    let why = if decision.by == By::Larger && has_keys && fate(old, &decision.def, OnUpgrade::Migrate) == Fate::Carried
    {
        // An array is always full, and of many entries the number is not known: the copy finds out, and changes nothing where
        // they don't fit.
        let told = live.entries.filter(|_| !old.map_type.is_array());
        if let Some(entries) = told.filter(|entries| *entries > u64::from(room)) {
            let why = format!("{}; {entries} entries don't fit the kept map", decision.why);
            return Decision { why, ..decision };
        }
        plan.carried_back = true;
        match told {
            Some(entries) => format!("returns to the kept map of {room}, {entries} entries carried back"),
            None => format!("returns to the kept map of {room}, entries carried back where they fit"),
        }
    } else if inputs.ways_back.contains(&live.pin) {
        plan.settled_back = true;
        "returns to the map kept since the last upgrade; what was written since is converted back".to_owned()
    } else {
        let count = live.entries.map_or("entries".to_owned(), |entries| match entries {
            1 => "1 entry".to_owned(),
            entries => format!("{entries} entries"),
        });
        format!("returns to the map kept since the last upgrade; {count} of the live one not carried back")
    };
    plan.from_kept = true;
    // The state is the live map's where it is carried back.
    if !plan.carried_back {
        (plan.id, plan.pin) = (Some(kept.id), Some(kept.path.clone()));
    }
    Decision { disposition: Disposition::Reuse, why, ..decision }
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
    match fate(old, new, answer) {
        Fate::Refilled if old.map_type == new.map_type => {
            let why = "filled anew by the new programs; the old ones keep theirs".to_owned();
            Decision { disposition: D::Swap, why, ..decision }
        }
        Fate::LeftToReader if answer != OnUpgrade::Swap => {
            let change = if from == to { String::new() } else { format!("{from} -> {to} bytes; ") };
            let why = format!("{change}events not yet read stay in the old buffer, which is kept");
            Decision { disposition: D::Swap, why, ..decision }
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

/// A full LRU drops entries while others are copied into it: each CPU takes up to 128 free entries for itself.
fn warn_of_lru(inputs: &Inputs<'_>, plan: &mut MapPlan, live: &Observed, old: &MapDef, decision: Decision) -> Decision {
    let is_lru = decision.def.map_type.evicts();
    let is_copied = matches!(decision.disposition, Disposition::Grow | Disposition::Migrate) || plan.carried_back;
    let entries = live.entries.unwrap_or(old.max_entries.into());
    let room = u64::from(decision.def.max_entries);
    if !is_lru || !is_copied || room >= entries + u64::from(LOCAL_FREE_TARGET) * u64::from(inputs.node.cpus) {
        return decision;
    }
    plan.may_drop_entries = true;
    let kept = decision.why.strip_suffix(", every entry kept").unwrap_or(&decision.why);
    Decision { why: format!("{kept}; an LRU this full may drop some entries"), ..decision }
}

/// How entries of another layout are converted. Where they can't be, the policy says what to do instead. Those of the same layout are
/// copied into the smaller map that was accepted.
fn with_conversion(
    inputs: &Inputs<'_>,
    plan: &mut MapPlan,
    known: &Recognised,
    (asked, asked_digest): (&LockedMap, Digest),
    policy: &Policy,
    decision: Decision,
) -> Decision {
    if decision.disposition != Disposition::Migrate || known.digest == asked_digest {
        return decision;
    }
    let old = &known.old;
    let conversion = Conversion::lead(asked, known.digest).map_err(|error| error.to_string());
    let way = conversion.and_then(|conversion| {
        let way = inputs.migrations.map(|code| Way::new(&conversion, code, old.key_size, old.value_size));
        way.transpose().map(|_| conversion).map_err(|error| error.to_string())
    });
    let problem = match way {
        Ok(conversion) => {
            plan.conversion = Some(conversion);
            return decision;
        }
        Err(problem) => problem,
    };
    let why = format!("{}; its entries can't be converted: {problem}", decision.why);
    not_converted(policy, why, decision)
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

/// What it takes to carry entries over, where they are.
fn carry_over(inputs: &Inputs<'_>, policy: &Policy, locked: &LockedMap, plan: &mut MapPlan) {
    let Some(def) = plan.def.as_ref() else { return };
    let sums = match sums::resolve(def.value.as_deref(), &summed(policy, locked)) {
        Ok(sums) => sums,
        // Whatever happens to the map today: a later upgrade would fail.
        Err(problem) => {
            (plan.disposition, plan.why) = (Disposition::Refuse, problem);
            return;
        }
    };
    if !matches!(plan.disposition, Disposition::Grow | Disposition::Migrate) && !plan.carried_back {
        return;
    }
    let entries = plan.entries.unwrap_or_else(|| plan.old_max_entries.unwrap_or(0).into());
    plan.estimate = estimate(def.map_type, entries);
    plan.snapshot = match (&plan.conversion, &plan.old) {
        (Some(_), Some(old)) => entries.saturating_mul(entry_bytes(old, inputs.node.cpus)),
        _ if transfer::needs_base(def.map_type, def.value_size, &sums) => {
            entries.saturating_mul(entry_bytes(def, inputs.node.cpus))
        }
        _ => 0,
    };
    plan.sums = sums;
}

/// Paths of the members that are added up: the policy's, and those that the lock's epochs name, which today's value still has.
fn summed(policy: &Policy, locked: &LockedMap) -> BTreeSet<String> {
    let epochs = locked.epochs.iter().flat_map(|epoch| &epoch.merge).filter(|(_, merge)| **merge == Merge::Sum);
    let value = locked.def.value.as_deref();
    let lasting =
        epochs.map(|(path, _)| path).filter(|path| value.is_some_and(|value| sum_places(value, path).is_ok()));
    policy.sum.iter().chain(lasting).cloned().collect()
}

/// Why the lock says so.
fn why(disposition: Disposition, findings: &[Finding], old: &MapDef, new: &MapDef, reason: Option<&str>) -> String {
    let accepted = reason.map_or_else(String::new, |reason| format!(" (accepted: \"{reason}\")"));
    match disposition {
        Disposition::Grow => {
            format!("max_entries {} -> {}, every entry kept{accepted}", old.max_entries, new.max_entries)
        }
        Disposition::Reuse if findings.is_empty() => "same layout".to_owned(),
        Disposition::Reuse if reason.is_none() => format!("same bytes: {}", change(findings)),
        Disposition::Refuse => format!("{}; accepted as `refuse`{accepted}", change(findings)),
        Disposition::Swap => format!("starts empty: {}{accepted}", change(findings)),
        _ => format!("{}{accepted}", change(findings)),
    }
}

/// What was said for the newest epoch that kept the bytes.
fn reuse_reason<'a>(findings: &[Finding], asked: &'a LockedMap, from: Digest) -> Option<&'a str> {
    findings.iter().find(|finding| finding.accepted == Some(OnUpgrade::Reuse))?;
    let epoch = asked.epochs.iter().rev().find(|epoch| epoch.from == from && !epoch.is_bridge())?;
    Some(epoch.reason.as_str())
}

/// The gravest change in a few words: `connections u32 -> u64`, and how many more there are.
fn change(findings: &[Finding]) -> String {
    let mut primary: Vec<_> = findings.iter().filter(|finding| finding.consequence_of.is_none()).collect();
    primary.sort_by_key(|finding| (!finding.needs_decision(), finding.rule.tier));
    let Some(first) = primary.first() else { return "changed".to_owned() };
    let member = [".value.", ".key."].iter().find_map(|part| Some(first.path.split_once(part)?.1));
    let text = match (member, &first.old, &first.new) {
        (Some(member), Some(old), Some(new)) if first.rule != &rules::MEMBER_RENAMED => {
            format!("{member} {old} -> {new}")
        }
        _ => first.message.clone(),
    };
    let more = primary.iter().filter(|finding| finding.needs_decision()).count().saturating_sub(1);
    if more == 0 { text } else { format!("{text}, and {more} more") }
}
