//! What can be answered to a question.

use std::fmt;

use super::{Answers, Cast, Collide, Scale};

/// One way to answer a question. As text: an option of `cargo maplock accept`, as a shell takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// A member that has another name, place or shape: its new path and its old one.
    Rename(String, String),
    /// What a new member begins as: its path and the text.
    Default(String, String),
    /// A member that is given up.
    Drop(String),
    /// What becomes of numbers that do not fit.
    Cast(String, Cast),
    /// What numbers are multiplied by.
    Scale(String, Scale),
    /// What becomes of entries whose keys become one.
    Collide(Collide),
    /// The conversion is code in the daemon.
    ByHand,
    /// Nothing is converted: the new map is empty.
    Swap,
    /// An option of which a part, in capitals, is known to the author alone.
    Open(&'static str, String),
}

impl Choice {
    /// `answers` with this one; `None` if it says nothing of how entries are converted.
    #[must_use]
    pub fn with(&self, answers: &Answers) -> Option<Answers> {
        let mut answers = answers.clone();
        match self.clone() {
            Self::Rename(new, old) => _ = answers.rename.insert(new, old),
            Self::Default(path, text) => _ = answers.default.insert(path, text),
            Self::Drop(path) => _ = answers.drop.insert(path),
            Self::Cast(path, cast) => _ = answers.cast.insert(path, cast),
            Self::Scale(path, scale) => _ = answers.scale.insert(path, scale),
            Self::Collide(collide) => answers.collide = Some(collide),
            Self::ByHand | Self::Swap | Self::Open(..) => return None,
        }
        Some(answers)
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, text) = match self {
            Self::Rename(new, old) => ("rename", format!("{new}={old}")),
            Self::Default(path, text) => ("default", format!("{path}={text}")),
            Self::Drop(path) => ("drop", path.clone()),
            Self::Cast(path, cast) => ("cast", format!("{path}={cast}")),
            Self::Scale(path, scale) => ("scale", format!("{path}={scale}")),
            Self::Collide(collide) => ("collide", collide.to_string()),
            Self::ByHand => return f.write_str("--by-hand"),
            Self::Swap => return f.write_str("--on-upgrade swap"),
            Self::Open(name, text) => (*name, text.clone()),
        };
        f.write_str(&option(name, &text))
    }
}

/// An option with its text, as a shell takes it.
pub(super) fn option(name: &str, text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.=/,:".contains(&byte);
    if text.bytes().all(plain) { format!("--{name} {text}") } else { format!("--{name} '{text}'") }
}
