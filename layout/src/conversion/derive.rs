//! How one definition's entries become another's.

use std::collections::BTreeSet;

use super::check::MAX_SIZE;
use super::choice::option;
use super::matching::{Deriver, Tried, is_same};
use super::meaning;
use super::padding::Lost;
use super::plan::{Act, Derived, MemberPlan, Mistake, Problems, Question};
use super::tidy::tidy;
use super::{Answers, Choice, Collide, DerivedLeg, Step, Steps};
use crate::config::did_you_mean;
use crate::epoch::OnUpgrade;
use crate::kernel_field;
use crate::layout::Layout;
use crate::map::MapDef;
use crate::map_type::why_no_node;

impl DerivedLeg {
    /// How entries of `old` become entries of `new`, and what is done to each member.
    ///
    /// # Errors
    /// What the two do not tell and `answers` does not say, and the answers that fit nothing.
    pub fn derive(old: &MapDef, new: &MapDef, answers: &Answers) -> Result<Derived, Problems> {
        let derive = |answers: &Answers| derived(old, new, answers);
        derive(answers).map_err(|problems| problems.completed(answers, derive))
    }
}

fn derived(old: &MapDef, new: &MapDef, answers: &Answers) -> Result<Derived, Problems> {
    let mut problems = Problems::default();
    problems.questions.extend(impossible(old, new));
    let mut all = Tried::default();
    let mut known = [BTreeSet::new(), BTreeSet::new()];
    let mut part = |is_key: bool| {
        let (what, was, is, sizes) = if is_key {
            ("key", &old.key, &new.key, (old.key_size, new.key_size))
        } else {
            ("value", &old.value, &new.value, (old.value_size, new.value_size))
        };
        let deriver = Deriver::new(answers, is_key);
        let mut tried = whole(&deriver, what, (was.as_deref(), is.as_deref()), sizes);
        for (known, more) in known.iter_mut().zip(deriver.known.into_inner()) {
            known.extend(more);
        }
        if tried.nothing_survives {
            none_survives(&mut tried);
        }
        let steps = Steps { from_size: sizes.0, to_size: sizes.1, steps: tidy(std::mem::take(&mut tried.steps)) };
        if let Err(problem) = steps.check()
            && tried.questions.is_empty()
        {
            let what = format!("the {what} can't be converted step by step: {problem}");
            tried.questions.push(Question { path: "value".to_owned(), what, choices: vec![Choice::ByHand] });
        }
        let (lossless, lost) = (tried.is_lossless(), tried.lost);
        all.take(tried);
        (steps, lossless, lost)
    };
    let (key, keeps_key, lost) = part(true);
    let (value, ..) = part(false);
    let is_own_key = keeps_key && lost == Lost::Nothing;
    let mut collide = answers.collide.filter(|_| !is_own_key);
    let mut used: BTreeSet<_> = all.used.iter().cloned().collect();
    if !is_own_key && all.questions.iter().all(|question| !question.path.starts_with("key")) {
        match answers.collide {
            Some(_) => _ = used.insert(("collide", String::new())),
            // Programs leave nothing in padding, and where they did, a person has to look.
            None if keeps_key && lost == Lost::Named => collide = Some(Collide::Refuse),
            None => {
                let what = match keeps_key {
                    true => "old keys may differ in padding alone, and the new keys have no place for it",
                    false => "entries with different keys may get the same key now",
                };
                all.questions.push(Question {
                    path: "key".to_owned(),
                    what: format!("{what}: what becomes of them?"),
                    choices: Collide::ALL.map(Choice::Collide).to_vec(),
                });
            }
        }
    }
    if all.questions.is_empty() {
        all.questions = meaning::unsaid(old, new, &all.plans);
    }
    problems.questions.append(&mut all.questions);
    // What is open may be what an answer is for.
    problems.mistakes.extend(mistakes(answers, &used, &known, !problems.questions.is_empty()));
    if !problems.questions.is_empty() || !problems.mistakes.is_empty() {
        return Err(problems);
    }
    Ok(Derived { leg: DerivedLeg { key, value, collide, keeps_key }, members: all.plans })
}

/// Of a key of which nothing is in the new one, only what is said of its bytes helps: with any other answer, all entries would have one
/// key.
fn none_survives(tried: &mut Tried) {
    let is_of_bytes = |question: &Question| question.choices.iter().any(|choice| matches!(choice, Choice::Rename(..)));
    tried.questions.retain(is_of_bytes);
    if tried.questions.is_empty() {
        let what = "no member of the old key is in the new one, so all entries would get the same key".to_owned();
        let choices = vec![Choice::ByHand, Choice::Swap];
        tried.questions.push(Question { path: "key".to_owned(), what, choices });
    }
}

/// Checks what can be checked of a conversion that is written by hand.
pub(crate) fn by_hand(old: &MapDef, new: &MapDef, answers: &Answers) -> Result<(), Problems> {
    let mut problems = Problems::default();
    problems.questions.extend(impossible(old, new));
    let other = Answers { by_hand: false, collide: None, ..answers.clone() };
    for (name, path, text) in given(&other) {
        let what = "the conversion is written by hand, so this answer would do nothing".to_owned();
        problems.mistakes.push(Mistake { answer: spelled(name, &path, &text), what });
    }
    if problems == Problems::default() { Ok(()) } else { Err(problems) }
}

/// A key or a value.
fn whole(
    deriver: &Deriver<'_>,
    what: &str,
    (was, is): (Option<&Layout>, Option<&Layout>),
    (old_size, new_size): (u32, u32),
) -> Tried {
    // Offsets in bits are 32 bits wide.
    let fits = |layout: &Layout, size: u32| layout.size == u64::from(size) && size <= MAX_SIZE;
    let kept = |len: u32| {
        let of = Some(what.to_owned());
        let plan = MemberPlan { old: of.clone(), new: of, acts: Vec::new(), lossless: true, bent: Vec::new() };
        let copy = (len > 0).then_some(Step::Copy { from: 0, to: 0, len });
        Tried { steps: copy.into_iter().collect(), plans: vec![plan], ..Tried::default() }
    };
    match (was, is) {
        (None, None) if old_size == new_size => kept(new_size),
        (Some(was), Some(is)) if fits(was, old_size) && fits(is, new_size) => {
            let mut tried = deriver.layouts((was, what), (is, what));
            // Padding too, for a key is looked up by all of its bytes.
            let acts = tried.plans.iter().any(|plan| plan.acts.iter().any(|act| !matches!(act, Act::Reread(..))));
            // A lock is no byte to be copied, and nothing else of the kernel's gets here.
            if tried.questions.is_empty() && !acts && is_same(was, is) && kernel_field::any(is).is_none() {
                tried.steps = kept(new_size).steps;
                tried.lost = Lost::Nothing;
            }
            tried
        }
        _ => {
            let side =
                |layout: Option<&Layout>, size: u32| layout.map_or_else(|| format!("{size} bytes"), Layout::spelling);
            let words = format!(
                "the {what} was {} and is {}: nothing tells its members",
                side(was, old_size),
                side(is, new_size)
            );
            Tried::asks(what, words, vec![Choice::ByHand])
        }
    }
}

/// What no answer helps against.
fn impossible(old: &MapDef, new: &MapDef) -> Option<Question> {
    let what = why_no_node(old, new, OnUpgrade::Migrate)?;
    Some(Question { path: "map".to_owned(), what, choices: vec![Choice::Swap] })
}

/// All answers: option, path, and text.
fn given(answers: &Answers) -> Vec<(&'static str, String, String)> {
    let mut given = Vec::new();
    given.extend(answers.rename.iter().map(|(path, old)| ("rename", path.clone(), old.clone())));
    given.extend(answers.default.iter().map(|(path, text)| ("default", path.clone(), text.clone())));
    given.extend(answers.drop.iter().map(|path| ("drop", path.clone(), String::new())));
    given.extend(answers.cast.iter().map(|(path, cast)| ("cast", path.clone(), cast.to_string())));
    given.extend(answers.scale.iter().map(|(path, scale)| ("scale", path.clone(), scale.to_string())));
    given.extend(answers.collide.iter().map(|collide| ("collide", String::new(), collide.to_string())));
    given
}

fn spelled(name: &str, path: &str, text: &str) -> String {
    match (path, text) {
        ("", text) => option(name, text),
        (path, "") => option(name, path),
        (path, text) => option(name, &format!("{path}={text}")),
    }
}

fn mistakes(
    answers: &Answers,
    used: &BTreeSet<(&'static str, String)>,
    [old, new]: &[BTreeSet<String>; 2],
    is_open: bool,
) -> Vec<Mistake> {
    let unused = given(answers).into_iter().filter(|(name, path, _)| !used.contains(&(*name, path.clone())));
    let mistake = |(name, path, text): (&'static str, String, String)| {
        let hint = |among: &BTreeSet<String>, path: &str| did_you_mean(path, among.iter().map(String::as_str));
        let known = if name == "drop" { old } else { new };
        let what = if name == "collide" {
            if is_open {
                return None;
            }
            "no two keys can become one".to_owned()
        } else if name == "drop" && path.ends_with("[]") && old.contains(path.trim_end_matches("[]")) {
            "nothing of it is given up".to_owned()
        } else if !known.contains(&path) {
            let side = if name == "drop" { "old" } else { "new" };
            format!("`{path}` is no member of the {side} definition{}", hint(known, &path))
        } else if name == "rename" && !old.contains(&text) {
            format!("`{text}` is no member of the old definition{}", hint(old, &text))
        } else if is_open {
            return None;
        } else {
            format!("`{path}` needs no such answer")
        };
        Some(Mistake { answer: spelled(name, &path, &text), what })
    };
    unused.filter_map(mistake).collect()
}
