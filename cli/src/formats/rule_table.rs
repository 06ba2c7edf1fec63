//! The list of rules.

use maplock_layout::config::Levels;
use maplock_layout::rules::{ALL, Level};
use serde::Serialize;

use super::json::to_json;
use super::table::columns;
use crate::error::Error;
use crate::terminal::DIM;

pub(crate) fn human(levels: &Levels) -> String {
    let mut rows = vec![["rule", "tier", "level", "found where"].map(str::to_owned)];
    for rule in ALL {
        let level = levels.of(rule);
        let level = if level == rule.default_level { level.name().to_owned() } else { format!("{}*", level.name()) };
        rows.push([rule.id.to_owned(), rule.tier.to_string(), level, rule.purpose.to_owned()]);
    }
    let table = columns("", &rows);
    let (head, body) = table.split_once('\n').unwrap_or((&table, ""));
    let star =
        if ALL.iter().any(|rule| levels.of(rule) != rule.default_level) { "\n* set in Cargo.toml\n" } else { "" };
    format!("{DIM}{head}{DIM:#}\n{body}{star}")
}

pub(crate) fn json(levels: &Levels) -> Result<String, Error> {
    #[derive(Serialize)]
    struct Document {
        rules: Vec<RuleJson>,
    }
    #[derive(Serialize)]
    struct RuleJson {
        rule: &'static str,
        tier: &'static str,
        level: &'static str,
        default_level: &'static str,
        purpose: &'static str,
    }
    let rules = ALL.iter().map(|rule| RuleJson {
        rule: rule.id,
        tier: rule.tier.name(),
        level: levels.of(rule).name(),
        default_level: rule.default_level.name(),
        purpose: rule.purpose,
    });
    to_json(&Document { rules: rules.collect() })
}

pub(crate) fn markdown(levels: &Levels) -> String {
    let mut out = "| rule | tier | level | found where |\n|---|---|---|---|\n".to_owned();
    for rule in ALL {
        let level = match levels.of(rule) {
            Level::Deny => "**deny**",
            other => other.name(),
        };
        let purpose = rule.purpose.replace('|', "\\|");
        out.push_str(&format!("| [`{0}`](#{0}) | {1} | {level} | {purpose} |\n", rule.id, rule.tier));
    }
    out
}
