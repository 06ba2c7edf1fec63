//! Bytes that were written as the old struct are read otherwise as the new one *if and only if* there is a finding of the
//! byte tier.
//!
//! The oracle is a compiler: for random pairs of structs, a program of this machine sets each member in turn to all ones
//! and prints which bits of the struct that is. Two structs differ where a member's bits differ, or where only one of them
//! has it. x86-64 lays structs out as BPF does.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use maplock_layout::config::Levels;
use maplock_layout::lock::LockedMap;
use maplock_layout::rules::Tier;
use maplock_layout::{Finding, Lock, MapDef, Place, compare};
use maplock_layout_tests::maps_of;
use maplock_layout_tests::toolchain::{Clang, Order, run, skip};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

/// Compiled at once: starting a compiler takes longer than compiling one more struct.
const PAIRS_IN_A_BATCH: usize = 80;
const BATCHES: u32 = 24;

// ---- C types ----

#[derive(Debug, Clone, PartialEq)]
enum Type {
    /// A C type's name, and its width in bits.
    Scalar(&'static str, u32),
    Array(Box<Type>, u32),
    Composite(Composite),
}

#[derive(Debug, Clone, PartialEq)]
struct Composite {
    is_union: bool,
    packed: bool,
    members: Vec<Member>,
}

#[derive(Debug, Clone, PartialEq)]
struct Member {
    /// Empty for an anonymous struct or union, and for a hole made by an unnamed bit-field.
    name: String,
    ty: Type,
    bits: Option<u32>,
    aligned: Option<u32>,
}

const SCALARS: [(&str, u32); 16] = [
    ("__u8", 8),
    ("__s8", 8),
    ("char", 8),
    ("_Bool", 8),
    ("__u16", 16),
    ("__s16", 16),
    ("__be16", 16),
    ("__u32", 32),
    ("__s32", 32),
    ("enum color", 32),
    ("float", 32),
    ("__u64", 64),
    ("__s64", 64),
    ("double", 64),
    ("void *", 64),
    ("unsigned long", 64),
];

fn holds_bits(scalar: &str) -> bool {
    !matches!(scalar, "float" | "double" | "void *")
}

impl Member {
    fn is_hole(&self) -> bool {
        self.name.is_empty() && self.bits.is_some()
    }

    fn named(mut self, next: &mut u32, letter: char) -> Self {
        let is_anonymous = self.name.is_empty() && matches!(self.ty, Type::Composite(_));
        if !is_anonymous && !self.is_hole() {
            self.name = format!("{letter}{next}");
            *next += 1;
        }
        self.ty = name_members(self.ty, next, letter);
        self
    }

    fn declare(&self, out: &mut String) {
        let (mut ty, mut dimensions) = (&self.ty, String::new());
        while let Type::Array(element, len) = ty {
            _ = write!(dimensions, "[{len}]");
            ty = element;
        }
        match ty {
            Type::Composite(composite) => composite.declare("", out),
            Type::Scalar(name, _) => out.push_str(name),
            Type::Array(..) => unreachable!("arrays were taken off"),
        }
        _ = write!(out, " {}{dimensions}", self.name);
        if let Some(bits) = self.bits {
            _ = write!(out, " : {bits}");
        }
        if let Some(bytes) = self.aligned {
            _ = write!(out, " __attribute__((aligned({bytes})))");
        }
        out.push_str("; ");
    }

    /// The members that hold bits, as C names them, and whether each is a bit-field.
    fn leaves(&self, prefix: &str, out: &mut Vec<(String, bool)>) {
        if self.is_hole() {
            return;
        }
        match &self.ty {
            Type::Composite(inner) if self.name.is_empty() => inner.leaves(prefix, out),
            ty => ty.leaves(format!("{prefix}{}", self.name), self.bits.is_some(), out),
        }
    }
}

impl Type {
    fn leaves(&self, path: String, is_bit_field: bool, out: &mut Vec<(String, bool)>) {
        match self {
            Self::Scalar(..) => out.push((path, is_bit_field)),
            Self::Array(element, len) => {
                (0..*len).for_each(|index| element.leaves(format!("{path}[{index}]"), is_bit_field, out));
            }
            Self::Composite(inner) => inner.leaves(&format!("{path}."), out),
        }
    }
}

impl Composite {
    fn declare(&self, tag: &str, out: &mut String) {
        _ = write!(out, "{} {tag} {{ ", if self.is_union { "union" } else { "struct" });
        self.members.iter().for_each(|member| member.declare(out));
        out.push_str(if self.packed { "} __attribute__((packed))" } else { "}" });
    }

    fn leaves(&self, prefix: &str, out: &mut Vec<(String, bool)>) {
        self.members.iter().for_each(|member| member.leaves(prefix, out));
    }

    /// This and all composites in it, in a fixed order.
    fn each_composite(&mut self, visit: &mut dyn FnMut(&mut Self)) {
        visit(self);
        for member in &mut self.members {
            let mut ty = &mut member.ty;
            while let Type::Array(element, _) = ty {
                ty = element;
            }
            if let Type::Composite(inner) = ty {
                inner.each_composite(visit);
            }
        }
    }

    fn composites(&mut self) -> usize {
        let mut count = 0;
        self.each_composite(&mut |_| count += 1);
        count
    }

    fn change(&mut self, which: usize, change: impl FnOnce(&mut Self)) {
        let (mut at, mut change) = (0, Some(change));
        self.each_composite(&mut |composite| {
            if at == which
                && let Some(change) = change.take()
            {
                change(composite);
            }
            at += 1;
        });
    }
}

fn name_members(ty: Type, next: &mut u32, letter: char) -> Type {
    match ty {
        Type::Array(element, len) => Type::Array(Box::new(name_members(*element, next, letter)), len),
        Type::Composite(mut composite) => {
            composite.members = composite.members.into_iter().map(|member| member.named(next, letter)).collect();
            Type::Composite(composite)
        }
        scalar @ Type::Scalar(..) => scalar,
    }
}

// ---- random structs ----

fn scalar() -> impl Strategy<Value = Type> {
    select(&SCALARS[..]).prop_map(|(name, bits)| Type::Scalar(name, bits))
}

fn plain(ty: Type) -> Member {
    Member { name: "_".to_owned(), ty, bits: None, aligned: None }
}

fn bit_field() -> impl Strategy<Value = Member> {
    let holders: Vec<_> = SCALARS.into_iter().filter(|(name, _)| holds_bits(name)).collect();
    (select(holders), any::<Index>()).prop_map(|((name, bits), width)| {
        let most = if name == "_Bool" { 1 } else { bits as usize };
        Member { bits: Some(width.index(most) as u32 + 1), ..plain(Type::Scalar(name, bits)) }
    })
}

fn hole() -> impl Strategy<Value = Member> {
    (bit_field(), any::<bool>()).prop_map(|(field, ends_unit)| Member {
        name: String::new(),
        bits: if ends_unit { Some(0) } else { field.bits },
        ..field
    })
}

fn member(depth: u32) -> BoxedStrategy<Member> {
    let array = |element: BoxedStrategy<Type>| (element, 1..4_u32).prop_map(|(ty, len)| Type::Array(Box::new(ty), len));
    let aligned =
        (scalar(), select(&[2, 4, 8, 16][..])).prop_map(|(ty, bytes)| Member { aligned: Some(bytes), ..plain(ty) });
    let simple = prop_oneof![
        12 => scalar().prop_map(plain),
        6 => bit_field(),
        4 => array(scalar().boxed()).prop_map(plain),
        1 => array(array(scalar().boxed()).boxed()).prop_map(plain),
        1 => aligned,
        1 => hole(),
    ];
    if depth == 0 {
        return simple.boxed();
    }
    let inner = || composite(depth - 1, 4).prop_map(Type::Composite).boxed();
    prop_oneof![
        8 => simple,
        1 => inner().prop_map(plain),
        2 => array(inner()).prop_map(plain),
        1 => inner().prop_map(|ty| Member { name: String::new(), ..plain(ty) }),
    ]
    .boxed()
}

fn composite(depth: u32, members: usize) -> impl Strategy<Value = Composite> {
    // The first member is one that has a name, so that no struct is empty.
    (prop::bool::weighted(0.2), prop::bool::weighted(0.2), scalar().prop_map(plain), vec(member(depth), 0..members))
        .prop_map(|(is_union, packed, first, mut members)| {
            let at = members.len() / 2;
            members.insert(at, first);
            Composite { is_union, packed, members }
        })
}

// ---- mutations ----

/// What is done to a struct. An `Index` picks the composite, a second one the member.
#[derive(Debug, Clone)]
enum Mutation {
    Insert(Index, Index, Member),
    Remove(Index, Index),
    Resize(Index, Index, Type),
    Reorder(Index, Index, Index),
    ArrayLength(Index, Index, u32),
    BitWidth(Index, Index, Index),
    /// Another scalar of the same width: a sign flipped, a float for an integer.
    Kind(Index, Index, Index),
    /// A bit-field as wide as its type for the plain member, and the other way round.
    FullWidth(Index, Index),
    Pack(Index),
    Align(Index, Index, u32),
    /// Puts members into an anonymous struct, where their names stay what they were.
    Group(Index, Index, Index),
    /// Takes the members of an anonymous struct or union out of it.
    Dissolve(Index, Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    use Mutation as M;
    let i = any::<Index>;
    let bytes = select(&[2, 4, 8, 16][..]);
    prop_oneof![
        3 => (i(), i(), member(1)).prop_map(|(a, b, member)| M::Insert(a, b, member)),
        3 => (i(), i()).prop_map(|(a, b)| M::Remove(a, b)),
        3 => (i(), i(), scalar()).prop_map(|(a, b, ty)| M::Resize(a, b, ty)),
        3 => (i(), i(), i()).prop_map(|(a, b, c)| M::Reorder(a, b, c)),
        2 => (i(), i(), 1..4_u32).prop_map(|(a, b, len)| M::ArrayLength(a, b, len)),
        2 => (i(), i(), i()).prop_map(|(a, b, c)| M::BitWidth(a, b, c)),
        3 => (i(), i(), i()).prop_map(|(a, b, c)| M::Kind(a, b, c)),
        1 => (i(), i()).prop_map(|(a, b)| M::FullWidth(a, b)),
        3 => i().prop_map(M::Pack),
        1 => (i(), i(), bytes).prop_map(|(a, b, bytes)| M::Align(a, b, bytes)),
        2 => (i(), i(), i()).prop_map(|(a, b, c)| M::Group(a, b, c)),
        2 => (i(), i()).prop_map(|(a, b)| M::Dissolve(a, b)),
    ]
}

/// The member that an index picks among those that `fits` admits.
fn pick(members: &[Member], index: Index, fits: impl Fn(&Member) -> bool) -> Option<usize> {
    let fitting: Vec<_> = (0..members.len()).filter(|&at| fits(&members[at])).collect();
    (!fitting.is_empty()).then(|| *index.get(&fitting))
}

fn is_scalar(member: &Member) -> bool {
    matches!(member.ty, Type::Scalar(..)) && !member.is_hole()
}

impl Mutation {
    fn apply(&self, to: &mut Composite, next: &mut u32) {
        use Mutation as M;
        let (M::Insert(which, ..)
        | M::Remove(which, _)
        | M::Resize(which, ..)
        | M::Reorder(which, ..)
        | M::ArrayLength(which, ..)
        | M::BitWidth(which, ..)
        | M::Kind(which, ..)
        | M::FullWidth(which, _)
        | M::Pack(which)
        | M::Align(which, ..)
        | M::Group(which, ..)
        | M::Dissolve(which, _)) = self;
        let which = which.index(to.composites());
        to.change(which, |of| self.apply_to(of, next));
    }

    fn apply_to(&self, of: &mut Composite, next: &mut u32) {
        use Mutation as M;
        let members = &mut of.members;
        match self {
            M::Insert(_, at, member) => members.insert(at.index(members.len() + 1), member.clone().named(next, 'n')),
            M::Remove(_, at) => {
                let at = at.index(members.len());
                if members.iter().enumerate().any(|(other, member)| other != at && !member.is_hole()) {
                    members.remove(at);
                }
            }
            M::Resize(_, at, ty) => {
                if let Some(at) = pick(members, *at, |member| is_scalar(member) && member.bits.is_none()) {
                    members[at].ty = ty.clone();
                }
            }
            M::Reorder(_, from, to) => {
                let member = members.remove(from.index(members.len()));
                members.insert(to.index(members.len() + 1), member);
            }
            M::ArrayLength(_, at, new) => {
                if let Some(at) = pick(members, *at, |member| matches!(member.ty, Type::Array(..)))
                    && let Type::Array(_, len) = &mut members[at].ty
                {
                    *len = *new;
                }
            }
            M::BitWidth(_, at, width) => {
                if let Some(at) = pick(members, *at, |member| member.bits.is_some_and(|bits| bits != 0))
                    && let Type::Scalar(name, bits) = members[at].ty
                {
                    let most = if name == "_Bool" { 1 } else { bits as usize };
                    members[at].bits = Some(width.index(most) as u32 + 1);
                }
            }
            M::Kind(_, at, to) => {
                if let Some(at) = pick(members, *at, is_scalar)
                    && let Type::Scalar(_, bits) = members[at].ty
                {
                    let is_field = members[at].bits.is_some();
                    let same: Vec<_> = SCALARS
                        .into_iter()
                        .filter(|(name, of)| *of == bits && (!is_field || holds_bits(name) && *name != "_Bool"))
                        .collect();
                    let (name, bits) = *to.get(&same);
                    members[at].ty = Type::Scalar(name, bits);
                }
            }
            M::FullWidth(_, at) => {
                let fits = |member: &Member| match member.ty {
                    Type::Scalar(name, bits) if !member.is_hole() => {
                        holds_bits(name) && name != "_Bool" && member.bits.is_none_or(|width| width == bits)
                    }
                    _ => false,
                };
                if let Some(at) = pick(members, *at, fits)
                    && let Type::Scalar(_, bits) = members[at].ty
                {
                    members[at].bits = if members[at].bits.is_some() { None } else { Some(bits) };
                    members[at].aligned = None;
                }
            }
            M::Pack(_) => of.packed = !of.packed,
            M::Align(_, at, bytes) => {
                if let Some(at) = pick(members, *at, |member| member.bits.is_none()) {
                    members[at].aligned = if members[at].aligned.is_some() { None } else { Some(*bytes) };
                }
            }
            M::Group(_, from, len) => {
                let from = from.index(members.len());
                let len = 1 + len.index(members.len() - from);
                let group: Vec<_> = members.drain(from..from + len).collect();
                let ty = Type::Composite(Composite { is_union: false, packed: false, members: group });
                members.insert(from, Member { name: String::new(), ..plain(ty) });
            }
            M::Dissolve(_, at) => {
                let fits = |member: &Member| member.name.is_empty() && matches!(member.ty, Type::Composite(_));
                if let Some(at) = pick(members, *at, fits)
                    && let Type::Composite(inner) = members.remove(at).ty
                {
                    members.splice(at..at, inner.members);
                }
            }
        }
    }

    /// True where this changes one member of a name, which is what a report should then blame.
    fn changes_one_member(&self, old: &Composite) -> bool {
        match self {
            Self::Resize(..) | Self::ArrayLength(..) | Self::BitWidth(..) => true,
            Self::Insert(_, _, member) => !member.name.is_empty(),
            Self::Remove(which, at) => {
                let (mut old, mut is_named) = (old.clone(), false);
                let which = which.index(old.composites());
                old.change(which, |of| is_named = !at.get(&of.members).name.is_empty());
                is_named
            }
            _ => false,
        }
    }
}

#[derive(Debug, Clone)]
struct Pair {
    old: Composite,
    change: Change,
}

#[derive(Debug, Clone)]
enum Change {
    Mutations(Vec<Mutation>),
    /// One member gets another name, and nothing else happens.
    Rename(Index, Index),
}

impl Pair {
    fn changed(&self) -> Composite {
        let mut new = self.old.clone();
        match &self.change {
            Change::Mutations(mutations) => {
                let mut next = 0;
                mutations.iter().for_each(|mutation| mutation.apply(&mut new, &mut next));
            }
            Change::Rename(which, at) => {
                let which = which.index(new.composites());
                new.change(which, |of| {
                    if let Some(at) = pick(&of.members, *at, |member| !member.name.is_empty()) {
                        of.members[at].name = "renamed".to_owned();
                    }
                });
            }
        }
        new
    }
}

fn pair() -> impl Strategy<Value = Pair> {
    let change = prop_oneof![
        8 => vec(mutation(), 1..2).prop_map(Change::Mutations),
        6 => vec(mutation(), 0..4).prop_map(Change::Mutations),
        2 => (any::<Index>(), any::<Index>()).prop_map(|(which, at)| Change::Rename(which, at)),
    ];
    (composite(2, 8), change).prop_map(|(old, change)| match name_members(Type::Composite(old), &mut 0, 'm') {
        Type::Composite(old) => Pair { old, change },
        _ => unreachable!("naming keeps the kind"),
    })
}

// ---- what the compiler says ----

/// Which bytes each member's bits are in, by its path.
type Masks = BTreeMap<String, String>;

const PRELUDE: &str = "enum color { RED, GREEN = 70000, BLUE };\n";

fn structs(pairs: &[Pair]) -> Vec<(String, Composite)> {
    let each = pairs.iter().enumerate();
    each.flat_map(|(n, pair)| [(format!("old_{n}"), pair.old.clone()), (format!("new_{n}"), pair.changed())]).collect()
}

fn declarations(structs: &[(String, Composite)]) -> String {
    let mut out = PRELUDE.to_owned();
    for (tag, composite) in structs {
        composite.declare(tag, &mut out);
        out.push_str(";\n");
    }
    out
}

fn keyword(composite: &Composite) -> &'static str {
    if composite.is_union { "union" } else { "struct" }
}

/// Compiles the structs as values of maps, and reads the object.
fn maps(clang: &Clang, order: Order, folder: &Path, structs: &[(String, Composite)]) -> BTreeMap<String, MapDef> {
    let mut source = format!("#include \"bpf_min.h\"\n{}", declarations(structs));
    for (tag, composite) in structs {
        let kind = keyword(composite);
        _ = writeln!(
            source,
            "struct {{ __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 16); __type(key, __u32); \
             __type(value, {kind} {tag}); }} {tag} SEC(\".maps\");"
        );
    }
    let (file, object) = (folder.join("maps.c"), folder.join("maps.o"));
    fs::write(&file, source).expect("a file");
    clang.compile(order, &file, &object);
    let maps = maps_of(&fs::read(&object).expect("an object")).expect("its maps");
    maps.into_iter().map(|map| (map.name.clone(), map)).collect()
}

/// Compiles a program of this machine that prints the masks, and runs it.
fn masks(clang: &Clang, folder: &Path, structs: &[(String, Composite)]) -> BTreeMap<String, Masks> {
    let mut source = "#include <stdio.h>\n#include <string.h>\n\
        typedef unsigned char __u8; typedef signed char __s8; typedef unsigned short __u16; typedef short __s16;\n\
        typedef __u16 __be16; typedef unsigned int __u32; typedef int __s32;\n\
        typedef unsigned long long __u64; typedef long long __s64;\n\
        static void dump(const char *tag, const char *path, const unsigned char *bytes, unsigned long size) {\n\
          printf(\"%s %s \", tag, path);\n\
          for (unsigned long i = 0; i < size; i++) if (bytes[i]) printf(\"%lu:%02x,\", i, bytes[i]);\n\
          puts(\"\");\n\
        }\n\
        #define PLAIN(tag, path) memset(&u, 0, sizeof u), memset(&u.path, 0xff, sizeof u.path), DUMP(tag, path)\n\
        #define FIELD(tag, path) memset(&u, 0, sizeof u), u.path = -1, DUMP(tag, path)\n\
        #define DUMP(tag, path) dump(tag, #path, (void *)&u, sizeof u)\n"
        .to_owned();
    source.push_str(&declarations(structs));
    source.push_str("int main(void) {\n");
    for (tag, composite) in structs {
        _ = writeln!(source, "{{ static {} {tag} u;", keyword(composite));
        let mut leaves = Vec::new();
        composite.leaves("", &mut leaves);
        for (path, is_bit_field) in leaves {
            _ = writeln!(source, "{}(\"{tag}\", {path});", if is_bit_field { "FIELD" } else { "PLAIN" });
        }
        source.push_str("}\n");
    }
    source.push_str("}\n");
    let (file, program) = (folder.join("masks.c"), folder.join("masks"));
    fs::write(&file, source).expect("a file");
    run(clang.command().args(["-O0", "-Wno-everything", "-o"]).arg(&program).arg(&file));
    let printed = String::from_utf8(run(&mut Command::new(&program)).stdout).expect("ASCII");
    let mut masks = BTreeMap::<String, Masks>::new();
    for line in printed.lines() {
        let mut words = line.splitn(3, ' ');
        let mut word = || words.next().expect("three words").to_owned();
        let (tag, path, mask) = (word(), word(), word());
        masks.entry(tag).or_default().insert(path, mask);
    }
    masks
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Expected {
    /// Each member is where it was.
    Same,
    /// Some are where they were, and the others have another name.
    Renamed,
    Differs,
}

fn expected(old: &Masks, new: &Masks) -> Expected {
    if old == new {
        return Expected::Same;
    }
    if old.iter().any(|(path, mask)| new.get(path).is_some_and(|other| other != mask)) {
        return Expected::Differs;
    }
    let only = |these: &Masks, those: &Masks| -> Vec<String> {
        let mut masks: Vec<_> =
            these.iter().filter(|(path, _)| !those.contains_key(*path)).map(|(_, mask)| mask.clone()).collect();
        masks.sort_unstable();
        masks
    };
    if only(old, new) == only(new, old) { Expected::Renamed } else { Expected::Differs }
}

// ---- the property ----

fn findings(old: &MapDef, new: &MapDef) -> Vec<Finding> {
    let lock = |def: &MapDef| {
        let def = MapDef { name: "map".to_owned(), ..def.clone() };
        Lock { maps: [("map".to_owned(), LockedMap::new(def))].into(), ..Lock::default() }
    };
    compare(&lock(old), &lock(new), &Levels::default()).findings
}

/// One direction of a pair, compiled.
struct Case<'c> {
    pair: &'c Pair,
    is_back: bool,
    expected: Expected,
    old: &'c MapDef,
    new: &'c MapDef,
    found: Vec<Finding>,
}

impl Case<'_> {
    fn of_tier(&self, tier: Tier) -> impl Iterator<Item = &Finding> {
        self.found.iter().filter(move |finding| finding.rule.tier == tier)
    }
}

fn must(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

fn check_bytes(case: &Case<'_>) -> Result<(), String> {
    let bytes = case.of_tier(Tier::Bytes).count();
    let digests_differ = case.old.digest() != case.new.digest();
    match case.expected {
        Expected::Same => must(bytes == 0, "a finding of the byte tier, and each member is where it was")?,
        Expected::Differs => {
            must(bytes > 0, "no finding of the byte tier, and members are elsewhere")?;
            must(digests_differ, "one digest, and members are elsewhere")?;
        }
        Expected::Renamed => match case.pair.change {
            Change::Rename(..) => {
                must(bytes == 0, "a finding of the byte tier, and a member was only renamed")?;
                let renamed = case.found.iter().filter(|finding| finding.rule.id == "member-renamed").count();
                must(renamed == 1, "not one finding for one renamed member")?;
                must(digests_differ, "one digest, and another name")?;
            }
            // A member is gone, and another of its size is in its place: nobody can tell whether they are the same.
            Change::Mutations(_) => must(!case.found.is_empty() && digests_differ, "no finding, and names changed")?,
        },
    }
    let kernel: Vec<_> = case.of_tier(Tier::Kernel).map(|finding| finding.rule.id).collect();
    let expected: &[&str] = if case.old.value_size == case.new.value_size { &[] } else { &["value-size-changed"] };
    must(kernel == expected, &format!("of the kernel's tier {kernel:?}, expected {expected:?}"))
}

/// What is called a consequence must lead to what is not one; and where one member changed, that one is to blame.
fn check_causes(case: &Case<'_>) -> Result<(), String> {
    for finding in &case.found {
        let Some(cause) = &finding.cause() else { continue };
        let is_cause = |of: &Finding| of.path() == *cause && of.consequence_of.is_none() && !std::ptr::eq(of, finding);
        must(case.found.iter().any(is_cause), &format!("`{cause}` is named as a cause, and is none"))?;
    }
    let one_changed = match &case.pair.change {
        Change::Mutations(mutations) => {
            !case.is_back && mutations.len() == 1 && mutations[0].changes_one_member(&case.pair.old)
        }
        Change::Rename(..) => false,
    };
    if !one_changed || case.expected != Expected::Differs {
        return Ok(());
    }
    let primary = case.of_tier(Tier::Bytes).filter(|finding| finding.consequence_of.is_none());
    let (moved, changed): (Vec<_>, Vec<_>) = primary.partition(|finding| finding.rule.id == "member-moved");
    let blamed: BTreeSet<_> = changed.iter().map(|finding| finding.path()).collect();
    must(blamed.len() <= 1, &format!("one change, and these are blamed: {blamed:?}"))?;
    // In a union, members of one arm pass those of another, and that looks as if they were put in another order.
    let Some(cause) = changed.first().filter(|cause| !cause.rule.id.starts_with("union-arm")) else { return Ok(()) };
    for moved in moved {
        // Members before the cause, or beside it in an anonymous struct, move where its alignment changes: nobody can tell
        // that from the outside. For those behind it and around it, one can.
        let is_around = cause.path().strip_prefix(&moved.path()).is_some_and(|rest| rest.starts_with(['.', '[']));
        must(!is_around, &format!("`{}` is blamed for moving, and what changed is in it", moved.path()))?;
        let is_behind = |place: fn(&Finding) -> Option<Place>| match (place(cause), place(moved)) {
            (Some(cause), Some(moved)) => moved.offset_bits >= cause.offset_bits + cause.size_bits,
            _ => true,
        };
        let is_behind = is_behind(Finding::old_place) && is_behind(Finding::new_place);
        must(!is_behind, &format!("`{}` is blamed for moving, and what changed is before it", moved.path()))?;
    }
    Ok(())
}

type Check = fn(&Case<'_>) -> Result<(), String>;
type Counts = BTreeMap<Expected, usize>;

fn check_batch(clang: &Clang, pairs: &[Pair], check: Check, counts: &RefCell<Counts>) -> Result<(), String> {
    let folder = tempfile::tempdir().expect("a folder");
    let structs = structs(pairs);
    let maps = maps(clang, Order::Little, folder.path(), &structs);
    must(maps == self::maps(clang, Order::Big, folder.path(), &structs), "the byte order changes a layout")?;
    let masks = masks(clang, folder.path(), &structs);
    for (n, pair) in pairs.iter().enumerate() {
        let tags = [format!("old_{n}"), format!("new_{n}")];
        let expected = expected(&masks[&tags[0]], &masks[&tags[1]]);
        *counts.borrow_mut().entry(expected).or_default() += 1;
        for (is_back, [old, new]) in [(false, [&tags[0], &tags[1]]), (true, [&tags[1], &tags[0]])] {
            let (before, after) = (&maps[old], &maps[new]);
            let case = Case { pair, is_back, expected, old: before, new: after, found: findings(before, after) };
            check(&case).map_err(|problem| {
                let mut text = format!("{problem}, by {:?}{}\n", pair.change, if is_back { " and back" } else { "" });
                for tag in [old, new] {
                    let (_, composite) = structs.iter().find(|(known, _)| known == tag).expect("declared");
                    composite.declare(tag, &mut text);
                    _ = writeln!(text, ";\n    {:?}", masks[tag]);
                }
                for finding in &case.found {
                    let cause = finding.cause().map_or(String::new(), |cause| format!(", by {cause}"));
                    _ = writeln!(text, "{} {}: {}{cause}", finding.rule.id, finding.path(), finding.message());
                }
                text
            })?;
        }
    }
    Ok(())
}

/// The seed of `MAPLOCK_SEED`, or a fixed one.
fn seed() -> u64 {
    env::var("MAPLOCK_SEED").map_or(1, |seed| seed.parse().expect("MAPLOCK_SEED is a number"))
}

/// Checks about a thousand pairs; a failure is shrunk to one pair, and that to its least. `None` where it can't be done here.
fn check_pairs(check: Check) -> Option<Counts> {
    let clang = Clang::newest()?;
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        skip("x86-64, which lays out structs as BPF does");
        return None;
    }
    let seed = seed();
    println!("MAPLOCK_SEED={seed}");
    let bytes: Vec<u8> = (0..4_u64).flat_map(|part| (seed ^ part << 32).to_le_bytes()).collect();
    let config = Config { cases: BATCHES, max_shrink_time: 20_000, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let counts = RefCell::new(Counts::new());
    let outcome = runner.run(&vec(pair(), 1..=PAIRS_IN_A_BATCH), |pairs| {
        check_batch(&clang, &pairs, check, &counts).map_err(TestCaseError::fail)
    });
    match outcome {
        Ok(()) => Some(counts.into_inner()),
        Err(TestError::Fail(reason, _)) => panic!("{}", reason.message()),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn bytes_are_read_otherwise_if_and_only_if_there_is_a_finding_of_the_byte_tier() {
    let Some(counts) = check_pairs(check_bytes) else { return };
    // The generator has to reach all three answers.
    let of = |expected| counts.get(&expected).copied().unwrap_or(0);
    assert!(of(Expected::Same) >= 200 && of(Expected::Differs) >= 200 && of(Expected::Renamed) >= 50, "{counts:?}");
}

#[test]
fn a_member_that_only_moved_is_a_consequence_of_what_pushed_it() {
    let Some(counts) = check_pairs(check_causes) else { return };
    assert!(counts.get(&Expected::Differs).is_some_and(|&count| count >= 200), "{counts:?}");
}
