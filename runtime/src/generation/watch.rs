//! Is told of a new generation, without asking again and again.
//!
//! A commit exchanges the directory, of which the directory above it is told, or renames pins in it. Both are watched; what is there is
//! looked at after each time they were set up, so that nothing is missed in between.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::{Error, ErrorKind, Trying as _};
use crate::generation::live::Generation;
use crate::generation::meta;
use crate::sys::Notify;

/// Is told when another generation takes the place of the live one.
#[derive(Debug)]
pub struct Watch {
    dir: PathBuf,
    notify: Notify,
    /// The directories above it, by their number, with its name in each: that of the path, and if that is a link, that of the directory.
    above: Vec<(i32, OsString)>,
    /// The directory itself, by its number.
    within: Option<i32>,
    seen: Option<Generation>,
}

impl Watch {
    /// From what is live in `dir` now, which may be nothing yet.
    ///
    /// # Errors
    /// [`ErrorKind::Place`] if there is no directory above it; the kernel's if it can't be listed, or the user has as many
    /// watches as it may have.
    pub fn new(dir: impl AsRef<Path>) -> Result<Self, Error> {
        let mut watch = Self::since(dir.as_ref(), None)?;
        watch.seen = watch.look()?;
        Ok(watch)
    }

    /// From that generation on.
    pub(crate) fn since(dir: &Path, seen: Option<Generation>) -> Result<Self, Error> {
        let failed = || format!("can't watch `{}`", dir.display());
        let dir = std::path::absolute(dir).trying(failed)?;
        let notify = Notify::new().trying(failed)?;
        let mut watch = Self { dir, notify, above: Vec::new(), within: None, seen };
        watch.set_up()?;
        Ok(watch)
    }

    /// The directory of the pins.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The generation that it told of last; at first, the one that it began with. `None` if nothing was there.
    #[must_use]
    pub fn generation(&self) -> Option<Generation> {
        self.seen
    }

    /// Waits until another generation than [`Self::generation`] is live, which it then is: true; false if the time is over before.
    /// Without a time, it waits for ever. In an event loop: call it with [`Duration::ZERO`] when the descriptor can be read.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn wait(&mut self, time: Option<Duration>) -> Result<bool, Error> {
        // None is so far away that it never comes.
        let until = time.and_then(|time| Instant::now().checked_add(time));
        self.take()?;
        loop {
            let now = self.look()?;
            if now != self.seen {
                self.seen = now;
                return Ok(true);
            }
            loop {
                let left = until.map(|until| until.saturating_duration_since(Instant::now()));
                let failed = || format!("can't watch `{}`", self.dir.display());
                if self.notify.wait(left).trying(failed)? && self.take()? {
                    break;
                }
                if left == Some(Duration::ZERO) {
                    return Ok(false);
                }
            }
        }
    }

    /// Takes what was told. True if it may be of another generation.
    fn take(&self) -> Result<bool, Error> {
        let matters = |number: i32, name: &[u8]| {
            let is_above = |(above, of): &(i32, OsString)| *above == number && of.as_bytes() == name;
            self.above.iter().any(is_above) || self.within == Some(number) && name == meta::NAME.as_bytes()
        };
        self.notify.take(matters).trying(|| format!("can't watch `{}`", self.dir.display()))
    }

    /// What is live, with the watches set up before it is looked at.
    fn look(&mut self) -> Result<Option<Generation>, Error> {
        self.set_up()?;
        Generation::at(&self.dir)
    }

    fn set_up(&mut self) -> Result<(), Error> {
        let failed = || format!("can't watch `{}`", self.dir.display());
        let nowhere = || {
            let message = format!("can't watch `{}`: there is no directory above it", self.dir.display());
            Error::new(ErrorKind::Place, message)
        };
        let mut paths = vec![self.dir.clone()];
        // An exchange is told where the directory itself is.
        paths.extend(self.dir.canonicalize().ok().filter(|path| *path != self.dir));
        let (mut above, within) = (Vec::new(), self.notify.add(&self.dir).trying(failed)?);
        for path in paths {
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return Err(nowhere()) };
            let number = self.notify.add(parent).trying(failed)?.ok_or_else(nowhere)?;
            above.push((number, name.to_owned()));
        }
        let is_needed = |number: i32| within == Some(number) || above.iter().any(|(above, _)| *above == number);
        let old = self.above.iter().map(|(number, _)| *number).chain(self.within);
        old.filter(|number| !is_needed(*number)).for_each(|number| self.notify.remove(number));
        (self.above, self.within) = (above, within);
        Ok(())
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.notify.as_fd()
    }
}
