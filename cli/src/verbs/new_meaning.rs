//! `cargo maplock accept --new-meaning`: the same bytes mean something else, if no version can be written beside them.

use maplock_codegen::Inputs;
use maplock_layout::{Lock, said_version};

use crate::error::Error;
use crate::project::shell_word;

/// Raises the version of maps, as if their objects said the next one.
///
/// # Errors
/// If an object says a version itself.
pub(super) fn raise(inputs: &mut Inputs, lock: &Lock, maps: &[String]) -> Result<(), Error> {
    for map in maps {
        let defs = inputs.objects().iter().flat_map(|object| object.maps.iter().map(move |def| (object, def)));
        let mut said =
            defs.filter(|(_, def)| def.name == *map).filter_map(|(object, def)| Some((object, said_version(def)?)));
        if let Some((object, (of, version))) = said.next() {
            let error = format!("{of} has version {version} in {}", object.name);
            return Err(Error::new(error)
                .because(format!("a version that is written beside the C definition is not raised in the lock of map `{map}`"))
                .help(format!(
                    "raise it there, build, and accept without --new-meaning: __attribute__((btf_decl_tag(\"maplock:version={}\")))",
                    version.saturating_add(1)
                )));
        }
        // A map that is not in both is told of where it is looked for.
        if let Some(raised) = inputs.observation.with_new_meaning(lock, map) {
            inputs.observation = raised;
        }
    }
    Ok(())
}

/// What to type if nothing changed that anybody could see.
pub(super) fn hint(map: &str, selection: &str) -> String {
    let map = shell_word(map);
    format!(
        "if its bytes mean something else now: cargo maplock accept {map} --new-meaning --on-upgrade swap --reason \"…\"{selection}"
    )
}
