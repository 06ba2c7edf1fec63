//! The types of a lock, by name.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use maplock_layout::rules::nearest;
use maplock_layout::{Layout, Lock, MapDef, Shape};

use crate::input::{Input, Role};

/// All named types in the keys and values of a lock's maps.
pub(crate) struct Types {
    named: BTreeMap<String, Vec<Found>>,
    maps: BTreeMap<String, MapDef>,
    /// By kind, name, and member or object.
    lines: BTreeMap<(String, String, String), String>,
}

/// A type as one map has it.
struct Found {
    map: String,
    role: Role,
    layout: Arc<Layout>,
}

/// The type of the lock that a Rust type is held against.
pub(crate) struct Bound {
    /// How C names it: `struct flow_stats`.
    pub(crate) name: String,
    /// A map that has it.
    pub(crate) map: String,
    /// Its layout; `None` if the map tells its size alone.
    pub(crate) layout: Option<Arc<Layout>>,
    pub(crate) size: u64,
}

impl Bound {
    /// `` `struct flow_stats` of map `flows` ``.
    pub(crate) fn place(&self) -> String {
        if self.name.is_empty() {
            format!("map `{}`", self.map)
        } else {
            format!("`{}` of map `{}`", self.name, self.map)
        }
    }
}

impl Types {
    pub(crate) fn new(lock: &Lock, lines: &str) -> Self {
        let mut types = Self { named: BTreeMap::new(), maps: BTreeMap::new(), lines: BTreeMap::new() };
        for (name, map) in &lock.maps {
            let mut def = Some(&map.def);
            while let Some(this) = def {
                for (role, layout) in [(Role::Key, &this.key), (Role::Value, &this.value)] {
                    if let Some(layout) = layout {
                        types.collect(name, role, layout, &mut HashSet::new());
                    }
                }
                def = this.inner.as_deref();
            }
            types.maps.insert(name.clone(), map.def.clone());
        }
        for line in lines.lines() {
            if let [kind, name, part, at] = line.split('\t').collect::<Vec<_>>()[..] {
                types.lines.insert((kind.to_owned(), name.to_owned(), part.to_owned()), at.to_owned());
            }
        }
        types
    }

    /// Takes up a type and what is in it. `seen` keeps it from walking shared parts twice.
    fn collect(&mut self, map: &str, role: Role, layout: &Arc<Layout>, seen: &mut HashSet<*const Layout>) {
        if !seen.insert(Arc::as_ptr(layout)) {
            return;
        }
        let mut names = Vec::from_iter(layout.typedef.as_deref().map(str::to_owned));
        match &layout.shape {
            Shape::Composite(of) => {
                names.extend(of.name().map(|name| format!("{} {name}", of.kind().keyword())));
                for member in of.members() {
                    self.collect(map, role, &member.layout, seen);
                }
            }
            Shape::Enum(of) => names.extend(of.name.as_ref().map(|name| format!("enum {name}"))),
            Shape::Array { element, .. } => self.collect(map, role, element, seen),
            _ => {}
        }
        for name in names {
            let found = Found { map: map.to_owned(), role, layout: Arc::clone(layout) };
            self.named.entry(name).or_default().push(found);
        }
    }

    /// The line of a C header: `kind` is `member`, `type` or `map`.
    pub(crate) fn line(&self, kind: &str, name: &str, part: &str) -> Option<&str> {
        self.lines.get(&(kind.to_owned(), name.to_owned(), part.to_owned())).map(|line| &**line)
    }

    /// The type that an item is held against.
    ///
    /// # Errors
    /// A sentence for the user if there is none, or more than one.
    pub(crate) fn find(&self, input: &Input) -> Result<Bound, String> {
        let attribute = &input.attribute;
        let map = attribute.map.as_ref().map(syn::LitStr::value);
        if let Some(map) = &map {
            let def = self.maps.get(map).ok_or_else(|| {
                format!("map `{map}` is not in the lock{}", self.nearest(map, self.maps.keys().map(|name| &**name)))
            })?;
            let (layout, size) = match input.role {
                Role::Key => (&def.key, def.key_size),
                Role::Value => (&def.value, def.value_size),
            };
            if layout.is_none() && attribute.btf.is_none() {
                return Ok(Bound { name: String::new(), map: map.clone(), layout: None, size: size.into() });
            }
        }
        let rust = input.derive.ident.to_string();
        let (names, path) = match &attribute.btf {
            Some(btf) => {
                let btf = btf.value();
                let (name, path) = btf.split_once('.').unwrap_or((&btf, ""));
                let spellings = if name.contains(' ') { vec![name.to_owned()] } else { spellings(name) };
                (spellings, path.to_owned())
            }
            None => (spellings(&snake_case(&rust)).into_iter().chain(spellings(&rust)).collect(), String::new()),
        };
        let Some((name, all)) = names.iter().find_map(|name| Some((name, self.named.get(name)?))) else {
            let wanted = names.first().map(|name| name.strip_prefix("struct ").unwrap_or(name)).unwrap_or_default();
            let what = match &attribute.btf {
                Some(btf) => format!("`{}`", btf.value()),
                None => format!("a type for `{rust}`"),
            };
            let bare = |name: &str| name.rsplit(' ').next().unwrap_or_default().to_owned();
            let known: Vec<_> = self.named.keys().map(|name| (bare(name), name)).collect();
            let near = nearest(&bare(wanted), known.iter().map(|(bare, _)| &**bare))
                .and_then(|near| known.iter().find(|(bare, _)| bare == near));
            let hint = near.map_or_else(
                || "name it: `#[maplock(btf = \"struct ..\")]`".to_owned(),
                |(_, name)| format!("did you mean `#[maplock(btf = \"{name}\")]`?"),
            );
            return Err(format!("no map of the lock has {what}; {hint}"));
        };
        let mut all: Vec<&Found> = all.iter().collect();
        if let Some(map) = &map {
            all.retain(|found| found.map == *map);
            if all.is_empty() {
                return Err(format!("map `{map}` has no `{name}`"));
            }
        }
        if let Some(object) = &attribute.object {
            let object = object.value();
            let is_of = |map: &str| self.line("map", map, &object).is_some();
            if self.lines.keys().any(|(kind, ..)| kind == "map") {
                all.retain(|found| is_of(&found.map));
            }
            if all.is_empty() {
                return Err(format!("no map of object `{object}` has `{name}`"));
            }
        }
        if all.iter().any(|found| found.role == input.role) {
            all.retain(|found| found.role == input.role);
        }
        let digests: BTreeSet<_> = all.iter().map(|found| found.layout.digest()).collect();
        let first = match all.first() {
            Some(first) if digests.len() == 1 => first,
            _ => {
                let maps: BTreeSet<_> = all.iter().map(|found| format!("`{}`", found.map)).collect();
                let maps: Vec<_> = maps.into_iter().collect();
                return Err(format!(
                    "`{name}` is not the same in the maps {}; name one: `#[maplock(map = {})]`",
                    maps.join(", "),
                    maps.first().map(|map| map.replace('`', "\"")).unwrap_or_default()
                ));
            }
        };
        let (mut layout, mut spelled) = (Arc::clone(&first.layout), name.clone());
        for part in path.split('.').filter(|part| !part.is_empty()) {
            spelled = format!("{spelled}.{part}");
            layout = member(&layout, part).ok_or_else(|| format!("there is no `{spelled}` in map `{}`", first.map))?;
        }
        Ok(Bound { name: spelled, map: first.map.clone(), size: layout.size, layout: Some(layout) })
    }

    /// ` ; did you mean ..?`, if anything is near.
    fn nearest<'a>(&self, word: &str, candidates: impl Iterator<Item = &'a str>) -> String {
        nearest(word, candidates).map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
    }
}

/// The type of a member; of an anonymous one, by the name of a member in it: `(v4)`.
fn member(layout: &Arc<Layout>, part: &str) -> Option<Arc<Layout>> {
    let mut layout = layout;
    while let Shape::Array { element, .. } = &layout.shape {
        layout = element;
    }
    let composite = layout.composite()?;
    match part.strip_prefix('(').and_then(|part| part.strip_suffix(')')) {
        Some(inside) => anonymous(composite, inside).map(|(member, _)| Arc::clone(&member.layout)),
        None => composite.flat_members().into_iter().find(|flat| &*flat.member.name == part).map(|flat| {
            let mut layout = &flat.member.layout;
            while let Shape::Array { element, .. } = &layout.shape {
                layout = element;
            }
            Arc::clone(layout)
        }),
    }
}

/// The anonymous member that holds the member `inside`, and where it is, in bits.
pub(crate) fn anonymous<'a>(
    composite: &'a maplock_layout::Composite,
    inside: &str,
) -> Option<(&'a maplock_layout::Member, u64)> {
    let holds =
        |inner: &maplock_layout::Composite| inner.flat_members().iter().any(|flat| &*flat.member.name == inside);
    let member = composite.members().iter().find(|member| member.promoted().is_some_and(holds))?;
    Some((member, member.offset_bits))
}

fn spellings(name: &str) -> Vec<String> {
    vec![format!("struct {name}"), format!("union {name}"), format!("enum {name}"), name.to_owned()]
}

/// `FlowKey` to `flow_key`.
pub(crate) fn snake_case(name: &str) -> String {
    let chars: Vec<_> = name.chars().collect();
    let mut snake = String::with_capacity(name.len() + 4);
    for (at, c) in chars.iter().enumerate() {
        let starts_word = c.is_uppercase()
            && at > 0
            && chars[at - 1] != '_'
            && (!chars[at - 1].is_uppercase() || chars.get(at + 1).is_some_and(|next| next.is_lowercase()));
        if starts_word {
            snake.push('_');
        }
        snake.extend(c.to_lowercase());
    }
    snake
}
