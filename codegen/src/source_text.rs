//! Where types, members and maps are declared, from the text of C sources: for objects without DWARF, which libbpf-cargo strips.
//!
//! It is a search, no parser: a declaration is shown to a person, and decides nothing. What is not found is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use maplock_layout::rules::Attribute;
use maplock_layout::{Composite, Layout, MapDef, Shape};

use crate::object_file::{Lines, SourceLine};

/// Most bytes of a file that is looked through; a `vmlinux.h` has more, and declares nothing of the user's.
const MAX_FILE: u64 = 1 << 20;
/// Most files.
const MAX_FILES: usize = 200;

/// C sources and the headers of the project that they include.
#[derive(Debug, Default)]
pub(crate) struct SourceText {
    files: Vec<File>,
}

#[derive(Debug)]
struct File {
    path: PathBuf,
    /// The text, with spaces for comments and for what is in quotes; lines stay.
    code: String,
}

/// A place in a file.
#[derive(Debug, Clone, Copy)]
struct At<'t> {
    file: &'t File,
    offset: usize,
}

impl SourceText {
    /// Reads files, and what they include in quotes, relative to themselves or to `folders`.
    pub(crate) fn read(paths: &[PathBuf], folders: &[PathBuf]) -> Self {
        let (mut files, mut seen) = (Vec::new(), BTreeSet::new());
        let mut waiting: Vec<PathBuf> = paths.iter().rev().cloned().collect();
        while let Some(path) = waiting.pop() {
            let is_small = fs::metadata(&path).is_ok_and(|about| about.is_file() && about.len() <= MAX_FILE);
            if !is_small || files.len() == MAX_FILES || !seen.insert(path.clone()) {
                continue;
            }
            let Ok(text) = fs::read_to_string(&path) else { continue };
            let own = path.parent().map(Path::to_owned).unwrap_or_default();
            for included in text.lines().filter_map(included) {
                let places = std::iter::once(&own).chain(folders).map(|folder| folder.join(included));
                waiting.extend(places.into_iter().find(|path| path.is_file()));
            }
            files.push(File { path, code: without_comments(&text) });
        }
        Self { files }
    }

    /// The files that were read.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| &*file.path)
    }

    /// The lines of these types, with those of their members, and of these maps.
    pub(crate) fn lines(&self, types: &BTreeMap<String, &Layout>, maps: &BTreeSet<&str>) -> Lines {
        let mut lines = Lines::default();
        for (label, layout) in types {
            let Some(body) = self.body_of_type(label) else { continue };
            lines.types.insert(label.clone(), body.named.line());
            if let Some(of) = layout.composite() {
                self.member_lines(&body, label, "", of, &mut lines);
            }
        }
        for map in maps {
            lines.maps.extend(self.body_of_map(map).map(|body| ((*map).to_owned(), body.named.line())));
        }
        lines
    }

    fn member_lines(&self, body: &Body<'_>, label: &str, prefix: &str, of: &Composite, lines: &mut Lines) {
        for member in of.members() {
            let path = format!("{prefix}{}", member.name);
            if !member.name.is_empty()
                && let Some(at) = body.member(&path)
            {
                lines.members.insert((label.to_owned(), path.clone()), at.line());
            }
            let inner = composite_of(&member.layout).filter(|(of, typedef)| of.name().is_none() && typedef.is_none());
            if let Some((inner, _)) = inner {
                let prefix = if member.name.is_empty() { prefix.to_owned() } else { format!("{path}.") };
                self.member_lines(body, label, &prefix, inner, lines);
            }
        }
    }

    /// As [`crate::Locations::find`]: where `path` of a map, or an attribute of its declaration, is written.
    pub(crate) fn find(&self, def: &MapDef, path: &str, attribute: Option<Attribute>) -> Option<SourceLine> {
        let map = self.body_of_map(&def.name)?;
        let rest = path.strip_prefix(&*def.name)?;
        let mut parts =
            rest.split('.').map(|part| part.trim_end_matches("[]")).filter(|part| !part.is_empty()).peekable();
        let mut def = def;
        while parts.next_if_eq(&"inner").is_some() {
            def = def.inner.as_deref()?;
        }
        let Some(role) = parts.next() else {
            let own = attribute.and_then(|attribute| map.word(attribute.in_source()));
            return Some(own.unwrap_or(map.named).line());
        };
        let mut found = map.word(role).or_else(|| map.word(&format!("{role}_size"))).unwrap_or(map.named);
        let mut layout = if role == "key" { def.key.as_deref() } else { def.value.as_deref() };
        // The nearest type around that has a name, and the members from there.
        let (mut body, mut prefix) = (None, String::new());
        for part in parts {
            let Some((of, typedef)) = layout.and_then(composite_of) else { break };
            if let Some(name) = of.name().map(|name| &**name).or(typedef) {
                body = self.body_of_type(&format!("{} {name}", of.kind().keyword()));
                prefix.clear();
            }
            let path = format!("{prefix}{part}");
            found = body.as_ref().and_then(|body| body.member(&path)).unwrap_or(found);
            prefix = format!("{path}.");
            layout =
                of.flat_members().into_iter().find(|flat| &*flat.member.name == part).map(|flat| &*flat.member.layout);
        }
        Some(found.line())
    }

    /// The definition of a type: `struct NAME {`, or `typedef struct { .. } NAME;`.
    fn body_of_type(&self, label: &str) -> Option<Body<'_>> {
        let (keyword, name) = label.split_once(' ')?;
        let tagged = |file: &'_ File| {
            words(&file.code, keyword).find_map(|at| {
                let rest = &file.code[at + keyword.len()..];
                let behind = rest.trim_start().strip_prefix(name)?;
                let behind = behind.strip_prefix(|c: char| c.is_whitespace() || c == '{').map(|_| behind)?;
                let (open, _) = behind.match_indices(['{', ';', ')', ',', '*']).next()?;
                let open = file.code.len() - behind.len() + open;
                let named = file.code.len() - rest.trim_start().len();
                (file.code[open..].starts_with('{')).then(|| (named, open..close(&file.code, open)))
            })
        };
        let aliased = |file: &'_ File| {
            words(&file.code, name).find_map(|at| {
                let before = file.code[..at].trim_end();
                let closing = before.strip_suffix('}')?.len();
                let open = open(&file.code, closing)?;
                file.code[..open].contains(keyword).then_some((at, open..closing))
            })
        };
        let body = |file, (named, range)| Body { named: At { file, offset: named }, file, range };
        let tagged = self.files.iter().find_map(|file| Some(body(file, tagged(file)?)));
        tagged.or_else(|| self.files.iter().find_map(|file| Some(body(file, aliased(file)?))))
    }

    /// The declaration of a map: `struct { .. } NAME SEC(..)`, or `struct bpf_map_def SEC(..) NAME = { .. }`.
    fn body_of_map(&self, name: &str) -> Option<Body<'_>> {
        self.files.iter().find_map(|file| {
            words(&file.code, name).find_map(|at| {
                let (before, behind) = (file.code[..at].trim_end(), file.code[at + name.len()..].trim_start());
                let range = if behind.starts_with("SEC") || behind.starts_with("__attribute__") {
                    let closing = before.strip_suffix('}')?.len();
                    open(&file.code, closing)?..closing
                } else if before.ends_with(')') && behind.strip_prefix('=')?.trim_start().starts_with('{') {
                    let open = at + file.code[at..].find('{')?;
                    open..close(&file.code, open)
                } else {
                    return None;
                };
                Some(Body { named: At { file, offset: at }, file, range })
            })
        })
    }
}

/// What is in the braces of a declaration.
struct Body<'t> {
    /// Where its name is.
    named: At<'t>,
    file: &'t File,
    range: Range<usize>,
}

impl<'t> Body<'t> {
    fn text(&self) -> &'t str {
        self.file.code.get(self.range.clone()).unwrap_or_default()
    }

    fn word(&self, word: &str) -> Option<At<'t>> {
        let offset = self.range.start + words(self.text(), word).next()?;
        Some(At { file: self.file, offset })
    }

    /// The member that a path leads to, through structs and unions that have no name.
    fn member(&self, path: &str) -> Option<At<'t>> {
        match path.split_once('.') {
            Some((first, rest)) => {
                let closing = words(self.text(), first).find_map(|at| {
                    let before = self.text()[..at].trim_end().strip_suffix('}')?;
                    Some(self.range.start + before.len())
                })?;
                let range = open(&self.file.code, closing)?..closing;
                Body { named: self.named, file: self.file, range }.member(rest)
            }
            None => {
                let text = self.text();
                let offset = words(text, path).find(|at| {
                    let behind = text[at + path.len()..].trim_start();
                    behind.starts_with([';', ',', '[', ':', ')']) || behind.starts_with("__attribute__")
                })?;
                Some(At { file: self.file, offset: self.range.start + offset })
            }
        }
    }
}

impl At<'_> {
    fn line(self) -> SourceLine {
        let before = &self.file.code.as_bytes()[..self.offset];
        let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count() as u64;
        SourceLine { file: self.file.path.display().to_string(), line }
    }
}

/// A struct or union, also as an array's element, and the typedef that names it.
fn composite_of(mut layout: &Layout) -> Option<(&Composite, Option<&str>)> {
    while let Shape::Array { element, .. } = &layout.shape {
        layout = element;
    }
    Some((layout.composite()?, layout.typedef.as_deref()))
}

/// What a line includes in quotes.
fn included(line: &str) -> Option<&str> {
    let rest = line.trim_start().strip_prefix('#')?.trim_start().strip_prefix("include")?;
    rest.trim_start().strip_prefix('"')?.split('"').next()
}

/// Where a word stands by itself.
fn words<'t>(text: &'t str, word: &'t str) -> impl Iterator<Item = usize> + 't {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices(word).map(|(at, _)| at).filter(move |at| {
        !word.is_empty() && !text[..*at].ends_with(is_part) && !text[at + word.len()..].starts_with(is_part)
    })
}

/// Where the brace at `open` closes; the end of the text if it does not.
fn close(code: &str, open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth <= 1 => return at,
            b'}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

/// Where the brace opens that closes at `closing`.
fn open(code: &str, closing: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate().take(closing).collect::<Vec<_>>().into_iter().rev() {
        match byte {
            b'}' => depth += 1,
            b'{' if depth == 0 => return Some(at),
            b'{' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// The same text with spaces in the place of comments and of what is in quotes.
fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            ('/', Some('/')) => {
                while let Some(inside) = chars.next_if(|&inside| inside != '\n') {
                    out.extend(std::iter::repeat_n(' ', inside.len_utf8()));
                }
                out.push(' ');
            }
            ('/', Some('*')) => {
                out.push(' ');
                let mut last = ' ';
                for inside in chars.by_ref() {
                    out.extend(std::iter::repeat_n(if inside == '\n' { '\n' } else { ' ' }, inside.len_utf8()));
                    if (last, inside) == ('*', '/') {
                        break;
                    }
                    // The star that opens the comment does not close it.
                    last = if last == ' ' && inside == '*' && out.trim_end().len() + 2 == out.len() {
                        '\0'
                    } else {
                        inside
                    };
                }
            }
            (quote @ ('"' | '\''), _) => {
                out.push(quote);
                while let Some(inside) = chars.next_if(|&inside| inside != quote && inside != '\n') {
                    out.extend(std::iter::repeat_n(' ', inside.len_utf8()));
                    if inside == '\\' {
                        out.extend(chars.next_if(|&escaped| escaped != '\n').map(|_| ' '));
                    }
                }
            }
            _ => out.push(c),
        }
    }
    out
}
