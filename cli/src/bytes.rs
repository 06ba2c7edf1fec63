//! What a change does to the bytes of a map's entries: where each member stood and stands, and an entry as an example.

use maplock_layout::conversion::{Answers, DerivedLeg};
use maplock_layout::lock::OnUpgrade;
use maplock_layout::{Disposition, Example, Layout, MapDef, Ruler, Span, SpanFate, Verdict, listing, values};

use crate::map_part::MapPart;
use crate::outcome::{Outcome, count};

/// What a change does to the bytes of one map.
pub(crate) struct Bytes {
    /// Keys and values whose bytes are not the same on both sides.
    pub(crate) rulers: Vec<(MapPart, Ruler)>,
    /// An entry, made up.
    pub(crate) example: Option<Said>,
}

/// What an entry of the old release says, in members with their values.
pub(crate) struct Said {
    /// As the old release wrote it.
    pub(crate) wrote: String,
    /// What the new programs would take the same bytes for; `None` if they get a map without them.
    pub(crate) read: Option<String>,
    /// What it becomes if it is converted, and whether an epoch of the lock says so.
    pub(crate) converted: Option<Converted>,
    /// True if members that are the same in all of these are left out.
    pub(crate) is_short: bool,
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
        let ruler = |part: MapPart| {
            let ruler = Ruler::of(part.layout(old)?, part.layout(new)?)?;
            (!ruler.is_same()).then_some((part, ruler))
        };
        let rulers: Vec<_> = MapPart::ALL.into_iter().filter_map(ruler).collect();
        if rulers.is_empty() {
            return None;
        }
        let parts: Vec<_> = rulers.iter().map(|(part, _)| *part).collect();
        // What a conversion makes of a small number tells more.
        let reader = Some(new).filter(|_| verdict.disposition != Disposition::Migrate);
        let mut example = Entry::of(old, reader, &parts).map(|entry| self.said(verdict, (old, new), &entry, &parts));
        let padding: Vec<_> = rulers.iter().flat_map(|(_, ruler)| in_padding(ruler)).collect();
        if let Some(read) = example.as_mut().and_then(|said| said.read.as_mut()).filter(|_| !padding.is_empty()) {
            let was = if padding.len() == 1 { "was" } else { "were" };
            read.push_str(&format!("; {} {was} padding, which may hold anything", listing::list(&padding)));
        }
        Some(Bytes { rulers, example })
    }

    fn said(&self, verdict: &Verdict, (old, new): (&MapDef, &MapDef), entry: &Entry, parts: &[MapPart]) -> Said {
        let tell = |def: &MapDef, entry: &Entry| {
            let tell = |part: &MapPart| {
                let name = if part.is_key() { "key" } else { "value" };
                values::members(part.layout(def), name, entry.bytes(*part).unwrap_or_default())
            };
            parts.iter().map(tell).collect()
        };
        let converted = self.converted(verdict, (old, new), entry);
        let mut told: Vec<Vec<Members>> = vec![tell(old, entry), tell(new, entry)];
        let is_accepted = converted.map(|(entry, is_accepted)| {
            told.push(tell(new, &entry));
            is_accepted
        });
        let (lines, is_short) = lines(&told, parts);
        let mut lines = lines.into_iter();
        let mut next = || lines.next().unwrap_or_default();
        let starts_empty = verdict.disposition == Disposition::Swap;
        Said {
            wrote: next(),
            read: Some(format!("{}{}", next(), beyond(new, entry, parts))).filter(|_| !starts_empty),
            converted: is_accepted.map(|is_accepted| Converted { entry: next(), is_accepted }),
            is_short,
        }
    }

    /// The entry in the new layout: over the epochs that lead there, else as it would be without an answer to anything.
    /// `None` if no node converts it: those of inner maps stay as they are, whatever becomes of the map that holds them.
    fn converted(&self, verdict: &Verdict, (old, new): (&MapDef, &MapDef), entry: &Entry) -> Option<(Entry, bool)> {
        let over = |leg: &DerivedLeg, entry: &Example| {
            Some(Example { key: leg.key.convert(&entry.key).ok()?, value: leg.value.convert(&entry.value).ok()? })
        };
        if verdict.cannot.iter().any(|(way, _)| *way == OnUpgrade::Migrate) {
            return None;
        }
        let own = entry.own.as_ref()?;
        let of = |own: Example| Entry { own: Some(own), inner: entry.inner.clone() };
        let steps = self.steps(verdict);
        if verdict.disposition == Disposition::Migrate {
            let mut own = own.clone();
            for step in &steps {
                own = over(&step.derive().ok()??.leg, &own)?;
            }
            return (!steps.is_empty()).then(|| (of(own), true));
        }
        let is_open = verdict.disposition == Disposition::Refuse && self.accepted(verdict).is_none();
        let leg = is_open.then(|| DerivedLeg::derive(old, new, &Answers::default()).ok())??.leg;
        Some((of(over(&leg, own)?), false))
    }
}

/// An entry of a map, and one of a map that it holds.
struct Entry {
    own: Option<Example>,
    inner: Option<Example>,
}

impl Entry {
    /// One that has these parts; `None` if nothing tells what is in one of them.
    fn of(def: &MapDef, reader: Option<&MapDef>, parts: &[MapPart]) -> Option<Self> {
        let inner_reader = reader.and_then(|reader| reader.inner.as_deref());
        let inner = def.inner.as_deref().and_then(|def| Example::for_reader(def, inner_reader));
        let entry = Self { own: Example::for_reader(def, reader), inner };
        parts.iter().all(|part| entry.bytes(*part).is_some()).then_some(entry)
    }

    fn bytes(&self, part: MapPart) -> Option<&[u8]> {
        let of = if part.is_inner() { &self.inner } else { &self.own }.as_ref()?;
        Some(if part.is_key() { &of.key } else { &of.value })
    }
}

/// Members, and what is in them.
type Members = Vec<(String, String)>;

/// Most members of a key or value that an example tells.
const MOST: usize = 8;

/// A line for each of the entries, of the members that are not the same in all of them; and true if there are others beside these.
fn lines(entries: &[Vec<Members>], parts: &[MapPart]) -> (Vec<String>, bool) {
    let is_same = |at: usize, member: &(String, String)| entries.iter().all(|of| of[at].contains(member));
    let mut is_short = false;
    let mut line = |of: &Vec<Members>| {
        let told = parts.iter().enumerate().map(|(at, part)| {
            let name = part.name();
            let differ: Vec<_> = of[at].iter().filter(|member| !is_same(at, member)).collect();
            let mut words: Vec<_> = differ.iter().take(MOST).map(|(name, value)| format!("{name} {value}")).collect();
            if differ.len() > MOST {
                words.push(format!("and {} more", count(differ.len() - MOST, "member")));
            }
            let same = of[at].len() - differ.len();
            is_short |= same > 0 && !words.is_empty();
            match (words.is_empty(), same) {
                (true, 0) => format!("{name}: nothing"),
                (true, _) => format!("{name}: the same"),
                (false, _) => format!("{name}: {}", words.join(", ")),
            }
        });
        told.collect::<Vec<_>>().join("; ")
    };
    let lines = entries.iter().map(&mut line).collect();
    (lines, is_short)
}

/// New members of which some bytes were those of no member.
fn in_padding(ruler: &Ruler) -> Vec<String> {
    let holes = || ruler.old.iter().filter(|span| span.fate == SpanFate::Hole);
    let is_new = |span: &&Span| matches!(span.fate, SpanFate::New | SpanFate::Grew | SpanFate::Moved);
    let meets = |span: &&Span| holes().any(|hole| hole.start < span.end && span.start < hole.end);
    ruler.new.iter().filter(is_new).filter(meets).map(|span| format!("`{}`", span.name)).collect()
}

/// Members of the new layout that lie behind the end of the old bytes: the old release wrote nothing there.
fn beyond(new: &MapDef, entry: &Entry, parts: &[MapPart]) -> String {
    let mut names = Vec::new();
    for part in parts {
        let len = entry.bytes(*part).map_or(0, <[u8]>::len);
        let Some(of) = part.layout(new).and_then(Layout::composite) else { continue };
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
