//! What came of an upgrade that was tried.

use std::fmt::Write as _;

use crate::error::Error;
use crate::node::Tried;
use crate::terminal::{BAD, BOLD, GOOD};

pub(super) fn render(tried: &Tried) -> Result<String, Error> {
    let outcome = tried.outcome.to_string();
    let mut out = String::new();
    for line in outcome.lines() {
        match line.split_once(':') {
            Some(("passed", rest)) => _ = writeln!(out, "{GOOD}passed{GOOD:#}:{rest}"),
            Some(("failed", rest)) => _ = writeln!(out, "{BAD}failed{BAD:#}:{rest}"),
            Some((phase, rest)) if !line.starts_with(' ') => _ = writeln!(out, "{BOLD}{phase}{BOLD:#}:{rest}"),
            _ => _ = writeln!(out, "{line}"),
        }
    }
    if let Some(logs) = &tried.logs {
        _ = writeln!(out, "what daemons and traffic said is in {}", logs.display());
    }
    if tried.outcome.fails() {
        let lost = tried.outcome.phases.iter().flat_map(|phase| &phase.maps).find(|map| map.fails());
        if let Some(map) = lost {
            _ = writeln!(out, "if the daemons write `{0}` themselves, as they like: --except {0}", map.map);
        }
        _ = writeln!(out, "the same again: {}", tried.again);
    }
    Ok(out)
}
