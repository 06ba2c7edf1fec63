//! Names as Rust takes them.

use std::collections::BTreeSet;

/// Names that are taken in one scope.
#[derive(Debug, Clone, Default)]
pub(super) struct Names(BTreeSet<String>);

impl Names {
    /// The name, with as many `_` behind it as it takes to be the only one.
    pub(super) fn claim(&mut self, mut name: String) -> String {
        while !self.0.insert(name.clone()) {
            name.push('_');
        }
        name
    }

    /// True if the name is taken.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }
}

/// `flow_key` to `FlowKey`.
pub(super) fn camel_case(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut upper = true;
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            out.push(if upper { c.to_ascii_uppercase() } else { c });
            upper = false;
        } else {
            upper = true;
        }
    }
    match out.as_str() {
        "Self" => "Self_".to_owned(),
        "" => "T".to_owned(),
        _ if out.starts_with(|c: char| c.is_ascii_digit()) => format!("T{out}"),
        _ => out,
    }
}

/// `.rodata` to `rodata`, `FLOWS` to `flows`.
pub(super) fn snake_case(name: &str) -> String {
    let out: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect();
    let out = out.trim_matches('_');
    if out.is_empty() || out.starts_with(|c: char| c.is_ascii_digit()) { format!("map_{out}") } else { out.to_owned() }
}

/// A name as Rust takes it for a field, a constant or a module.
pub(super) fn identifier(name: &str) -> String {
    const KEYWORDS: &[&str] = &[
        "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "do", "dyn", "else", "enum",
        "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match", "mod",
        "move", "mut", "override", "priv", "pub", "ref", "return", "static", "struct", "trait", "true", "try", "type",
        "typeof", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
    ];
    let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect();
    match plain.as_str() {
        "" => "unnamed".to_owned(),
        "self" | "Self" | "super" | "crate" | "_" => format!("{plain}_"),
        keyword if KEYWORDS.contains(&keyword) => format!("r#{keyword}"),
        other if other.starts_with(|c: char| c.is_ascii_digit()) => format!("_{other}"),
        _ => plain,
    }
}

/// A string literal with the text as it stands.
pub(super) fn raw_string(text: &str) -> String {
    let longest = text.split('"').skip(1).map(|rest| rest.bytes().take_while(|&byte| byte == b'#').count()).max();
    let hashes = "#".repeat(longest.unwrap_or(0) + 1);
    format!("r{hashes}\"{text}\"{hashes}")
}
