//! No circle between the files of a crate: what a file uses can be read without reading that file first.
//!
//! A file uses another where it names an item that the other defines; a re-export leads on to the file that has the item. What a
//! file only declares (`mod`) or passes on (`pub use`) is a table of contents and no use. Tests inside of files don't count.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::iter::Peekable;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree, token_stream::IntoIter};

/// The crates that are held to it.
const CRATES: [&str; 2] = ["layout", "runtime"];

/// `crate::lock::Epoch` is `["lock", "Epoch"]`.
type Segments = Vec<String>;

/// A file, by the module that it is.
#[derive(Debug, Default)]
struct Room {
    file: PathBuf,
    /// Items that it defines.
    items: BTreeSet<String>,
    /// Names that `use` brings in, those that it passes on included.
    imports: BTreeMap<String, Segments>,
    /// Modules of which it brings in everything.
    globs: Vec<Segments>,
    /// What it uses: from the crate's root, or relative to what it has imported.
    uses: BTreeSet<Segments>,
}

type Rooms = BTreeMap<Segments, Room>;

/// The files of a crate, as paths within its `src`, each with its text.
fn rooms(files: impl IntoIterator<Item = (PathBuf, String)>) -> Rooms {
    let room = |(file, text): (PathBuf, String)| {
        let names = file.with_extension("");
        let mut module: Segments = names.iter().map(|name| name.to_str().expect("a name").to_owned()).collect();
        module.pop_if(|last| matches!(last.as_str(), "mod" | "lib"));
        let mut room = Room { file, ..Room::default() };
        room.read(text.parse().expect("Rust"), &module, true);
        (module, room)
    };
    files.into_iter().map(room).collect()
}

fn sources(src: &Path) -> Vec<(PathBuf, String)> {
    let (mut files, mut waiting) = (Vec::new(), vec![src.to_owned()]);
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a text");
                files.push((path.strip_prefix(src).expect("within").to_owned(), text));
            }
        }
    }
    files
}

impl Room {
    /// Collects from `tokens`, which are in `module`; `top` where they are the items of the file itself.
    fn read(&mut self, tokens: TokenStream, module: &[String], top: bool) {
        let mut tokens = tokens.into_iter().peekable();
        let (mut is_public, mut is_test) = (false, false);
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Group(group) => {
                    let text = group.stream().to_string().replace(' ', "");
                    if group.delimiter() == Delimiter::Bracket && text == "cfg(test)" {
                        is_test = true;
                    } else if is_test && group.delimiter() == Delimiter::Brace {
                        is_test = false;
                    } else {
                        self.read(group.stream(), module, false);
                    }
                }
                TokenTree::Ident(ident) => match ident.to_string().as_str() {
                    "pub" => {
                        is_public = true;
                        continue;
                    }
                    "use" => {
                        let mut paths = Vec::new();
                        tree(&mut tokens, Segments::new(), &mut paths);
                        for (path, name) in paths.into_iter().filter(|_| !is_test) {
                            self.import(absolute(&path, module), &name, is_public);
                        }
                        is_test = false;
                    }
                    "struct" | "enum" | "union" | "trait" | "type" | "fn" | "const" | "static" | "macro_rules"
                        if top =>
                    {
                        let name = tokens.clone().find_map(|token| match token {
                            TokenTree::Ident(ident) if ident != "mut" => Some(ident.to_string()),
                            _ => None,
                        });
                        self.items.extend(name);
                    }
                    first => {
                        let mut path = vec![first.to_owned()];
                        while let Some(next) = segment(&mut tokens) {
                            path.push(next);
                        }
                        if path.len() > 1 {
                            self.uses.insert(absolute(&path, module));
                        }
                    }
                },
                TokenTree::Punct(punct) if punct.as_char() == ';' => is_test = false,
                _ => continue,
            }
            // What stands in brackets behind `pub` still belongs to it.
            if !matches!(tokens.peek(), Some(TokenTree::Ident(ident)) if ident == "use") {
                is_public = false;
            }
        }
    }

    fn import(&mut self, path: Segments, name: &str, is_public: bool) {
        if name == "*" {
            // Which of its items are used is not looked at.
            if !is_public {
                self.uses.insert([path.as_slice(), &["*".to_owned()]].concat());
            }
            self.globs.push(path);
        } else {
            if !is_public {
                self.uses.insert(path.clone());
            }
            self.imports.insert(name.to_owned(), path);
        }
    }
}

/// The next part of a path behind `::`, which it takes.
fn segment(tokens: &mut Peekable<IntoIter>) -> Option<String> {
    let mut ahead = tokens.clone();
    let colon = |token: Option<TokenTree>| matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
    if !colon(ahead.next()) || !colon(ahead.next()) {
        return None;
    }
    match ahead.next() {
        Some(TokenTree::Ident(ident)) => {
            *tokens = ahead;
            Some(ident.to_string())
        }
        _ => None,
    }
}

/// The paths of a `use`, each with the name that it brings in.
fn tree(tokens: &mut Peekable<IntoIter>, mut path: Segments, paths: &mut Vec<(Segments, String)>) {
    let mut name = None;
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Ident(ident) if ident == "as" => name = tokens.next().map(|token| token.to_string()),
            TokenTree::Ident(ident) => path.push(ident.to_string()),
            TokenTree::Punct(punct) if punct.as_char() == '*' => name = Some("*".to_owned()),
            TokenTree::Punct(punct) if matches!(punct.as_char(), ',' | ';') => break,
            TokenTree::Group(group) => {
                let mut inner = group.stream().into_iter().peekable();
                while inner.peek().is_some() {
                    tree(&mut inner, path.clone(), paths);
                }
                path.clear();
            }
            _ => {}
        }
    }
    if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
        path.pop();
    }
    if let Some(last) = path.last() {
        paths.push((path.clone(), name.unwrap_or_else(|| last.clone())));
    }
}

/// A path from the crate's root where it begins with `crate`, `self` or `super`; else as it is, behind `""`.
fn absolute(path: &[String], module: &[String]) -> Segments {
    let (first, rest) = path.split_first().expect("a path has a part");
    let (mut base, mut rest) = match first.as_str() {
        "crate" => return rest.to_vec(),
        "self" | "super" => (module.to_vec(), path),
        _ => return [vec![String::new()], path.to_vec()].concat(),
    };
    while let Some((first, more)) = rest.split_first().filter(|(first, _)| matches!(first.as_str(), "self" | "super")) {
        if first == "super" {
            base.pop();
        }
        rest = more;
    }
    base.extend_from_slice(rest);
    base
}

/// The module whose file defines what `path`, said in `from`, names; `None` for other crates' and for modules.
fn owner(rooms: &Rooms, from: &[String], path: &[String], hops: usize) -> Option<Segments> {
    if hops == 0 {
        return None;
    }
    let mut path = path.to_vec();
    if path.first().is_some_and(String::is_empty) {
        // Relative: to a child, or to what was imported.
        let name = path.get(1)?;
        let child = [from, std::slice::from_ref(name)].concat();
        if rooms.contains_key(&child) {
            path.splice(..1, from.iter().cloned());
        } else {
            let imported = rooms[from].imports.get(name)?;
            let is_itself = imported.get(1..) == Some(&path[1..2]) && imported[0].is_empty();
            if is_itself {
                return None;
            }
            path.splice(..2, imported.iter().cloned());
            return owner(rooms, from, &path, hops - 1);
        }
    }
    let depth = (0..=path.len()).rev().find(|&depth| rooms.contains_key(&path[..depth]))?;
    let (module, rest) = path.split_at(depth);
    let (name, rest) = rest.split_first()?;
    let room = &rooms[module];
    if room.items.contains(name) {
        return Some(module.to_vec());
    }
    if let Some(imported) = room.imports.get(name) {
        let path = [imported.as_slice(), rest].concat();
        return owner(rooms, module, &path, hops - 1);
    }
    let through = |glob: &Segments| {
        let path = [glob.as_slice(), std::slice::from_ref(name), rest].concat();
        owner(rooms, module, &path, hops - 1)
    };
    // A macro may define it.
    room.globs.iter().find_map(through).or_else(|| Some(module.to_vec()))
}

/// Which file uses which.
fn uses(rooms: &Rooms) -> BTreeMap<&Segments, BTreeSet<Segments>> {
    let of = |(module, room): (&Segments, &Room)| {
        let owners = room.uses.iter().filter_map(|path| owner(rooms, module, path, 16));
        owners.filter(|other| other != module).collect()
    };
    rooms.iter().map(|(module, room)| (module, of((module, room)))).collect()
}

/// Each file that comes back to itself, with those of its own circle that it uses.
fn circles(rooms: &Rooms) -> Vec<String> {
    let uses = uses(rooms);
    let reached = |from: &Segments| {
        let (mut reached, mut waiting) = (BTreeSet::new(), vec![from]);
        while let Some(module) = waiting.pop() {
            waiting.extend(uses[module].iter().filter(|other| reached.insert((*other).clone())));
        }
        reached
    };
    let reached: BTreeMap<_, _> = rooms.keys().map(|module| (module, reached(module))).collect();
    let file = |module: &Segments| rooms[module].file.display().to_string();
    let line = |module: &Segments| {
        let back = uses[module].iter().filter(|other| reached[*other].contains(module));
        format!("{} uses {}", file(module), back.map(file).collect::<Vec<_>>().join(", "))
    };
    rooms.keys().filter(|module| reached[*module].contains(*module)).map(line).collect()
}

#[test]
fn no_file_uses_one_that_uses_it() {
    for name in CRATES {
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name).join("src");
        let rooms = rooms(sources(&src));
        assert!(rooms.len() > 10, "{name} has {} files", rooms.len());
        let circles = circles(&rooms);
        assert!(circles.is_empty(), "a circle between files of `{name}`:\n{}", circles.join("\n"));
    }
}

#[test]
fn a_circle_is_found_through_re_exports_imports_and_children() {
    let of = |files: &[(&str, &str)]| {
        circles(&rooms(files.iter().map(|(file, text)| (file.into(), (*text).to_owned())))).len()
    };
    let lib = ("lib.rs", "mod a;\nmod b;\npub use a::A;\npub use b::B;\n");
    let a = |uses| ("a.rs", uses);
    assert_eq!(of(&[lib, a("pub struct A;"), ("b.rs", "use crate::A; pub struct B(A);")]), 0);
    let circle = [lib, a("use crate::B; pub struct A(B);"), ("b.rs", "use crate::A; pub struct B(A);")];
    assert_eq!(of(&circle), 2, "through the re-exports of the crate");
    let circle = [lib, a("use crate::b; pub struct A(b::B);"), ("b.rs", "pub struct B(super::a::A);")];
    assert_eq!(of(&circle), 2, "through a module that was imported");
    let circle = [
        lib,
        a("pub struct A; fn f() { println!(\"{:?}\", crate::b::B); }"),
        ("b.rs", "use crate::a::*; pub struct B(A);"),
    ];
    assert_eq!(of(&circle), 2, "in a macro, and by everything");
    let children = |parent| [("lib.rs", "mod a;"), ("a/mod.rs", parent), ("a/b.rs", "use super::P; pub struct B(P);")];
    assert_eq!(of(&children("mod b; pub use b::B; pub struct P;")), 0, "a parent that passes a name on");
    assert_eq!(of(&children("mod b; use b::B; pub struct P;")), 2, "a parent that uses its child");
    assert_eq!(of(&children("mod b; pub struct P; fn f() -> b::B {}")), 2, "by a path");
    assert_eq!(of(&children("mod b; pub struct P; #[cfg(test)] mod tests { use super::b::B; }")), 0, "in a test");
}
