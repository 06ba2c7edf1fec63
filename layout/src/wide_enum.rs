//! Enumerations of more than 4 bytes, of which not every compiler tells all.
//!
//! `BTF_KIND_ENUM` has 32 bits for a number, whatever the size of the enumeration. clang before 15 knows no other kind, and writes the
//! low 32 bits of each; later ones write `BTF_KIND_ENUM64`. So that another compiler is no change, numbers of such an enumeration count by
//! their low 32 bits: in the comparison, and in the digest. What that loses: enumerators that were renumbered by a multiple of 2^32 are
//! not found.

use std::collections::HashMap;
use std::ptr;
use std::sync::Arc;

use crate::layout::{Composite, Enumeration, Layout, Member, Shape};
use crate::map::MapDef;

/// What counts of an enumerator in an enumeration of `size` bytes.
pub(crate) fn number(value: i128, size: u64) -> i128 {
    if size > 4 { i128::from(value as i32) } else { value }
}

/// The definition with what counts of its enumerators; `None` if that is all of them.
pub(crate) fn narrowed(def: &MapDef) -> Option<MapDef> {
    let mut narrowing = Narrowing::default();
    let mut of = |layout: &Option<Arc<Layout>>| layout.as_ref().map(|layout| narrowing.layout(layout));
    let (key, value) = (of(&def.key), of(&def.value));
    let inner = def.inner.as_deref().and_then(narrowed);
    (narrowing.is_any || inner.is_some()).then(|| MapDef {
        key,
        value,
        inner: inner.map(Box::new).or_else(|| def.inner.clone()),
        ..def.clone()
    })
}

#[derive(Default)]
struct Narrowing {
    /// What each composite became, by address: the number of ways to one can be exponential.
    composites: HashMap<*const Composite, Arc<Composite>>,
    is_any: bool,
}

impl Narrowing {
    fn layout(&mut self, layout: &Arc<Layout>) -> Arc<Layout> {
        let shape = match &layout.shape {
            Shape::Enum(of) if layout.size > 4 => {
                let values =
                    of.values.iter().map(|(name, value)| (name.clone(), number(*value, layout.size))).collect();
                let narrow = Enumeration { name: of.name.clone(), values };
                self.is_any |= narrow != **of;
                Shape::Enum(Arc::new(narrow))
            }
            Shape::Array { element, len } => Shape::Array { element: self.layout(element), len: *len },
            Shape::Composite(of) => Shape::Composite(self.composite(of)),
            _ => return Arc::clone(layout),
        };
        Arc::new(Layout { shape, ..(**layout).clone() })
    }

    fn composite(&mut self, of: &Arc<Composite>) -> Arc<Composite> {
        if let Some(done) = self.composites.get(&ptr::from_ref(of.as_ref())) {
            return Arc::clone(done);
        }
        let members = of.members().iter();
        let members = members.map(|member| Member { layout: self.layout(&member.layout), ..member.clone() }).collect();
        let done = Composite::new(of.kind(), of.name().cloned(), members);
        // As many as there were.
        let done = done.map_or_else(|_| Arc::clone(of), |done| Arc::new(done.with_version(of.version())));
        self.composites.insert(ptr::from_ref(of.as_ref()), Arc::clone(&done));
        done
    }
}
