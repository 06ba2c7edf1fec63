//! Text for a terminal.

mod conversions;
pub(crate) mod locks;
mod matrix;
#[cfg(target_os = "linux")]
mod node;
mod on_nodes;
mod rules;
mod structs;

pub(crate) use conversions::members;
pub(crate) use matrix::{legend as matrix_legend, text as matrix_cell};

use super::{Format, page};

pub(crate) const FORMAT: Format = Format {
    name: "human",
    about: "Text for a terminal",
    is_text: true,
    failed: None,
    locks: Some(|outcomes| Ok(locks::render(outcomes))),
    diff: Some(|outcome| Ok(locks::render(std::slice::from_ref(outcome)))),
    conversions: Some(|conversions| Ok(conversions::render(conversions))),
    objects: Some(structs::render),
    matrix: Some(|of| Ok(matrix::render(of))),
    rule: Some(|rule| Ok(page::of_rule(rule))),
    rules: Some(|levels| Ok(rules::render(levels))),
    #[cfg(target_os = "linux")]
    node: node::FORMS,
};
