//! Words for what was found: the one place where they are made.

use crate::change::{Change, Outline, Part, Step, Subject};
use crate::finding::Finding;
use crate::listing::list;
use crate::map_type::flag_names;
use crate::place::Place;

impl Subject {
    /// As a path: `flows`, `flows.value.stats[].bytes`, `outer.inner.key`.
    #[must_use]
    pub fn path(&self, map: &str) -> String {
        let mut path = map.to_owned();
        (0..self.inner).for_each(|_| path.push_str(".inner"));
        match self.part {
            Part::Map => {}
            Part::Key => path.push_str(".key"),
            Part::Value => path.push_str(".value"),
        }
        self.push_steps(&mut path);
        path
    }

    /// Within the key or value: `stats[].bytes`. None for all of it, and for a map.
    #[must_use]
    pub fn member(&self) -> Option<String> {
        let mut path = String::new();
        self.push_steps(&mut path);
        (!path.is_empty()).then(|| path.trim_start_matches('.').to_owned())
    }

    fn push_steps(&self, path: &mut String) {
        for step in &self.steps {
            match step {
                Step::Member(name) => {
                    path.push('.');
                    path.push_str(name);
                }
                Step::Element => path.push_str("[]"),
            }
        }
    }

    /// `key` or `value`; `map` for a map.
    #[must_use]
    pub const fn role(&self) -> &'static str {
        match self.part {
            Part::Map => "map",
            Part::Key => "key",
            Part::Value => "value",
        }
    }

    /// By the whole way to the member, as the options of an epoch name it, or by what of which map it is.
    fn words(&self, map: &str, has_map: bool) -> String {
        let role = self.role();
        if self.steps.is_empty() {
            return match self.part {
                Part::Map if self.inner == 0 => format!("map `{map}`"),
                Part::Map => inner_map(map, self.inner),
                _ => format!("the {role}{}", self.owner(map, has_map)),
            };
        }
        let member = self.member().unwrap_or_default();
        let path = match self.part {
            _ if member.starts_with('[') => format!("{role}{member}"),
            Part::Key => format!("{role}.{member}"),
            _ => member,
        };
        match self.inner {
            0 => format!("`{path}`"),
            inner if has_map => format!("`{path}` in {}", inner_map(map, inner)),
            _ => format!("`{path}`"),
        }
    }

    /// ` of` the map that it is a part of, if these name it.
    fn owner(&self, map: &str, has_map: bool) -> String {
        match self.inner {
            _ if !has_map => String::new(),
            0 => format!(" of `{map}`"),
            inner => format!(" of {}", inner_map(map, inner)),
        }
    }

    /// What a last step leads from.
    fn holder(&self) -> Self {
        let mut holder = self.clone();
        holder.steps.pop();
        holder
    }

    /// The array whose elements this is.
    fn array(&self) -> Self {
        let mut array = self.clone();
        array.steps.pop_if(|step| *step == Step::Element);
        array
    }
}

fn of(map: &str, has_map: bool) -> String {
    if has_map { format!(" of `{map}`") } else { String::new() }
}

/// The template of the maps that a map holds.
fn inner_map(map: &str, depth: usize) -> String {
    format!("`{map}`{}", "'s inner map".repeat(depth))
}

fn outline(map: &Outline) -> String {
    let capacity = map.map_type.capacity_words(map.max_entries);
    format!("{} {capacity}, {} -> {} bytes", map.map_type, map.key_size, map.value_size)
}

/// Of what bytes mean.
fn version(number: u32) -> String {
    if number == 0 { "no version".to_owned() } else { format!("version {number}") }
}

fn bytes(size: u64) -> String {
    counted(size, "byte")
}

fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// What a number did that is not what it was.
fn resized<T: PartialOrd>(old: &T, new: &T) -> &'static str {
    if new > old { "grew" } else { "shrank" }
}

impl Finding {
    /// Where it is: `flows`, `flows.value.stats[].bytes`, `outer.inner.key`.
    #[must_use]
    pub fn path(&self) -> String {
        self.subject.path(&self.map)
    }

    /// The path of the change that brought this one about.
    #[must_use]
    pub fn cause(&self) -> Option<String> {
        self.consequence_of.as_ref().map(|cause| cause.path(&self.map))
    }

    /// Which bits hold it in the old key or value, if the finding is about bytes.
    #[must_use]
    pub fn old_place(&self) -> Option<Place> {
        self.change.places(&self.subject).0
    }

    /// Which bits hold it in the new key or value.
    #[must_use]
    pub fn new_place(&self) -> Option<Place> {
        self.change.places(&self.subject).1
    }

    /// The old side; `None` if there is none.
    #[must_use]
    pub fn old_text(&self) -> Option<String> {
        sides(&self.change).0
    }

    /// The new side; `None` if there is none.
    #[must_use]
    pub fn new_text(&self) -> Option<String> {
        sides(&self.change).1
    }

    /// The old side, and its place if the side itself does not say how much it takes or where it is.
    #[must_use]
    pub fn old_and_place(&self) -> Option<(String, Option<Place>)> {
        self.old_text().map(|old| (old, self.old_place().filter(|_| !self.says_place())))
    }

    /// The new side, and its place likewise.
    #[must_use]
    pub fn new_and_place(&self) -> Option<(String, Option<Place>)> {
        self.new_text().map(|new| (new, self.new_place().filter(|_| !self.says_place())))
    }

    fn says_place(&self) -> bool {
        matches!(self.change, Change::Size { .. } | Change::Moved { .. })
    }

    /// The old side with its place: `u64 at bytes 8..16`.
    #[must_use]
    pub fn old_with_place(&self) -> String {
        with_place(self.old_and_place())
    }

    /// The new side with its place.
    #[must_use]
    pub fn new_with_place(&self) -> String {
        with_place(self.new_and_place())
    }

    /// The change in words: a phrase without a full stop.
    #[must_use]
    pub fn message(&self) -> String {
        phrase(&self.map, &self.subject, &self.change, true)
    }

    /// The change in words that begin with the map.
    #[must_use]
    pub fn title(&self) -> String {
        let map = format!("map `{}`", self.map);
        let (phrase, whole) = (
            phrase(&self.map, &self.subject, &self.change, false),
            phrase(&self.map, &self.subject, &self.change, true),
        );
        let inner = match self.subject.inner {
            // Its phrase says of which map it is.
            _ if matches!(self.change, Change::InnerCapacity { .. }) => String::new(),
            0 => String::new(),
            depth => format!("map {}", inner_map(&self.map, depth)),
        };
        match inner.is_empty() {
            true if whole.starts_with(&map) => whole,
            true => format!("{map}: {phrase}"),
            // Of the template itself, the phrase begins so.
            false if format!("map {whole}").starts_with(&inner) => format!("map {whole}"),
            false => format!("{inner}: {phrase}"),
        }
    }

    /// The change in words for a place that names the map already.
    #[must_use]
    pub fn short(&self) -> String {
        match &self.change {
            Change::MaxEntries { old, new } | Change::CapacityStays { old, new, .. } if self.subject.is_map() => {
                format!("max_entries {old} -> {new}")
            }
            Change::InnerCapacity { .. } => phrase(&self.map, &self.subject, &self.change, false),
            _ => self.message(),
        }
    }

    /// The change in the fewest words: `connections u32 -> u64`.
    #[must_use]
    pub fn brief(&self) -> String {
        let has_names = matches!(self.change, Change::Renamed { .. } | Change::MapRenamed { .. });
        match (self.subject.member(), sides(&self.change)) {
            (Some(member), (Some(old), Some(new))) if !has_names && self.subject.inner == 0 => {
                let part = if self.subject.part == Part::Key && !member.starts_with('[') { "key." } else { "" };
                format!("{part}{member} {old} -> {new}")
            }
            _ => self.short(),
        }
    }

    /// True if the phrase names the map.
    #[must_use]
    pub fn names_map(&self) -> bool {
        let Subject { inner, steps, .. } = &self.subject;
        (steps.is_empty() || *inner > 0) && !matches!(self.change, Change::Stale { .. })
    }
}

fn with_place(side: Option<(String, Option<Place>)>) -> String {
    match side {
        Some((side, Some(place))) => format!("{side} at {place}"),
        Some((side, None)) => side,
        None => "nothing".to_owned(),
    }
}

/// Both sides; `None` if there is none.
fn sides(change: &Change) -> (Option<String>, Option<String>) {
    fn both(old: &dyn ToString, new: &dyn ToString) -> (Option<String>, Option<String>) {
        (Some(old.to_string()), Some(new.to_string()))
    }
    let pinned = |is: bool| (if is { "pinned" } else { "not pinned" }).to_owned();
    match change {
        Change::Map { old, new } | Change::Template { old, new } => {
            (old.as_ref().map(outline), new.as_ref().map(outline))
        }
        Change::MapRenamed { old, new } => both(old, new),
        Change::Pinned { new } => (Some(pinned(!new)), Some(pinned(*new))),
        Change::Type { old, new } => both(old, new),
        Change::MaxEntries { old, new }
        | Change::InnerCapacity { old, new }
        | Change::CapacityStays { old, new, .. } => both(old, new),
        Change::CapacityAtRunTime { old, new } => {
            let said = |most: &u32| if *most == 0 { "set at run time".to_owned() } else { most.to_string() };
            both(&said(old), &said(new))
        }
        Change::Flags { old, new } => both(&flag_names(*old), &flag_names(*new)),
        Change::MapExtra { old, new } => both(old, new),
        Change::Pinning { old, new } => both(old, new),
        Change::Untyped { new } => (None, Some(bytes(*new))),
        Change::Unpromised { new, .. } | Change::TypesDropped { new, .. } => (None, Some(new.clone())),
        Change::TypeTold { old, new } => both(&bytes(*old), new),
        Change::TypeUntold { old, new } => both(old, &bytes(*new)),
        Change::Meaning { old, new, .. } => both(&version(*old), &version(*new)),
        Change::Size { old, new } | Change::Stride { old, new } => both(&bytes(*old), &bytes(*new)),
        Change::Spelling { old, new } => both(old, new),
        Change::Length { old, new } => both(&old.1.spelling, &new.1.spelling),
        Change::Retyped { old, new, .. } | Change::Width { old, new } => both(&old.spelling, &new.spelling),
        Change::Added { new, .. } => (None, Some(new.spelling.clone())),
        Change::Removed { old, .. } => (Some(old.spelling.clone()), None),
        Change::Empty { old, new } => (old.clone(), new.clone()),
        Change::Renamed { old, new } => both(&old.0, &new.0),
        Change::Moved { old, new } => both(old, new),
        Change::Enumerator { old, new } => (old.map(|old| old.to_string()), new.map(|new| new.to_string())),
        Change::EnumeratorRenamed { old, new, .. } => both(old, new),
        Change::Stale { old, new, .. } => both(old, new),
        Change::Conflict { old, new, difference } => {
            let first = difference.as_ref().map_or((None, None), |first| sides(first));
            let said =
                |object: &str, side: Option<String>| format!("{object}: {}", side.as_deref().unwrap_or("nothing"));
            (Some(said(old, first.0)), Some(said(new, first.1)))
        }
        Change::Counted { .. } | Change::TooMuch { .. } => (None, None),
    }
}

/// What differs, in words; `has_map` if these name the map.
fn phrase(map: &str, subject: &Subject, change: &Change, has_map: bool) -> String {
    let what = subject.words(map, has_map);
    let owner = subject.owner(map, has_map);
    let moved = match change.places(subject) {
        (Some(old), Some(new)) if old.offset_bits != new.offset_bits => ", and moved",
        _ => "",
    };
    let name = subject.name().unwrap_or_default();
    match change {
        Change::Template { new, .. } => {
            format!("the inner map{} is {}", of(map, has_map), if new.is_some() { "new" } else { "gone" })
        }
        Change::Map { new, .. } => format!("{what} is {}", if new.is_some() { "new" } else { "gone" }),
        Change::MapRenamed { old, .. } => format!("{what} was called `{old}`"),
        Change::Pinned { new } => format!("{what} is {} pinned", if *new { "now" } else { "no longer" }),
        Change::Type { old, new } => format!("{what} changed from {old} to {new}"),
        Change::MaxEntries { old, new } => format!("max_entries{owner} {} from {old} to {new}", resized(old, new)),
        Change::InnerCapacity { old, new } => {
            let of = of(map, has_map);
            format!("inner map{of}: max_entries {old} -> {new}; inner maps that are in it already keep {old}")
        }
        Change::CapacityStays { old, new, because } => format!(
            "{what} keeps its capacity of {old}, and new programs run on that, though max_entries is {new}: {because}"
        ),
        Change::CapacityAtRunTime { new: 0, .. } => {
            format!("the object no longer says how many entries {what} holds: the daemon does")
        }
        Change::CapacityAtRunTime { new, .. } => {
            format!("the object says how many entries {what} holds, {new}, where the daemon did; a larger map stays")
        }
        Change::Flags { old, new } => {
            format!("map_flags{owner} are {}, they were {}", flag_names(*new), flag_names(*old))
        }
        Change::MapExtra { old, new } => format!("map_extra{owner} is {new}, it was {old}"),
        Change::Pinning { old, new } => format!("pinning{owner} is {new}, it was {old}"),
        Change::Untyped { new } => format!("{what} is declared by its size alone: {}", bytes(*new)),
        Change::Unpromised { new, member, because } if member.is_empty() => format!("{what}: `{new}` {because}"),
        Change::Unpromised { new, member, because } => format!("{what}: `{member}` of `{new}` {because}"),
        Change::TypesDropped { new, because } => {
            format!("{what} is `{new}`, and {because}: a pin that something else made can't be verified")
        }
        Change::TypeTold { new, .. } => format!("{what} now says its type: {new}"),
        Change::TypeUntold { .. } => format!("{what} no longer says its type"),
        Change::Stride { old, new } => {
            let array = subject.array().words(map, has_map);
            format!("the elements of {array} {} from {old} to {}", resized(old, new), bytes(*new))
        }
        Change::Meaning { old, new, of } => {
            let of = of.as_ref().map_or_else(String::new, |of| format!(" ({of})"));
            let verb = if new < old { "goes back to an older meaning" } else { "means something else now" };
            let was = if *old == 0 { "had none".to_owned() } else { format!("was {old}") };
            format!("{what}{of} {verb}: {}, it {was}", version(*new))
        }
        Change::Size { old, new } => format!("{what} {} from {old} to {}", resized(old, new), bytes(*new)),
        Change::Spelling { old, new } => format!("{what} is spelled {new}, it was {old}"),
        Change::Length { old: (old, _), new: (new, _) } => {
            format!("{what} {} from {old} to {}{moved}", resized(old, new), counted((*new).into(), "element"))
        }
        Change::Retyped { old, new, are_numbers } => {
            let verb = match old.place.size_bits.cmp(&new.place.size_bits) {
                std::cmp::Ordering::Less if *are_numbers => "grew",
                std::cmp::Ordering::Greater if *are_numbers => "shrank",
                _ => "changed",
            };
            format!("{what} {verb} from {} to {}{moved}", old.spelling, new.spelling)
        }
        Change::Width { old, new } => {
            let (old, new) = (old.place.size_bits, new.place.size_bits);
            format!("{what} {} from {old} to {}{moved}", resized(&old, &new), counted(new, "bit"))
        }
        Change::Added { in_union: true, .. } => format!("{what} is new in the union"),
        Change::Added { .. } => format!("{what} was added"),
        Change::Removed { in_union: true, .. } => format!("{what} is no longer in the union"),
        Change::Removed { .. } => format!("{what} was removed"),
        Change::Empty { old: None, .. } => format!("{what}, which takes no bytes, was added"),
        Change::Empty { new: None, .. } => format!("{what}, which takes no bytes, was removed"),
        Change::Empty { old: Some(old), new: Some(new) } => {
            format!("{what}, which takes no bytes, is spelled {new}, it was {old}")
        }
        Change::Renamed { old, .. } => {
            format!("{} was renamed to {what}", subject.renamed(&old.0).words(map, false))
        }
        Change::Moved { old, new } => format!("{what} moved from {old} to {new}"),
        Change::Enumerator { old, new } => {
            let of = subject.holder().words(map, has_map);
            match (old, new) {
                (Some(old), Some(new)) => format!("enumerator `{name}` of {of} is {new}, it was {old}"),
                (Some(old), None) => format!("enumerator `{name}` ({old}) of {of} was removed"),
                (None, new) => format!("enumerator `{name}` ({}) of {of} was added", new.unwrap_or_default()),
            }
        }
        Change::EnumeratorRenamed { old, new, number } => {
            let of = subject.holder().words(map, has_map);
            format!("enumerator `{old}` ({number}) of {of} was renamed to `{new}`")
        }
        Change::Counted { members } => {
            let of = of(map, has_map);
            let named: Vec<_> = members.iter().map(|(path, _)| format!("`{path}`")).collect();
            let is = if named.len() == 1 { "it is" } else { "they are" };
            format!("programs only add to {}{of}, and nothing says how {is} merged", list(&named))
        }
        Change::Stale { from, old, new } => format!(
            "the change from {} to {} was accepted, and nothing leads on from there to today's {}",
            from.short(),
            old.short(),
            new.short()
        ),
        Change::Conflict { old, new, difference } => {
            let first = difference
                .as_ref()
                .map_or_else(String::new, |first| format!(": {}", phrase(map, subject, first, true)));
            format!("map `{map}` is defined differently in {old} and in {new}{first}")
        }
        Change::TooMuch { looked_at } => {
            format!("map `{map}` differs in over {looked_at} places; not all were looked at")
        }
    }
}
