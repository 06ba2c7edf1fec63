//! Global data that is to be pinned: what libbpf calls it.

use std::collections::BTreeSet;

use crate::map::{MapDef, NAME_KEPT, Origin};
use crate::objects::ObjectMaps;

/// Bytes that libbpf keeps free for the section, whatever it is called.
const SECTION: usize = 7;

/// What libbpf calls the map of a section, by the name of the object (`internal_map_name`): `flowtop.bss`. A section with a name of its own
/// behind a second dot, such as `.data.counts`, is called by that alone.
fn libbpf_name(object: &str, section: &str) -> String {
    if section.get(1..).is_some_and(|rest| rest.contains('.')) {
        return section.to_owned();
    }
    let prefix: String = object.chars().take(NAME_KEPT - section.len().clamp(SECTION, NAME_KEPT)).collect();
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '.' { c } else { '_' };
    format!("{prefix}{section}").chars().map(plain).collect()
}

/// The objects, with the global data that `pinned` names called as libbpf calls it.
///
/// # Errors
/// If `pinned` names a section by a name under which no loader pins it.
pub(crate) fn as_pinned(objects: &[ObjectMaps], pinned: &BTreeSet<String>) -> Result<Vec<ObjectMaps>, String> {
    if let Some(problem) = pinned.iter().find_map(|name| not_by_section(name, objects)) {
        return Err(problem);
    }
    let mut named = objects.to_vec();
    for (object, named) in objects.iter().zip(&mut named) {
        for map in named.maps.iter_mut().filter(|map| map.origin == Origin::GlobalData) {
            if let Some(name) = pinned.iter().find(|name| is_of(name, map, object, objects)) {
                if let Some(programs) = &mut named.programs
                    && let Some(of_section) = programs.remove(&map.name)
                {
                    programs.insert(name.clone(), of_section);
                }
                map.name.clone_from(name);
            }
        }
    }
    Ok(named)
}

/// True if `name` means the section of this object: it is libbpf's name of it. If no other object has such a section, this one may
/// be opened under any name.
fn is_of(name: &str, section: &MapDef, object: &ObjectMaps, objects: &[ObjectMaps]) -> bool {
    let is_same = |other: &&MapDef| other.origin == Origin::GlobalData && other.name == section.name;
    let is_alone = || objects.iter().flat_map(|object| &object.maps).filter(is_same).count() == 1;
    let of_any = |object: &str| !object.is_empty() && !object.contains('.');
    name == libbpf_name(&object.name, &section.name)
        || name.strip_suffix(section.name.as_str()).is_some_and(of_any) && is_alone()
}

/// Why a section can't be pinned by the name in `pinned`, and what it is called.
fn not_by_section(name: &str, objects: &[ObjectMaps]) -> Option<String> {
    let of_section =
        |object: &&ObjectMaps| object.maps.iter().any(|map| map.origin == Origin::GlobalData && map.name == name);
    let object = objects.iter().find(of_section)?;
    let known = libbpf_name(&object.name, name);
    (known != name).then(|| {
        format!(
            "`pinned` names `{name}`, which is pinned by no loader under this name: libbpf puts that of the object before it, so write \
             `{known}`, or as `bpftool map` shows it; aya fills it anew at each load"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::libbpf_name;

    #[test]
    fn a_section_is_called_as_libbpf_calls_it() {
        for (object, section, name) in [
            ("flowtop", ".bss", "flowtop.bss"),
            ("conntracker", ".bss", "conntrac.bss"),
            ("conntracker", ".rodata", "conntrac.rodata"),
            ("flow-top", ".data", "flow_top.data"),
            ("flowtop", ".data.counts", ".data.counts"),
        ] {
            assert_eq!(libbpf_name(object, section), name);
        }
    }
}
