//! What should be known of how objects are read, beside what was found in them.

use maplock_layout::map::{Origin, Pinning};
use maplock_layout::{Adopted, Config, Observation};

/// What the objects do not say, and counts all the same.
pub(crate) fn notes(observation: &Observation) -> Vec<String> {
    let mut notes = Vec::new();
    let names: Vec<_> = observation.counted_before.iter().map(String::as_str).collect();
    if !names.is_empty() {
        let (are, count) = if names.len() == 1 { ("is", "counts") } else { ("are", "count") };
        let words = quoted(&names, '`');
        let list = quoted(&names, '"');
        notes.push(format!(
            "{words} {are} not pinned in the objects, but {count} as before; `ephemeral = [{list}]` says otherwise"
        ));
    }
    notes.extend(notes_of_versions(observation));
    notes
}

/// The structs that lost their version in the objects, and keep it all the same.
pub(crate) fn notes_of_versions(observation: &Observation) -> Vec<String> {
    let note = |of: &Adopted| {
        let Adopted { map, spelling, version } = of;
        format!(
            "`{spelling}` of map `{map}` has no version any more in the objects; version {version} goes on counting"
        )
    };
    observation.adopted.iter().map(note).collect()
}

/// The declared maps that a first lock leaves out, though nobody asked for that.
pub(crate) fn left_out(observation: &Observation, config: &Config) -> Option<String> {
    let maps = || observation.lock.maps.iter();
    let left = maps().filter(|(name, map)| map.ephemeral && !config.ephemeral.contains(*name));
    let left: Vec<_> = left.map(|(name, _)| name.as_str()).collect();
    let pinned = maps().find(|(_, map)| !map.ephemeral && map.def.pinning != Pinning::None);
    let because = pinned.map_or_else(String::new, |(name, _)| format!(", as `{name}` is"));
    let words = quoted(&left, '`');
    let list = quoted(&left, '"');
    let (are, them) = if left.len() == 1 { ("is", "it") } else { ("are", "them") };
    (!left.is_empty()).then(|| {
        format!("{words} {are} left out: not declared as pinned{because}; `pinned = [{list}]` takes {them} in")
    })
}

/// The maps of maps of which a legacy record does not tell what they hold.
pub(crate) fn unknown_inner(observation: &Observation) -> Option<String> {
    let maps = observation.lock.maps.iter().filter(|(_, map)| !map.ephemeral && map.def.origin == Origin::Legacy);
    let unknown = maps.filter(|(_, map)| map.def.map_type.holds_maps() && map.def.inner.is_none());
    let unknown: Vec<_> = unknown.map(|(name, _)| name.as_str()).collect();
    let words = quoted(&unknown, '`');
    (!unknown.is_empty()).then(|| format!("the inner maps of {words} are not known: legacy records don't tell them"))
}

fn quoted(names: &[&str], quote: char) -> String {
    names.iter().map(|name| format!("{quote}{name}{quote}")).collect::<Vec<_>>().join(", ")
}
