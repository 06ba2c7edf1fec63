//! Schemas of what `maplock` tells of a node with `--message-format json`.

use serde_json::{Value, json};

use super::parts::{
    answer, digest, disposition, document, error, failure, flag, layout, level, names, or_null, partly, real, untold,
    whole,
};
use super::{list, named, number, of, text, with};

/// A key, or a value, by its members.
fn members() -> Value {
    of(json!({ "type": "string" }))
}

fn entry() -> Value {
    whole(json!({ "key": members(), "value": members() }))
}

fn way_back() -> Value {
    let map = whole(json!({
        "map": text("its pin"),
        "from": or_null(digest("what it is now; null where there is none")),
        "to": or_null(digest("what it is then; null where there is none")),
    }));
    json!({
        "anyOf": [whole(json!({
            "generation": or_null(number("its number")), "maps": list(map), "unknown": names("maps of which nothing tells"),
        })), { "type": "null" }],
        "description": "what a roll-back leads to: the maps that have another layout there, or are in one of both only",
    })
}

pub(super) fn plan() -> Value {
    let near = whole(json!({
        "dir": text("the directory"), "leads_to": or_null(text("where it is a link to")), "place": text("where it is, seen from the one that was named"),
        "maps": names("pins of the release's names"),
        "alike": list(whole(json!({ "map": text("the release's name"), "pin": text("the pin's"), "why": text("a phrase") }))),
    }));
    let unpinned = whole(json!({
        "exists": flag("true where there is such a directory"), "names": names("what is in it"),
        "has_kept": flag("true where a generation is kept beside it"), "near": list(near),
    }));
    let unfinished = whole(json!({
        "roll_back": flag("true of a roll-back"), "next": { "enum": ["complete", "discard"], "description": "what the next start does about it first, if it ended" },
        "needs_code": names("maps for which that takes the code of its daemon; a start of any other release takes it back"),
        "holds": flag("true where the plan is the same after that; else it is of what is pinned now"),
        "leads_here": flag("true where that leads to the very maps that are asked for"),
    }));
    let looked = whole(json!({
        "mount": text("the root of the mount"), "directories": number("how many"), "programs": number("how many"), "maps": number("how many"),
        "left_out": names("what was not looked at, and why"),
    }));
    let finding = whole(json!({
        "rule": text("its id"), "level": level(), "path": text("of the member, or the map"),
        "old": or_null(text("what it was")), "new": or_null(text("what it is")),
        "accepted": or_null(answer("what an epoch says to do about it")),
        "message": text("in a sentence"),
    }));
    let map = whole(json!({
        "map": text("its name"), "was": or_null(text("its pin so far, where it was renamed")), "disposition": disposition(), "why": text("a phrase"),
        "from": or_null(digest("what is pinned")), "to": or_null(digest("what will be")),
        "id": or_null(number("of the map that the state comes from")), "pin": or_null(text("of that map")),
        "from_kept": flag("true where that is in a kept generation"), "carried_back": flag("true where entries go back into it"),
        "loses_entries": flag("true where entries are given up"), "may_drop_entries": flag("true where the new map may have no room for each"),
        "gives_up": names("members that a conversion gives up"), "inexact": names("members that it may not keep exactly"),
        "by_hand": flag("true where code of the daemon decides"),
        "pin_removed": or_null(number("the id of the map whose pin somebody removed")), "other_pins": names("of a map that is left behind"),
        "types_unknown": untold(),
        "goes_back": or_null(whole(json!({
            "entries": number("that were looked at"), "keys": number("that lose what tells their keys apart"),
            "values": number("that lose something of their values"), "unfit": number("that have no place"), "is_all": flag("true where none was left out"),
        }))),
        "exact": flag("false where it is not certain that nothing goes wrong with entries that are carried over"),
        "doubts": names("why it is not certain"),
        "overwritten": or_null(whole(json!({
            "adds": names("members that old programs add to"), "sets": names("others that they set"), "unknown": flag("true where nothing tells which"),
        }))),
        "entries": or_null(number("now")), "old_max_entries": or_null(number("now")), "max_entries": or_null(number("then")),
        "sums": list(whole(json!({ "offset": number("bytes"), "width": number("bytes") }))),
        "snapshot_bytes": number("memory that the snapshot takes"), "estimate_ms": real("how long it may take"),
        "findings": list(finding),
    }));
    let kept = whole(
        json!({ "generation": or_null(number("its number")), "is_newer": flag("true where a roll-back left it") }),
    );
    let generations = || list(or_null(number("its number")));
    let sample = json!({ "anyOf": [
        whole(json!({ "old": entry(), "new": list(entry()) })), whole(json!({ "old": entry(), "problem": text("why it can't be converted") })),
    ] });
    let example = whole(json!({
        "kind": text("such as refused or lost"), "old": entry(), "new": or_null(list(entry())), "problem": or_null(text("why it is refused")),
        "back": or_null(entry()), "other_key": or_null(members()),
    }));
    let rehearsed = json!({ "anyOf": [
        whole(json!({ "untried": text("why") })),
        whole(json!({
            "untried": { "type": "null" }, "summary": text("in a line"), "fails": flag("true where it fails the plan"), "entries": number("that were tried"),
            "converted": flag("true where the layout changes"), "returns": flag("true where entries go back"), "no_room": number("entries without room"),
            "lost_members": or_null(of(json!({ "type": "integer" }))), "seconds": real("that it took"), "examples": list(example),
            "refused": number("entries"), "saturated": number("entries"), "truncated": number("entries"), "collided": number("entries"),
            "lost": or_null(number("entries; null where no way leads back")),
        })),
    ] });
    let always = json!({
        "dir": text("of the pins"), "commit": { "enum": ["exchange", "exchange-or-each-pin", "each-pin"] },
        "commit_why": or_null(text("why it is no exchange, or may be none")), "refused": flag("true where the upgrade does not start"),
        "leaves_kept": flag("true where no kept generation is touched"), "way_back": way_back(), "kept": list(kept),
        "unfinished": or_null(unfinished), "unpinned": or_null(unpinned), "looked": or_null(looked), "types_unknown": number("maps that are known by their sizes alone"),
        "estimate_ms": real("how long it may take"), "maps": list(map),
        "fails": flag("true where the exit code is 100"), "denied": names("maps to which something happens that --deny names"),
        "kept_then": whole(json!({ "stay": generations(), "go": generations() })), "samples": of(list(sample)), "notes": names("sentences"),
    });
    let planned = partly(always, json!({ "rehearsed": of(rehearsed) }));
    let schema = json!({ "anyOf": [planned, failure()] });
    document("maplock plan --message-format json", schema, json!({}))
}

pub(super) fn inspect() -> Value {
    let always = json!({
        "pin": text("its name"), "id": number("the kernel's"), "type": text("the kernel's name in lower case"), "key_size": number("bytes"),
        "value_size": number("bytes"), "max_entries": number("room"), "flags": number("of the map"), "map_extra": number("of the map"),
        "entries": or_null(number("now; null where they can't be counted")), "memory": number("bytes"), "frozen": flag("by BPF_MAP_FREEZE"),
        "layout_from": { "enum": ["btf", "meta", "attributes"], "description": "who tells what the bytes mean" }, "digest": digest("of all that can change that"),
        "locked_digest": or_null(digest("what the lock of its generation has for it")),
        "key": or_null(named("layout")), "value": or_null(named("layout")), "problem": or_null(text("why it is not as it should be")),
    });
    let map = partly(always, json!({ "version": number("of what the bytes mean") }));
    let missing = || {
        list(whole(
            json!({ "map": text("its name"), "id": number("the kernel's"), "lives": flag("true where something still has it") }),
        ))
    };
    let generation = || {
        json!({
            "dir": text("where it is"), "generation": or_null(number("its number")), "missing": missing(), "maps": names("pins"), "links": names("pins"),
        })
    };
    let kept = whole(with(
        generation(),
        json!({ "is_newer": flag("true where a roll-back left it"), "is_next": flag("true where the next roll-back leads there"), "way_back": way_back() }),
    ));
    let schema = whole(json!({
        "dir": text("of the pins"), "generation": or_null(number("the live one's number; null where maplock made none")),
        "maps": list(map),
        "links": list(whole(json!({
            "pin": text("its name"), "id": number("the kernel's"), "type": text("of the link"), "attached_to": text("a phrase"),
            "program_id": number("the kernel's"), "program": or_null(text("its name")),
        }))),
        "programs": list(whole(json!({
            "pin": text("its name"), "id": number("the kernel's"), "type": text("of the program"), "name": text("of the program"), "map_ids": list(number("of a map that it uses")),
        }))),
        "missing": missing(),
        "foreign": list(whole(json!({ "pin": text("a pin of somebody else"), "kind": or_null(text("what it is")) }))),
        "kept": list(kept), "staged": or_null(whole(generation())),
        "next": { "enum": ["complete", "discard", null], "description": "what the next upgrade, roll-back or confirmation does first, unless an upgrade runs" },
        "needs_code": names("maps for which that takes the code of their daemon"), "way_back": way_back(),
        "has_returned": flag("true where the next roll-back only says that a start has completed the one before"), "warnings": names("sentences"),
    }));
    document("maplock inspect DIR --message-format json", schema, json!({ "layout": layout() }))
}

/// What an upgrade, a roll-back or a recovery did: `Report` of the crate `maplock`.
fn report_itself() -> Value {
    let map = whole(json!({
        "map": text("its name"), "disposition": disposition(), "kept": number("entries as before"), "converted": number("others, that were converted"),
        "lost": or_null(number("entries that are gone; null where they can't be counted")),
        "incomplete": or_null(number("entries that went back without what the older layout has no place for")),
        "not_carried": number("entries that lack something of what old programs wrote since the copy, at the most"),
        "uncertain": number("entries that may be wrong since entries are deleted, at the most"),
        "pin_stays": flag("true of a map that is given up and stays pinned"), "types_unknown": untold(), "bytes": number("that were copied"),
        "method": { "enum": ["kernel", "batch", "one-by-one", null] },
        "exact": flag("true where it is certain that nothing is lost or counted twice"), "doubts": names("why it is not certain"), "time": real("seconds"),
    }));
    whole(json!({
        "maps": list(map),
        "links": list(whole(json!({ "link": text("its name"), "what": { "enum": ["updated", "attached", "replaced", "reattached", "detached", "gone"] } }))),
        "resumed": flag("true where it ended what an earlier call had begun"), "taken_back": flag("true where it took back an upgrade that did not end"),
        "discarded": flag("true where `recover` removed what was left of one that ended before its commit"),
        "left_behind": list(whole(json!({
            "map": text("its pin"), "entries": or_null(number("at the least")), "maybe": flag("true where it may be that nothing is lost"),
        }))),
        "way_back": way_back(), "generation": or_null(number("the one to which it led")),
        "ended_at": or_null(real("seconds since 1970")),
        "window": real("seconds from the first link's switch to the commit"), "total": real("seconds from the plan to the commit"),
    }))
}

pub(super) fn report() -> Value {
    let schema = json!({ "anyOf": [named("report"), list(named("report"))] });
    let title = "what an upgrade, `maplock rollback` or `maplock recover` did; with `rollback --to`, one for each step";
    document(title, schema, json!({ "report": report_itself() }))
}

pub(super) fn confirm() -> Value {
    let schema = whole(json!({ "dir": text("of the pins"), "removed": number("generations") }));
    document("maplock confirm --message-format json", schema, json!({}))
}

pub(super) fn watch() -> Value {
    let schema = whole(json!({
        "dir": text("of the pins"), "live": flag("true where there is a generation"), "generation": or_null(number("its number")),
    }));
    document("a line of maplock watch --message-format json", schema, json!({}))
}

pub(super) fn dump() -> Value {
    let bytes = || list(json!({ "type": "string", "pattern": "^0x[0-9a-f]{2}$" }));
    let each = |value: Value| list(whole(json!({ "cpu": number("its number"), "value": value })));
    let one = whole(json!({
        "key": bytes(), "value": bytes(), "formatted": whole(json!({ "key": members(), "value": members() })),
    }));
    let per_cpu = whole(json!({
        "key": bytes(), "values": each(bytes()), "formatted": whole(json!({ "key": members(), "values": each(members()) })),
    }));
    let schema = list(json!({ "anyOf": [one, per_cpu] }));
    document("maplock dump --message-format json: bytes, as bpftool has them, and members", schema, json!({}))
}

pub(super) fn fleet() -> Value {
    let letter = || text("what is pinned, as a letter of `pinned`");
    let map = whole(json!({
        "pin": text("its name"), "digest": digest("of its layout"), "entries": or_null(number("now")), "max_entries": number("room"),
    }));
    let plan = whole(json!({
        "held_back": flag("true where the upgrade is denied or refused"), "refused": flag("true where it would not start"),
        "denied": names("maps"), "changes": of(disposition()), "lost_entries": number("as far as they are counted"),
    }));
    let report = whole(json!({
        "inexact": names("maps"), "rolled_back": flag("true of a roll-back"), "taken_back": flag("true where an upgrade was taken back"),
        "resumed": flag("true where it ended what an earlier call had begun"),
        "generation": or_null(number("to which it led; where it is not that of the node, it is of maps before")),
    }));
    let node = whole(json!({
        "node": text("its file's name"), "generation": or_null(number("its number")), "pinned": or_null(letter()), "maps": or_null(list(map)),
        "plan": or_null(plan), "report": or_null(report),
        "unfinished": flag("true where an upgrade or a roll-back that did not end comes first"),
        "failed": or_null(text("what could not be told, in the words of the node")), "unread": or_null(error()),
    }));
    let schema = whole(json!({ "nodes": list(node), "pinned": of(of(digest("of the layout of a pin"))) }));
    document("maplock fleet --message-format json", schema, json!({}))
}

pub(super) fn test_upgrade() -> Value {
    let values = || list(members());
    let map = whole(json!({
        "map": text("its name"), "was": or_null(text("its name before")), "disposition": disposition(), "before": or_null(number("entries")),
        "after": or_null(number("entries")), "compared": { "enum": ["exactly", "under traffic", "not"] },
        "counts": or_null(names("members that only grow")), "not_compared": or_null(names("members that traffic writes")),
        "why": or_null(text("why it is not compared")), "fails": flag("true where it fails the test"),
        "kept": number("entries"), "new": number("entries"), "gone": number("entries"), "changed": number("entries"), "fell": number("entries"),
        "uncertain": number("entries"), "may_go": or_null(text("why entries may go")), "excepted": flag("true where --except names it"),
        "examples": list(whole(json!({
            "members": names("that differ"), "key": members(), "expected": values(), "found": or_null(values()),
        }))),
    }));
    let phase = whole(json!({
        "what": text("a phrase"), "has_traffic": flag("false where the traffic stood still"), "generation": or_null(number("the live one then")),
        "seconds": real("that it took"), "killed": or_null(whole(json!({ "release": text("old or new: whose start it was"), "after": real("seconds"), "when": text("how far it was") }))),
        "maps": list(map), "report": or_null(named("report")),
    }));
    let schema = whole(json!({
        "fails": flag("true where the exit code is 100"),
        "failure": or_null(whole(json!({ "phase": text("a phrase"), "what": text("a phrase"), "log": or_null(text("what was said")) }))),
        "phases": list(phase), "traffic": or_null(whole(json!({ "started": number("times"), "seconds": real("that it ran") }))),
        "seed": number("of the kills"), "again": text("the command that does the same"), "logs": or_null(text("where they are")),
    }));
    document("maplock test-upgrade --message-format json", schema, json!({ "report": report_itself() }))
}
