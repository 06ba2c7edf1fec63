//! Some entries as they are and as they will be, before anything is touched.

use std::path::Path;

use crate::error::{Error, ErrorKind, Trying as _};
use crate::generation::site::Site;
use crate::plan::types::{Action, Live, MapPlan};
use crate::sys::Map;
use crate::transfer::Way;
use crate::transfer::migrate::Migrations;

/// A key and a value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// An entry, and what it becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Its key.
    pub key: Vec<u8>,
    /// Its value; in a per-CPU map, that of the first CPU.
    pub value: Vec<u8>,
    /// The keys and values that it becomes; or why it can't be converted, as a phrase.
    pub becomes: Result<Vec<Entry>, String>,
}

/// Up to `most` entries of a map that is to be converted, each with what it becomes. None if nothing is converted, or entries have
/// no keys.
///
/// `dir` is the directory of the live generation.
///
/// # Errors
/// If the map can't be read, or its conversion is code that is not among `migrations`.
pub fn sample(plan: &MapPlan, dir: &Path, migrations: &Migrations, most: usize) -> Result<Vec<Sample>, Error> {
    let Action::Convert { conversion, live, .. } = &plan.action else { return Ok(Vec::new()) };
    let pin = &live.pin;
    let map = open_live(dir, live)?;
    let info = map.info();
    let way = Way::new(conversion, migrations, info.key_size, info.value_size);
    let way = way.map_err(|error| Error::because(ErrorKind::Usage, format!("map `{}`", plan.map), error))?;
    let mut samples = Vec::new();
    if info.key_size == 0 {
        return Ok(samples);
    }
    let failed = || format!("can't read map `{}`", pin.display());
    let mut key = map.next_key(None).trying(failed)?;
    while let Some(current) = key.filter(|_| samples.len() < most) {
        if let Some(mut value) = map.lookup(&current).trying(failed)? {
            value.truncate(info.value_size as usize);
            let mut becomes = Vec::new();
            let converted =
                way.convert(&current, &value, &mut |key, value| becomes.push((key.to_vec(), value.to_vec())));
            let becomes = converted.map(|()| becomes).map_err(|error| error.to_string());
            samples.push(Sample { key: current.clone(), value, becomes });
        }
        key = map.next_key(Some(&current)).trying(failed)?;
    }
    Ok(samples)
}

/// The live map of a plan, which is none if somebody has put something else in its place.
pub(super) fn open_live(dir: &Path, live: &Live) -> Result<Map, Error> {
    let pin = Site::at(dir)?.pin(&live.pin)?;
    let shown = pin.display();
    let map = Map::open(&pin).trying(|| format!("can't open map `{shown}`"))?;
    if map.info().id != live.id {
        let message = format!("pin `{shown}` was exchanged for another while the upgrade was planned; start again");
        return Err(Error::new(ErrorKind::Place, message));
    }
    Ok(map)
}
