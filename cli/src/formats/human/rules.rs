//! The list of rules.

use maplock_layout::config::Levels;
use maplock_layout::rules::ALL;

use crate::formats::table::with_head;

pub(super) fn render(levels: &Levels) -> String {
    let mut rows = Vec::new();
    for rule in ALL {
        let level = levels.of(rule);
        let level = if level == rule.default_level { level.name().to_owned() } else { format!("{}*", level.name()) };
        rows.push([rule.id.to_owned(), rule.tier.to_string(), level, rule.purpose.to_owned()]);
    }
    let star =
        if ALL.iter().any(|rule| levels.of(rule) != rule.default_level) { "\n* set in Cargo.toml\n" } else { "" };
    with_head(["rule", "tier", "level", "found if"], rows) + star
}
