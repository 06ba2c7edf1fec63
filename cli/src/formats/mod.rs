//! A file for each format: from outcomes to text.

pub(crate) mod github;
pub(crate) mod human;
pub(crate) mod json;
pub(crate) mod markdown;
pub(crate) mod page;
pub(crate) mod rule_table;
pub(crate) mod table;

use crate::args::Format;
use crate::error::Error;
use crate::outcome::Outcome;

/// The outcomes of `check`, `update` or `accept` as text.
pub(crate) fn render(outcomes: &[Outcome], format: Format) -> Result<String, Error> {
    match format {
        Format::Human => Ok(human::locks::render(outcomes)),
        Format::Json => json::locks::render(outcomes),
        Format::Markdown => Ok(markdown::locks::render(outcomes)),
        Format::Github => Ok(github::render(outcomes)),
    }
}

/// The outcome of `diff` as text.
pub(crate) fn render_diff(outcome: &Outcome, format: Format) -> Result<String, Error> {
    match format {
        Format::Json => json::locks::render_diff(outcome),
        _ => render(std::slice::from_ref(outcome), format),
    }
}

/// True where one of them fails a build or a review.
pub(crate) fn fail(outcomes: &[Outcome]) -> bool {
    outcomes.iter().any(Outcome::fails)
}
