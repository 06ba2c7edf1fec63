//! A file for each format: from outcomes to text.

pub(crate) mod github;
pub(crate) mod human;
mod json;
pub(crate) mod layouts;
pub(crate) mod markdown;
pub(crate) mod page;
pub(crate) mod rule_table;
pub(crate) mod structs;
pub(crate) mod table;

use crate::args::Format;
use crate::error::Error;
use crate::outcome::Outcome;

/// The outcomes of `check`, `update` or `accept` as text.
pub(crate) fn render(outcomes: &[Outcome], format: Format) -> Result<String, Error> {
    match format {
        Format::Human => Ok(human::render(outcomes)),
        Format::Json => json::render(outcomes),
        Format::Markdown => Ok(markdown::render(outcomes)),
        Format::Github => Ok(github::render(outcomes)),
    }
}

/// The outcome of `diff` as text.
pub(crate) fn render_diff(outcome: &Outcome, format: Format) -> Result<String, Error> {
    match format {
        Format::Json => json::render_diff(outcome),
        _ => render(std::slice::from_ref(outcome), format),
    }
}

/// True where one of them fails a build or a review.
pub(crate) fn fail(outcomes: &[Outcome]) -> bool {
    outcomes.iter().any(Outcome::fails)
}

pub(crate) fn to_json(document: &impl serde::Serialize) -> Result<String, Error> {
    let text = serde_json::to_string(document).map_err(|error| Error::new("could not write JSON").because(error))?;
    Ok(text + "\n")
}
