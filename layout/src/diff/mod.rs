//! What differs between two sets of maps, and what that does to pinned state.

mod alone;
mod at;
mod causes;
mod empty;
mod enumerators;
mod layouts;
mod likeness;
mod sink;

use std::collections::{BTreeMap, BTreeSet};

use crate::change::{Change, Outline, Part, Subject};
use crate::config::Levels;
use crate::digest::Digest;
use crate::epoch::{Epoch, Merge, OnUpgrade};
use crate::finding::{Comparison, Disposition, Finding, Rename, Verdict, is_capacity_open};
use crate::history::{chain, leading_to};
use crate::identity::{self, Identities, why_no_rename};
use crate::layout::Layout;
use crate::lock::{Gone, Lock, LockedMap};
use crate::map::{MapDef, Pinning};
use crate::map_type::{Fate, fate_where, why_not};
use crate::must_fit::MustFit;
use crate::reading::readings;
use crate::rules::{self, Attribute, Level, Rule, Tier};
use crate::untold::Untold;
use at::{At, Role, Trail};
use layouts::LayoutDiff;
use sink::{MAX_SEEN, Sink};

pub(crate) use layouts::{meanings_between, rules_between};

/// Holds `new` against `old`. Breaks that an epoch in `new` leads over are marked as accepted.
#[must_use]
pub fn compare(old: &Lock, new: &Lock, levels: &Levels) -> Comparison {
    let mut comparison = Comparison::default();
    let is_pinned = |name: &str| old.maps.get(name).is_some_and(|map| !map.ephemeral);
    let identities = Identities::find(new, is_pinned);
    let found = identities.names_before();
    let names: BTreeSet<&String> = old.maps.keys().chain(new.maps.keys()).collect();
    let (mut open, mut fresh) = (Vec::new(), Vec::new());
    for name in names {
        let mut sink = Sink::new(name, levels);
        let after = new.maps.get(name);
        let before = match identities.before(name).filter(|_| after.is_some()) {
            Some(before) => old.maps.get(before),
            // What was not pinned is of no account to any other map.
            None => old.maps.get(name).filter(|before| before.ephemeral),
        };
        let verdict = match (before, after) {
            (Some(before), Some(after)) => compare_map(before, after, &mut sink),
            (None, Some(after)) => {
                fresh.extend((!after.ephemeral).then_some(&after.def));
                added(after, &mut sink)
            }
            (_, None) => {
                let gone = identities.now(name).and_then(|now| new.gone.get(now));
                let is_elsewhere = found.contains(name.as_str()) && gone.is_none();
                let before = old.maps.get(name).filter(|before| !before.ephemeral && !is_elsewhere);
                before.map(|before| {
                    let verdict = removed(before, gone, &mut sink);
                    open.extend(sink.findings.iter().any(|found| found.accepted.is_none()).then_some(&before.def));
                    verdict
                })
            }
        };
        if let Some(after) = after {
            stale_epochs(after, &mut sink);
        }
        comparison.findings.append(&mut sink.findings);
        comparison.maps.extend(verdict);
    }
    comparison.renames = renames(old, new, (&open, &fresh), levels);
    comparison
}

/// The maps that may have got another name.
fn renames(old: &Lock, new: &Lock, (gone, fresh): (&[&MapDef], &[&MapDef]), levels: &Levels) -> Vec<Rename> {
    let pairs = likeness::pairs(gone, fresh).into_iter();
    let pairs = pairs.filter(|(was, is)| why_no_rename(old, new, &was.name, &is.name).is_none());
    let of = |(was, is): (&MapDef, &MapDef)| {
        let (before, now) = (old.maps.get(&was.name)?, new.maps.get(&is.name)?);
        let before = identity::renamed(before, &is.name);
        let after = LockedMap { epochs: before.epochs.clone(), ..now.clone() };
        let mut sink = Sink::new(&is.name, levels);
        let verdict = compare_map(&before, &after, &mut sink);
        let comparison =
            Comparison { findings: sink.findings, maps: verdict.into_iter().collect(), ..Comparison::default() };
        Some(Rename { old: was.name.clone(), new: is.name.clone(), comparison })
    };
    pairs.filter_map(of).collect()
}

fn added(after: &LockedMap, sink: &mut Sink<'_>) -> Option<Verdict> {
    if after.ephemeral {
        return None;
    }
    let def = &after.def;
    sink.add(&rules::MAP_ADDED, Subject::MAP, Change::Map { old: None, new: Some(Outline::of(def)) });
    alone::new_map(def, sink);
    Some(Verdict { untold: Untold::of(def), ..verdict(&def.name, Disposition::Create, None, Some(def.digest())) })
}

fn removed(before: &LockedMap, gone: Option<&Gone>, sink: &mut Sink<'_>) -> Verdict {
    let def = &before.def;
    let from = def.digest();
    sink.add(&rules::MAP_REMOVED, Subject::MAP, Change::Map { old: Some(Outline::of(def)), new: None });
    let given_up = gone.and_then(|gone| gone.given_up(from));
    let answer = given_up.as_ref().map_or(OnUpgrade::Drop, |given_up| given_up.answer);
    sink.findings.iter_mut().for_each(|finding| finding.accepted = given_up.as_ref().map(|given_up| given_up.answer));
    // As of an empty map in its place.
    let fate = fate_where(def, def, answer, || true);
    let disposition = if answer == OnUpgrade::Refuse { Disposition::Refuse } else { Disposition::Drop };
    let reason = given_up.map(|given_up| given_up.reason);
    let (was, untold) = (Some(def.name.clone()), Untold::of(def));
    Verdict { was, fate, answer, reason, untold, ..verdict(&def.name, disposition, Some(from), None) }
}

fn verdict(map: &str, disposition: Disposition, from: Option<Digest>, to: Option<Digest>) -> Verdict {
    let map = map.to_owned();
    let (reason, merge, cannot) = (None, BTreeMap::new(), Vec::new());
    let (answer, fate) = (OnUpgrade::Reuse, Fate::Stay);
    let (was, eviction, must_fit, readings, untold) = (None, None, None, None, None);
    Verdict {
        map,
        was,
        disposition,
        from,
        to,
        reason,
        merge,
        answer,
        fate,
        eviction,
        must_fit,
        readings,
        cannot,
        untold,
    }
}

fn compare_map(before: &LockedMap, after: &LockedMap, sink: &mut Sink<'_>) -> Option<Verdict> {
    let (old, new) = (&before.def, &after.def);
    if old.name != new.name {
        let change = Change::MapRenamed { old: old.name.clone(), new: new.name.clone() };
        sink.add(&rules::MAP_RENAMED, Subject::MAP, change);
    }
    match (before.ephemeral, after.ephemeral) {
        (true, true) => return None,
        (true, false) => {
            sink.add(&rules::PINNING_ADDED, Subject::MAP, Change::Pinned { new: true });
        }
        (false, true) => {
            sink.add(&rules::PINNING_REMOVED, Subject::MAP, Change::Pinned { new: false });
        }
        (false, false) => {
            // What the daemon sets is no change of the objects.
            let bare = |def: &MapDef| after.runtime_flags.then(|| def.without_flags_of_memory());
            let (bare_old, bare_new) = (bare(old), bare(new));
            compare_defs(bare_old.as_ref().unwrap_or(old), bare_new.as_ref().unwrap_or(new), &Subject::MAP, sink);
            if sink.seen >= MAX_SEEN && sink.kept[1] == 0 {
                let change = Change::TooMuch { looked_at: MAX_SEEN };
                sink.add(&rules::VALUE_TYPE_CHANGED, Subject::MAP.part(Part::Value), change);
                sink.findings.iter_mut().rev().take(1).for_each(|finding| finding.level = Level::Deny);
            }
        }
    }
    let (from, to) = (old.digest(), new.digest());
    let acceptance = Acceptance::find(after, from, to);
    for finding in &mut sink.findings {
        finding.accepted = acceptance.of(finding.rule, before, after);
    }
    if before.ephemeral {
        return Some(Verdict { untold: Untold::of(new), ..verdict(&new.name, Disposition::Create, None, Some(to)) });
    }
    let mut answer = answer(&sink.findings, &acceptance);
    // What a daemon set is as large as is asked for, or larger, or grows.
    let is_sized = old.lacks_capacity() == new.lacks_capacity();
    let sized = (!is_sized).then(|| MapDef { max_entries: new.max_entries, ..old.clone() });
    let fate_of = |answer| fate_where(sized.as_ref().unwrap_or(old), new, answer, || from == to);
    let mut fate = fate_of(answer);
    let because = match &fate {
        // Of none, the capacity was set at run time.
        Fate::KeepSize(because) if old.max_entries > 0 => Some((because, sink.level(&rules::CAPACITY_STAYS))),
        // Of a type that is not known: a person has to say that its entries may go.
        Fate::Refused(because) if answer == OnUpgrade::Reuse => Some((because, Level::Deny)),
        _ => None,
    };
    if let Some((because, level)) = because {
        keeps_size(sink, (because, level), &acceptance, before, after);
        answer = self::answer(&sink.findings, &acceptance);
        fate = fate_of(answer);
    }
    let mut cannot = Vec::new();
    if !after.ephemeral && !sink.findings.is_empty() {
        let ways = [OnUpgrade::Reuse, OnUpgrade::Migrate];
        cannot.extend(ways.into_iter().filter_map(|way| Some((way, why_not(old, way, &fate_of(way))?))));
    }
    // A node goes on with the capacity that it has, if that is all that is open.
    let goes_on = from == to && is_capacity_open(&sink.findings);
    let does = if goes_on { OnUpgrade::Reuse } else { answer };
    if goes_on {
        fate = fate_of(does);
    }
    let disposition = disposition(&fate, does);
    let reason = acceptance.reason(&sink.findings, answer, before, after);
    let is_carried = matches!(disposition, Disposition::Grow | Disposition::Migrate);
    let eviction = new.map_type.eviction().filter(|_| is_carried);
    let must_fit = MustFit::of(before, after).filter(|_| matches!(fate, Fate::Carried | Fate::Converted));
    let is_of_bytes = |found: &Finding| found.rule.tier == Tier::Bytes || found.rule == &rules::MEMBER_RENAMED;
    let has_bytes = sink.findings.iter().any(is_of_bytes);
    let readings = if has_bytes && !after.ephemeral { readings(old, new) } else { None };
    let summed = if is_carried { after.summed(from) } else { BTreeSet::new() };
    let merge = summed.into_iter().map(|path| (path, Merge::Sum)).collect();
    let (was, untold) = (Some(old.name.clone()), Untold::of(new));
    let verdict = verdict(&new.name, disposition, Some(from), Some(to));
    Some(Verdict { was, reason, merge, answer, fate, eviction, must_fit, readings, cannot, untold, ..verdict })
}

/// Says of a larger capacity that the map does not get it.
fn keeps_size(
    sink: &mut Sink<'_>,
    (because, level): (&str, Level),
    acceptance: &Acceptance<'_>,
    before: &LockedMap,
    after: &LockedMap,
) {
    let rule = &rules::CAPACITY_STAYS;
    let larger = sink.findings.iter_mut().filter(|finding| finding.rule == &rules::MAX_ENTRIES_INCREASED);
    for finding in larger {
        (finding.rule, finding.level) = (rule, level);
        finding.accepted = acceptance.of(rule, before, after);
        let (old, new) = (before.def.max_entries, after.def.max_entries);
        finding.change = Change::CapacityStays { old, new, because: because.to_owned() };
    }
}

/// Attributes and layouts of one map, or of the template of the maps that it holds.
fn compare_defs(old: &MapDef, new: &MapDef, subject: &Subject, sink: &mut Sink<'_>) {
    let is_inner = subject.inner > 0;
    if old.map_type != new.map_type {
        let change = Change::Type { old: old.map_type, new: new.map_type };
        sink.add(&rules::MAP_TYPE_CHANGED, subject.clone(), change);
    }
    let layouts = sink.len();
    compare_key_or_value(
        (&old.key, old.key_size),
        (&new.key, new.key_size),
        &subject.part(Part::Key),
        (Role::Key, &rules::KEY_SIZE_CHANGED),
        sink,
    );
    compare_key_or_value(
        (&old.value, old.value_size),
        (&new.value, new.value_size),
        &subject.part(Part::Value),
        (Role::Value, &rules::VALUE_SIZE_CHANGED),
        sink,
    );
    let layouts = sink.findings.split_off(layouts.min(sink.len()));

    let capacity = Change::MaxEntries { old: old.max_entries, new: new.max_entries };
    if is_inner {
        let fixed = old.inner_capacity_is_fixed() || new.inner_capacity_is_fixed();
        if old.max_entries != new.max_entries {
            let free = Change::InnerCapacity { old: old.max_entries, new: new.max_entries };
            let (rule, change) = match fixed {
                true => (&rules::INNER_MAP_CHANGED, capacity),
                false => (&rules::INNER_CAPACITY_CHANGED, free),
            };
            sink.add(rule, subject.clone(), change);
        }
    } else if old.lacks_capacity() != new.lacks_capacity() {
        let change = Change::CapacityAtRunTime { old: old.max_entries, new: new.max_entries };
        sink.add(&rules::CAPACITY_AT_RUN_TIME, subject.clone(), change);
    } else if new.max_entries > old.max_entries {
        sink.add(&rules::MAX_ENTRIES_INCREASED, subject.clone(), capacity);
    } else if new.max_entries < old.max_entries {
        sink.add(&rules::MAX_ENTRIES_DECREASED, subject.clone(), capacity);
    }
    if old.effective_flags() != new.effective_flags() {
        let change = Change::Flags { old: old.effective_flags(), new: new.effective_flags() };
        sink.add(&rules::FLAGS_CHANGED, subject.clone(), change);
    }
    if old.map_extra != new.map_extra {
        let change = Change::MapExtra { old: old.map_extra, new: new.map_extra };
        sink.add(&rules::MAP_EXTRA_CHANGED, subject.clone(), change);
    }
    if !is_inner && old.pinning != new.pinning {
        let rule = if old.pinning == Pinning::ByName || new.pinning == Pinning::None {
            &rules::PINNING_REMOVED
        } else {
            &rules::PINNING_ADDED
        };
        sink.add(rule, subject.clone(), Change::Pinning { old: old.pinning, new: new.pinning });
    }
    if old.version != new.version {
        let change = Change::Meaning { old: old.version, new: new.version, of: None };
        sink.add(&rules::MEANING_CHANGED, subject.clone(), change);
    }
    match (&old.inner, &new.inner) {
        (Some(old), Some(new)) => {
            let subject = Subject { inner: subject.inner + 1, ..subject.clone() };
            compare_defs(old, new, &subject, sink);
        }
        (None, None) => {}
        (old, new) => {
            let outline = |inner: &Option<Box<MapDef>>| inner.as_deref().map(Outline::of);
            let change = Change::Template { old: outline(old), new: outline(new) };
            sink.add(&rules::INNER_MAP_CHANGED, subject.clone(), change);
        }
    }
    sink.findings.extend(layouts);
}

type Side<'a> = (&'a Option<std::sync::Arc<Layout>>, u32);

fn compare_key_or_value(
    (old, old_size): Side<'_>,
    (new, new_size): Side<'_>,
    subject: &Subject,
    (role, size_rule): (Role, &'static Rule),
    sink: &mut Sink<'_>,
) {
    let start = sink.len();
    match (old, new) {
        (Some(old), Some(new)) => {
            let at = At { trail: Trail::Whole(subject), role, old_bits: 0, new_bits: 0 };
            LayoutDiff::default().compare(old, new, at, sink);
        }
        (Some(old), None) => {
            let change = Change::TypeUntold { old: old.spelling(), new: new_size.into() };
            sink.add(&rules::LAYOUT_REMOVED, subject.clone(), change);
        }
        (None, Some(new)) => {
            let change = Change::TypeTold { old: old_size.into(), new: new.spelling() };
            sink.add(&rules::LAYOUT_ADDED, subject.clone(), change);
        }
        (None, None) => {}
    }
    if old_size != new_size {
        let primary = || sink.since(start).filter(|f| f.rule.tier == Tier::Bytes && f.consequence_of.is_none());
        // A move changes no size by itself; what was added, removed or resized last is nearest to the end.
        let cause = primary().rfind(|finding| finding.rule != &rules::MEMBER_MOVED).or_else(|| primary().next());
        let cause = cause.map(|finding| finding.subject.clone());
        let change = Change::Size { old: old_size.into(), new: new_size.into() };
        sink.add_consequence(size_rule, subject.clone(), change, cause);
    }
}

/// The epochs of one map that lead from an old definition to the new one.
struct Acceptance<'a> {
    /// One epoch behind the other, from the old digest to the new; `None` if there is no way.
    chain: Option<Vec<&'a Epoch>>,
    /// Those that stay on a digest of the way, accepting what no digest tells.
    aside: Vec<&'a Epoch>,
}

impl<'a> Acceptance<'a> {
    fn find(map: &'a LockedMap, from: Digest, to: Digest) -> Self {
        let chain = chain(&map.epochs, from, to);
        let mut stations: BTreeSet<Digest> = chain.iter().flatten().map(|epoch| epoch.to).collect();
        stations.extend([from, to]);
        let aside =
            map.epochs.iter().filter(|epoch| epoch.from == epoch.to && stations.contains(&epoch.from)).collect();
        Self { chain, aside }
    }

    fn all(&self) -> impl Iterator<Item = &'a Epoch> {
        self.chain.iter().flatten().copied().chain(self.aside.iter().copied())
    }

    /// What to do about a finding between `old` and `new`, if that was accepted.
    fn of(&self, rule: &'static Rule, old: &LockedMap, new: &LockedMap) -> Option<OnUpgrade> {
        let names = |epoch: &&Epoch| epoch.rules.iter().any(|id| id == rule.id);
        let answer = |epochs: &mut dyn Iterator<Item = &Epoch>| epochs.map(|epoch| epoch.on_upgrade).max();
        if !rule.effect.in_digest {
            // No digest binds these, so that both sides must be within what was looked at.
            let lessened = rule.effect.attribute.filter(|_| !rule.effect.keeps_bytes);
            let allows = || self.allows_capacity(old.def.max_entries, new.def.max_entries);
            if lessened == Some(Attribute::MaxEntries) && !allows() {
                return None;
            }
            let covers = |epoch: &&Epoch| covers(epoch, rule, old, new);
            let answer = answer(&mut self.all().filter(names).filter(covers));
            // What keeps every byte was accepted beside something else: the answer is to that, and not to what comes later. Another
            // way to be pinned changes nothing of what is.
            let is_pinned = rule.effect.attribute == Some(Attribute::Pinning) && !new.ephemeral;
            let asks = !rule.effect.keeps_bytes && !is_pinned || rule == &rules::CAPACITY_STAYS;
            return if asks { answer } else { answer.map(|_| OnUpgrade::Reuse) };
        }
        let chain = self.chain.as_ref()?;
        let is_accepted = match chain.as_slice() {
            // One epoch names exactly what changed.
            [only] => names(only),
            // Over several, changes may have met: a member that was removed and another that was added are a renamed
            // one. Somebody must have accepted this, or something graver; what `update` recorded by itself is none.
            several => several.iter().filter(|epoch| !epoch.is_bridge()).any(|epoch| {
                let tiers = epoch.rules.iter().filter_map(|id| rules::find(id)).map(|rule| rule.tier);
                names(epoch)
                    || tiers
                        .min()
                        .is_some_and(|gravest| gravest < rule.tier || gravest == rule.tier && rule.tier == Tier::Bytes)
            }),
        };
        let answer = answer(&mut chain.iter().copied()).filter(|_| is_accepted)?;
        // Two steps that each kept the bytes may add up to one that the kernel refuses.
        rule.effect.answers.contains(&answer).then_some(answer)
    }

    /// True if somebody was asked about a change of this kind on the way, and answered.
    fn is_answered(&self, rule: &Rule) -> bool {
        let names = |epoch: &&Epoch| !epoch.is_bridge() && epoch.rules.iter().any(|id| id == rule.id);
        rule.effect.in_digest && self.chain.iter().flatten().any(names)
    }

    /// True if what was accepted leads from one capacity down to another, in one step or several.
    fn allows_capacity(&self, from: u32, to: u32) -> bool {
        let mut at = from;
        while at > to {
            let steps = self.all().filter(|epoch| epoch.previous.max_entries >= at);
            match steps.filter_map(|epoch| epoch.max_entries).min() {
                Some(next) if next < at => at = next,
                _ => return false,
            }
        }
        true
    }

    /// What was said by those who gave this answer, to what was found. Of an older acceptance that does not answer, nothing.
    fn reason(&self, findings: &[Finding], answer: OnUpgrade, old: &LockedMap, new: &LockedMap) -> Option<String> {
        let accepted = || findings.iter().filter(|finding| finding.accepted == Some(answer));
        accepted().next()?;
        let answers = |epoch: &&Epoch| {
            let mut rules = accepted().map(|finding| finding.rule);
            let covers =
                |rule: &'static Rule| epoch.rules.iter().any(|id| id == rule.id) && covers(epoch, rule, old, new);
            !epoch.is_bridge() && epoch.on_upgrade == answer && (epoch.from != epoch.to || rules.any(covers))
        };
        let mut reasons: Vec<&str> = Vec::new();
        for epoch in self.all().filter(answers) {
            if !reasons.contains(&epoch.reason.as_str()) {
                reasons.push(&epoch.reason);
            }
        }
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }
}

/// True if what an epoch accepts of a rule, if it does, is of the step between these two. Of what a digest tells, the way says so.
fn covers(epoch: &Epoch, rule: &'static Rule, old: &LockedMap, new: &LockedMap) -> bool {
    let lessened = !rule.effect.keeps_bytes;
    match rule.effect.attribute {
        _ if rule.effect.in_digest => true,
        Some(Attribute::Pinning) if lessened => old.def.pinning == epoch.previous.pinning,
        // Of several shrinks, those that lie between the two capacities.
        Some(Attribute::MaxEntries) if lessened => {
            epoch.max_entries.is_some_and(|most| most < old.def.max_entries)
                && epoch.previous.max_entries > new.def.max_entries
        }
        _ if rule == &rules::CAPACITY_STAYS => epoch.max_entries.is_some_and(|most| new.def.max_entries <= most),
        _ => true,
    }
}

/// What these findings of a map that is on both sides come to.
fn answer(findings: &[Finding], acceptance: &Acceptance<'_>) -> OnUpgrade {
    // What was decided counts wherever it is read: a node does not know which levels the build had set.
    let is_decided = |finding: &&Finding| {
        finding.needs_decision() || finding.accepted.is_some() || acceptance.is_answered(finding.rule)
    };
    let answers = findings.iter().filter(is_decided).map(|finding| finding.accepted.unwrap_or(OnUpgrade::Refuse));
    answers.max().unwrap_or(OnUpgrade::Reuse)
}

/// What a node does to a map whose entries come to this.
fn disposition(fate: &Fate, answer: OnUpgrade) -> Disposition {
    match fate {
        Fate::Stay | Fate::KeepSize(_) => Disposition::Reuse,
        Fate::Carried if answer == OnUpgrade::Reuse => Disposition::Grow,
        Fate::Carried | Fate::Converted => Disposition::Migrate,
        Fate::Refilled | Fate::LeftToReader | Fate::GivenUp => Disposition::Swap,
        Fate::Refused(_) => Disposition::Refuse,
    }
}

/// Reports epochs from which no way leads to the map's definition.
fn stale_epochs(map: &LockedMap, sink: &mut Sink<'_>) {
    let current = map.def.digest();
    let leading = leading_to(&map.epochs, current);
    for epoch in &map.epochs {
        if !leading.contains(&epoch.to) {
            let change = Change::Stale { from: epoch.from, old: epoch.to, new: current };
            sink.add(&rules::STALE_EPOCH, Subject::MAP, change);
        }
    }
}
