//! The list of rules.

use maplock_layout::config::Levels;
use maplock_layout::rules::{ALL, Level};

pub(crate) fn table(levels: &Levels) -> String {
    let mut out = "| rule | tier | level | found if |\n|---|---|---|---|\n".to_owned();
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
