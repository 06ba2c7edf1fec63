//! The records of a commit, which say how far it came.

use std::path::Path;

use crate::error::Error;
use crate::generation::directory::{has_record, is_returning, is_there, record};
use crate::generation::names;
use crate::generation::site::Site;

/// What the record of a complete generation says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Commit {
    /// Its pins are renamed one by one.
    pub(crate) each_pin: bool,
    /// It is the kept one, on its way back.
    pub(crate) is_back: bool,
}

impl Commit {
    pub(crate) fn to_text(self) -> &'static str {
        match (self.is_back, self.each_pin) {
            (false, false) => "upgrade exchange",
            (false, true) => "upgrade each-pin",
            (true, false) => "roll-back exchange",
            (true, true) => "roll-back each-pin",
        }
    }

    fn parse(text: &str) -> Self {
        Self { each_pin: text.ends_with("each-pin"), is_back: text.starts_with("roll-back") }
    }
}

/// What the record in a directory says; `None` where the generation in it is not complete, or was made live to the end.
pub(crate) fn commit_of(dir: &Path) -> Result<Option<Commit>, Error> {
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
    /// The kept generation was only just marked as on its way back.
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
        is_returning(&site.prev)?.then_some(Unfinished::Returning)
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
