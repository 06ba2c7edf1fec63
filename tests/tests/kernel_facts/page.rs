//! docs/kernel-facts.md and the tests name each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use maplock_tests::toolchain::{files, root};

/// The number in `fact_NN_...`.
fn number_of(test: &str) -> u32 {
    let number = test.strip_prefix("fact_").and_then(|rest| rest.split('_').next()?.parse().ok());
    number.unwrap_or_else(|| panic!("`{test}` is not named after a fact"))
}

/// The tests of this folder that are named after a fact.
fn tests() -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    for file in files(&root().join("tests/tests/kernel_facts"), ".rs") {
        let text = fs::read_to_string(&file).unwrap();
        for (attribute, function) in text.lines().zip(text.lines().skip(1)) {
            let Some(name) = function.strip_prefix("fn ").and_then(|rest| rest.split('(').next()) else { continue };
            if attribute == "#[test]" && name.starts_with("fact_") {
                assert!(tests.insert(name.to_owned()), "{name} is there twice");
            }
        }
    }
    tests
}

/// The facts of the page, by number, each with its text.
fn facts() -> BTreeMap<u32, String> {
    let page = fs::read_to_string(root().join("docs/kernel-facts.md")).unwrap();
    let mut facts = BTreeMap::new();
    for section in page.split("\n### ").skip(1) {
        let section = section.split("\n## ").next().unwrap();
        let number = section.split('.').next().unwrap().parse().unwrap();
        assert!(facts.insert(number, section.to_owned()).is_none(), "fact {number} is there twice");
    }
    facts
}

#[test]
fn every_fact_has_a_test_and_every_test_its_fact() {
    let (facts, tests) = (facts(), tests());
    assert!(facts.len() >= 40, "a fact is gone");
    assert!(facts.keys().copied().eq(1..=facts.len() as u32), "numbers have no gap: {:?}", facts.keys());
    let mut named = BTreeSet::new();
    for (number, text) in &facts {
        for line in ["\n- For maplock: ", "\n- Seen on: ", "\n- Tests:\n"] {
            assert!(text.contains(line), "fact {number} has no line `{}`", line.trim());
        }
        let of_fact: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("  - `")?.strip_suffix('`')).collect();
        assert!(!of_fact.is_empty(), "fact {number} names no test");
        for test in of_fact {
            assert_eq!(number_of(test), *number, "{test}");
            assert!(named.insert(test.to_owned()), "{test} is named twice");
        }
    }
    let without_test: Vec<_> = named.difference(&tests).collect();
    let without_fact: Vec<_> = tests.difference(&named).collect();
    assert!(without_test.is_empty(), "on the page, and no test: {without_test:?}");
    assert!(without_fact.is_empty(), "a test, and not on the page: {without_fact:?}");
}
