//! docs/kernel-facts.md and the tests name each other, and the page says on which kernels they have passed.

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
    tests_in("")
}

/// Those of the files that are called so.
fn tests_in(file: &str) -> BTreeSet<String> {
    let mut tests = BTreeSet::new();
    for file in files(&root().join("tests/tests/kernel_facts"), &format!("{file}.rs")) {
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

/// The kernel that all of this is written on.
const WRITTEN_ON: &str = "6.18";

/// The series of the table in docs/kernels.md, and that one, oldest first.
fn series() -> Vec<String> {
    let page = fs::read_to_string(root().join("docs/kernels.md")).unwrap();
    let head = page.lines().find_map(|line| line.strip_prefix("| | ")).expect("a table");
    let of_release = |release: &str| Some(release.trim().split('.').take(2).collect::<Vec<_>>().join("."));
    let cells = head.split('|').filter(|cell| !cell.trim().is_empty());
    let mut series: Vec<String> = cells.filter_map(of_release).chain([WRITTEN_ON.to_owned()]).collect();
    let numbers = |series: &String| series.split('.').map(|part| part.parse::<u32>().unwrap()).collect::<Vec<_>>();
    series.sort_by_key(numbers);
    series.dedup();
    series
}

/// What each test of a series lacks there, by tests/kernels/skips. `tests/kernels/run` holds what it meets against that file: all other tests pass.
fn lacking() -> BTreeMap<(String, String), String> {
    let skips = fs::read_to_string(root().join("tests/kernels/skips")).unwrap();
    let of_line = |line: &str| {
        let (head, lacks) = line.split_once(": ")?;
        let (series, test) = head.split_once(" kernel_facts ")?;
        Some(((series.to_owned(), test.rsplit("::").next()?.to_owned()), lacks.to_owned()))
    };
    skips.lines().filter_map(of_line).collect()
}

/// The line of a fact with those tests.
fn seen_on(tests: &[&str], series: &[String], lacking: &BTreeMap<(String, String), String>) -> String {
    let (mut whole, mut in_part) = (Vec::new(), Vec::new());
    for series in series {
        let lacks = tests.iter().filter_map(|test| lacking.get(&(series.clone(), (*test).to_owned())));
        let what: BTreeSet<&str> = lacks.flat_map(|what| what.split(", ")).collect();
        let what: Vec<_> = what.into_iter().collect();
        match what.is_empty() {
            true => whole.push(series.as_str()),
            // A test that misses something leaves that out, or all that it tries.
            false => in_part.push(format!("not all of it on {series}, which lacks {}", what.join(", "))),
        }
    }
    let whole = (!whole.is_empty()).then(|| format!("Linux {}", whole.join(", ")));
    whole.into_iter().chain(in_part).collect::<Vec<_>>().join("; ")
}

/// The line of a fact that newer kernels end: what its test says is lacking is that change.
fn seen_until(tests: &[&str], series: &[String], lacking: &BTreeMap<(String, String), String>) -> String {
    let lacks =
        |series: &&String| tests.iter().any(|test| lacking.contains_key(&((*series).clone(), (*test).to_owned())));
    let (older, newer): (Vec<_>, Vec<_>) = series.iter().partition(lacks);
    let listed = |series: Vec<&String>| series.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    match (older.is_empty(), newer.is_empty()) {
        (true, _) => format!("none of Linux {}, as each has the change that ended it", listed(newer)),
        (_, true) => format!("Linux {}", listed(older)),
        _ => format!("Linux {}; no longer on {}", listed(older), listed(newer)),
    }
}

/// To write the lines anew: `UPDATE_DOCS=1 cargo test -p maplock-tests --test kernel_facts page`.
#[test]
fn each_fact_says_on_which_kernels_it_was_seen() {
    let (series, lacking) = (series(), lacking());
    let path = root().join("docs/kernel-facts.md");
    let mut page = fs::read_to_string(&path).unwrap();
    let of_older_kernels = tests_in("older_kernels");
    assert!(of_older_kernels.len() >= 5, "a test is gone");
    for (number, text) in facts() {
        let tests: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("  - `")?.strip_suffix('`')).collect();
        let line = text.lines().find(|line| line.starts_with("- Seen on: ")).expect("a line");
        // Facts of compilers need no kernel. Behind the kernels comes what else has to do with it.
        if !line.contains("Linux ") {
            assert!(number == 39 || number == 40, "fact {number}: {line}");
            continue;
        }
        let with = line.split_once(" (with ").map_or(String::new(), |(_, with)| format!(" (with {with}"));
        let is_of_older = tests.iter().all(|test| of_older_kernels.contains(*test));
        let seen = if is_of_older { seen_until } else { seen_on }(&tests, &series, &lacking);
        let wanted = format!("- Seen on: {seen}{with}");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            let new = text.replace(line, &wanted);
            page = page.replace(&text, &new);
        } else {
            assert_eq!(line, wanted, "fact {number}; UPDATE_DOCS=1 writes it anew");
        }
    }
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(path, page).unwrap();
    }
}
