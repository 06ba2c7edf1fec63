//! `maplock_meta`: a frozen map, pinned with a generation, that says what its maps count as.
//!
//! It speaks for maps whose type keeps no BTF, or that were made without; and for those that a later release was accepted to
//! reuse as they are, whose BTF tells what they were made as. Being pinned beside them, it lives and dies with them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use maplock_layout::lock::LockError;
use maplock_layout::{Digest, Lock, ProgramUse};

use crate::generation::text::{self, NoText};
use crate::sys;
use crate::sys::bpffs::{Dir, Named as _};

/// Name of the map, and of its pin.
pub const NAME: &str = "maplock_meta";

/// The version of the text that this crate writes, and the newest that it reads.
pub const VERSION: u32 = 1;

/// What a generation says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meta {
    /// Its number: one more than the highest of those that were there as it was made. It goes with it to be kept, and comes back with it.
    pub generation: u64,
    /// The maps that belong to it, by name. All other pins beside it are somebody else's.
    pub maps: BTreeMap<String, MetaMap>,
    /// The digests of those maps: who may not read their BTF knows by them what they are.
    pub digests: BTreeMap<String, Digest>,
    /// What its programs do with them; a map that is not in it is one of which nobody knows.
    pub programs: BTreeMap<String, ProgramUse>,
    /// The maps of which nobody in user space deletes entries, by the release's word.
    pub user_never_deletes: BTreeSet<String>,
    /// The names of its links.
    pub links: BTreeSet<String>,
    /// Names under which earlier releases pinned its maps, newest first.
    pub renamed: BTreeMap<String, Vec<String>>,
    /// Pins of the generation before that were taken over under another name, or given up.
    pub former: BTreeSet<String>,
    /// What the maps count as. One that is not in it counts as its own BTF says.
    pub lock: Lock,
}

/// One map of a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetaMap {
    /// The kernel's number for the map. Under this name, another map is not the one that is spoken of.
    pub id: u32,
    /// How many entries the release asked for, which may be fewer than the map has room for.
    pub max_entries: u32,
}

/// A `maplock_meta` that says nothing.
#[derive(Debug)]
pub enum MetaError {
    /// It can't be read.
    Io(PathBuf, io::Error),
    /// It is no map that maplock wrote.
    Shape(PathBuf, String),
    /// A newer maplock wrote it.
    Newer(u32),
    /// One of its first lines is no such line.
    Line(usize, String),
    /// The definitions in it are no lock.
    Lock(LockError),
}

impl fmt::Display for MetaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Shape(path, problem) => write!(f, "{}: {problem}", path.display()),
            Self::Newer(version) => {
                write!(f, "`{NAME}` has version {version}, which is newer than this maplock, which knows {VERSION}")
            }
            Self::Line(line, problem) => write!(f, "`{NAME}`, line {line}: {problem}"),
            Self::Lock(error) => write!(f, "`{NAME}` holds no lock: {error}"),
        }
    }
}

impl std::error::Error for MetaError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(_, error) => Some(error),
            Self::Lock(error) => Some(error),
            Self::Shape(..) | Self::Newer(_) | Self::Line(..) => None,
        }
    }
}

impl Meta {
    /// Its text: a line for the format, the generation, each map, its digest, each of its older names, what programs and user space do
    /// with it, each link and each former pin, then a line `---` and the lock.
    #[must_use]
    pub fn to_text(&self) -> String {
        use fmt::Write as _;
        let mut text = format!("{NAME} {VERSION}\ngeneration {}\n", self.generation);
        for (name, map) in &self.maps {
            _ = writeln!(text, "map {} {} {}", map.id, map.max_entries, escape(name));
            if let Some(digest) = self.digests.get(name) {
                _ = writeln!(text, "digest {digest}");
            }
            for older in self.renamed.get(name).into_iter().flatten() {
                _ = writeln!(text, "was {}", escape(older));
            }
            if let Some(programs) = self.programs.get(name) {
                text.push_str(&program_lines(programs));
            }
            if self.user_never_deletes.contains(name) {
                text.push_str("user-deletes never\n");
            }
        }
        for link in &self.links {
            _ = writeln!(text, "link {}", escape(link));
        }
        for pin in &self.former {
            _ = writeln!(text, "former {}", escape(pin));
        }
        _ = write!(text, "---\n{}", self.lock);
        text
    }

    /// Reads such a text.
    ///
    /// # Errors
    /// If it is none, or a newer one.
    pub fn parse(text: &str) -> Result<Self, MetaError> {
        let (head, lock) = text
            .split_once("\n---\n")
            .ok_or_else(|| MetaError::Line(1, "it has no line `---`, and so no definitions".to_owned()))?;
        let mut meta = Self::default();
        let mut last = None;
        for (index, line) in head.lines().enumerate() {
            let wrong = || MetaError::Line(index + 1, format!("`{line}` is no line of it"));
            let (word, rest) = line.split_once(' ').ok_or_else(wrong)?;
            match (index, word) {
                (0, NAME) => match rest.parse() {
                    Ok(VERSION) => {}
                    Ok(newer) if newer > VERSION => return Err(MetaError::Newer(newer)),
                    _ => return Err(wrong()),
                },
                (0, _) => return Err(wrong()),
                (_, "generation") => meta.generation = rest.parse().map_err(|_| wrong())?,
                (_, "map") => {
                    let (id, rest) = rest.split_once(' ').ok_or_else(wrong)?;
                    let (max_entries, name) = rest.split_once(' ').ok_or_else(wrong)?;
                    let number = |text: &str| text.parse().map_err(|_| wrong());
                    let map = MetaMap { id: number(id)?, max_entries: number(max_entries)? };
                    meta.maps.insert(unescape(name), map);
                    last = Some(unescape(name));
                }
                // Of the map on the line above, as those below.
                (_, "digest") => {
                    let map = last.clone().ok_or_else(wrong)?;
                    meta.digests.insert(map, Digest::parse(rest).ok_or_else(wrong)?);
                }
                (_, "was") => {
                    let map = last.clone().ok_or_else(wrong)?;
                    meta.renamed.entry(map).or_default().push(unescape(rest));
                }
                (_, "programs" | "adds" | "sets") => {
                    let map = last.clone().ok_or_else(wrong)?;
                    enter_programs(meta.programs.entry(map).or_default(), word, rest).ok_or_else(wrong)?;
                }
                (_, "user-deletes") if rest == "never" => {
                    _ = meta.user_never_deletes.insert(last.clone().ok_or_else(wrong)?);
                }
                (_, "former") => _ = meta.former.insert(unescape(rest)),
                (_, "link") => _ = meta.links.insert(unescape(rest)),
                _ => return Err(wrong()),
            }
        }
        meta.lock = Lock::parse_embedded(lock).map_err(MetaError::Lock)?;
        Ok(meta)
    }

    /// Pins it in a directory, in the place of one that is there: the map is frozen before it is seen.
    ///
    /// # Errors
    /// The kernel's.
    pub fn write(&self, dir: &Dir) -> io::Result<()> {
        text::write(&dir.join(NAME), NAME, &self.to_text())
    }

    /// Reads the one that is pinned in a directory; `None` if there is none.
    ///
    /// # Errors
    /// If what is pinned there is none that maplock wrote, or a newer one. It says nothing then, as if it were not there.
    pub fn read(dir: &Dir) -> Result<Option<Self>, MetaError> {
        let pin = dir.join(NAME);
        match sys::Map::open(&pin) {
            Ok(map) => Self::read_from(&map, pin.path()).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(MetaError::Io(pin.path().to_owned(), error)),
        }
    }

    /// Reads it from the map that is pinned at `path`.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_from(map: &sys::Map, path: &Path) -> Result<Self, MetaError> {
        let text = text::read(map).map_err(|error| match error {
            NoText::Io(error) => MetaError::Io(path.to_owned(), error),
            NoText::Shape(problem) => MetaError::Shape(path.to_owned(), problem),
        })?;
        Self::parse(&text)
    }
}

/// What programs do with a map: a line of words, then a line for each member.
fn program_lines(programs: &ProgramUse) -> String {
    let words = [("insert", programs.inserts), ("delete", programs.deletes), ("partly", programs.partly)];
    let words: Vec<_> = words.into_iter().filter(|(_, is_so)| *is_so).map(|(word, _)| word).collect();
    let words = if words.is_empty() { "plain".to_owned() } else { words.join(" ") };
    let of = |what: &str, members: &BTreeSet<String>| -> String {
        members.iter().map(|member| format!("{what} {}\n", escape(member))).collect()
    };
    format!("programs {words}\n{}{}", of("adds", &programs.adds), of("sets", &programs.sets))
}

/// Enters what one of these lines says; `None` if it says nothing that is known.
fn enter_programs(programs: &mut ProgramUse, line: &str, rest: &str) -> Option<()> {
    match line {
        "adds" => _ = programs.adds.insert(unescape(rest)),
        "sets" => _ = programs.sets.insert(unescape(rest)),
        _ => {
            for word in rest.split(' ') {
                match word {
                    "insert" => programs.inserts = true,
                    "delete" => programs.deletes = true,
                    "partly" => programs.partly = true,
                    "plain" => {}
                    _ => return None,
                }
            }
        }
    }
    Some(())
}

/// A name on a line of its own.
fn escape(name: &str) -> String {
    name.replace('\\', "\\\\").replace('\n', "\\n")
}

fn unescape(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut chars = name.chars();
    while let Some(c) = chars.next() {
        out.push(match c {
            '\\' if chars.as_str().starts_with('n') => chars.next().map_or(c, |_| '\n'),
            '\\' => chars.next().unwrap_or(c),
            c => c,
        });
    }
    out
}

#[cfg(test)]
mod tests {
    use maplock_layout::MapDef;
    use maplock_layout::lock::LockedMap;
    use maplock_layout::map::MapType;

    use super::*;

    fn meta() -> Meta {
        let mut meta = Meta { generation: 7, ..Meta::default() };
        for (id, name) in [(12, "backends"), (13, ".rodata"), (14, "two\nlines \\n")] {
            meta.maps.insert(name.to_owned(), MetaMap { id, max_entries: 8 });
        }
        meta.digests.insert("backends".to_owned(), Digest::parse(&"4e".repeat(16)).expect("a digest"));
        meta.links = ["connect4", "a \\ b"].map(str::to_owned).into();
        meta.renamed.insert("backends".to_owned(), vec!["hosts".to_owned(), "two\nlines".to_owned()]);
        meta.user_never_deletes = ["backends".to_owned()].into();
        meta.former = ["hosts".to_owned()].into();
        let adds = ["count".to_owned(), "by_port[].bytes".to_owned(), "a\nb".to_owned()].into();
        let sets = ["last_seen".to_owned()].into();
        let programs = ProgramUse { inserts: true, partly: true, adds, sets, ..ProgramUse::default() };
        meta.programs = [("backends".to_owned(), programs), (".rodata".to_owned(), ProgramUse::default())].into();
        let def = MapDef { key_size: 4, value_size: 4, max_entries: 8, ..MapDef::new("backends", MapType::HASH) };
        meta.lock.maps.insert("backends".to_owned(), LockedMap::new(def));
        meta
    }

    #[test]
    fn what_is_written_is_read() {
        let text = meta().to_text();
        assert!(text.starts_with("maplock_meta 1\ngeneration 7\nmap 13 8 .rodata\nprograms plain\n"), "{text}");
        assert_eq!(Meta::parse(&text).expect("its own text"), meta());
    }

    #[test]
    fn a_damaged_text_is_refused_wherever_it_is_cut() {
        let text = meta().to_text();
        let head = text.find("---\n").expect("a head");
        for end in 0..head {
            assert!(Meta::parse(&text[..end]).is_err(), "cut at {end}");
        }
        let error = Meta::parse(&text.replace("map 12 ", "map x ")).expect_err("no number");
        assert_eq!(error.to_string(), "`maplock_meta`, line 5: `map x 8 backends` is no line of it");
        let error = Meta::parse(&text.replace("key_size = 4", "key_size = 8")).expect_err("another digest");
        assert!(error.to_string().contains("holds no lock: line"), "{error}");
    }

    #[test]
    fn a_newer_text_says_so() {
        let error = Meta::parse(&meta().to_text().replace("maplock_meta 1", "maplock_meta 2")).expect_err("newer");
        assert!(matches!(error, MetaError::Newer(2)), "{error}");
    }
}
