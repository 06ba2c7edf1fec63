//! Layouts that are written by hand, and how the kernel that runs settles maps of a type.

use std::sync::Arc;

use maplock::internals::sys::{Map, NewMap};
use maplock::internals::transfer::{Sum, Transfer, TransferOptions, new_base};
use maplock::layout::map::MapType;
use maplock::layout::{Composite, CompositeKind, IntKind, Layout, Member, Shape};

/// An unsigned integer of so many bytes.
#[must_use]
pub fn uint(size: u64) -> Arc<Layout> {
    Arc::new(Layout::new(size, Shape::Int(IntKind::Unsigned)))
}

/// So many bytes.
#[must_use]
pub fn bytes(len: u32) -> Arc<Layout> {
    Arc::new(Layout::new(len.into(), Shape::Array { element: uint(1), len }))
}

/// A struct of so many bytes, with its members' names, offsets in bytes, and types.
///
/// # Panics
/// If there are too many.
#[must_use]
pub fn structure(name: &str, size: u64, members: &[(&str, u64, Arc<Layout>)]) -> Arc<Layout> {
    let member = |(name, offset, layout): &(&str, u64, Arc<Layout>)| Member {
        name: (*name).into(),
        offset_bits: offset * 8,
        bits: None,
        layout: Arc::clone(layout),
    };
    let members = members.iter().map(member).collect();
    let of = Composite::new(CompositeKind::Struct, Some(name.into()), members).expect("few members");
    Arc::new(Layout::new(size, Shape::Composite(Arc::new(of))))
}

/// `struct v { u64 n; struct LOCK lock; u32 x; }`
#[must_use]
pub fn locked(lock: &str) -> Arc<Layout> {
    let lock = structure(lock, 4, &[("val", 0, uint(4))]);
    structure("v", 16, &[("n", 0, uint(8)), ("lock", 8, lock), ("x", 12, uint(4))])
}

/// True if the kernel that runs settles maps of a type in one step: of counts alone, or of values with `more`.
///
/// # Panics
/// If such maps can't be made.
#[must_use]
pub fn settles_exactly(map_type: MapType, more: bool) -> bool {
    let key_size = if map_type.is_array() { 4 } else { 12 };
    let new = || Map::create(&NewMap::new(map_type, key_size, if more { 16 } else { 8 }, 64)).expect("an empty map");
    let (from, to) = (new(), new());
    let base = new_base(&from).expect("a snapshot");
    let sums = [Sum { offset: 0, width: 8, signed: false }];
    let transfer = Transfer { from: &from, to: &to, base: Some(&base), sums: &sums };
    transfer.prepare(&TransferOptions::default()).expect("prepared").inexact().is_none()
}
