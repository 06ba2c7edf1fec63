//! One JSON document.

mod conversions;
pub(crate) mod failed;
pub(crate) mod layouts;
mod locks;
mod matrix;
#[cfg(target_os = "linux")]
mod node;
mod on_nodes;
mod rules;

use super::Format;
use crate::error::Error;

pub(crate) const FORMAT: Format = Format {
    name: "json",
    about: "One document",
    is_text: false,
    failed: Some(failed::render),
    locks: Some(locks::render),
    diff: Some(locks::render_diff),
    conversions: Some(conversions::render),
    objects: Some(layouts::render),
    matrix: Some(matrix::render),
    rule: Some(rules::one),
    rules: Some(rules::all),
    #[cfg(target_os = "linux")]
    node: node::FORMS,
};

fn to_json(document: &impl serde::Serialize) -> Result<String, Error> {
    let text = serde_json::to_string(document).map_err(|error| Error::new("could not write JSON").because(error))?;
    Ok(text + "\n")
}
