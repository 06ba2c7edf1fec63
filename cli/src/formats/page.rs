//! The page of a rule, and the book of them all.

use std::fmt::Write as _;

use maplock_layout::config::Levels;
use maplock_layout::rules::{ALL, Rule, Tier};

use super::markdown::rule_table;

/// The text of `docs/rules.md`: every rule with its page.
#[must_use]
pub fn book() -> String {
    let mut out = "\
# The rules

What may change between two definitions of a pinned map, and what maplock makes of it. A test of `cargo-maplock` writes this file
from the rules' own texts. `cargo maplock explain RULE` shows the same text.

Set a level in `Cargo.toml`, for a package or for a workspace:

```toml
[package.metadata.maplock]
member-renamed = \"warn\"
```

`deny` fails a build and a review, `warn` is said, `allow` is silent. No level makes old bytes right: `cargo maplock accept` decides what
a node does with them.

The tiers, gravest first:

| tier | what is at stake |
|---|---|
"
    .to_owned();
    for tier in [Tier::Bytes, Tier::Kernel, Tier::Meaning, Tier::Spelling] {
        _ = writeln!(out, "| {tier} | {} |", stake(tier));
    }
    _ = write!(out, "\n{}", rule_table(&Levels::default()));
    for rule in ALL {
        _ = write!(out, "\n{}", page(rule, "##"));
    }
    out
}

/// The page of one rule.
pub(crate) fn of_rule(rule: &Rule) -> String {
    page(rule, "#")
}

fn page(rule: &Rule, heading: &str) -> String {
    let Rule { id, tier, default_level, purpose, explanation, example, effect: _ } = rule;
    format!(
        "\
{heading} {id}

Found if {purpose}.

- tier: {tier} ({stake})
- level: {default_level}

{explanation}
{heading}# Example

As released:

```c
{old}
```

Changed:

```c
{new}
```
",
        stake = stake(*tier),
        explanation = explanation.trim_end().to_owned() + "\n",
        old = example.old.trim_end(),
        new = example.new.trim_end(),
    )
}

fn stake(tier: Tier) -> &'static str {
    match tier {
        Tier::Bytes => "old bytes would be misread",
        Tier::Kernel => "attributes that the kernel or the loader compares with the pinned map",
        Tier::Meaning => "the same bytes in another sense",
        Tier::Spelling => "the same bytes in the same sense, spelled differently",
    }
}
