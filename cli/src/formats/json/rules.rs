//! The rules.

use maplock_layout::config::Levels;
use maplock_layout::rules::{ALL, Rule};
use serde::Serialize;
use serde_json::json;

use super::to_json;
use crate::error::Error;

pub(super) fn all(levels: &Levels) -> Result<String, Error> {
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

pub(super) fn one(rule: &Rule) -> Result<String, Error> {
    to_json(&json!({
        "rule": rule.id,
        "tier": rule.tier.name(),
        "default_level": rule.default_level.name(),
        "purpose": rule.purpose,
        "explanation": rule.explanation,
        "example": { "old": rule.example.old, "new": rule.example.new },
    }))
}
