//! Builds locks from a stream of bytes: what mutating their text rarely gets to.

use std::sync::Arc;

use libfuzzer_sys::arbitrary::{Result, Unstructured};
use maplock_layout::config::Levels;
use maplock_layout::epochs::{accept, update};
use maplock_layout::lock::{LockedMap, OnUpgrade};
use maplock_layout::map::{MapDef, MapType, Pinning};
use maplock_layout::{Composite, CompositeKind, Enumeration, IntKind, Layout, Lock, Member, Name, Observation, Shape};

/// Few, so that they meet.
const NAMES: [&str; 10] = ["a", "b", "c_max", "key", "inner", "struct a", "x[2]", "t (u32)", "p *", "é\"\\\n"];

fn name(u: &mut Unstructured<'_>) -> Result<Name> {
    Ok(Name::from(*u.choose(&NAMES)?))
}

/// A name as the BTF reader gives it to typedefs and to what pointers point to: without special characters.
fn plain_name(u: &mut Unstructured<'_>) -> Result<Arc<str>> {
    Ok(Arc::from(*u.choose(&["a", "b", "opaque", "struct a", "u32", "é"])?))
}

/// A pool of layouts that share parts, as those of an object do.
fn layouts(u: &mut Unstructured<'_>) -> Result<Vec<Arc<Layout>>> {
    let mut pool = vec![
        Arc::new(Layout::new(4, Shape::Int(IntKind::Unsigned))),
        Arc::new(Layout::new(1, Shape::Int(IntKind::Char))),
    ];
    for _ in 0..u.int_in_range(1..=12)? {
        let layout = layout(u, &pool)?;
        pool.push(Arc::new(layout));
    }
    Ok(pool)
}

fn layout(u: &mut Unstructured<'_>, pool: &[Arc<Layout>]) -> Result<Layout> {
    let kinds = [IntKind::Unsigned, IntKind::Signed, IntKind::Bool];
    let mut layout = match u.int_in_range(0..=9)? {
        0 => Layout::new(1 << u.int_in_range(0..=4)?, Shape::Int(*u.choose(&kinds)?)),
        1 => Layout::new(1, Shape::Int(IntKind::Char)),
        2 => Layout::new(1 << u.int_in_range(2..=4)?, Shape::Float),
        3 => Layout::new(8, Shape::Pointer { target: plain_name(u)? }),
        4 => Layout::new(0, Shape::Opaque { name: plain_name(u)? }),
        5 => {
            let mut values: Vec<(Name, i128)> = Vec::new();
            for index in 0..u.int_in_range(0..=3)? {
                values.push((Name::from(format!("{}{index}", u.choose(&["E", "E_MAX"])?)), u.arbitrary::<i8>()?.into()));
            }
            let name = if u.arbitrary()? { Some(name(u)?) } else { None };
            Layout::new(1 << u.int_in_range(0..=3)?, Shape::Enum(Arc::new(Enumeration { name, values })))
        }
        6 => {
            let (element, len) = (Arc::clone(u.choose(pool)?), u.int_in_range(0..=5)?);
            Layout::new(element.size * u64::from(len), Shape::Array { element, len })
        }
        _ => composite(u, pool)?,
    };
    if u.ratio(1, 4)? {
        layout.typedef = Some(plain_name(u)?);
    }
    Ok(layout)
}

fn composite(u: &mut Unstructured<'_>, pool: &[Arc<Layout>]) -> Result<Layout> {
    let kind = *u.choose(&[CompositeKind::Struct, CompositeKind::Struct, CompositeKind::Union])?;
    let (mut members, mut end) = (Vec::new(), 0);
    for index in 0..u.int_in_range(0..=6)? {
        let layout = Arc::clone(u.choose(pool)?);
        let of_bits = matches!(layout.shape, Shape::Int(_) | Shape::Enum(_)) && u.ratio(1, 4)?;
        let bits = if of_bits { Some(u.int_in_range(1..=layout.size as u32 * 8)?) } else { None };
        let gap = u64::from(u.int_in_range(0..=2u8)?) * 8;
        let start = if kind == CompositeKind::Union { 0 } else { end + gap };
        let offset_bits = if bits.is_some() { start } else { start.next_multiple_of(8) };
        // C knows no two members of one name, and no anonymous ones but structs and unions.
        let name = match layout.composite() {
            Some(inner) if inner.kind() != CompositeKind::Section && u.ratio(1, 3)? => Name::default(),
            _ => Name::from(format!("{}{index}", u.choose(&NAMES)?)),
        };
        let member = Member { name, offset_bits, bits, layout };
        end = end.max(member.end_bits());
        members.push(member);
    }
    let size = end.div_ceil(8) + u64::from(u.int_in_range(0..=3u8)?);
    let name = if u.arbitrary()? { Some(name(u)?) } else { None };
    let composite = Composite::new(kind, name, members).unwrap_or_else(|problem| panic!("{problem}"));
    Ok(Layout::new(size, Shape::Composite(Arc::new(composite))))
}

fn map(u: &mut Unstructured<'_>, name: &str, pool: &[Arc<Layout>], depth: usize) -> Result<MapDef> {
    let mut def = MapDef::new(name, MapType(u.int_in_range(0..=36)?));
    def.key = if u.arbitrary()? { Some(Arc::clone(u.choose(pool)?)) } else { None };
    def.value = if u.ratio(3, 4)? { Some(Arc::clone(u.choose(pool)?)) } else { None };
    let size = |layout: &Option<Arc<Layout>>| layout.as_ref().map_or(4, |layout| layout.size as u32);
    (def.key_size, def.value_size) = (size(&def.key), size(&def.value));
    def.max_entries = *u.choose(&[0, 1, 64, u32::MAX])?;
    if u.ratio(1, 4)? {
        (def.flags, def.map_extra, def.numa_node) = (u.arbitrary()?, u.arbitrary()?, u.arbitrary()?);
    }
    def.pinning = Pinning::from_number(*u.choose(&[0, 0, 1, 16])?);
    if depth < 3 && u.ratio(1, 6)? {
        def.inner = Some(Box::new(map(u, name, pool, depth + 1)?));
    }
    Ok(def)
}

/// A set of maps as objects could define it.
pub fn observation(u: &mut Unstructured<'_>) -> Result<Observation> {
    let pool = layouts(u)?;
    let mut observation = Observation::default();
    for _ in 0..u.int_in_range(1..=3)? {
        let name = *u.choose(&["flows", "my map", "a.b", ""])?;
        let locked = LockedMap { ephemeral: u.ratio(1, 8)?, ..LockedMap::new(map(u, name, &pool, 0)?) };
        observation.lock.maps.insert(name.to_owned(), locked);
    }
    Ok(observation)
}

/// The next release's lock: what is safe is taken over, each break is accepted.
pub fn next(u: &mut Unstructured<'_>, lock: &Lock, observed: &Observation) -> Result<Lock> {
    let levels = Levels::default();
    let mut next = lock.clone();
    for name in observed.lock.maps.keys() {
        let on_upgrade = *u.choose(&OnUpgrade::ALL)?;
        if let Ok(accepted) = accept(&next, observed, name, on_upgrade, "because", &levels) {
            next = accepted;
        }
    }
    Ok(update(&next, observed, &levels).unwrap_or(next))
}
