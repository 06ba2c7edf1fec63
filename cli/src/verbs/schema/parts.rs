//! What several schemas are made of.

use maplock_layout::Disposition;
use maplock_layout::lock::OnUpgrade;
use maplock_layout::rules::Level;
use serde_json::{Value, json};

use super::{DRAFT, always, hex, list, named, number, object, text, with};

/// An object that always has each of these.
pub(super) fn whole(properties: Value) -> Value {
    let required: Vec<_> = properties.as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect();
    object(&required.iter().map(String::as_str).collect::<Vec<_>>(), properties)
}

/// An object that always has each of the first, and may have the others.
pub(super) fn partly(always: Value, more: Value) -> Value {
    let mut schema = whole(always.clone());
    schema["properties"] = with(always, more);
    schema
}

/// One of these, each with what it means.
pub(super) fn one_of(values: &[(&str, &str)], description: &str) -> Value {
    let values: Vec<_> = values.iter().map(|(value, means)| always(json!(value), means)).collect();
    json!({ "anyOf": values, "description": description })
}

pub(super) fn or_null(value: Value) -> Value {
    json!({ "anyOf": [value, { "type": "null" }] })
}

pub(super) fn flag(description: &str) -> Value {
    json!({ "type": "boolean", "description": description })
}

pub(super) fn real(description: &str) -> Value {
    json!({ "type": "number", "minimum": 0, "description": description })
}

pub(super) fn names(description: &str) -> Value {
    json!({ "type": "array", "items": { "type": "string" }, "description": description })
}

pub(super) fn disposition() -> Value {
    let all = [
        (Disposition::Create, "the map is made anew"),
        (Disposition::Reuse, "the map stays as it is, with its entries"),
        (Disposition::Grow, "a larger map takes its place, with every entry"),
        (Disposition::Migrate, "a map of the new layout takes its place, with every entry converted or copied"),
        (Disposition::Swap, "an empty map takes its place"),
        (Disposition::Refuse, "the upgrade does not start"),
        (Disposition::Drop, "the map is unpinned; the new release has none of that name"),
    ];
    one_of(&all.map(|(is, means)| (is.name(), means)), "what an upgrade does to the map")
}

/// The answers that an epoch records.
pub(super) fn answer(description: &str) -> Value {
    let means = |way: OnUpgrade| match way {
        OnUpgrade::Reuse => "the old bytes are right as they are",
        OnUpgrade::Migrate => "entries are converted, or copied into a smaller map",
        OnUpgrade::Swap => "an empty map takes the old one's place",
        OnUpgrade::Drop => "the map is gone, and its entries are given up",
        OnUpgrade::Refuse => "nobody upgrades before somebody has decided on the node",
    };
    one_of(&OnUpgrade::ALL.map(|way| (way.name(), means(way))), description)
}

/// The levels of findings.
pub(super) fn level() -> Value {
    let means = |level: Level| match level {
        Level::Allow => "said where it is asked for",
        Level::Warn => "a warning",
        Level::Deny => "it fails, unless an epoch accepts it",
    };
    one_of(&Level::ALL.map(|level| (level.name(), means(level))), "how grave it is here")
}

/// What of the map is known by its size alone.
pub(super) const UNTOLD: [(&str, &str); 4] = [
    ("all", "neither its key nor its value has a type"),
    ("key", "its key has no type"),
    ("value", "its value has no type"),
    ("inner", "something of the maps that it holds has no type"),
];

pub(super) fn untold() -> Value {
    or_null(one_of(&UNTOLD, "what of the map is known by its size alone"))
}

pub(super) fn digest(of: &str) -> Value {
    hex(32, of)
}

pub(super) fn document(title: &str, mut schema: Value, definitions: Value) -> Value {
    schema["$schema"] = json!(DRAFT);
    schema["title"] = json!(title);
    if definitions.as_object().is_some_and(|all| !all.is_empty()) {
        schema["definitions"] = definitions;
    }
    schema
}

/// What is told in the place of a document that could not be made.
pub(super) fn failure() -> Value {
    let results = [
        ("not-compared", "two sides were not held against each other"),
        ("not-written", "no lock was written"),
        ("not-done", "nothing else was found out"),
    ];
    whole(json!({
        "result": one_of(&results, "what did not happen"), "summary": text("in a line"), "fails": { "const": true }, "error": error(),
    }))
}

pub(super) fn error() -> Value {
    whole(
        json!({ "what": text("what could not be done"), "cause": or_null(text("why")), "help": names("what to do about it") }),
    )
}

/// The layout of a key or value; it names itself, for what is in it.
pub(super) fn layout() -> Value {
    object(
        &["kind", "name", "size"],
        json!({
            "kind": { "enum": ["int", "float", "enum", "pointer", "array", "struct", "union", "section", "opaque"] },
            "name": or_null(text("as C spells it")), "size": number("bytes"), "typedef": text("the name that it was given"),
            "signed": { "type": "boolean" }, "encoding": { "enum": ["unsigned", "signed", "char", "bool"] },
            "values": list(whole(json!({ "name": { "type": "string" }, "value": { "type": "integer" } }))),
            "target": text("what it points to"), "length": number("elements"), "element": named("layout"),
            "version": number("of what the bytes mean"),
            "members": list(whole(json!({
                "name": { "type": "string" }, "offset_bits": number("from the start"), "size_bits": number("of it"), "type": named("layout"),
            }))),
        }),
    )
}
