//! The answers of an epoch that migrates: how a lockfile writes them, and what is said where it can't be read.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use maplock_layout::Lock;
use maplock_layout::config::Levels;
use maplock_layout::conversion::{Answers, Cast, Collide, Scale};
use maplock_layout::epochs::{accept, undo};
use maplock_layout::lock::OnUpgrade;
use proptest::prelude::*;
use support::{lock, map, observed};

const V1: &str = "struct v { u32 packets; };";
const V2: &str = "struct v { u64 packets; };";

/// A lock in which one epoch migrates.
fn migrating() -> Lock {
    let old = lock([map(V1)]);
    accept(&old, &observed([map(V2)]), "m", OnUpgrade::Migrate, "wider", &Levels::default()).unwrap()
}

fn with(answers: Answers) -> Lock {
    let mut lock = migrating();
    lock.maps.get_mut("m").unwrap().epochs[0].convert = answers;
    lock
}

fn read_back(lock: &Lock) -> Answers {
    Lock::parse(&lock.to_string()).unwrap().maps["m"].epochs[0].convert.clone()
}

fn everything() -> Answers {
    let entry = |path: &str, text: &str| (path.to_owned(), text.to_owned());
    Answers {
        by_hand: true,
        rename: [entry("value.to", "value.from"), entry("value.items[].x", "value.items[].y")].into(),
        default: [entry("key.name", "\"eth0\""), entry("key", "0xff")].into(),
        drop: ["value.b[]".to_owned(), "value.a".to_owned()].into(),
        cast: [("value.x".to_owned(), Cast::Saturate)].into(),
        scale: [("value.t".to_owned(), Scale { multiply: 1, divide: 1000 })].into(),
        collide: Some(Collide::KeepOne),
    }
}

#[test]
fn answers_stand_on_the_line_of_their_epoch_between_what_was_broken_and_between_which_digests() {
    let lock = with(everything());
    let text = lock.to_string();
    let expected = [
        r#"rules = ["member-type-changed", "value-size-changed"]"#,
        "by-hand = true",
        r#"rename = { "value.items[].x" = "value.items[].y", "value.to" = "value.from" }"#,
        r#"default = { key = "0xff", "key.name" = "\"eth0\"" }"#,
        r#"drop = ["value.a", "value.b[]"]"#,
        r#"cast = { "value.x" = "saturate" }"#,
        r#"scale = { "value.t" = "1/1000" }"#,
        r#"collide = "keep-one""#,
        "from = ",
    ];
    assert!(text.contains(&expected.join(", ")), "{text}");
    assert_eq!(read_back(&lock), everything());
    assert_eq!(Lock::parse(&text).unwrap().to_string(), text);
}

#[test]
fn without_answers_nothing_is_said_of_them() {
    let text = migrating().to_string();
    assert!(text.contains("\"value-size-changed\"], from = "), "{text}");
    assert!(read_back(&migrating()).is_empty());
}

#[test]
fn what_is_no_answer_is_refused_at_its_line() {
    for (line, sentence) in [
        ("by-hand = 1", "not true or false"),
        ("by_hand = true", "`by_hand` is not known here; did you mean `by-hand`?"),
        ("renames = {}", "`renames` is not known here; did you mean `rename`?"),
        ("rename = {}", "`rename` names no member"),
        ("rename = { \"value.a\" = 1 }", "not a string"),
        ("rename = []", "not a table"),
        ("default = { \"value.a\" = 7 }", "not a string"),
        ("drop = []", "`drop` names no member"),
        ("drop = { a = \"b\" }", "not a list"),
        ("drop = [1]", "not a string"),
        (
            "cast = { \"value.x\" = \"saturat\" }",
            "`saturat` is no cast of `value.x`: only refuse, saturate and truncate are; did you mean `saturate`?",
        ),
        ("scale = { \"value.t\" = \"1/0\" }", "`1/0` is no scale of `value.t`: write `1000`, `1/1000` or `3/2`"),
        ("collide = \"keep_one\"", "`keep_one` is not refuse, sum or keep-one; did you mean `keep-one`?"),
    ] {
        let text = migrating().to_string().replacen("], from = ", &format!("], {line}, from = "), 1);
        let error = Lock::parse(&text).unwrap_err();
        assert_eq!(error.problem.to_string(), sentence);
        assert!(text.lines().nth(error.line - 1).unwrap().contains(line));
    }
}

#[test]
fn a_scale_is_a_whole_number_or_a_fraction() {
    for (text, multiply, divide) in [("1", 1, 1), ("1000", 1000, 1), ("1/1000", 1, 1000), ("3/2", 3, 2)] {
        let scale = Scale::parse(text).unwrap();
        assert_eq!((scale, scale.to_string().as_str()), (Scale { multiply, divide }, text));
    }
    assert_eq!(Scale::parse("7/1").unwrap().to_string(), "7");
    for text in ["", "0", "1/0", "0/1", "-1", "+1", "1/2/3", "1.5", "4294967296", "x", "1/"] {
        assert_eq!(Scale::parse(text), None, "{text}");
    }
}

#[test]
fn answers_go_with_their_epoch() {
    let answered = with(everything());
    let objects = observed([map(V2)]);
    let again = |on_upgrade| accept(&answered, &objects, "m", on_upgrade, "again", &Levels::default()).unwrap();
    assert_eq!(again(OnUpgrade::Migrate).maps["m"].epochs[0].convert, everything(), "it migrates still");
    assert!(again(OnUpgrade::Swap).maps["m"].epochs[0].convert.is_empty(), "what is given up is not converted");
    assert!(undo(&answered, "m").unwrap().maps["m"].epochs.is_empty());
}

fn answers() -> impl Strategy<Value = Answers> {
    let path = "[a-z.\\[\\]\" ü\\\\\n]{0,12}";
    let of = |text: &'static str| prop::collection::btree_map(path, text, 0..3);
    let cast = prop::collection::btree_map(path, prop::sample::select(Cast::ALL.to_vec()), 0..3);
    let scale = (1..=u32::MAX, 1..=u32::MAX).prop_map(|(multiply, divide)| Scale { multiply, divide });
    let scale = prop::collection::btree_map(path, scale, 0..3);
    let collide = prop::option::of(prop::sample::select(Collide::ALL.to_vec()));
    let drop = prop::collection::btree_set(path, 0..3);
    (any::<bool>(), of("[a-z.]{0,9}"), of(".{0,9}"), drop, cast, scale, collide).prop_map(
        |(by_hand, rename, default, drop, cast, scale, collide)| Answers {
            by_hand,
            rename,
            default,
            drop,
            cast,
            scale,
            collide,
        },
    )
}

proptest! {
    #[test]
    fn any_answers_are_read_back_as_they_were_written(answers in answers()) {
        prop_assert_eq!(read_back(&with(answers.clone())), answers);
    }
}
