//! Schemas of what `cargo maplock` tells of locks, objects and rules with `--message-format json`.

use maplock_layout::conversion::Collide;
use maplock_layout::lock::Merge;
use maplock_layout::rules::{self, Tier};
use serde_json::{Value, json};

use super::parts::{
    UNTOLD, answer, digest, disposition, document, error, failure, flag, layout, level, names, one_of, or_null, partly,
    whole,
};
use super::{list, named, number, of, text, with};

fn rule() -> Value {
    json!({ "enum": rules::ALL.iter().map(|rule| rule.id).collect::<Vec<_>>(), "description": "the rule's id" })
}

fn tier() -> Value {
    let all = [
        (Tier::Bytes, "old bytes would be misread"),
        (Tier::Kernel, "the kernel or the loader holds it against the pinned map"),
        (Tier::Meaning, "the same bytes mean something else"),
        (Tier::Spelling, "the same bytes and meaning, spelled differently"),
    ];
    one_of(&all.map(|(tier, means)| (tier.name(), means)), "what is at stake")
}

fn merge() -> Value {
    let means = |merge: Merge| match merge {
        Merge::Sum => "what old and new programs count during an upgrade is added up",
        Merge::None => "what new programs wrote stays",
    };
    of(one_of(&Merge::ALL.map(|merge| (merge.name(), means(merge))), "of a member, by its path"))
}

fn place() -> Value {
    whole(json!({
        "offset_bits": number("bits from the start of the key or value"), "size_bits": number("bits"),
    }))
}

/// A command line, as one would type it.
fn command() -> Value {
    text("the command to type; `…` stands for what the one who types it knows")
}

fn finding() -> Value {
    whole(json!({
        "rule": rule(), "tier": tier(), "level": level(), "map": text("its name"),
        "path": text("of the member: the map, `key` or `value`, and the way from there; the map for what is about all of it"),
        "old": or_null(text("what it was; null if there was none")), "new": or_null(text("what it is; null if there is none")),
        "old_place": or_null(place()), "new_place": or_null(place()),
        "consequence_of": or_null(text("the path of the change that this one follows from; it needs no answer of its own")),
        "accepted": or_null(answer("what an epoch of the lock says to do about it; null if none does")),
        "at": or_null(whole(json!({
            "file": text("from the root of the repository; in none, from the current directory"), "line": number("from 1"),
        }))),
        "message": text("in a phrase"),
    }))
}

fn ruler() -> Value {
    let fates = [
        ("kept", "where it was, as it was"),
        ("moved", "at another byte"),
        ("grew", "more bytes"),
        ("shrank", "fewer bytes"),
        ("retyped", "the same bytes under another type"),
        ("renamed", "the same bytes under another name"),
        ("new", "of the newer side alone"),
        ("gone", "of the older side alone"),
        ("hole", "bytes of no member"),
    ];
    let span = partly(
        json!({
            "start": number("the first byte"), "end": number("the byte behind the last one"),
            "member": or_null(text("its name; null for a hole")), "type": or_null(text("as C spells it; null for a hole")),
            "what": one_of(&fates, "what becomes of it"),
        }),
        json!({
            "elsewhere": number("its first byte on the other side, if that is another one"),
            "renamed": text("its name on the other side, if that is another one"),
        }),
    );
    whole(json!({
        "old_size": number("bytes"), "new_size": number("bytes"), "old": list(span.clone()), "new": list(span),
    }))
}

fn bytes() -> Value {
    let example = whole(json!({
        "wrote": text("an invented entry, as the old release wrote it"), "read_as": or_null(text("what new programs would take its bytes for; null if the map starts empty")),
        "becomes": or_null(text("what it is converted to; null if it is not")),
        "is_accepted": flag("true if nodes convert it so; false if they would, once that is accepted"),
    }));
    let rulers = json!({ "key": named("ruler"), "value": named("ruler") });
    let inner = partly(json!({}), rulers.clone());
    partly(json!({}), with(rulers, json!({ "inner": inner, "example": example })))
}

/// What could be answered to a break.
fn choice() -> Value {
    let question = whole(json!({
        "path": text("of the member that it is about; `key`, `value` or `map` for the whole"), "what": text("in a phrase"),
        "options": names("what answers it, the best first, as options of `accept`; one in capitals is for you to fill in"),
    }));
    whole(json!({
        "on_upgrade": or_null(answer("the answer; null if the map goes on under another name, and nothing else changed")),
        "renamed_from": or_null(text("the map's old name, if it goes on under another one")),
        "purpose": text("in a phrase"), "entries": text("what becomes of the entries: a phrase"),
        "asks": list(question),
        "command": or_null(json!({
            "type": "string",
            "description": "the command to type, with `…` for the reason; null if no command of this project records the change",
        })),
    }))
}

fn map() -> Value {
    let reading = "what is read otherwise in entries that stay: a sentence";
    partly(
        json!({
            "name": text("its name; of a map that is gone, its old one"), "was": or_null(text("its name on the older side; null if it is new")),
            "verdict": disposition(),
            "from": or_null(digest("of the older layout; null if there is none")), "to": or_null(digest("of the newer layout; null if there is none")),
            "why": text("a phrase"), "reason": or_null(text("why it was accepted, in the words of who did")),
            "loses_entries": flag("true if the entries are given up"),
            "gives_up": names("members that the conversion gives up; of an array that is shortened, `NAME[]`"),
            "inexact": names("members of which a conversion may not keep each number"),
            "by_hand": flag("true if code of the daemon converts the entries"),
        }),
        json!({
            "entries": text("what becomes of its entries, if that is decided: a phrase"),
            "choices": { "type": "array", "items": named("choice"), "description": "what can be answered to its breaks; missing if nothing waits for an answer" },
            "counters": {
                "type": "array", "items": whole(json!({ "purpose": text("in a phrase"), "command": command() })),
                "description": "what to type about counters that nothing says how to merge",
            },
            "merge": merge(), "answers": names("how entries are merged and converted, as far as it was answered: phrases"),
            "readings": names(reading), "eviction": text("what the kernel may evict of entries that are carried over: a phrase"),
            "bytes": named("bytes"), "types_unknown": one_of(&UNTOLD, "what of it is known by its size alone"),
        }),
    )
}

/// How entries are converted.
fn conversion() -> Value {
    let member = whole(json!({
        "old": or_null(text("its path before; null if it is new")), "new": or_null(text("its path now; null if it is gone")),
        "what": text("what becomes of it: a phrase"), "lossless": flag("true if the way back gives it back"),
    }));
    json!({
        "by_hand": flag("true if code of the daemon converts; then nothing else is known"),
        "lossless": flag("true if the way back gives every entry back"),
        "collide": or_null(json!({ "enum": Collide::ALL.map(Collide::name), "description": "what becomes of entries that get one key" })),
        "members": list(member), "problems": names("why it can't be converted yet: sentences"),
    })
}

fn comparison() -> Value {
    json!({ "findings": list(named("finding")), "maps": list(named("map")) })
}

fn definitions() -> Value {
    json!({ "finding": finding(), "map": map(), "ruler": ruler(), "bytes": bytes(), "choice": choice() })
}

fn change() -> Value {
    let kinds = [
        ("created", "the map is new"),
        ("grew", "its room is larger"),
        ("shrank", "its room is smaller"),
        ("dropped", "the map is gone"),
        ("respelled", "the same meaning, written differently"),
        ("changed", "anything else of its definition"),
        ("programs", "what programs do with it"),
        ("epoch", "an epoch that was recorded, or that leads nowhere any more"),
        ("accepted", "an answer was accepted"),
        ("undone", "an answer was taken back"),
        ("merged", "how its members are merged"),
        ("rewritten", "the file alone"),
    ];
    let epoch = partly(
        json!({
            "from": digest("of the layout that it leaves"), "to": digest("of the layout that it leads to"), "rules": list(rule()),
            "on_upgrade": answer("what a node does with the entries that it has"), "reason": text("why"),
            "max_entries": or_null(number("the room down to which the map was accepted to shrink")),
        }),
        json!({ "merge": merge(), "conversion": whole(conversion()) }),
    );
    partly(
        json!({
            "map": or_null(text("its name; null if it is about the file")), "change": one_of(&kinds, "what changed"),
            "what": text("in words"), "epoch": or_null(epoch),
        }),
        json!({ "readings": names("what is read otherwise in entries that stay: sentences"), "merge": merge() }),
    )
}

fn fleet() -> Value {
    let row = partly(
        json!({
            "map": text("its name"), "layout": or_null(digest("of what is pinned; null if nothing is")), "what": disposition(),
            "loses": flag("true if entries or parts of them are lost, or the node does not upgrade"),
            "fails": flag("true if it fails: a loss or a refusal that no answer accepts"),
            "untold": flag("true if the map is known by its size alone"),
            "accepted": or_null(answer("the answer that was accepted")), "why": text("a phrase"), "nodes": names("by their files"),
            "entries": number("on all of them, as far as they are counted"), "uncounted": number("nodes on which they are not counted"),
        }),
        json!({ "pin": text("its pin, if that is not called as the map is") }),
    );
    whole(json!({
        "nodes": number("nodes of which all is told"), "untold": number("others; for each, there is an element of `locks` with an error"),
        "maps": list(row),
    }))
}

/// `check`, and what writes locks: `init`, `update`, `accept`.
pub(super) fn check() -> Value {
    let results = [
        ("up-to-date", "the lock is what the objects say; `update` and `accept`: it was already"),
        ("out-of-date", "`update` would write something else, and nothing needs a decision"),
        ("breaks", "something needs a decision"),
        ("compatible", "every break since `against` is accepted"),
        ("new", "`against` has no lock yet, which `--allow-new` allows"),
        ("on-nodes", "the lock was held against what nodes have pinned"),
        ("disagrees", "another package locks a map of it otherwise"),
        ("written", "the lock was written"),
        ("not-compared", "two sides were not held against each other"),
        ("not-written", "no lock was written"),
        ("not-done", "nothing else was found out"),
    ];
    let lock = partly(
        with(
            json!({
                "package": or_null(text("the Cargo package; null if there is none")), "lock": text("the lockfile"),
                "result": one_of(&results, "how it ended"), "summary": text("in a line"),
                "fails": flag("true if it fails; the exit code is 100 or 101 if one does"),
                "against": or_null(text("the revision that it was held against")),
                "old": text("the name of the older side; empty if nothing was compared"),
                "new": text("the name of the newer side; empty if nothing was compared"),
                "changes": list(change()), "notes": names("what else should be known: sentences"),
            }),
            comparison(),
        ),
        json!({
            "one_way": of(text("of a map, by its name: why there is no way back without a loss, which `direction = \"both\"` denies")),
            "fleet": fleet(), "error": error(),
        }),
    );
    let schema = json!({ "anyOf": [whole(json!({ "locks": list(lock) })), failure()] });
    document("cargo maplock check, update, accept and init --message-format json", schema, definitions())
}

pub(super) fn diff() -> Value {
    let schema = whole(with(
        json!({
            "summary": text("in a line"), "fails": flag("true if the exit code is 100"),
            "old": text("the name of the older side"), "new": text("the name of the newer side"),
            "notes": names("what else should be known: sentences"),
        }),
        comparison(),
    ));
    let schema = json!({ "anyOf": [schema, failure()] });
    document("cargo maplock diff --message-format json", schema, definitions())
}

pub(super) fn matrix() -> Value {
    let cell = partly(
        json!({
            "what": disposition(), "loses": flag("true if entries or parts of them are lost or misread, or nothing happens"),
            "untold": flag("true if the map is known by its size alone"), "why": text("a phrase"),
        }),
        json!({ "must_fit": number("how many entries there may be at most; with more, nothing happens") }),
    );
    let rows = || {
        list(whole(json!({
            "map": text("its name"),
            "cells": { "type": "array", "items": or_null(cell.clone()), "description": "in the order of `releases`; null if one has no such map, or is not known" },
        })))
    };
    let release = whole(
        json!({ "tag": text("its name"), "unknown": or_null(text("why nothing is known of it; null if all is")) }),
    );
    let schema = partly(
        json!({
            "lock": text("the lockfile"), "summary": text("in a line"), "fails": flag("true if the exit code is not 0"),
            "releases": list(release), "maps": rows(),
        }),
        json!({ "back": rows() }),
    );
    let schema = json!({ "anyOf": [schema, failure()] });
    document("cargo maplock matrix --message-format json; `back` has the ways back, of `--reverse`", schema, json!({}))
}

pub(super) fn migrate() -> Value {
    let test = whole(json!({
        "generated": number("entries that were made up"), "refused": number("of these, how many hold a number that is refused"),
        "dumped": number("entries of dumps; of a per-CPU map, one for each CPU"), "collided": number("entries of dumps whose key another one gets, too"),
        "returned": number("entries that came back as they were"), "problems": names("what is wrong with the first few: phrases"),
    }));
    let row = partly(
        with(
            json!({
                "map": text("its name"), "from": digest("of the layout that the epoch leaves"), "to": digest("of the layout that it leads to"),
            }),
            conversion(),
        ),
        json!({ "test": test, "note": text("what else should be known: a sentence") }),
    );
    let schema = json!({ "anyOf": [list(row), failure()] });
    document("cargo maplock migrate --message-format json: each epoch that converts", schema, json!({}))
}

pub(super) fn objects() -> Value {
    let pinning = json!({ "anyOf": [{ "enum": ["none", "by_name"] }, { "type": "integer" }] });
    let map = partly(
        json!({
            "name": text("its name"), "object": text("the file that declares it"), "type": text("the kernel's name in lower case, or its number"),
            "key_size": number("bytes"), "value_size": number("bytes"),
            "max_entries": number("entries; bytes of a ring buffer; 0 if the daemon sets it"), "flags": number("as declared"),
            "map_extra": number("as declared"), "pinning": pinning, "key": or_null(named("layout")), "value": or_null(named("layout")),
            "inner": or_null(named("map")), "digest": digest("of all that can change what bytes mean"),
        }),
        json!({ "version": number("of what the bytes mean") }),
    );
    let schema = json!({ "anyOf": [whole(json!({ "maps": list(named("map")) })), failure()] });
    let title = "cargo maplock inspect OBJECT.. --message-format json";
    document(title, schema, json!({ "map": map, "layout": layout() }))
}

pub(super) fn rules() -> Value {
    let rule = whole(json!({
        "rule": rule(), "tier": tier(), "level": level(), "default_level": level(), "purpose": text("in a phrase"),
    }));
    let schema = json!({ "anyOf": [whole(json!({ "rules": list(rule) })), failure()] });
    document("cargo maplock rules --message-format json", schema, json!({}))
}

pub(super) fn explain() -> Value {
    let example = whole(json!({ "old": text("C, as released"), "new": text("C, changed") }));
    let schema = whole(json!({
        "rule": rule(), "tier": tier(), "default_level": level(), "purpose": text("in a phrase"),
        "explanation": text("a page, in Markdown"), "example": example,
    }));
    let schema = json!({ "anyOf": [schema, failure()] });
    document("cargo maplock explain --message-format json", schema, json!({}))
}
