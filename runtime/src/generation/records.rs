//! The records of a commit, which say how far it came.

use crate::error::Error;
use crate::generation::directory::{has_record, is_returning, is_there, record};
use crate::generation::kept::{self, Back};
use crate::generation::names::{self, Came};
use crate::generation::site::{MOST_KEPT, Site};
use crate::sys::bpffs::Dir;

/// What the record of a complete generation says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Commit {
    pub(crate) what: What,
    /// Rename the pins one by one, though the directories could be exchanged.
    pub(crate) each_pin: bool,
}

/// What a generation comes from, and so what becomes of the one that it replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// A release. The old generation is kept.
    Upgrade {
        /// How many are kept then, this one included.
        keep: usize,
    },
    /// The same release on the same maps. The old generation goes, and the kept ones stay.
    Restart,
    /// It is a kept one, on its way back. The old generation is kept where it was.
    RollBack(Back),
}

impl Commit {
    /// `upgrade exchange 1`, with the number of generations to keep; `restart each-pin`; `roll-back exchange 2 newer`, with the place.
    pub(crate) fn to_text(self) -> String {
        let pins = if self.each_pin { "each-pin" } else { "exchange" };
        match self.what {
            What::Upgrade { keep } => format!("upgrade {pins} {keep}"),
            What::Restart => format!("restart {pins}"),
            What::RollBack(Back { place, is_newer }) => {
                format!("roll-back {pins} {place} {}", if is_newer { "newer" } else { "older" })
            }
        }
    }

    fn parse(text: &str) -> Self {
        let mut words = text.split(' ');
        let (what, pins) = (words.next(), words.next());
        let number = words.next().and_then(|word| word.parse().ok()).unwrap_or(1).clamp(1, MOST_KEPT);
        let what = match what {
            Some("restart") => What::Restart,
            Some("roll-back") => What::RollBack(Back { place: number, is_newer: words.next() == Some("newer") }),
            _ => What::Upgrade { keep: number },
        };
        Self { what, each_pin: pins == Some("each-pin") }
    }

    /// How the maps of the generation are derived from the live ones on this way; `None` if none is.
    pub(crate) fn came(self) -> Option<Came> {
        match self.what {
            What::Restart => None,
            What::Upgrade { .. } => Some(Came::New),
            What::RollBack(back) => Some(back.came()),
        }
    }

    /// True if a kept generation returns.
    pub(crate) fn is_roll_back(self) -> bool {
        matches!(self.what, What::RollBack(_))
    }
}

/// What the record in a directory says; `None` if the generation in it is not complete, or was made live to the end.
pub(crate) fn commit_of(dir: &Dir) -> Result<Option<Commit>, Error> {
    for name in [names::COMMIT, names::MOVING] {
        if let Some(text) = record(dir, name)? {
            return Ok(Some(Commit::parse(&text)));
        }
    }
    Ok(None)
}

/// What lies at a site of an upgrade or a roll-back that did not end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfinished {
    /// The pins are in their places; what was needed for the way is not removed yet.
    InPlace(Commit),
    /// Links may be switched.
    Switching {
        /// What is committed.
        commit: Commit,
        /// The first pin was moved.
        is_moving: bool,
    },
    /// Nothing was switched yet.
    Staged,
    /// A kept generation was only just marked as on its way back.
    Returning,
}

impl Unfinished {
    /// What the next start does about it.
    pub(crate) fn will_be(unfinished: Option<Self>) -> Recovered {
        match unfinished {
            None => Recovered::Nothing,
            Some(Self::InPlace(_) | Self::Switching { .. }) => Recovered::Completed,
            Some(Self::Staged | Self::Returning) => Recovered::Discarded,
        }
    }
}

/// What is unfinished at a site.
pub(crate) fn unfinished(site: &Site) -> Result<Option<Unfinished>, Error> {
    Ok(if let Some(commit) = commit_of(&site.dir)? {
        Some(Unfinished::InPlace(commit))
    } else if let Some(commit) = commit_of(&site.next)? {
        Some(Unfinished::Switching { commit, is_moving: has_record(&site.next, names::MOVING)? })
    } else if is_there(&site.next)? {
        Some(Unfinished::Staged)
    } else {
        let mut is_any_returning = false;
        for kept in kept::all(site)? {
            is_any_returning |= is_returning(&kept.dir)?;
        }
        is_any_returning.then_some(Unfinished::Returning)
    })
}

/// What was found of an upgrade that did not end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovered {
    /// Nothing: the last one ended.
    Nothing,
    /// It had begun to switch links, and was completed.
    Completed,
    /// It had not, and what it had staged was removed.
    Discarded,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_read_as_it_was_written() {
        let back = |place, is_newer| What::RollBack(Back { place, is_newer });
        for (text, what, each_pin) in [
            ("upgrade exchange 1", What::Upgrade { keep: 1 }, false),
            ("upgrade each-pin 3", What::Upgrade { keep: 3 }, true),
            ("restart each-pin", What::Restart, true),
            ("roll-back exchange 2 older", back(2, false), false),
            ("roll-back each-pin 1 newer", back(1, true), true),
        ] {
            let commit = Commit { what, each_pin };
            assert_eq!(commit.to_text(), text);
            assert_eq!(Commit::parse(text), commit);
        }
        // Whoever wrote it: there are not so many places.
        assert_eq!(Commit::parse("roll-back exchange 99").what, back(MOST_KEPT, false));
        assert_eq!(Commit::parse("upgrade exchange 0").what, What::Upgrade { keep: 1 });
    }
}
