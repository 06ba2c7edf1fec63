//! `docs/rules.md` is what the rules say of themselves.

mod support;

use serde_json::Value;
use support::{Sandbox, object};

/// To write the file anew: `UPDATE_DOCS=1 cargo test -p cargo-maplock --test book`.
#[test]
fn the_book_of_rules_is_up_to_date() {
    let path = support::repository().join("docs/rules.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().expect("docs")).expect("directory");
        std::fs::write(&path, cargo_maplock::book()).expect("write");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == cargo_maplock::book(), "run: UPDATE_DOCS=1 cargo test -p cargo-maplock --test book");
}

#[test]
fn explain_code_scanning_and_the_book_print_one_text() {
    let sandbox = Sandbox::with_release();
    let mut compared = 0;
    for release in ["v2", "v3", "v4"] {
        let ran = sandbox.run(&format!("diff v1 {} --message-format sarif", object(release)));
        let document: Value = serde_json::from_str(&ran.stdout).expect("JSON");
        let rules = document["runs"][0]["tool"]["driver"]["rules"].as_array().expect("rules");
        for rule in rules.iter().filter(|rule| rule["help"].is_object()) {
            let page = rule["help"]["markdown"].as_str().expect("a text");
            assert_eq!(page, sandbox.run(&format!("explain {}", rule["id"].as_str().expect("an id"))).stdout);
            // In the book, a rule's heading is one of many.
            assert!(cargo_maplock::book().contains(&format!("#{}", page.replace("\n## ", "\n### "))), "{page}");
            compared += 1;
        }
    }
    assert!(compared > 2, "{compared} rules");
}
