//! `cargo maplock schema`: JSON schemas of the lock and of the configuration, for editors, and of what commands tell, for other tools.

mod gate;
mod node;
mod parts;

use maplock_layout::conversion::{Cast, Collide};
use maplock_layout::lock::{Merge, OnUpgrade, VERSION};
use maplock_layout::rules::{self, Compares, Level};
use serde_json::{Map, Value, json};

use crate::Said;
use crate::args::{Described, SchemaArgs};
use crate::error::Error;

const DRAFT: &str = "http://json-schema.org/draft-07/schema#";

pub(crate) fn run(args: &SchemaArgs) -> Result<Said, Error> {
    let schema = match args.of {
        Described::Lock => lock(),
        Described::Config => config(),
        Described::Check => gate::check(),
        Described::Diff => gate::diff(),
        Described::Matrix => gate::matrix(),
        Described::Migrate => gate::migrate(),
        Described::Objects => gate::objects(),
        Described::Rules => gate::rules(),
        Described::Explain => gate::explain(),
        Described::Plan => node::plan(),
        Described::Inspect => node::inspect(),
        Described::Report => node::report(),
        Described::Confirm => node::confirm(),
        Described::Watch => node::watch(),
        Described::Dump => node::dump(),
        Described::Fleet => node::fleet(),
        Described::TestUpgrade => node::test_upgrade(),
    };
    let text = serde_json::to_string_pretty(&schema);
    let text = text.map_err(|error| Error::new("could not write JSON").because(error))?;
    Ok(Said::document(text + "\n"))
}

fn object(required: &[&str], properties: Value) -> Value {
    json!({ "type": "object", "additionalProperties": false, "required": required, "properties": properties })
}

fn of(value: Value) -> Value {
    json!({ "type": "object", "additionalProperties": value })
}

fn named(name: &str) -> Value {
    json!({ "$ref": format!("#/definitions/{name}") })
}

fn list(of: Value) -> Value {
    json!({ "type": "array", "items": of })
}

fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}

fn number(description: &str) -> Value {
    json!({ "type": "integer", "minimum": 0, "description": description })
}

fn always(value: Value, description: &str) -> Value {
    json!({ "const": value, "description": description })
}

fn hex(digits: usize, description: &str) -> Value {
    json!({ "type": "string", "pattern": format!("^[0-9a-f]{{{digits}}}$"), "description": description })
}

fn with(mut properties: Value, more: Value) -> Value {
    if let (Value::Object(all), Value::Object(more)) = (&mut properties, more) {
        all.extend(more);
    }
    properties
}

fn lock() -> Value {
    let merge = json!({
        "type": "object", "additionalProperties": { "enum": Merge::ALL.map(Merge::name) },
        "description": "how to combine members that two releases both count, by path",
    });
    let definition = json!({
        "type": text("the kernel's name of the type in lower case, or its number"),
        "key_size": number("bytes of a key; missing if `key` tells it"),
        "value_size": number("bytes of a value; missing if `value` tells it"),
        "max_entries": number("entries; bytes of a ring buffer; 0 if the daemon sets it"),
        "flags": number("flags as declared"),
        "map_extra": { "type": "string", "pattern": "^0x[0-9a-f]+$" },
        "version": number("of what the bytes mean"),
        "numa_node": number("NUMA node of its memory"),
        "pinning": { "anyOf": [{ "const": "by_name" }, { "type": "integer" }] },
        "key": text("type of the key"),
        "value": text("type of the value"),
        "inner": named("definition"),
    });
    let programs = object(
        &[],
        json!({
            "inserts": { "const": true }, "deletes": { "const": true }, "partly": { "const": true },
            "adds": list(text("a member that programs only add to")), "sets": list(text("another that they set")),
        }),
    );
    let renamed_from = list(text("a name under which earlier releases pinned it"));
    let checksum = hex(16, "of all that the file says of the map");
    let map = with(
        definition.clone(),
        json!({
            "renamed-from": renamed_from, "ephemeral": { "const": true }, "optional": { "const": true },
            "runtime-capacity": { "const": true }, "runtime-flags": { "const": true },
            "user-deletes": { "const": "never" }, "merge": merge, "programs": programs,
            "digest": hex(32, "of all that can change what bytes mean"), "checksum": checksum, "history": named("history"),
        }),
    );
    let gone =
        json!({ "renamed-from": renamed_from, "merge": merge, "checksum": checksum, "history": named("history") });
    let member = object(
        &["name", "type"],
        json!({
            "offset": number("byte of the struct"), "size": number("bytes"),
            "bit_offset": number("bit of the struct"), "bits": number("width of a bit-field"),
            "name": { "type": "string" }, "type": { "type": "string" },
        }),
    );
    let ty = object(
        &["size"],
        json!({
            "size": number("bytes"), "version": number("of what the bytes mean"), "anonymous": { "const": true },
            "name": text("its name, if a label can't hold it"), "members": list(member), "values": list(text("an enumerator and its number")),
        }),
    );
    let by_path = |answer: Value| of(answer);
    let epoch = object(
        &["on-upgrade", "reason", "rules", "from", "to", "previous"],
        json!({
            "on-upgrade": { "enum": OnUpgrade::ALL.map(OnUpgrade::name), "description": "what a node does with the entries that it has" },
            "reason": { "type": "string" },
            "rules": list(json!({ "enum": rules::ALL.iter().map(|rule| rule.id).collect::<Vec<_>>() })),
            "max_entries": number("the capacity down to which a map was accepted to shrink"),
            "merge": merge, "by-hand": { "const": true },
            "rename": by_path(json!({ "type": "string" })), "default": by_path(json!({ "type": "string" })),
            "drop": list(json!({ "type": "string" })),
            "cast": by_path(json!({ "enum": Cast::ALL.map(Cast::name) })),
            "scale": by_path(json!({ "type": "string" })),
            "collide": { "enum": Collide::ALL.map(Collide::name) },
            "from": hex(32, "digest that it leaves"), "to": hex(32, "digest that it leads to"),
            "previous": text("the definition that it leaves"),
        }),
    );
    let history = object(
        &["epochs"],
        json!({
            "epochs": list(named("epoch")), "definitions": of(named("definition")), "types": of(named("type")),
        }),
    );
    json!({
        "$schema": DRAFT,
        "title": "maps.lock: the layouts of a package's pinned eBPF maps",
        "type": "object", "additionalProperties": false, "required": ["version"],
        "properties": {
            "version": always(json!(VERSION), "of the format"),
            "map": of(named("map")), "gone": of(named("gone")), "type": of(named("type")),
        },
        "definitions": {
            "definition": object(&["type", "max_entries"], definition),
            "map": object(&["type", "max_entries", "digest", "checksum", "history"], map),
            "gone": object(&["checksum", "history"], gone),
            "type": ty, "epoch": epoch, "history": history,
        },
    })
}

fn config() -> Value {
    let names = |of: &str| json!({ "type": "array", "items": { "type": "string" }, "description": of });
    let mut properties = Map::new();
    let mut key = |name: &str, value: Value| _ = properties.insert(name.to_owned(), value);
    key("objects", names("compiled objects, relative to this file"));
    key("lock", text("the lockfile, relative to this file"));
    key("pinned", names("maps that count as pinned whatever their declaration says"));
    key("ephemeral", names("maps that do not: nothing keeps their entries beyond the daemon's life"));
    key("optional", names("maps that a build may lack"));
    key("types", names("objects that are read for their types alone"));
    key("targets", names("architectures that have a lock of their own; for a Cargo package"));
    let releases = "tags of releases from which nodes upgrade, as git patterns";
    key("releases", json!({ "anyOf": [text(releases), names(releases)] }));
    key("direction", json!({ "enum": ["up", "both"], "description": "both: nodes must be able to go back" }));
    key(
        "across",
        json!({ "enum": ["named", "all"], "description": "all: every release counts, not the named ones alone" }),
    );
    let map = object(
        &[],
        json!({
            "key": text("C type of a key that is declared by its size alone"),
            "value": text("C type of a value that is declared by its size alone"),
            "capacity": always(json!("runtime"), "the daemon sets it"),
            "flags": always(json!("runtime"), "the daemon sets those of the map's memory"),
            "user-deletes": always(json!("never"), "nobody in user space deletes its entries"),
            "owner": text("the lock of the package that the map belongs to"),
        }),
    );
    key("maps", of(map));
    for rule in rules::ALL {
        let levels: Vec<_> = match rule.effect.compares {
            Compares::Objects => vec![Level::Deny.name()],
            _ => Level::ALL.map(Level::name).to_vec(),
        };
        key(rule.id, json!({ "enum": levels, "default": rule.default_level.name(), "description": rule.purpose }));
    }
    json!({
        "$schema": DRAFT, "title": "maplock.toml: what the objects can't say of their maps",
        "type": "object", "additionalProperties": false, "properties": properties,
    })
}
