//! What each contestant does with a struct in BTF: visits it whole, which means every struct, union and enum that it
//! holds by value, at every depth, each once.
//!
//! maplock makes [`Layout`]s of it. The others get the least work that finds out the same: they visit the same types and
//! read name, offset, width and type of each member, but keep none of it. [`Tally`] proves that all saw the same.

use std::collections::HashSet;

use btf_rs::{BtfType as _, Type};
use maplock_layout::btf::{Btf, BtfKind, Resolver};
use maplock_layout::{Layout, Shape};

/// What was seen, added up.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Structs and unions.
    pub composites: u64,
    /// Their members.
    pub members: u64,
    /// Offsets of all members, added up.
    pub offset_bits: u64,
    /// Widths of all bit-fields, added up.
    pub bits: u64,
    /// Members that are pointers, or arrays of them.
    pub pointers: u64,
    /// Enums.
    pub enums: u64,
    /// Their enumerators.
    pub enumerators: u64,
    /// Lengths of all names of structs, unions, enums, members and enumerators, added up.
    pub name_bytes: u64,
}

impl Tally {
    /// One number that depends on all of them.
    #[must_use]
    pub fn sum(&self) -> u64 {
        let Self { composites, members, offset_bits, bits, pointers, enums, enumerators, name_bytes } = self;
        [members, offset_bits, bits, pointers, enums, enumerators, name_bytes].into_iter().sum::<u64>() + composites
    }
}

/// maplock's part: everything is in the layout.
///
/// # Panics
/// Where there is no such struct.
#[must_use]
pub fn maplock(bytes: &[u8], name: &str) -> std::sync::Arc<Layout> {
    let btf = Btf::parse(bytes).expect("the BTF is valid");
    let ty = btf.find(&[BtfKind::Struct], name).expect("there is such a struct");
    Resolver::new(&btf).resolve(ty.id).expect("the struct resolves")
}

/// Adds up what a layout holds.
#[must_use]
pub fn tally_of(layout: &Layout) -> Tally {
    let (mut tally, mut seen) = (Tally::default(), HashSet::new());
    add(layout, &mut tally, &mut seen);
    tally
}

fn add(layout: &Layout, tally: &mut Tally, seen: &mut HashSet<usize>) {
    match &layout.shape {
        Shape::Array { element, .. } => add(element, tally, seen),
        Shape::Enum(of) if seen.insert(std::sync::Arc::as_ptr(of) as usize) => {
            tally.enums += 1;
            tally.enumerators += of.values.len() as u64;
            tally.name_bytes += of.name.as_deref().map_or(0, str::len) as u64;
            tally.name_bytes += of.values.iter().map(|(name, _)| name.len() as u64).sum::<u64>();
        }
        Shape::Composite(of) if seen.insert(std::sync::Arc::as_ptr(of) as usize) => {
            tally.composites += 1;
            tally.name_bytes += of.name().map_or(0, |name| name.len()) as u64;
            for member in of.members() {
                tally.members += 1;
                tally.offset_bits += member.offset_bits;
                tally.bits += u64::from(member.bits.unwrap_or(0));
                tally.name_bytes += member.name.len() as u64;
                tally.pointers += u64::from(is_pointer(&member.layout));
                add(&member.layout, tally, seen);
            }
        }
        _ => {}
    }
}

fn is_pointer(layout: &Layout) -> bool {
    match &layout.shape {
        Shape::Array { element, .. } => is_pointer(element),
        shape => matches!(shape, Shape::Pointer { .. }),
    }
}

/// The part of btf-rs, with its own functions for types and names.
///
/// # Errors
/// Where btf-rs has one.
pub fn btf_rs(btf: &btf_rs::Btf, name: &str) -> Result<Tally, btf_rs::Error> {
    let (mut tally, mut seen) = (Tally::default(), HashSet::new());
    let ids = btf.resolve_ids_by_name(name)?;
    for id in ids {
        let ty = btf.resolve_type_by_id(id)?;
        if matches!(ty, Type::Struct(_)) {
            seen.insert(id);
            visit(btf, &ty, &mut tally, &mut seen)?;
            break;
        }
    }
    Ok(tally)
}

/// One struct, union or enum, with all that it holds.
fn visit(btf: &btf_rs::Btf, ty: &Type, tally: &mut Tally, seen: &mut HashSet<u32>) -> Result<(), btf_rs::Error> {
    match ty {
        Type::Struct(of) | Type::Union(of) => {
            tally.composites += 1;
            tally.name_bytes += btf.resolve_name(of)?.len() as u64;
            for member in &of.members {
                tally.members += 1;
                tally.offset_bits += u64::from(member.bit_offset());
                tally.bits += u64::from(member.bitfield_size().unwrap_or(0));
                tally.name_bytes += btf.resolve_name(member)?.len() as u64;
                let mut id = member.get_type_id();
                while let Some(of) = id {
                    let ty = btf.resolve_type_by_id(of)?;
                    id = match &ty {
                        Type::Typedef(_)
                        | Type::Volatile(_)
                        | Type::Const(_)
                        | Type::Restrict(_)
                        | Type::TypeTag(_) => ty.as_btf_type().and_then(|ty| ty.get_type_id()),
                        Type::Array(array) => array.get_type_id(),
                        Type::Ptr(_) => {
                            tally.pointers += 1;
                            None
                        }
                        _ => {
                            if is_visited(&ty) && seen.insert(of) {
                                visit(btf, &ty, tally, seen)?;
                            }
                            None
                        }
                    };
                }
            }
        }
        Type::Enum(of) => {
            tally.enums += 1;
            tally.enumerators += of.members.len() as u64;
            tally.name_bytes += btf.resolve_name(of)?.len() as u64;
            for member in &of.members {
                tally.name_bytes += btf.resolve_name(member)?.len() as u64;
            }
        }
        Type::Enum64(of) => {
            tally.enums += 1;
            tally.enumerators += of.members.len() as u64;
            tally.name_bytes += btf.resolve_name(of)?.len() as u64;
            for member in &of.members {
                tally.name_bytes += btf.resolve_name(member)?.len() as u64;
            }
        }
        _ => {}
    }
    Ok(())
}

fn is_visited(ty: &Type) -> bool {
    matches!(ty, Type::Struct(_) | Type::Union(_) | Type::Enum(_) | Type::Enum64(_))
}
