//! Two declarations of one struct, of an older release and of a newer one, and which member of the new one was which of the
//! old: what a person would say who had made the change.
//!
//! Members have names that no other has, so that a member that moved into another struct is known by its name.

use maplock_layout::conversion::{Answers, Cast};
use proptest::prelude::*;

/// An older declaration and a newer one, both of `struct v`.
#[derive(Debug, Clone)]
pub struct Pair {
    pub old: String,
    pub new: String,
    /// What has to be answered; paths begin with that which [`Pair::of`] was asked for.
    pub answers: Answers,
    /// Each number of the new struct, by its path without `key` or `value`: `.s.m3[2]`.
    pub numbers: Vec<Source>,
    /// True where nothing was given up or cast.
    pub lossless: bool,
}

/// A number of the new struct, and where it was.
#[derive(Debug, Clone)]
pub struct Source {
    pub new: String,
    pub old: Option<String>,
    pub cast: Option<Cast>,
}

#[derive(Debug, Clone, PartialEq)]
enum Ty {
    Int { signed: bool, bits: u32 },
    BitField { signed: bool, bits: u32 },
    Bool,
    Array { of: Box<Ty>, len: u32 },
    Struct(Vec<Member>),
}

#[derive(Debug, Clone, PartialEq)]
struct Member {
    name: String,
    ty: Ty,
    /// Path and type in the old struct, or in the old element of the array that it is in. A struct has none: its members do.
    was: Option<(String, Ty)>,
    cast: Cast,
}

/// What is done to a member: which change, to which member, and how.
type Change = (u8, u16, u16);

/// Pairs of which most that may be done to a member is done; a key or a value, as `part` says.
pub fn pair(part: &'static str) -> impl Strategy<Value = Pair> {
    let old = prop::collection::vec(ty(2), 1..7);
    let changes = prop::collection::vec(any::<Change>(), 0..8);
    (old, changes, any::<[bool; 2]>()).prop_map(move |(types, changes, packed)| Pair::of(part, types, &changes, packed))
}

fn ty(depth: u32) -> BoxedStrategy<Ty> {
    let int =
        (any::<bool>(), prop::sample::select(vec![8, 16, 32, 64])).prop_map(|(signed, bits)| Ty::Int { signed, bits });
    let bit_field = (any::<bool>(), 1..20_u32).prop_map(|(signed, bits)| Ty::BitField { signed, bits });
    if depth == 0 {
        return prop_oneof![3 => int, 1 => bit_field, 1 => Just(Ty::Bool)].boxed();
    }
    let body = prop::collection::vec(ty(depth - 1), 1..4);
    let body = body.prop_map(|types| Ty::Struct(types.into_iter().map(nameless).collect()));
    let plain =
        ty(depth - 1).prop_filter("an array of bit-fields does not exist", |ty| !matches!(ty, Ty::BitField { .. }));
    let of = prop_oneof![plain, body.clone()];
    let array = (of, 0..5_u32).prop_map(|(of, len)| Ty::Array { of: Box::new(of), len });
    prop_oneof![4 => int, 2 => bit_field, 3 => array, 2 => body].boxed()
}

fn nameless(ty: Ty) -> Member {
    Member { name: String::new(), ty, was: None, cast: Cast::Refuse }
}

impl Pair {
    fn of(part: &str, types: Vec<Ty>, changes: &[Change], packed: [bool; 2]) -> Self {
        let mut old: Vec<_> = types.into_iter().map(nameless).collect();
        let mut count = 0;
        old.iter_mut().for_each(|member| name(member, &mut count));
        remember(&mut old, "");
        let mut new = old.clone();
        for change in changes {
            alter(&mut new, *change, &mut count);
        }
        let mut answers = Answers::default();
        answer(part, &old, &new, part == "key", &mut answers);
        let mut numbers = Vec::new();
        list(&new, "", Some(""), &mut numbers);
        let lossless = answers.drop.is_empty() && answers.cast.values().all(|cast| *cast == Cast::Refuse);
        if part == "key" && !lossless {
            answers.collide = Some(maplock_layout::conversion::Collide::KeepOne);
        }
        let [old, new] = [(old, packed[0]), (new, packed[1])].map(|(members, packed)| {
            format!("struct v {{ {}}} {};", body(&members), if packed { "packed" } else { "" })
        });
        Self { old, new, answers, numbers, lossless }
    }
}

fn name(member: &mut Member, count: &mut u32) {
    member.name = format!("m{count}");
    *count += 1;
    let mut ty = &mut member.ty;
    while let Ty::Array { of, .. } = ty {
        ty = of;
    }
    if let Ty::Struct(members) = ty {
        members.iter_mut().for_each(|member| name(member, count));
    }
}

/// Gives each member the path and the type that it has.
fn remember(members: &mut [Member], scope: &str) {
    for member in members {
        let path = format!("{scope}.{}", member.name);
        match &mut member.ty {
            Ty::Struct(inner) => remember(inner, &path),
            ty => {
                if let Some(inner) = element_members(ty) {
                    remember(inner, "");
                }
                member.was = Some((path, ty.clone()));
            }
        }
    }
}

/// The members of an array's elements, if those are structs.
fn element_members(ty: &mut Ty) -> Option<&mut Vec<Member>> {
    match ty {
        Ty::Array { of, .. } => match of.as_mut() {
            Ty::Struct(members) => Some(members),
            of => element_members(of),
        },
        _ => None,
    }
}

/// The integer that a type is, or has in an array.
fn innermost(ty: &mut Ty) -> &mut Ty {
    match ty {
        Ty::Array { of, .. } => innermost(of),
        ty => ty,
    }
}

fn alter(members: &mut Vec<Member>, (what, which, how): Change, count: &mut u32) {
    if members.is_empty() {
        return;
    }
    let at = usize::from(which) % members.len();
    let rest = which / members.len() as u16;
    if how % 3 > 0 && what % 10 != 4 {
        match &mut members[at].ty {
            Ty::Struct(inner) => return alter(inner, (what, rest, how / 3), count),
            ty => {
                if let Some(inner) = element_members(ty) {
                    return alter(inner, (what, rest, how / 3), count);
                }
            }
        }
    }
    *count += 1;
    let fresh = *count;
    let member = &mut members[at];
    member.cast = Cast::ALL[usize::from(how) % 3];
    match what % 10 {
        0 => {
            let other = usize::from(how) % members.len();
            members.swap(at, other);
        }
        1 => match innermost(&mut member.ty) {
            Ty::Int { bits, .. } if *bits < 64 => *bits *= 2,
            Ty::BitField { bits, .. } if *bits < 32 => *bits += 1,
            _ => {}
        },
        2 => {
            if let Ty::Array { len, .. } = &mut member.ty {
                *len += 1 + u32::from(how % 3);
            }
        }
        3 => {
            let inner = members.remove(at);
            members.insert(at, Member { name: format!("n{fresh}"), ..nameless(Ty::Struct(vec![inner])) });
        }
        4 => {
            if let Ty::Struct(inner) = &mut member.ty {
                let inner = std::mem::take(inner);
                members.splice(at..=at, inner);
            }
        }
        5 => {
            let ty = match how % 4 {
                0 => Ty::Bool,
                1 => Ty::BitField { signed: false, bits: 3 },
                2 => Ty::Array { of: Box::new(Ty::Int { signed: true, bits: 16 }), len: 2 },
                _ => Ty::Int { signed: false, bits: 64 },
            };
            members.insert(at, Member { name: format!("a{fresh}"), ..nameless(ty) });
        }
        6 => _ = members.remove(at),
        7 => member.name = format!("r{fresh}"),
        8 => match innermost(&mut member.ty) {
            Ty::Int { bits, .. } if *bits > 8 => *bits /= 2,
            Ty::BitField { signed, .. } => member.ty = Ty::Int { signed: *signed, bits: 32 },
            _ => {}
        },
        _ => {
            if let Ty::Int { signed, .. } | Ty::BitField { signed, .. } = innermost(&mut member.ty) {
                *signed = !*signed;
            }
        }
    }
}

/// True for what takes no bytes, so that nothing is to be said of it.
fn is_empty(ty: &Ty) -> bool {
    match ty {
        Ty::Array { of, len } => *len == 0 || is_empty(of),
        Ty::Struct(members) => members.iter().all(|member| is_empty(&member.ty)),
        _ => false,
    }
}

fn range(ty: &Ty) -> (i128, i128) {
    match ty {
        Ty::Int { signed: false, bits } | Ty::BitField { signed: false, bits } => (0, (1 << bits) - 1),
        Ty::Int { bits, .. } | Ty::BitField { bits, .. } => (-(1 << (bits - 1)), (1 << (bits - 1)) - 1),
        _ => (0, 1),
    }
}

fn needs_cast(old: &Ty, new: &Ty) -> bool {
    let ((low, high), (new_low, new_high)) = (range(old), range(new));
    low < new_low || high > new_high
}

/// All of the scope but what is in arrays.
fn leaves<'m>(members: &'m [Member], scope: &str, found: &mut Vec<(String, &'m Member)>) {
    for member in members {
        let path = format!("{scope}.{}", member.name);
        match &member.ty {
            Ty::Struct(inner) => leaves(inner, &path, found),
            _ => found.push((path, member)),
        }
    }
}

/// What has to be said of the way from `old` to `new`, whose members are those of `part`.
fn answer(part: &str, old: &[Member], new: &[Member], is_key: bool, answers: &mut Answers) {
    answer_scope((part, old), (part, new), is_key, answers);
}

fn answer_scope(
    (old_path, old): (&str, &[Member]),
    (new_path, new): (&str, &[Member]),
    is_key: bool,
    answers: &mut Answers,
) {
    let (mut olds, mut news) = (Vec::new(), Vec::new());
    leaves(old, "", &mut olds);
    leaves(new, "", &mut news);
    for (path, member) in &olds {
        if !is_empty(&member.ty) && !news.iter().any(|(_, new)| new.was.as_ref().is_some_and(|(was, _)| was == path)) {
            answers.drop.insert(format!("{old_path}{path}"));
        }
    }
    for (path, member) in news {
        let path = format!("{new_path}{path}");
        let Some((was, was_ty)) = &member.was else {
            if is_key {
                answers.default.insert(path, "0".to_owned());
            }
            continue;
        };
        if is_empty(was_ty) && is_empty(&member.ty) {
            continue;
        }
        let was = format!("{old_path}{was}");
        let last = |path: &str| path.rsplit('.').next().map(str::to_owned);
        if last(&was) != last(&path) {
            answers.rename.insert(path.clone(), was.clone());
        }
        let (mut paths, mut types) = ((was, path), (was_ty, &member.ty));
        while let (Ty::Array { of: was, .. }, Ty::Array { of: is, .. }) = types {
            types = (was.as_ref(), is.as_ref());
            paths = (format!("{}[]", paths.0), format!("{}[]", paths.1));
        }
        match types {
            (Ty::Struct(was), Ty::Struct(is)) => answer_scope((&paths.0, was), (&paths.1, is), is_key, answers),
            (was, is) if needs_cast(was, is) => _ = answers.cast.insert(paths.1, member.cast),
            _ => {}
        }
    }
}

/// Each number, by its path.
fn list(members: &[Member], new: &str, old: Option<&str>, numbers: &mut Vec<Source>) {
    for member in members {
        let path = format!("{new}.{}", member.name);
        match &member.ty {
            Ty::Struct(inner) => list(inner, &path, old, numbers),
            ty => {
                let was = member.was.as_ref().and_then(|(was, ty)| Some((format!("{}{was}", old?), ty)));
                list_type(ty, &path, was, member.cast, numbers);
            }
        }
    }
}

fn list_type(ty: &Ty, new: &str, old: Option<(String, &Ty)>, cast: Cast, numbers: &mut Vec<Source>) {
    match ty {
        Ty::Struct(members) => list(members, new, old.as_ref().map(|(path, _)| path.as_str()), numbers),
        Ty::Array { of, len } => {
            for at in 0..*len {
                let was = old.as_ref().and_then(|(path, ty)| match ty {
                    Ty::Array { of, len } if at < *len => Some((format!("{path}[{at}]"), of.as_ref())),
                    _ => None,
                });
                list_type(of, &format!("{new}[{at}]"), was, cast, numbers);
            }
        }
        ty => {
            let cast = old.as_ref().filter(|(_, was)| needs_cast(was, ty)).map(|_| cast);
            numbers.push(Source { new: new.to_owned(), old: old.map(|(path, _)| path), cast });
        }
    }
}

/// The members as C declares them.
fn body(members: &[Member]) -> String {
    members.iter().map(|member| declared(&member.ty, &member.name) + "; ").collect()
}

fn declared(ty: &Ty, name: &str) -> String {
    let letter = |signed: &bool| if *signed { 's' } else { 'u' };
    match ty {
        Ty::Int { signed, bits } => format!("{}{bits} {name}", letter(signed)),
        Ty::BitField { signed, bits } => format!("{}32 {name}:{bits}", letter(signed)),
        Ty::Bool => format!("bool {name}"),
        Ty::Array { of, len } => declared(of, &format!("{name}[{len}]")),
        Ty::Struct(members) => format!("struct {{ {}}} {name}", body(members)),
    }
}
