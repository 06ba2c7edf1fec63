//! The generations that are kept beside the live one.
//!
//! All of them stand in the order of their age, and the live one has its place among them. Those before it are newer: a roll-back left them,
//! and they are marked so. Those behind it are older. A step goes to a neighbour, which changes places with the live one, so that the order
//! stays; and each knows of its maps how they were derived from those of its neighbours, by records of its own. An upgrade gives up those that
//! are newer, and puts the live one before the older ones.
//!
//! | | newer | live | older |
//! |---|---|---|---|
//! | three upgrades, two of them kept | | 4 | 3, 2 |
//! | a roll-back | 4 | 3 | 2 |
//! | another | 4, 3 | 2 | |
//! | another, which undoes the last one | 4 | 3 | 2 |
//! | an upgrade | | 5 | 3, 2 |

use crate::error::{Error, Trying as _};
use crate::generation::directory::{self, has_record, is_there, meta_of};
use crate::generation::names::{self, Came};
use crate::generation::site::Site;
use crate::sys::bpffs::{self, Dir};

/// A generation that is kept.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    /// Where, counted from 1.
    pub(crate) place: usize,
    pub(crate) dir: Dir,
    /// A roll-back left it.
    pub(crate) is_newer: bool,
}

/// The way of a kept generation that is returned to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Back {
    /// Where it was kept, counted from 1.
    pub(crate) place: usize,
    /// It is newer than the one that it replaces, which an earlier roll-back had led to.
    pub(crate) is_newer: bool,
}

impl Back {
    /// Whose records tell how its maps were derived on this way.
    pub(crate) fn came(self) -> Came {
        if self.is_newer { Came::Again } else { Came::Back }
    }
}

impl Kept {
    /// The way to it.
    pub(crate) fn back(&self) -> Back {
        Back { place: self.place, is_newer: self.is_newer }
    }

    /// The number of the generation; `None` if nothing tells one.
    pub(crate) fn number(&self) -> Result<Option<u64>, Error> {
        Ok(meta_of(&self.dir)?.map(|meta| meta.generation))
    }
}

/// All that are kept, in their order.
pub(crate) fn all(site: &Site) -> Result<Vec<Kept>, Error> {
    let mut found = Vec::new();
    for (at, dir) in site.places.iter().enumerate() {
        if is_there(dir)? {
            let is_newer = has_record(dir, names::NEWER)?;
            found.push(Kept { place: at + 1, dir: dir.clone(), is_newer });
        }
    }
    Ok(found)
}

/// The one that a roll-back leads to: one further back. If the live one is the oldest, the last roll-back is undone.
pub(crate) fn one_back(kept: &[Kept]) -> Option<&Kept> {
    kept.iter().find(|kept| !kept.is_newer).or_else(|| kept.last())
}

/// The one whose maps a start may take up again: that which the last roll-back left, else the one before the live one.
pub(crate) fn last_left(kept: &[Kept]) -> Option<&Kept> {
    kept.iter().rfind(|kept| kept.is_newer).or_else(|| kept.first())
}

/// The one of that number.
pub(crate) fn of_number(kept: &[Kept], number: u64) -> Result<Option<&Kept>, Error> {
    for kept in kept {
        if kept.number()? == Some(number) {
            return Ok(Some(kept));
        }
    }
    Ok(None)
}

/// The next one on the way from the live one to another, which is a neighbour of the live one.
pub(crate) fn towards<'a>(kept: &'a [Kept], goal: &Kept) -> Option<&'a Kept> {
    match goal.is_newer {
        true => kept.iter().rfind(|kept| kept.is_newer),
        false => kept.iter().find(|kept| !kept.is_newer),
    }
}

/// Which of those that are kept stay at an upgrade after which so many are, the one that is replaced included: the others go.
pub(crate) fn stay(kept: &[Kept], keep: usize) -> impl Iterator<Item = &Kept> {
    kept.iter().filter(|kept| !kept.is_newer).take(keep.saturating_sub(1))
}

/// Gives up those that do not stay at an upgrade. Half of a generation is no way back: each gets another name before it is removed.
pub(crate) fn give_up(site: &Site, keep: usize) -> Result<(), Error> {
    directory::remove(&site.over)?;
    let kept = all(site)?;
    let stay: Vec<_> = stay(&kept, keep).map(|kept| kept.place).collect();
    for kept in kept.iter().rev().filter(|kept| !stay.contains(&kept.place)) {
        bpffs::rename_new(&kept.dir, &site.over).trying(|| format!("can't give up `{}`", kept.dir.display()))?;
        directory::remove(&site.over)?;
    }
    Ok(())
}

/// The old generation becomes the first of those that are kept; the others make room. Done again after a crash, it comes to the same.
pub(crate) fn put_first(site: &Site, old: &Dir) -> Result<(), Error> {
    close_up(site)?;
    for kept in all(site)?.iter().rev() {
        move_to(site, &kept.dir, kept.place + 1)?;
    }
    move_to(site, old, 1)
}

/// The old generation takes the place of the one that has returned.
pub(crate) fn put_in_place(site: &Site, old: &Dir, back: Back) -> Result<(), Error> {
    if !back.is_newer && !has_record(old, names::NEWER)? {
        let record = old.join(names::NEWER);
        bpffs::write_record(&record, "1").trying(|| format!("can't write `{}`", record.display()))?;
    }
    directory::remove(site.place(back.place))?;
    move_to(site, old, back.place)
}

/// Closes the gaps between those that are kept.
pub(crate) fn close_up(site: &Site) -> Result<(), Error> {
    for (at, kept) in all(site)?.iter().enumerate() {
        if kept.place != at + 1 {
            move_to(site, &kept.dir, at + 1)?;
        }
    }
    Ok(())
}

fn move_to(site: &Site, from: &Dir, place: usize) -> Result<(), Error> {
    let to = site.place(place);
    bpffs::rename_new(from, to)
        .trying(|| format!("can't keep the generation at `{}` as `{}`", from.display(), to.display()))
}
