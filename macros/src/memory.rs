//! What the process that expands macros remembers between expansions.
//!
//! A compiler has one for each crate, rust-analyzer one for all. Both may expand the same type again, and have to be told the
//! same then.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use proc_macro2::Span;

static FIRST: Mutex<Option<HashMap<String, String>>> = Mutex::new(None);

/// Whether `who` was the first to ask for `what`.
pub(crate) fn is_first(what: &str, who: &str) -> bool {
    let mut first = FIRST.lock().unwrap_or_else(PoisonError::into_inner);
    first.get_or_insert_default().entry(what.to_owned()).or_insert_with(|| who.to_owned()) == who
}

/// Where an item is written.
pub(crate) fn place(span: Span) -> String {
    let span = span.unwrap();
    format!("{}:{}:{}", span.file(), span.line(), span.column())
}
