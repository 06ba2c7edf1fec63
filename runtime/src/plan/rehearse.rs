//! What becomes of every entry that a map holds now: all of them are converted, and none is written.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::{Duration, Instant};

use maplock_layout::conversion::{Cast, Collide, Conversion, Leg};
use maplock_layout::map_type::Behaviour;
use maplock_layout::{MapDef, differing};

use crate::error::{Error, ErrorKind};
use crate::generation::derivation::ways_between;
use crate::generation::site::Site;
use crate::plan::sample::open_live;
use crate::plan::types::{Action, Live, MapPlan, Since};
use crate::transfer::migrate::Migrations;
use crate::transfer::{self, Way};

/// A key and a value; in a per-CPU map, that of one CPU.
pub type Entry = (Vec<u8>, Vec<u8>);

/// What came of a rehearsal of one map. It is a picture of the moment: programs go on writing.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Rehearsed {
    /// Name of the map.
    pub map: String,
    /// What the entries are.
    pub old: MapDef,
    /// What they become.
    pub new: MapDef,
    /// Into the map that is kept, as an older release does.
    pub is_return: bool,
    /// True if each is converted, and not copied as it is.
    pub is_converted: bool,
    /// Entries that were read.
    pub entries: u64,
    /// Those that the upgrade refuses: a number that does not fit, an index that a smaller array lacks.
    pub refused: u64,
    /// Those in which a number does not fit and becomes the nearest that does.
    pub saturated: u64,
    /// Those in which a number does not fit and keeps its low bits.
    pub truncated: u64,
    /// Those that get the key of another.
    pub collided: u64,
    /// What becomes of those; `None` if no two can have one key.
    pub collide: Option<Collide>,
    /// How many entries there is no room for.
    pub no_room: u64,
    /// The way back.
    pub back: WayBack,
    /// Some entries of each kind, with what they become.
    pub examples: Vec<Example>,
    /// How long it took.
    pub time: Duration,
}

/// What the way back gives back of entries that were converted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WayBack {
    /// None is converted: they are the same bytes.
    Same,
    /// So many entries come back otherwise than they were: by member, in how many.
    Tried {
        /// Entries.
        differ: u64,
        /// Members that differ.
        members: BTreeMap<String, u64>,
    },
    /// No way leads back.
    None,
}

/// What may be seen of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// It can't be converted.
    Refused,
    /// A number in it becomes the nearest that fits.
    Saturated,
    /// A number in it keeps its low bits.
    Truncated,
    /// It gets the key of another.
    Collided,
    /// It does not come back as it was.
    Lost,
}

impl Kind {
    /// All of them, gravest first.
    pub const ALL: [Self; 5] = [Self::Refused, Self::Saturated, Self::Truncated, Self::Collided, Self::Lost];

    /// Its name in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Saturated => "saturated",
            Self::Truncated => "truncated",
            Self::Collided => "collided",
            Self::Lost => "lost",
        }
    }
}

/// An entry of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// The kind.
    pub kind: Kind,
    /// The entry.
    pub old: Entry,
    /// What it becomes; or why it can't be converted, as a phrase.
    pub becomes: Result<Vec<Entry>, String>,
    /// What comes back of it, if that differs.
    pub back: Option<Entry>,
    /// The key of the other entry, of two that get one.
    pub other: Option<Vec<u8>>,
}

/// What can't be rehearsed, and why: a phrase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untried {
    /// Name of the map.
    pub map: String,
    /// Why.
    pub why: String,
}

impl Rehearsed {
    /// How many entries of a kind there are.
    #[must_use]
    pub fn count(&self, kind: Kind) -> u64 {
        match (kind, &self.back) {
            (Kind::Refused, _) => self.refused,
            (Kind::Saturated, _) => self.saturated,
            (Kind::Truncated, _) => self.truncated,
            (Kind::Collided, _) => self.collided,
            (Kind::Lost, WayBack::Tried { differ, .. }) => *differ,
            (Kind::Lost, WayBack::Same | WayBack::None) => 0,
        }
    }

    /// True if the upgrade would end here, and change nothing.
    #[must_use]
    pub fn fails(&self) -> bool {
        let may_meet = matches!(self.collide, Some(Collide::Sum | Collide::KeepOne));
        self.refused > 0 || self.no_room > 0 || self.collided > 0 && !may_meet
    }

    /// What came of it, in a line.
    #[must_use]
    pub fn summary(&self) -> String {
        let noun = if self.entries == 1 { "entry" } else { "entries" };
        let done = match (self.is_converted, self.is_return) {
            (true, false) => "converted",
            (true, true) => "converted back",
            (false, _) => "copied",
        };
        let mut parts = vec![format!("{} {noun} would be {done}", self.entries)];
        for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Lost) {
            if self.count(kind) > 0 {
                parts.push(format!("{} {}", self.count(kind), kind.name()));
            }
        }
        if self.refused + self.saturated + self.truncated + self.collided == 0 {
            parts.push("none refused or changed by it".to_owned());
        }
        if self.no_room > 0 {
            parts.push(format!("no room for {}", self.no_room));
        }
        match &self.back {
            WayBack::Same => {}
            WayBack::None => parts.push("no way leads back".to_owned()),
            WayBack::Tried { differ: 0, .. } => parts.push("each comes back as it was".to_owned()),
            WayBack::Tried { differ, members } => {
                let members: Vec<_> = members.iter().map(|(path, of)| format!("`{path}` of {of}")).collect();
                let then = match self.is_return {
                    true => "the newer release finds these as it left them only by a second roll-back",
                    false => "a roll-back leaves these as they were copied",
                };
                let lose = if *differ == 1 { "loses" } else { "lose" };
                parts.push(format!("{differ} {lose} something on the way back ({}): {then}", members.join(", ")));
            }
        }
        parts.join("; ")
    }
}

/// Rehearses what is planned for a map, with up to `most` examples of each kind; `None` if no entry is carried over. `dir` is the
/// directory of the live generation.
///
/// # Errors
/// If the map can't be read.
pub fn rehearse(
    plan: &MapPlan,
    dir: &Path,
    migrations: &Migrations,
    most: usize,
) -> Result<Option<Result<Rehearsed, Untried>>, Error> {
    let untried = |why: String| Ok(Some(Err(Untried { map: plan.map.clone(), why })));
    let (live, new, way, is_return) = match &plan.action {
        Action::Convert { live, new, conversion, .. } => {
            (live, &new.def, Some((conversion.clone(), conversion.inverse())), false)
        }
        Action::TakeBack { kept, since: Since::ConvertedBack { live, .. }, new } => {
            let pin = live.pin.file_name().unwrap_or_default().to_string_lossy();
            let ways = ways_between(&Site::at(dir)?.dir, &pin, (kept.id, live.id))?;
            let Some(ways) = ways.and_then(|ways| ways.reversed()) else { return Ok(None) };
            (live, &new.def, Some((ways.there, ways.back)), true)
        }
        Action::Grow { live, new, .. } | Action::Shrink { live, new, .. } => (live, &new.def, None, false),
        Action::CarryBack { live, new, .. } => (live, &new.def, None, true),
        _ => return Ok(None),
    };
    match live.def.map_type.row().entries {
        Behaviour::Copied | Behaviour::OneByOne => {}
        Behaviour::MovedAtSettle => {
            let noun = live.def.map_type.noun();
            return untried(format!("{noun} can't be read without taking its entries out"));
        }
        // Nothing of them can be refused, and an entry is as good as its inner map.
        Behaviour::InnerMapsById => {
            return untried("its entries are maps, which go on as they are: there is nothing to convert".to_owned());
        }
        Behaviour::Refilled | Behaviour::Events | Behaviour::NotCopyable(_) => return Ok(None),
    }
    let by_hand = |conversion: &Conversion| conversion.legs.iter().any(|leg| matches!(leg, Leg::ByHand { .. }));
    if let Some((there, _)) = way.as_ref().filter(|(there, _)| by_hand(there))
        && Way::new(there, migrations, live.def.key_size, live.def.value_size).is_err()
    {
        return untried("its entries are converted by the daemon's own code, which alone can rehearse it".to_owned());
    }
    let rehearsed = Rehearsed {
        map: plan.map.clone(),
        old: live.def.clone(),
        new: new.clone(),
        is_return,
        is_converted: way.is_some(),
        entries: 0,
        refused: 0,
        saturated: 0,
        truncated: 0,
        collided: 0,
        collide: way.as_ref().and_then(|(there, _)| there.collide()),
        no_room: 0,
        back: match &way {
            None => WayBack::Same,
            Some((_, None)) => WayBack::None,
            Some((_, Some(_))) => WayBack::Tried { differ: 0, members: BTreeMap::new() },
        },
        examples: Vec::new(),
        time: Duration::ZERO,
    };
    let started = Instant::now();
    let mut trying = Trying::new(rehearsed, way.as_ref(), migrations, most)?;
    trying.all(dir, live)?;
    Ok(Some(Ok(Rehearsed { time: started.elapsed(), ..trying.into })))
}

struct Trying {
    into: Rehearsed,
    /// How an entry becomes another; `None` if it stays as it is.
    there: Option<Way>,
    back: Option<Way>,
    /// The same way, refusing what it saturates, and what it truncates.
    strict: Vec<(Kind, Way)>,
    /// Which old key became which new one, if two may become one.
    keys: HashMap<Vec<u8>, Vec<u8>>,
    most: usize,
}

/// What was seen of one entry, of all CPUs.
#[derive(Default)]
struct Seen {
    kinds: Vec<Kind>,
    members: Vec<String>,
}

impl Trying {
    fn new(
        into: Rehearsed,
        way: Option<&(Conversion, Option<Conversion>)>,
        migrations: &Migrations,
        most: usize,
    ) -> Result<Self, Error> {
        let map = into.map.clone();
        let made = |conversion: &Conversion, of: &MapDef| {
            Way::new(conversion, migrations, of.key_size, of.value_size)
                .map_err(|error| Error::because(ErrorKind::Usage, format!("map `{map}`"), error))
        };
        let there = way.map(|(there, _)| made(there, &into.old)).transpose()?;
        let back = way.and_then(|(_, back)| back.as_ref()).map(|back| made(back, &into.new)).transpose()?;
        let mut strict = Vec::new();
        for (cast, kind) in [(Cast::Saturate, Kind::Saturated), (Cast::Truncate, Kind::Truncated)] {
            if let Some(refusing) = way.and_then(|(there, _)| there.refusing(cast)) {
                strict.push((kind, made(&refusing, &into.old)?));
            }
        }
        Ok(Self { into, there, back, strict, keys: HashMap::new(), most })
    }

    fn all(&mut self, dir: &Path, live: &Live) -> Result<(), Error> {
        let pin = live.pin.display();
        let map = open_live(dir, live)?;
        let read = transfer::each_entry(&map, &mut |key, values| {
            self.entry(key, values);
            Ok(())
        });
        read.map_err(|error| Error::because(ErrorKind::Kernel, format!("can't read map `{pin}`"), error))?;
        // An LRU makes room by itself, and an array has its own.
        let row = self.into.new.map_type;
        if !row.evicts() && !row.is_array() {
            let carried = self.into.entries - self.into.refused - self.into.collided;
            self.into.no_room = carried.saturating_sub(self.into.new.max_entries.into());
        }
        self.into.examples.sort_by_key(|example| example.kind);
        Ok(())
    }

    fn entry(&mut self, key: &[u8], values: &[&[u8]]) {
        self.into.entries += 1;
        let mut seen = Seen::default();
        for value in values {
            self.value(key, value, &mut seen);
        }
        let Rehearsed { refused, saturated, truncated, collided, back, .. } = &mut self.into;
        for kind in seen.kinds {
            match (kind, &mut *back) {
                (Kind::Refused, _) => *refused += 1,
                (Kind::Saturated, _) => *saturated += 1,
                (Kind::Truncated, _) => *truncated += 1,
                (Kind::Collided, _) => *collided += 1,
                (Kind::Lost, WayBack::Tried { differ, members }) => {
                    *differ += 1;
                    seen.members.iter().for_each(|path| *members.entry(path.clone()).or_default() += 1);
                }
                (Kind::Lost, _) => {}
            }
        }
    }

    fn value(&mut self, key: &[u8], value: &[u8], seen: &mut Seen) {
        let old = || (key.to_vec(), value.to_vec());
        let mut becomes = Vec::new();
        let converted = match &self.there {
            None if self.is_beyond(key, value) => Err("the smaller array has no such index".to_owned()),
            None => Ok(()),
            Some(way) => way
                .convert(key, value, &mut |key, value| becomes.push((key.to_vec(), value.to_vec())))
                .map_err(|error| error.to_string()),
        };
        if let Err(why) = converted {
            let example = Example { kind: Kind::Refused, old: old(), becomes: Err(why), back: None, other: None };
            return self.saw(example, seen);
        }
        if self.there.is_none() {
            return;
        }
        let of = |kind| Example { kind, old: old(), becomes: Ok(becomes.clone()), back: None, other: None };
        let bent = self.strict.iter().filter(|(_, way)| way.convert(key, value, &mut |_, _| {}).is_err());
        for kind in bent.map(|(kind, _)| *kind).collect::<Vec<_>>() {
            self.saw(of(kind), seen);
        }
        if self.into.collide.is_some() {
            for (new, _) in &becomes {
                let new = transfer::significant(self.into.new.map_type, new);
                let other = self.keys.entry(new).or_insert_with(|| key.to_vec()).clone();
                if other != key {
                    self.saw(Example { other: Some(other), ..of(Kind::Collided) }, seen);
                }
            }
        }
        if let (Some(back), [(new_key, new_value)]) = (&self.back, becomes.as_slice()) {
            let mut returned = Vec::new();
            let way = back.convert(new_key, new_value, &mut |key, value| returned.push((key.to_vec(), value.to_vec())));
            if let (Ok(()), [(old_key, old_value)]) = (way, returned.as_slice()) {
                let members = differing(&self.into.old, (key, value), (old_key, old_value));
                let more: Vec<_> = members.into_iter().filter(|path| !seen.members.contains(path)).collect();
                if !more.is_empty() {
                    seen.members.extend(more);
                    let back = returned.pop();
                    self.saw(Example { back, ..of(Kind::Lost) }, seen);
                }
            }
        }
    }

    /// True for what a smaller array has no place for.
    fn is_beyond(&self, key: &[u8], value: &[u8]) -> bool {
        let new = &self.into.new;
        let index = <[u8; 4]>::try_from(key).map(u32::from_ne_bytes);
        new.map_type.is_array()
            && index.is_ok_and(|index| index >= new.max_entries)
            && value.iter().any(|byte| *byte != 0)
    }

    /// Of one entry, each kind counts once.
    fn saw(&mut self, example: Example, seen: &mut Seen) {
        let kind = example.kind;
        if seen.kinds.contains(&kind) {
            return;
        }
        seen.kinds.push(kind);
        if self.into.examples.iter().filter(|other| other.kind == kind).count() < self.most {
            self.into.examples.push(example);
        }
    }
}
