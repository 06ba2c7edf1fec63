//! The records of a commit, which say how far it came.

use crate::error::Error;
use crate::generation::directory::{has_record, is_returning, is_there, record};
use crate::generation::names;
use crate::generation::site::Site;
use crate::sys::bpffs::Dir;

/// What the record of a complete generation says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Commit {
    pub(crate) what: What,
    /// Rename the pins one by one, though the directories could be exchanged.
    pub(crate) each_pin: bool,
}

/// What a generation comes from, and so what becomes of the one that it replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum What {
    /// A release. The old generation is kept.
    #[default]
    Upgrade,
    /// The same release on the same maps. The old generation goes, and the kept one stays.
    Restart,
    /// It is the kept one, on its way back. The old generation is kept.
    RollBack,
}

impl What {
    const ALL: [Self; 3] = [Self::Upgrade, Self::Restart, Self::RollBack];

    fn name(self) -> &'static str {
        match self {
            Self::Upgrade => "upgrade",
            Self::Restart => "restart",
            Self::RollBack => "roll-back",
        }
    }
}

impl Commit {
    pub(crate) fn to_text(self) -> String {
        format!("{} {}", self.what.name(), if self.each_pin { "each-pin" } else { "exchange" })
    }

    fn parse(text: &str) -> Self {
        let what = What::ALL.into_iter().find(|what| text.starts_with(what.name())).unwrap_or_default();
        Self { what, each_pin: text.ends_with("each-pin") }
    }
}

/// What the record in a directory says; `None` where the generation in it is not complete, or was made live to the end.
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
