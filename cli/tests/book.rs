//! `docs/rules.md` is what the rules say of themselves.

mod support;

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
