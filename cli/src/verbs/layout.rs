//! `cargo maplock layout`: the bytes of a map's entries, and what they were before, as text or as a picture.

use std::fs;

use maplock_layout::lock::LockedMap;
use maplock_layout::{MapDef, Ruler};

use super::base;
use crate::Said;
use crate::args::LayoutArgs;
use crate::bytes::Bytes;
use crate::error::Error;
use crate::formats::{ruler, svg};
use crate::map_part::MapPart;
use crate::project;

pub(crate) fn run(args: &LayoutArgs) -> Result<Said, Error> {
    let target = project::target(&args.input)?;
    let (_, lock) = target.read_lock()?;
    let map = lock.maps.get(&args.map).ok_or_else(|| {
        let names: Vec<_> = lock.maps.keys().map(String::as_str).collect();
        Error::new(format!("{} has no map `{}`", target.shown_lock(), args.map))
            .help(format!("it has {}", names.join(", ")))
    })?;
    let mut notes = Vec::new();
    let before = match &args.against {
        Some(base) => {
            let side = base::of(&target, base, false, &mut notes)?;
            let names = std::iter::once(&map.def.name).chain(&map.renamed_from);
            let older = names.filter_map(|name| side.lock.maps.get(name)).next().map(|older| older.def.clone());
            Some(older.ok_or_else(|| Error::new(format!("{} has no map `{}`", side.name, args.map)))?)
        }
        None => map.epochs.last().map(|epoch| epoch.previous.clone()),
    };
    let bytes = bytes(map, before.as_ref());
    if bytes.rulers.is_empty() {
        return Err(Error::new(format!("nothing tells the members of map `{}`", args.map))
            .because("it is declared by sizes alone, or holds no data of its own")
            .help("a configuration binds it to types: `[maps.NAME]`, `key` and `value`"));
    }
    let Some(file) = &args.svg else { return Ok(Said::well(ruler::text(&args.map, &bytes))) };
    fs::write(file, svg::picture(&args.map, &bytes.rulers))
        .map_err(|error| Error::new(format!("could not write {}", file.display())).because(error))?;
    Ok(Said::well(format!("wrote {}\n", file.display())))
}

/// The bytes of a map beside those of an earlier definition; of the map alone, if there is none.
pub(crate) fn bytes(map: &LockedMap, before: Option<&MapDef>) -> Bytes {
    let now = &map.def;
    let before = before.unwrap_or(now);
    let ruler = |part: MapPart| {
        let new = part.layout(now).filter(|_| part.has_members(now))?;
        Some((part, Ruler::of(part.layout(before).unwrap_or(new), new)?))
    };
    Bytes { rulers: MapPart::ALL.into_iter().filter_map(ruler).collect(), example: None }
}
