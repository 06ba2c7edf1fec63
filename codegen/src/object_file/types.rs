//! Types by their names: what a map that is declared by its sizes is bound to.

use std::sync::Arc;

use maplock_layout::Layout;
use maplock_layout::btf::{Btf, BtfKind, Resolver};
use maplock_layout::rules::nearest;

use super::dwarf_names::{Named, last_segment};
use super::{Elf, Locations, ObjectError, section_data};

/// Where types are looked up.
pub(super) struct Types<'t, 'a> {
    pub(super) btf: Option<&'t Btf<'a>>,
    pub(super) locations: &'t Locations,
}

/// An object that is read for its types alone, whatever machine it was made for.
#[derive(Debug)]
pub struct TypesObject<'a> {
    /// How messages call it.
    name: String,
    btf: Option<Btf<'a>>,
    locations: Locations,
}

impl<'a> TypesObject<'a> {
    /// Reads the BTF and the DWARF of an ELF object, which messages call `name`.
    ///
    /// # Errors
    /// If the bytes are no ELF object of 64 bits, or have no types.
    pub fn parse(name: String, bytes: &'a [u8]) -> Result<Self, ObjectError> {
        let elf = Elf::parse(bytes).map_err(|error| ObjectError::new(format!("not a 64-bit ELF object: {error}")))?;
        let btf = section_data(&elf, ".BTF")?.map(Btf::parse).transpose()?;
        let locations = Locations::read(&elf);
        if btf.is_none() && locations.is_empty() {
            let problem = "has neither BTF nor DWARF, and so no types; compile it with -g, and don't strip it";
            return Err(ObjectError::new(problem.to_owned()));
        }
        Ok(Self { name, btf, locations })
    }

    /// The layout of a type that is named as in C (`struct flow_key`, `flow_key_t`, `__u64`) or as in Rust
    /// (`flowtop_common::Flow`).
    ///
    /// # Errors
    /// If there is none, or more than one.
    pub fn find(&self, wanted: &str) -> Result<Arc<Layout>, ObjectError> {
        find(wanted, &Types { btf: self.btf.as_ref(), locations: &self.locations }, &[])
    }
}

/// The layout of a type, from the first place that has it.
pub(super) fn find(wanted: &str, own: &Types<'_, '_>, others: &[TypesObject<'_>]) -> Result<Arc<Layout>, ObjectError> {
    let places = || {
        let others = others.iter().map(|other| Types { btf: other.btf.as_ref(), locations: &other.locations });
        std::iter::once(Types { ..*own }).chain(others)
    };
    let mut near = Vec::new();
    for place in places() {
        if let Some(layout) = in_btf(place.btf, wanted)? {
            return Ok(layout);
        }
        match place.locations.named_type(wanted)? {
            Named::Type(layout) => return Ok(layout),
            Named::Near(name) => near.extend(name),
        }
        near.extend(place.btf.and_then(|btf| near_in_btf(btf, wanted)));
    }
    // BTF has no namespaces.
    let name = last_segment(wanted);
    if name != wanted {
        for place in places() {
            if let Some(layout) = in_btf(place.btf, name)? {
                return Ok(layout);
            }
        }
    }
    let where_looked: Vec<_> = others.iter().map(|other| format!(" nor in {}", other.name)).collect();
    let hint = nearest(wanted, near.iter().map(String::as_str)).map_or_else(
        || "the compiler keeps only what a program or a map uses; name an object that has it in `types`".to_owned(),
        |near| format!("did you mean `{near}`?"),
    );
    Err(ObjectError::new(format!(
        "type `{wanted}` is neither in the object's BTF nor in its DWARF{}; {hint}",
        where_looked.concat()
    )))
}

fn kinds(keyword: Option<&str>) -> &'static [BtfKind] {
    match keyword {
        Some("struct") => &[BtfKind::Struct],
        Some("union") => &[BtfKind::Union],
        Some(_) => &[BtfKind::Enum, BtfKind::Enum64],
        None => &[BtfKind::Typedef, BtfKind::Struct, BtfKind::Int],
    }
}

fn in_btf(btf: Option<&Btf<'_>>, wanted: &str) -> Result<Option<Arc<Layout>>, ObjectError> {
    let (keyword, name) = match wanted.trim().split_once(' ') {
        Some((keyword @ ("struct" | "union" | "enum"), name)) => (Some(keyword), name.trim()),
        _ => (None, wanted.trim()),
    };
    let Some((btf, ty)) = btf.and_then(|btf| Some((btf, btf.find(kinds(keyword), name)?))) else { return Ok(None) };
    Ok(Some(Resolver::new(btf).resolve(ty.id)?))
}

/// What the BTF has that is most like a name.
fn near_in_btf(btf: &Btf<'_>, wanted: &str) -> Option<String> {
    let label =
        |keyword: &str, name: &str| if keyword.is_empty() { name.to_owned() } else { format!("{keyword} {name}") };
    let mut labels = Vec::new();
    for (keyword, kinds) in [
        ("struct", kinds(Some("struct"))),
        ("union", kinds(Some("union"))),
        ("enum", kinds(Some("enum"))),
        ("", &[BtfKind::Typedef][..]),
    ] {
        let named = btf.of_kinds(kinds).filter_map(|ty| btf.name(&ty).ok().filter(|name| !name.is_empty()));
        labels.extend(named.map(|name| label(keyword, name)));
    }
    nearest(wanted, labels.iter().map(String::as_str)).map(str::to_owned)
}
