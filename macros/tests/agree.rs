//! Pairs of a C and a Rust struct, made from one seed: a pair that agrees compiles, one with one thing changed is refused at that
//! field.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::fmt::Write as _;
use std::fs;

use support::{Project, lock_of};

const PAIRS: usize = 60;
const MEMBERS: usize = 6;

/// Numbers that look random (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }
}

/// C's type, what stands behind the name, and Rust's type. All are of 8 bytes or a multiple, so that nothing is padding.
const TYPES: [(&str, &str, &str); 6] = [
    ("unsigned long long", "", "u64"),
    ("long long", "", "i64"),
    ("unsigned int", "[4]", "[u32; 4]"),
    ("short", "[2][8]", "[[i16; 8]; 2]"),
    ("char", "[16]", "[u8; 16]"),
    ("struct inner", "", "Inner"),
];

/// The same with one thing changed: sign, sign, length, order of the dimensions, width, nested layout.
const OTHERS: [&str; 6] = ["i64", "u64", "[u32; 6]", "[[i16; 2]; 8]", "[u16; 8]", "[u32; 2]"];

#[test]
fn the_verdict_is_that_of_the_c_compiler_both_ways() {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let (mut c, mut right) = ("struct inner { unsigned int a, b; };\n".to_owned(), String::new());
    let derives = "#[derive(Clone, Copy, MapValue, FromBytes, IntoBytes, Immutable)] #[repr(C)]";
    let head = format!(
        "#![allow(dead_code)] use maplock::MapValue; use zerocopy::{{FromBytes, IntoBytes, Immutable}}; fn main() {{}}\n\
         {derives} struct Inner {{ a: u32, b: u32 }}\n"
    );
    let (mut wrong, mut changed) = (head.clone(), Vec::new());
    right.push_str(&head);
    for pair in 0..PAIRS {
        let types: Vec<_> = (0..MEMBERS).map(|_| numbers.below(TYPES.len())).collect();
        let at = numbers.below(MEMBERS);
        writeln!(c, "struct pair_{pair} {{").unwrap();
        for text in [&mut right, &mut wrong] {
            writeln!(text, "{derives} #[maplock(btf = \"struct pair_{pair}\")] struct Pair{pair} {{").unwrap();
        }
        let mut fields: Vec<_> =
            types.iter().enumerate().map(|(i, of)| (format!("m{i}"), TYPES[*of].2.to_owned())).collect();
        for (i, of) in types.iter().enumerate() {
            writeln!(c, "{} m{i}{};", TYPES[*of].0, TYPES[*of].1).unwrap();
            writeln!(right, "{}: {},", fields[i].0, fields[i].1).unwrap();
        }
        let at = match pair % 3 {
            0 => {
                fields[at].1 = OTHERS[types[at]].to_owned();
                at
            }
            1 => {
                fields[at].0 = "elsewhere".to_owned();
                at
            }
            _ => {
                let first = at.min(MEMBERS - 2);
                fields.swap(first, first + 1);
                first
            }
        };
        for (i, (name, ty)) in fields.iter().enumerate() {
            if i == at {
                changed.push(wrong.lines().count() as u64 + 1);
            }
            writeln!(wrong, "{name}: {ty},").unwrap();
        }
        right.push_str("}\n");
        wrong.push_str("}\n");
        writeln!(
            c,
            "}};\nstruct {{ int (*type)[1]; int (*max_entries)[1]; int (*pinning)[1]; unsigned int *key; struct pair_{pair} *value; }} \
             map_{pair} __attribute__((section(\".maps\"), used));"
        )
        .unwrap();
    }
    let project = Project::new("agree");
    let source = project.folder.join("pairs.c");
    fs::write(&source, c).unwrap();
    project.write("maps.lock", &lock_of(&source, &project.folder));
    project.write("src/bin/right.rs", &right);
    project.write("src/bin/wrong.rs", &wrong);
    let found = project.check(&[]);
    assert!(found["right"].is_empty(), "{:#?}", found["right"]);
    for (pair, line) in changed.iter().enumerate() {
        let text = wrong.lines().nth(*line as usize - 1).unwrap();
        assert!(
            found["wrong"].iter().any(|problem| problem.line == *line),
            "pair {pair}, line {line}: `{text}` compiles"
        );
    }
    // Where a name changed, the type is told of the member that it lacks, too.
    let is_stray = |line: u64, text: &str| !changed.contains(&line) && !text.starts_with("no field is");
    let stray: Vec<_> = found["wrong"].iter().filter(|problem| is_stray(problem.line, &problem.text)).collect();
    assert!(stray.is_empty(), "{stray:#?}");
}
