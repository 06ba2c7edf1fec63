//! Where in a lockfile's text a finding's old side stands.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::line_of as line;
use crate::rules::Attribute;

/// The line, from 1, that says what `path` (as in a finding: `flows.value.stats[].bytes`) is in the lockfile `text`;
/// of the nearest enclosing struct or map where it says nothing of it. `None` where the map is not there.
#[must_use]
pub fn line_of(text: &str, map: &str, path: &str) -> Option<usize> {
    let document = DeTable::parse(text).ok()?;
    let document = document.get_ref();
    let of = |kind| document.get(kind)?.get_ref().as_table()?.get_key_value(map);
    let (name, map_table) = of("map").or_else(|| of("gone"))?;
    let mut best = name.span().start;
    let mut def = map_table.get_ref().as_table()?;
    let rest = path.strip_prefix(map).unwrap_or(path);
    let mut parts = rest.split('.').filter(|part| !part.is_empty()).map(|part| part.trim_end_matches("[]")).peekable();
    while parts.next_if_eq(&"inner").is_some() {
        let (key, inner) = def.get_key_value("inner")?;
        best = key.span().start;
        def = inner.get_ref().as_table()?;
    }
    if let Some(role) = parts.next() {
        if let Some((key, _)) = def.get_key_value(&*format!("{role}_size")) {
            best = key.span().start;
        }
        if let Some((key, mut expression)) = def.get_key_value(role) {
            best = key.span().start;
            let types = document.get("type").and_then(|types| types.get_ref().as_table());
            for part in parts {
                let Some((row, next)) = types.and_then(|types| find_member(types, expression, part)) else { break };
                best = row;
                expression = next;
            }
        }
    }
    Some(line(text, best))
}

/// The line that says `attribute` of `map`; that of the map where none does, such as one that is at its default.
#[must_use]
pub fn line_of_attribute(text: &str, map: &str, attribute: Attribute) -> Option<usize> {
    let first = line_of(text, map, map)?;
    let table = text.lines().enumerate().skip(first).take_while(|(_, line)| !line.starts_with('['));
    let found = table.into_iter().find(|(_, line)| line.split(" = ").next() == Some(attribute.in_lock()));
    Some(found.map_or(first, |(index, _)| index + 1))
}

type Value<'a> = Spanned<DeValue<'a>>;

/// The row of `member` in the type that `expression` names, also inside of its anonymous members.
fn find_member<'v, 'a>(types: &'v DeTable<'a>, expression: &Value<'_>, member: &str) -> Option<(usize, &'v Value<'a>)> {
    let mut label = expression.get_ref().as_str()?;
    let mut waiting = Vec::new();
    let mut visited = 0;
    loop {
        while types.get(label).is_none() {
            // `NAME (LABEL)` or `LABEL[n]`.
            label = match (label.strip_suffix(')'), label.strip_suffix(']')) {
                (Some(inner), _) => inner.split_once(" (")?.1,
                (None, Some(array)) => array.rsplit_once('[')?.0,
                (None, None) => return None,
            };
        }
        let rows = types.get(label)?.get_ref().as_table()?.get("members")?.get_ref().as_array()?;
        for row in rows.iter() {
            let table = row.get_ref().as_table()?;
            match table.get("name")?.get_ref().as_str()? {
                name if name == member => return Some((row.span().start, table.get("type")?)),
                "" => waiting.push(table.get("type")?.get_ref().as_str()?),
                _ => {}
            }
        }
        visited += 1;
        label = waiting.pop().filter(|_| visited < 1000)?;
    }
}
