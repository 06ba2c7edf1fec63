//! What the C sources say of types, members and maps: where they are declared, and the comments there.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use maplock_layout::{Layout, Lock, Shape};

use crate::comments::comment_at;
use crate::inputs::Inputs;
use crate::object_file::{Object, SourceLine};

/// What is known of the sources; nothing if there are none.
#[derive(Debug, Default)]
pub(crate) struct Declarations {
    /// By label, such as `struct flow_stats`.
    types: BTreeMap<String, Declared>,
    /// By label and path: `bytes`, or `window.start` in a struct without a name.
    members: BTreeMap<(String, String), Declared>,
    maps: BTreeMap<String, Declared>,
    /// Which objects define which map.
    objects: BTreeSet<(String, String)>,
}

/// A declaration in a source that belongs to the package or its workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Declared {
    /// `bpf/flow.h:12`, relative to the workspace or the package.
    pub(crate) at: String,
    /// The lines of the comment beside or above it; none if there is none, or the source is not at hand.
    pub(crate) comment: Vec<String>,
}

impl Declarations {
    /// Reads the sources of the pinned maps of `lock` and of the types that they reach. Paths are shown from the first of `roots`
    /// that they are in; what is in none of them, such as a system's header, is left out, as it differs between machines.
    pub(crate) fn read(inputs: &Inputs, lock: &Lock, roots: &[PathBuf]) -> Self {
        let types = types(lock);
        let labels = types.keys().cloned().collect();
        let mut found = Self::default();
        let mut sources = Sources { roots, texts: BTreeMap::new() };
        for object in inputs.objects() {
            let maps: BTreeSet<&str> =
                object.maps.iter().map(|map| &*map.name).filter(|map| lock.maps.contains_key(*map)).collect();
            found.objects.extend(maps.iter().map(|map| ((*map).to_owned(), object.name.clone())));
            let Ok(parsed) = Object::parse(object.bytes()) else { continue };
            let mut lines = parsed.locations().lines(&labels, &maps);
            if lines.is_empty() {
                lines = object.sources().lines(&types, &maps);
            }
            // What several objects have is told of the first.
            for (label, line) in lines.types {
                let name = label.split(' ').next_back().unwrap_or_default().to_owned();
                if let Some(declared) = sources.look(&line, &name) {
                    found.types.entry(label).or_insert(declared);
                }
            }
            for ((label, path), line) in lines.members {
                let name = path.rsplit('.').next().unwrap_or_default().to_owned();
                if let Some(declared) = sources.look(&line, &name) {
                    found.members.entry((label, path)).or_insert(declared);
                }
            }
            for (map, line) in lines.maps {
                if let Some(declared) = sources.look(&line, &map) {
                    found.maps.entry(map).or_insert(declared);
                }
            }
        }
        found
    }

    /// True if no object was read.
    pub(crate) fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Of a type, by its label.
    pub(crate) fn ty(&self, label: &str) -> Option<&Declared> {
        self.types.get(label)
    }

    /// Of a member.
    pub(crate) fn member(&self, label: &str, path: &str) -> Option<&Declared> {
        self.members.get(&(label.to_owned(), path.to_owned()))
    }

    /// Of a map's variable.
    pub(crate) fn map(&self, name: &str) -> Option<&Declared> {
        self.maps.get(name)
    }

    /// The text of `OUT_DIR/maplock.lines`, for the derives: a line for each member (`member`, label, path, place), type (`type`,
    /// label, nothing, place) and map (`map`, name, object, place), with tabs in between.
    pub(crate) fn to_lines(&self, lock: &Lock) -> String {
        let mut lines = BTreeSet::new();
        for (label, declared) in &self.types {
            lines.insert(format!("type\t{label}\t\t{}", declared.at));
        }
        for ((label, path), declared) in &self.members {
            lines.insert(format!("member\t{label}\t{path}\t{}", declared.at));
        }
        for name in lock.maps.iter().filter(|(_, map)| !map.ephemeral).map(|(name, _)| name) {
            let at = self.maps.get(name).map_or("", |declared| &declared.at);
            let mut objects = self.objects.iter().filter(|(map, _)| map == name).map(|(_, object)| object.as_str());
            let first = objects.next().unwrap_or_default();
            for object in std::iter::once(first).chain(objects) {
                lines.insert(format!("map\t{name}\t{object}\t{at}"));
            }
        }
        lines.iter().fold(String::new(), |mut text, line| {
            _ = writeln!(text, "{line}");
            text
        })
    }
}

/// The labels of the types that the pinned maps reach.
pub(crate) fn labels(lock: &Lock) -> BTreeSet<String> {
    types(lock).into_keys().collect()
}

/// The types that the pinned maps reach, by their labels.
fn types(lock: &Lock) -> BTreeMap<String, &Layout> {
    let (mut types, mut seen) = (BTreeMap::new(), BTreeSet::new());
    for map in lock.maps.values().filter(|map| !map.ephemeral) {
        for layout in [&map.def.key, &map.def.value].into_iter().flatten() {
            add_types(layout, &mut types, &mut seen);
        }
    }
    types
}

/// The types that a layout reaches.
fn add_types<'l>(layout: &'l Layout, types: &mut BTreeMap<String, &'l Layout>, seen: &mut BTreeSet<*const ()>) {
    let typedef = layout.typedef.as_deref();
    match &layout.shape {
        Shape::Array { element, .. } => add_types(element, types, seen),
        Shape::Enum(of) => {
            types.extend(of.name.as_deref().or(typedef).map(|name| (format!("enum {name}"), layout)));
        }
        Shape::Composite(of) => {
            let name = of.name().map(|name| &**name).or(typedef);
            types.extend(name.map(|name| (format!("{} {name}", of.kind().keyword()), layout)));
            // The number of ways to one can be exponential.
            if seen.insert(std::sync::Arc::as_ptr(of).cast()) {
                of.members().iter().for_each(|member| add_types(&member.layout, types, seen));
            }
        }
        _ => {}
    }
}

/// The sources, each read once.
struct Sources<'a> {
    roots: &'a [PathBuf],
    texts: BTreeMap<PathBuf, Option<Vec<String>>>,
}

impl Sources<'_> {
    /// What stands at a line, with the comment if the line has the name that is declared there: else the source is not the one
    /// that was compiled.
    fn look(&mut self, line: &SourceLine, name: &str) -> Option<Declared> {
        let file = Path::new(&line.file);
        let (shown, path) = self.roots.iter().find_map(|root| {
            let within = if file.is_absolute() { file.strip_prefix(root).ok()? } else { file };
            let path = root.join(within);
            (file.is_absolute() || path.exists()).then(|| (within.to_owned(), path))
        })?;
        let read = |path: &Path| {
            let text = std::fs::read_to_string(path).ok()?;
            Some(text.lines().map(str::to_owned).collect())
        };
        let text = self.texts.entry(path).or_insert_with_key(|path| read(path));
        let at = usize::try_from(line.line).ok().and_then(|line| line.checked_sub(1));
        let comment = text.as_deref().zip(at).map(|(text, at)| comment_at(text, at, name)).unwrap_or_default();
        Some(Declared { at: format!("{}:{}", shown.display(), line.line), comment })
    }
}
