//! What is said of a conversion beforehand: per member what becomes of it, what must be answered, and which answers are wrong.

use std::fmt;

use super::members::is_padding;
use super::{Answers, Bent, Cast, Choice, DerivedLeg, Scale};

/// A leg, and what it does to each member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Derived {
    /// The steps.
    pub leg: DerivedLeg,
    /// Each member, those of the key first; in the order of the new declaration, then those that are gone.
    pub members: Vec<MemberPlan>,
}

impl Derived {
    /// `given`, and what is done without having been asked: what is given up, and that no two keys may become one. The epoch says it
    /// for those who read it, and for nodes.
    #[must_use]
    pub fn answers(&self, given: &Answers) -> Answers {
        let mut answers = Answers { collide: self.leg.collide, ..given.clone() };
        for member in &self.members {
            let Some(old) = &member.old else { continue };
            for act in &member.acts {
                match act {
                    Act::Dropped => _ = answers.drop.insert(old.clone()),
                    Act::Shortened(..) => _ = answers.drop.insert(format!("{old}[]")),
                    _ => {}
                }
            }
        }
        answers
    }

    /// True if [`DerivedLeg::inverse`] gives back all of an entry but its padding.
    #[must_use]
    pub fn is_lossless(&self) -> bool {
        self.members.iter().all(|member| member.lossless)
    }
}

/// What becomes of one member. As text: a short phrase without the member's name, such as
/// `widened from u32 to u64, moved from byte 4 to byte 8`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberPlan {
    /// Its path in the old definition; `None` for a new member.
    pub old: Option<String>,
    /// Its path in the new definition; `None` for one that is gone.
    pub new: Option<String>,
    /// What is done to it; nothing for one that is kept as it is.
    pub acts: Vec<Act>,
    /// True if the old bytes can be had back from the new ones.
    pub lossless: bool,
    /// Which numbers become others; nothing if none do, or if not all of it is known.
    pub bent: Vec<Bent>,
}

impl MemberPlan {
    /// The path that it goes by: the new one if it has one.
    #[must_use]
    pub fn path(&self) -> &str {
        self.new.as_deref().or(self.old.as_deref()).unwrap_or_default()
    }

    /// The same, as answers and tables name it: a member is one of the value unless `key` says otherwise.
    #[must_use]
    pub fn name(&self) -> &str {
        self.path().strip_prefix("value.").unwrap_or(self.path())
    }

    /// True for the key, and for a member of it.
    #[must_use]
    pub fn is_of_key(&self) -> bool {
        self.path().starts_with("key")
    }

    /// True for a member that stands if nothing is, by its name.
    #[must_use]
    pub fn is_padding(&self) -> bool {
        is_padding(self.path())
    }

    /// True for a member that is where it was, as it was.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.acts.is_empty()
    }
}

impl fmt::Display for MemberPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.acts.is_empty() {
            return f.write_str("kept");
        }
        for (at, act) in self.acts.iter().enumerate() {
            write!(f, "{}{act}", if at == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl Act {
    /// True for what somebody answered, or what was done unasked: the two layouts do not tell it.
    #[must_use]
    pub fn is_answer(&self) -> bool {
        match self {
            Self::Added { is_answer, .. } => *is_answer,
            Self::Renamed(_) | Self::Reread(..) | Self::Cast(..) | Self::Scaled(_) | Self::Retired(..) => true,
            Self::Shortened(..) | Self::Named(_) | Self::Dropped => true,
            Self::Nested(_) | Self::Moved { .. } | Self::Widened(..) | Self::Renumbered(_) => false,
            Self::Lengthened(..) | Self::Elements | Self::MoreArms | Self::Emptied(_) => false,
        }
    }
}

/// One thing that is done to a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// It had another name: its old path.
    Renamed(String),
    /// It is in another struct: its old path.
    Nested(String),
    /// It is at another place, in bits from the start of the key, value or element.
    Moved {
        /// Where it was.
        from: u64,
        /// Where it is.
        to: u64,
    },
    /// An integer with more bits: the old type and the new one.
    Widened(String, String),
    /// The same bytes under another type: the old type and the new one.
    Reread(String, String),
    /// An integer whose numbers may not fit: the old type, the new one, and what becomes of those.
    Cast(String, String, Cast),
    /// Numbers of another unit.
    Scaled(Scale),
    /// Enumerators with other numbers: how many.
    Renumbered(usize),
    /// Enumerators that are gone, and the number that they become; `None` if they keep theirs.
    Retired(Vec<String>, Option<String>),
    /// An array with more elements: how many it had, how many it has.
    Lengthened(u32, u32),
    /// An array with fewer elements: how many it had, how many it has.
    Shortened(u32, u32),
    /// An array whose elements are converted one by one.
    Elements,
    /// A union with more arms.
    MoreArms,
    /// A new member.
    Added {
        /// What it is in a converted entry.
        what: String,
        /// True if an answer says so; else it is 0, as nothing was asked.
        is_answer: bool,
    },
    /// A new member of a key, if the old key had padding, and what it is in a converted entry.
    Named(String),
    /// A field of the kernel's, which starts empty.
    Emptied(String),
    /// Given up.
    Dropped,
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Renamed(old) => write!(f, "renamed from `{old}`"),
            Self::Nested(old) => write!(f, "taken from `{old}`"),
            Self::Moved { from, to } if from % 8 == 0 && to % 8 == 0 => {
                write!(f, "moved from byte {} to byte {}", from / 8, to / 8)
            }
            Self::Moved { from, to } => write!(f, "moved from bit {from} to bit {to}"),
            Self::Widened(old, new) => write!(f, "widened from {old} to {new}"),
            Self::Reread(old, new) => write!(f, "{old} read as {new}, bytes as they are"),
            Self::Cast(old, new, cast) => {
                let what = match cast {
                    Cast::Refuse => "refused if a number does not fit",
                    Cast::Saturate => "the nearest number if one does not fit",
                    Cast::Truncate => "the low bits if a number does not fit",
                };
                write!(f, "cast from {old} to {new}: {what}")
            }
            Self::Scaled(scale) => match (scale.multiply, scale.divide) {
                (multiply, 1) => write!(f, "multiplied by {multiply}"),
                (1, divide) => write!(f, "divided by {divide}"),
                _ => write!(f, "multiplied by {scale}"),
            },
            Self::Renumbered(1) => f.write_str("1 enumerator renumbered"),
            Self::Renumbered(count) => write!(f, "{count} enumerators renumbered"),
            Self::Retired(names, None) => write!(f, "{} keeps its number", names.join(", ")),
            Self::Retired(names, Some(number)) => write!(f, "{} becomes {number}", names.join(", ")),
            Self::Lengthened(old, new) => write!(f, "lengthened from {old} to {new} elements, the rest 0"),
            Self::Shortened(old, new) => write!(f, "shortened from {old} to {new} elements, the rest given up"),
            Self::Elements => f.write_str("converted element by element"),
            Self::MoreArms => f.write_str("old bytes kept, with more arms"),
            Self::Added { what, .. } => write!(f, "added as {what}"),
            Self::Named(what) => write!(f, "added as {what} where old keys had padding"),
            Self::Emptied(what) => write!(f, "starts empty, being a {what}"),
            Self::Dropped => f.write_str("dropped"),
        }
    }
}

/// Why a conversion can't be derived yet: what must be answered, and which answers fit nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Problems {
    /// What the two definitions do not tell.
    pub questions: Vec<Question>,
    /// Answers to what is not asked.
    pub mistakes: Vec<Mistake>,
    /// The first answer to each question, if these and the given ones leave none open.
    pub first_answers: Option<Vec<Choice>>,
}

impl Problems {
    /// With what is asked once these questions have their first answers, and those answers. `derive` is what found them.
    pub(super) fn completed(mut self, given: &Answers, derive: impl Fn(&Answers) -> Result<Derived, Self>) -> Self {
        let (mut answers, mut first) = (given.clone(), Vec::new());
        let mut next = 0;
        // Each round answers what the one before brought up.
        for _ in 0..MOST_ROUNDS {
            for question in &self.questions[next..] {
                let choice = question.choices.first();
                if let Some((choice, with)) = choice.and_then(|choice| Some((choice, choice.with(&answers)?))) {
                    answers = with;
                    first.push(choice.clone());
                }
            }
            next = self.questions.len();
            match derive(&answers) {
                Ok(_) => {
                    self.first_answers = Some(first).filter(|_| self.mistakes.is_empty());
                    break;
                }
                Err(problems) => {
                    let more = problems.questions.into_iter().filter(|question| !self.questions.contains(question));
                    let more: Vec<_> = more.collect();
                    self.questions.extend(more);
                }
            }
            if next == self.questions.len() {
                break;
            }
        }
        self
    }
}

/// Most times that answers bring up questions.
const MOST_ROUNDS: usize = 4;

/// Something that the two definitions do not tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The member that it is about: `key.port`, `value.stats.bytes`; `key`, `value` or `map` for what is about the whole.
    pub path: String,
    /// What is asked, in words.
    pub what: String,
    /// What answers it, the best first.
    pub choices: Vec<Choice>,
}

/// An answer that fits nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The answer, as an option of `cargo maplock accept`.
    pub answer: String,
    /// Why it fits nothing.
    pub what: String,
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let choices: Vec<_> = self.choices.iter().map(ToString::to_string).collect();
        let colon = if self.what.ends_with('?') { "" } else { ":" };
        write!(f, "{}{colon} {}", self.what, choices.join(" or "))
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.answer, self.what)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mistakes = self.mistakes.iter().map(ToString::to_string);
        let all: Vec<_> = mistakes.chain(self.questions.iter().map(ToString::to_string)).collect();
        f.write_str(&all.join("; "))
    }
}

impl std::error::Error for Problems {}
