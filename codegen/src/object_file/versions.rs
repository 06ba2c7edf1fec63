//! Versions of what maps mean, by declaration tags on their variables. Those on structs are read with the structs.

use std::collections::HashMap;

use maplock_layout::btf::{Btf, BtfKind, BtfType, Linkage, VersionTag};
use maplock_layout::map::{MapDef, Origin};

use super::ObjectError;

const WHERE: &str =
    "a version belongs behind the closing brace of a struct or union, or behind the name of a map's variable";

/// Enters the versions that tags on the maps' variables say.
///
/// # Errors
/// If a tag is no version, is on what has none, or says another than the tag beside it.
pub(super) fn enter(btf: &Btf<'_>, maps: &mut [MapDef]) -> Result<(), ObjectError> {
    let mut definitions = None;
    for tag in btf.version_tags() {
        let on = btf.get(tag.on)?;
        let name = btf.name(&on).unwrap_or_default();
        let version = tag.version.clone();
        match on.kind {
            BtfKind::Struct | BtfKind::Union if tag.component == -1 => {
                let definitions = definitions.get_or_insert_with(|| structs_of_maps(btf));
                if let Some(map) = definitions.get(&on.id) {
                    let problem = format!("`{}` is on the struct that defines it; {WHERE}", tag.text);
                    return Err(ObjectError::new(problem).of_map(map));
                }
                let spelling = || format!("`{} {name}`", if on.kind == BtfKind::Union { "union" } else { "struct" });
                version.map_err(|problem| ObjectError::new(format!("{}: {problem}", spelling())))?;
            }
            BtfKind::Var if tag.component == -1 => {
                let declared = |map: &&mut MapDef| matches!(map.origin, Origin::Declared | Origin::Legacy);
                let mut of_name = maps.iter_mut().filter(declared).filter(|map| map.name == name).peekable();
                if of_name.peek().is_none() && on.linkage() != Linkage::Extern {
                    return Err(misplaced(btf, &tag, &on));
                }
                for map in of_name {
                    let error = |problem| ObjectError::new(problem).of_map(name);
                    let version = version.clone().map_err(error)?;
                    if map.version != 0 && map.version != version {
                        let both = format!(
                            "one tag says `maplock:version={}`, another `maplock:version={version}`",
                            map.version
                        );
                        return Err(error(both));
                    }
                    map.version = version;
                }
            }
            _ => return Err(misplaced(btf, &tag, &on)),
        }
    }
    Ok(())
}

fn misplaced(btf: &Btf<'_>, tag: &VersionTag, on: &BtfType<'_>) -> ObjectError {
    let name = btf.name(on).unwrap_or_default();
    let kind = match on.kind {
        BtfKind::Struct => "struct",
        BtfKind::Union => "union",
        BtfKind::Typedef => "typedef",
        BtfKind::Var => "variable",
        BtfKind::Func => "function",
        _ => "type",
    };
    let member = usize::try_from(tag.component).ok().and_then(|at| on.members().nth(at));
    let on = match (tag.component, member) {
        (-1, _) => format!("{kind} `{name}`"),
        (_, Some(member)) if matches!(on.kind, BtfKind::Struct | BtfKind::Union) => {
            format!("member `{}` of `{kind} {name}`", btf.string(member.name_off).unwrap_or_default())
        }
        _ => format!("a part of {kind} `{name}`"),
    };
    ObjectError::new(format!("`{}` is on {on}; {WHERE}", tag.text))
}

/// The structs that define maps in `.maps`, each with the name of one of its maps.
fn structs_of_maps<'a>(btf: &Btf<'a>) -> HashMap<u32, &'a str> {
    let mut structs = HashMap::new();
    let section = btf.find(&[BtfKind::Datasec], super::declared::SECTION);
    for info in section.iter().flat_map(BtfType::secinfos) {
        let Ok(var) = btf.get(info.type_id) else { continue };
        if let (BtfKind::Var, Ok(of), Ok(name)) = (var.kind, btf.skip_modifiers(var.type_id()), btf.name(&var)) {
            structs.insert(of.id, name);
        }
    }
    structs
}
