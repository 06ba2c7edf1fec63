//! Versions of what bytes mean that one side does not say, taken from another.
//!
//! Not every compiler writes declaration tags, and not everybody can change a header. What says no version has the one that is known.

use std::collections::HashMap;
use std::ptr;
use std::sync::Arc;

use crate::layout::{Composite, Layout, Member, Shape};
use crate::map::MapDef;

/// A struct or union that says no version, though it had one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Adopted {
    /// The map that has it in its key or value.
    pub map: String,
    /// How C spells it.
    pub spelling: String,
    /// The version that goes on counting.
    pub version: u32,
}

/// `def` with the versions of `from` if it says none itself, and what they are of; `None` if it lacks none.
pub(crate) fn adopted(def: &MapDef, from: &MapDef) -> Option<(MapDef, Vec<Adopted>)> {
    let mut adopter = Adopter::default();
    let taken = adopter.def(def, from)?;
    let mut adopted: Vec<_> =
        adopter.adopted.into_iter().map(|adopted| Adopted { map: def.name.clone(), ..adopted }).collect();
    adopted.sort();
    adopted.dedup();
    Some((taken, adopted))
}

/// `def` with the versions of `from` if it says none itself.
#[must_use]
pub fn versioned_as(def: &MapDef, from: &MapDef) -> MapDef {
    adopted(def, from).map_or_else(|| def.clone(), |(def, _)| def)
}

/// `def` without any version: told apart by its bytes alone.
#[must_use]
pub fn without_versions(def: &MapDef) -> MapDef {
    let mut bare = Bare::default();
    bare.def(def)
}

/// A struct of one side and of the other, by address: the number of ways to a pair can be exponential.
type Pair = (*const Composite, *const Composite);

#[derive(Default)]
struct Adopter {
    done: HashMap<Pair, Option<Arc<Composite>>>,
    adopted: Vec<Adopted>,
}

impl Adopter {
    fn def(&mut self, def: &MapDef, from: &MapDef) -> Option<MapDef> {
        let mut layout = |own: &Option<Arc<Layout>>, from: &Option<Arc<Layout>>| {
            self.layout(own.as_deref()?, from.as_deref()?).map(Arc::new)
        };
        let (key, value) = (layout(&def.key, &from.key), layout(&def.value, &from.value));
        let inner = match (&def.inner, &from.inner) {
            (Some(own), Some(from)) => self.def(own, from).map(Box::new),
            _ => None,
        };
        let lacks_version = def.version == 0 && from.version != 0;
        if key.is_none() && value.is_none() && inner.is_none() && !lacks_version {
            return None;
        }
        Some(MapDef {
            version: if lacks_version { from.version } else { def.version },
            key: key.or_else(|| def.key.clone()),
            value: value.or_else(|| def.value.clone()),
            inner: inner.or_else(|| def.inner.clone()),
            ..def.clone()
        })
    }

    fn layout(&mut self, own: &Layout, from: &Layout) -> Option<Layout> {
        let shape = match (&own.shape, &from.shape) {
            (Shape::Array { element, len }, Shape::Array { element: other, .. }) => {
                Shape::Array { element: Arc::new(self.layout(element, other)?), len: *len }
            }
            (Shape::Composite(of), Shape::Composite(other)) => {
                let pair = (Arc::as_ptr(of), Arc::as_ptr(other));
                let taken = match self.done.get(&pair) {
                    Some(taken) => taken.clone(),
                    None => {
                        let taken = self.composite(own, of, other).map(Arc::new);
                        self.done.insert(pair, taken.clone());
                        taken
                    }
                };
                Shape::Composite(taken?)
            }
            _ => return None,
        };
        Some(Layout { shape, ..own.clone() })
    }

    fn composite(&mut self, layout: &Layout, own: &Composite, from: &Composite) -> Option<Composite> {
        if ptr::eq(own, from) {
            return None;
        }
        let lacks_version = own.version() == 0 && from.version() != 0;
        let named: HashMap<&str, &Member> =
            from.members().iter().map(|member| (member.name.as_str(), member)).collect();
        let anonymous: Vec<_> = from.members().iter().filter(|member| member.name.is_empty()).collect();
        let mut nth = 0;
        let mut differs = lacks_version;
        let members = own.members().iter().map(|member| {
            let other = if member.name.is_empty() {
                nth += 1;
                anonymous.get(nth - 1)
            } else {
                named.get(member.name.as_str())
            };
            match other.and_then(|other| self.layout(&member.layout, &other.layout)) {
                None => member.clone(),
                Some(layout) => {
                    differs = true;
                    Member { layout: Arc::new(layout), ..member.clone() }
                }
            }
        });
        let members = members.collect();
        if !differs {
            return None;
        }
        let version = if lacks_version { from.version() } else { own.version() };
        if lacks_version {
            self.adopted.push(Adopted { map: String::new(), spelling: layout.spelling_without_typedef(), version });
        }
        rebuilt(own, members, version)
    }
}

/// The same struct with other members of the same number, and a version.
fn rebuilt(of: &Composite, members: Vec<Member>, version: u32) -> Option<Composite> {
    // As many as before are not too many.
    Composite::new(of.kind(), of.name().cloned(), members).ok().map(|of| of.with_version(version))
}

#[derive(Default)]
struct Bare {
    done: HashMap<*const Composite, Arc<Composite>>,
}

impl Bare {
    fn def(&mut self, def: &MapDef) -> MapDef {
        let mut layout = |layout: &Option<Arc<Layout>>| layout.as_ref().map(|layout| self.layout(layout));
        let (key, value) = (layout(&def.key), layout(&def.value));
        let inner = def.inner.as_deref().map(|inner| Box::new(self.def(inner)));
        MapDef { version: 0, key, value, inner, ..def.clone() }
    }

    fn layout(&mut self, layout: &Arc<Layout>) -> Arc<Layout> {
        let shape = match &layout.shape {
            Shape::Array { element, len } => {
                let bare = self.layout(element);
                if Arc::ptr_eq(&bare, element) {
                    return Arc::clone(layout);
                }
                Shape::Array { element: bare, len: *len }
            }
            Shape::Composite(of) => {
                let bare = self.composite(of);
                if Arc::ptr_eq(&bare, of) {
                    return Arc::clone(layout);
                }
                Shape::Composite(bare)
            }
            _ => return Arc::clone(layout),
        };
        Arc::new(Layout { shape, ..(**layout).clone() })
    }

    fn composite(&mut self, of: &Arc<Composite>) -> Arc<Composite> {
        if let Some(done) = self.done.get(&Arc::as_ptr(of)) {
            return Arc::clone(done);
        }
        let mut differs = of.version() != 0;
        let members = of.members().iter().map(|member| {
            let layout = self.layout(&member.layout);
            differs |= !Arc::ptr_eq(&layout, &member.layout);
            Member { layout, ..member.clone() }
        });
        let members = members.collect();
        let bare = if differs { rebuilt(of, members, 0).map(Arc::new) } else { None };
        let bare = bare.unwrap_or_else(|| Arc::clone(of));
        self.done.insert(Arc::as_ptr(of), Arc::clone(&bare));
        bare
    }
}

/// The first version that a definition says itself, in the words of a sentence: of the map, or of a struct that it reaches.
#[must_use]
pub fn said_version(def: &MapDef) -> Option<(String, u32)> {
    if def.version != 0 {
        return Some((format!("map `{}`", def.name), def.version));
    }
    let mut seen = std::collections::HashSet::new();
    let mut waiting: Vec<&Layout> = [&def.key, &def.value].into_iter().flatten().map(|layout| &**layout).collect();
    while let Some(layout) = waiting.pop() {
        match &layout.shape {
            Shape::Array { element, .. } => waiting.push(element),
            Shape::Composite(of) if seen.insert(Arc::as_ptr(of)) => {
                if of.version() != 0 {
                    return Some((format!("`{}`", layout.spelling_without_typedef()), of.version()));
                }
                waiting.extend(of.members().iter().map(|member| &*member.layout));
            }
            _ => {}
        }
    }
    def.inner.as_deref().and_then(said_version)
}
