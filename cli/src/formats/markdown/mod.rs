//! A comment for a pull request.

mod locks;
mod matrix;
mod on_nodes;
#[cfg(target_os = "linux")]
mod plan;
mod rules;
mod sections;

pub(crate) use rules::table as rule_table;

#[cfg(target_os = "linux")]
use super::Node;
use super::{Format, page};
use crate::error::Error;
use crate::undone::Failure;

pub(crate) const FORMAT: Format = Format {
    name: "markdown",
    about: "For a comment on a pull request, or a document",
    is_text: true,
    failed: Some(|failure| Ok(failed(failure))),
    locks: Some(|outcomes| Ok(sections::render(outcomes))),
    diff: Some(|outcome| Ok(sections::render(std::slice::from_ref(outcome)))),
    conversions: None,
    objects: None,
    matrix: Some(|of| Ok(matrix::render(of))),
    rule: Some(|rule| Ok(page::of_rule(rule))),
    rules: Some(|levels| Ok(rules::table(levels))),
    #[cfg(target_os = "linux")]
    node: Node {
        plan: Some(|plan| Ok(plan::render(plan))),
        pins: None,
        entries: None,
        returned: None,
        recovered: None,
        confirmed: None,
        fleet: None,
        tried: None,
        live: None,
    },
};

fn failed(failure: &Failure<'_>) -> String {
    let Failure { undone, error } = failure;
    format!("### maplock: {}\n{}", undone.words(), why(error))
}

/// An error, its cause and what to do about it, below a heading.
fn why(error: &Error) -> String {
    let parts = std::iter::once(error.what.clone()).chain(error.cause()).chain(error.help.iter().cloned());
    parts.map(|part| format!("\n{}\n", part.lines().map(text).collect::<Vec<_>>().join("\n"))).collect()
}

/// A code span, whatever it holds.
fn code(content: &str) -> String {
    let content = content.replace(['\n', '\r'], " ");
    let fence = "`".repeat(longest_run(&content) + 1);
    let pad = if content.starts_with('`') || content.ends_with('`') || content.is_empty() { " " } else { "" };
    format!("{fence}{pad}{content}{pad}{fence}")
}

fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or_default()
}

/// A phrase of ours, with code in backticks: all else in it is plain text. With an odd number of backticks, there is no
/// telling which is which, and none is code.
fn text(phrase: &str) -> String {
    let phrase = phrase.replace(['\n', '\r'], " ");
    if !phrase.matches('`').count().is_multiple_of(2) {
        return plain(&phrase);
    }
    let parts = phrase.split('`').enumerate();
    parts.map(|(index, part)| if index % 2 == 0 { plain(part) } else { format!("`{part}`") }).collect()
}

fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let is_inside_word = before.is_alphanumeric() && chars.peek().is_some_and(|next| next.is_alphanumeric());
        before = c;
        match c {
            '_' if is_inside_word => out.push(c),
            '<' => out.push_str("&lt;"),
            // A zero-width space: nobody is to be called by the name of a map.
            '@' => out.push_str("@\u{200b}"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '#' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out
}

/// A phrase of ours as an element of HTML, in which nothing of Markdown counts: code in backticks is code there, too.
fn html(phrase: &str) -> String {
    let phrase = phrase.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace(['\n', '\r'], " ");
    if !phrase.matches('`').count().is_multiple_of(2) {
        return phrase;
    }
    let parts = phrase.split('`').enumerate();
    parts.map(|(at, part)| if at % 2 == 0 { part.to_owned() } else { format!("<code>{part}</code>") }).collect()
}

/// What may stand in a cell of a table, where `|` must be escaped in code as well.
fn cell(markdown: &str) -> String {
    markdown.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_with_backticks_stays_one_span() {
        assert_eq!(code("a`b"), "``a`b``");
        assert_eq!(code("`"), "`` ` ``");
    }

    #[test]
    fn text_between_code_is_escaped() {
        assert_eq!(text("map `a_b` is <b>"), "map `a_b` is &lt;b>");
        assert_eq!(text("odd ` one"), "odd \\` one");
    }
}
