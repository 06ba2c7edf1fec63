//! Where in a lockfile's text a finding's old side stands.

use std::collections::HashMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::rules::Attribute;

/// The lines of a lockfile, which is read once to find many of them.
#[derive(Debug, Default)]
pub struct Lines {
    maps: HashMap<String, Head>,
    /// The members of each type, by its label.
    types: HashMap<String, Vec<Row>>,
}

/// What is said of one map, or of the maps that it holds.
#[derive(Debug)]
struct Head {
    line: usize,
    facts: HashMap<String, Fact>,
    inner: Option<Box<Head>>,
}

#[derive(Debug)]
struct Fact {
    line: usize,
    /// Its value, if that is a text.
    text: String,
}

/// A member of a struct or union.
#[derive(Debug)]
struct Row {
    line: usize,
    name: String,
    of: String,
}

impl Lines {
    /// The lines of `text`; none if it is no lock.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let Ok(document) = DeTable::parse(text) else { return Self::default() };
        let document = document.get_ref();
        let starts: Vec<_> = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let line = |at: usize| starts.partition_point(|start| *start <= at);
        let table = |kind| document.get(kind).and_then(|value: &Value<'_>| value.get_ref().as_table());
        let mut lines = Self::default();
        // Of a map that is there, and was given up before, the one that is there counts.
        for (name, map) in ["gone", "map"].into_iter().filter_map(table).flatten() {
            let head = map.get_ref().as_table().map(|of| Head::read(of, line(name.span().start), &line));
            lines.maps.extend(head.map(|head| (name.get_ref().to_string(), head)));
        }
        for (label, of) in table("type").into_iter().flatten() {
            let members = of.get_ref().as_table().and_then(|of| of.get("members")?.get_ref().as_array());
            let rows = members.into_iter().flatten().filter_map(|row| {
                let of = row.get_ref().as_table()?;
                let text = |key| of.get(key)?.get_ref().as_str().map(str::to_owned);
                Some(Row { line: line(row.span().start), name: text("name")?, of: text("type")? })
            });
            lines.types.insert(label.get_ref().to_string(), rows.collect());
        }
        lines
    }

    /// The line, from 1, that says what `path` (as in a finding: `flows.value.stats[].bytes`) is; of the nearest enclosing struct or map
    /// if the text says nothing of it. `None` if the map is not there.
    #[must_use]
    pub fn find(&self, map: &str, path: &str) -> Option<usize> {
        let mut head = self.maps.get(map)?;
        let rest = path.strip_prefix(map).unwrap_or(path);
        let mut parts =
            rest.split('.').filter(|part| !part.is_empty()).map(|part| part.trim_end_matches("[]")).peekable();
        while parts.next_if_eq(&"inner").is_some() {
            head = head.inner.as_ref()?;
        }
        let mut best = head.line;
        if let Some(role) = parts.next() {
            best = head.facts.get(&format!("{role}_size")).map_or(best, |size| size.line);
            if let Some(fact) = head.facts.get(role) {
                best = fact.line;
                let mut of = fact.text.as_str();
                for part in parts {
                    let Some(row) = self.member(of, part) else { break };
                    (best, of) = (row.line, &row.of);
                }
            }
        }
        Some(best)
    }

    /// The line that says `attribute` of `map`; that of the map if none does, such as one that is at its default.
    #[must_use]
    pub fn find_attribute(&self, map: &str, attribute: Attribute) -> Option<usize> {
        let head = self.maps.get(map)?;
        let inner = head.inner.as_ref().filter(|_| attribute == Attribute::Inner).map(|inner| inner.line);
        Some(inner.or_else(|| Some(head.facts.get(attribute.in_lock())?.line)).unwrap_or(head.line))
    }

    /// The row of `member` in the type that `expression` names, also inside of its anonymous members.
    fn member(&self, expression: &str, member: &str) -> Option<&Row> {
        let mut label = expression;
        let mut waiting = Vec::new();
        let mut visited = 0;
        loop {
            while !self.types.contains_key(label) {
                // `NAME (LABEL)` or `LABEL[n]`.
                label = match (label.strip_suffix(')'), label.strip_suffix(']')) {
                    (Some(inner), _) => inner.split_once(" (")?.1,
                    (None, Some(array)) => array.rsplit_once('[')?.0,
                    (None, None) => return None,
                };
            }
            for row in self.types.get(label)? {
                match &*row.name {
                    name if name == member => return Some(row),
                    "" => waiting.push(row.of.as_str()),
                    _ => {}
                }
            }
            visited += 1;
            label = waiting.pop().filter(|_| visited < 1000)?;
        }
    }
}

type Value<'a> = Spanned<DeValue<'a>>;

impl Head {
    fn read(of: &DeTable<'_>, at: usize, line: &impl Fn(usize) -> usize) -> Self {
        let (mut facts, mut inner) = (HashMap::new(), None);
        for (key, value) in of {
            let at = line(key.span().start);
            match (&**key.get_ref(), value.get_ref().as_table()) {
                ("inner", Some(of)) => inner = Some(Box::new(Self::read(of, at, line))),
                (name, _) => {
                    let text = value.get_ref().as_str().unwrap_or_default().to_owned();
                    facts.insert(name.to_owned(), Fact { line: at, text });
                }
            }
        }
        Self { line: at, facts, inner }
    }
}
