//! Types that have changed since, put in the place of what they were.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::layout::{Composite, CompositeKind, Layout, Member, Shape};
use crate::lock::Lock;
use crate::map::MapDef;

/// Named structs, unions and enums of a lock, by kind and name: each layout that goes by that name.
pub(crate) type Types = BTreeMap<String, Vec<Arc<Layout>>>;

/// The types of the maps that a lock holds today.
pub(crate) fn types_of(lock: &Lock) -> Types {
    let mut types = Types::new();
    for map in lock.maps.values() {
        let mut def = Some(&map.def);
        while let Some(of) = def {
            of.key.iter().chain(&of.value).for_each(|layout| collect(layout, &mut types));
            def = of.inner.as_deref();
        }
    }
    types
}

fn collect(layout: &Arc<Layout>, types: &mut Types) {
    if let Some(label) = label(layout) {
        let bare = Arc::new(Layout { typedef: None, ..(**layout).clone() });
        let known = types.entry(label).or_default();
        if known.contains(&bare) {
            return;
        }
        known.push(bare);
    }
    match &layout.shape {
        Shape::Array { element, .. } => collect(element, types),
        Shape::Composite(of) => of.members().iter().for_each(|member| collect(&member.layout, types)),
        _ => {}
    }
}

fn label(layout: &Layout) -> Option<String> {
    match &layout.shape {
        Shape::Composite(of) => of.name().map(|name| format!("{} {name}", of.kind().keyword())),
        Shape::Enum(of) => of.name.as_ref().map(|name| format!("enum {name}")),
        _ => None,
    }
}

/// What became of types that have one definition under their name: before, and after.
#[derive(Debug, Default)]
pub(crate) struct Retyping(BTreeMap<String, (Arc<Layout>, Arc<Layout>)>);

impl Retyping {
    pub(crate) fn between(before: &Types, after: &Types) -> Self {
        let changed = before.iter().filter_map(|(label, was)| {
            let ([was], [is]) = (was.as_slice(), after.get(label)?.as_slice()) else { return None };
            (was != is).then(|| (label.clone(), (Arc::clone(was), Arc::clone(is))))
        });
        Self(changed.collect())
    }

    /// Those of no type that `known` has.
    pub(crate) fn without(mut self, known: &Types) -> Self {
        self.0.retain(|label, _| !known.contains_key(label));
        self
    }

    /// The definition with the types as they are after; an error if that can't be told.
    pub(crate) fn def(&self, def: &MapDef) -> Result<MapDef, ()> {
        let mut def = def.clone();
        for (layout, size) in [(&mut def.key, &mut def.key_size), (&mut def.value, &mut def.value_size)] {
            let Some(known) = layout else { continue };
            let now = self.layout(known)?;
            if now.size != known.size {
                *size = u32::try_from(now.size).map_err(|_| ())?;
            }
            *layout = Some(now);
        }
        if let Some(inner) = &mut def.inner {
            **inner = self.def(inner)?;
        }
        Ok(def)
    }

    fn layout(&self, layout: &Arc<Layout>) -> Result<Arc<Layout>, ()> {
        if self.0.is_empty() {
            return Ok(Arc::clone(layout));
        }
        if let Some((was, is)) = label(layout).and_then(|label| self.0.get(&label)) {
            let with_typedef = |of: &Layout| Layout { typedef: layout.typedef.clone(), ..of.clone() };
            return match () {
                () if **layout == with_typedef(was) => Ok(Arc::new(with_typedef(is))),
                () if **layout == with_typedef(is) => Ok(Arc::clone(layout)),
                // This side has changed it, too.
                () => Err(()),
            };
        }
        let (size, shape) = match &layout.shape {
            Shape::Array { element, len } => {
                let now = self.layout(element)?;
                (now.size * u64::from(*len), Shape::Array { element: now, len: *len })
            }
            Shape::Composite(of) => {
                let now =
                    of.members().iter().map(|member| self.layout(&member.layout)).collect::<Result<Vec<_>, _>>()?;
                if now.iter().zip(of.members()).all(|(now, member)| *now == member.layout) {
                    return Ok(Arc::clone(layout));
                }
                laid_out(layout.size, of, now)?
            }
            _ => return Ok(Arc::clone(layout)),
        };
        Ok(Arc::new(Layout { size, typedef: layout.typedef.clone(), shape }))
    }
}

/// The struct or union with members of these types, as C lays it out; an error if it was not laid out so before, being packed or
/// aligned by hand.
fn laid_out(size: u64, of: &Composite, now: Vec<Arc<Layout>>) -> Result<(u64, Shape), ()> {
    let natural = |layouts: &[Arc<Layout>]| {
        let (mut end, mut offsets, mut widest) = (0, Vec::new(), 1);
        for layout in layouts {
            let align = alignment(layout)?;
            widest = widest.max(align);
            let at = if of.kind() == CompositeKind::Union { 0 } else { u64::next_multiple_of(end, align) };
            offsets.push(at * 8);
            end = end.max(at + layout.size);
        }
        Some((offsets, end.next_multiple_of(widest)))
    };
    let before: Vec<_> = of.members().iter().map(|member| Arc::clone(&member.layout)).collect();
    let known: Vec<_> = of.members().iter().map(|member| member.offset_bits).collect();
    let is_plain = of.kind() != CompositeKind::Section && of.members().iter().all(|member| member.bits.is_none());
    if !is_plain || natural(&before) != Some((known, size)) {
        return Err(());
    }
    let (offsets, size) = natural(&now).ok_or(())?;
    let members = of.members().iter().zip(now).zip(offsets);
    let members = members.map(|((member, layout), offset_bits)| Member { layout, offset_bits, ..member.clone() });
    let composite = Composite::new(of.kind(), of.name().cloned(), members.collect()).map_err(|_| ())?;
    Ok((size, Shape::Composite(Arc::new(composite.with_version(of.version())))))
}

/// Bytes to which C aligns it for BPF; `None` for what has no bytes.
fn alignment(layout: &Layout) -> Option<u64> {
    match &layout.shape {
        Shape::Int(_) | Shape::Float | Shape::Enum(_) | Shape::Pointer { .. } => Some(layout.size.clamp(1, 16)),
        Shape::Array { element, .. } => alignment(element),
        Shape::Composite(of) => of
            .members()
            .iter()
            .map(|member| alignment(&member.layout))
            .try_fold(1, |widest, align| Some(align?.max(widest))),
        Shape::Opaque { .. } => None,
    }
}
