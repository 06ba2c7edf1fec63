//! What a change does to the bytes of a map's entries: where each member stood and stands, and an entry as an example.

use maplock_layout::conversion::{Answers, DerivedLeg};
use maplock_layout::{Disposition, Example, Layout, MapDef, Ruler, Span, SpanFate, Verdict, values};

use crate::outcome::Outcome;

/// What a change does to the bytes of one map.
pub(crate) struct Bytes {
    /// Keys, if their bytes are not the same on both sides.
    pub(crate) key: Option<Ruler>,
    /// Values, likewise.
    pub(crate) value: Option<Ruler>,
    /// An entry, made up.
    pub(crate) example: Option<Said>,
}

/// What an entry of the old release says, in members with their values.
pub(crate) struct Said {
    /// As the old release wrote it.
    pub(crate) wrote: String,
    /// What the new programs would take the same bytes for.
    pub(crate) read: String,
    /// What it becomes if it is converted, and whether an epoch of the lock says so.
    pub(crate) converted: Option<Converted>,
}

/// A converted entry.
pub(crate) struct Converted {
    pub(crate) entry: String,
    /// True if it is what nodes do; else it is what they would, if that was accepted.
    pub(crate) is_accepted: bool,
}

impl Outcome {
    /// What becomes of the bytes of a map; `None` if they stay what they are, or nothing tells.
    pub(crate) fn bytes(&self, verdict: &Verdict) -> Option<Bytes> {
        let old = &self.old.lock.maps.get(verdict.was.as_ref()?)?.def;
        let new = &self.new.lock.maps.get(&verdict.map)?.def;
        if old.digest() == new.digest() {
            return None;
        }
        let ruler = |old: &Option<_>, new: &Option<_>| {
            let (old, new): (&std::sync::Arc<Layout>, &std::sync::Arc<Layout>) = (old.as_ref()?, new.as_ref()?);
            Ruler::of(old, new).filter(|ruler| !ruler.is_same())
        };
        let (key, value) = (ruler(&old.key, &new.key), ruler(&old.value, &new.value));
        if key.is_none() && value.is_none() {
            return None;
        }
        let parts = [key.is_some(), value.is_some()];
        let mut example = Example::of(old).map(|entry| self.said(verdict, (old, new), &entry, parts));
        let padding: Vec<_> = key.iter().chain(&value).flat_map(in_padding).collect();
        if let Some(said) = example.as_mut().filter(|_| !padding.is_empty()) {
            said.read.push_str(&format!("; {} was padding, which may hold anything", padding.join(", ")));
        }
        Some(Bytes { key, value, example })
    }

    fn said(&self, verdict: &Verdict, (old, new): (&MapDef, &MapDef), entry: &Example, parts: [bool; 2]) -> Said {
        let tell = |def: &MapDef, key: &[u8], value: &[u8]| {
            let part = |layout: Option<&Layout>, name: &str, bytes: &[u8]| values::members(layout, name, bytes);
            [part(def.key.as_deref(), "key", key), part(def.value.as_deref(), "value", value)]
        };
        let converted = self.converted(verdict, (old, new), entry);
        let mut told = vec![tell(old, &entry.key, &entry.value), tell(new, &entry.key, &entry.value)];
        let is_accepted = converted.map(|(Example { key, value }, is_accepted)| {
            told.push(tell(new, &key, &value));
            is_accepted
        });
        let mut lines = lines(&told, parts).into_iter();
        let mut next = || lines.next().unwrap_or_default();
        Said {
            wrote: next(),
            read: format!("{}{}", next(), beyond(new, entry, parts)),
            converted: is_accepted.map(|is_accepted| Converted { entry: next(), is_accepted }),
        }
    }

    /// The entry in the new layout: over the epochs that lead there, else as it would be without an answer to anything.
    fn converted(&self, verdict: &Verdict, (old, new): (&MapDef, &MapDef), entry: &Example) -> Option<(Example, bool)> {
        let over = |leg: &DerivedLeg, key: &[u8], value: &[u8]| {
            Some(Example { key: leg.key.convert(key).ok()?, value: leg.value.convert(value).ok()? })
        };
        let steps = self.steps(verdict);
        if verdict.disposition == Disposition::Migrate {
            let mut entry = entry.clone();
            for step in &steps {
                entry = over(&step.derive().ok()??.leg, &entry.key, &entry.value)?;
            }
            return (!steps.is_empty()).then_some((entry, true));
        }
        let is_open = verdict.disposition == Disposition::Refuse && self.accepted(verdict).is_none();
        let leg = is_open.then(|| DerivedLeg::derive(old, new, &Answers::default()).ok())??.leg;
        Some((over(&leg, &entry.key, &entry.value)?, false))
    }
}

/// Members, and what is in them.
type Members = Vec<(String, String)>;

/// Most members of a key or value that an example tells.
const MOST: usize = 8;

/// A line for each of the entries, of the members that are not the same in all of them.
fn lines(entries: &[[Members; 2]], parts: [bool; 2]) -> Vec<String> {
    let is_same = |part: usize, member: &(String, String)| entries.iter().all(|of| of[part].contains(member));
    let line = |of: &[Members; 2]| {
        let told = [(0, "key"), (1, "value")].into_iter().filter(|(part, _)| parts[*part]).map(|(part, name)| {
            let differ: Vec<_> = of[part].iter().filter(|member| !is_same(part, member)).collect();
            let mut words: Vec<_> = differ.iter().take(MOST).map(|(name, value)| format!("{name} {value}")).collect();
            if differ.len() > MOST {
                words.push(format!("{} more", differ.len() - MOST));
            }
            let same = of[part].len() - differ.len();
            match (words.is_empty(), same) {
                (true, 0) => format!("{name}: nothing"),
                (true, _) => format!("{name}: the same"),
                (false, 0) => format!("{name}: {}", words.join(", ")),
                (false, _) => format!("{name}: .., {}", words.join(", ")),
            }
        });
        told.collect::<Vec<_>>().join("; ")
    };
    entries.iter().map(line).collect()
}

/// New members of which some bytes were those of no member.
fn in_padding(ruler: &Ruler) -> Vec<String> {
    let holes = || ruler.old.iter().filter(|span| span.fate == SpanFate::Hole);
    let is_new = |span: &&Span| matches!(span.fate, SpanFate::New | SpanFate::Grew | SpanFate::Moved);
    let meets = |span: &&Span| holes().any(|hole| hole.start < span.end && span.start < hole.end);
    ruler.new.iter().filter(is_new).filter(meets).map(|span| format!("`{}`", span.name)).collect()
}

/// Members of the new layout that lie behind the end of the old bytes: the old release wrote nothing there.
fn beyond(new: &MapDef, entry: &Example, parts: [bool; 2]) -> String {
    let sides = [(parts[0], &new.key, entry.key.len()), (parts[1], &new.value, entry.value.len())];
    let mut names = Vec::new();
    for (_, layout, len) in sides.into_iter().filter(|(is_told, ..)| *is_told) {
        let Some(of) = layout.as_deref().and_then(Layout::composite) else { continue };
        let ends_behind = |offset: u64, size: u64| (offset + size).div_ceil(8) > len as u64;
        let flat = of.flat_members().into_iter();
        names.extend(
            flat.filter(|flat| ends_behind(flat.offset_bits, flat.member.size_bits()))
                .map(|flat| format!("`{}`", flat.member.name)),
        );
    }
    match names.len() {
        0 => String::new(),
        1 => format!("; {} reaches past the end of the old bytes", names[0]),
        _ => format!("; {} reach past the end of the old bytes", names.join(", ")),
    }
}
