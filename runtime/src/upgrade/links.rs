//! Links of a generation: which program runs at a hook.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::AsFd as _;

use crate::error::{Error, ErrorKind, Trying as _};
use crate::generation::directory::{has_record, is_there, link_at, list, meta_of, object_at};
use crate::generation::names;
use crate::sys::bpffs::{self, Dir, Pin};
use crate::sys::{self, Link, Object, Prog};
use crate::upgrade::hooks::Whereabouts;
use crate::upgrade::report::{Done, LinkReport};

/// Waits until no program runs any more that was unlinked before.
pub(crate) fn grace_period() -> Result<(), Error> {
    sys::wait_for_running_programs().trying(|| "can't wait for the programs that still run".to_owned())
}

pub(super) fn is_gone(link: &Link) -> bool {
    use sys::LinkTarget as T;
    let target = link.info().map(|info| info.target);
    matches!(target, Ok(T::Device { ifindex: 0, .. } | T::Cgroup { id: 0, .. } | T::Netns { inode: 0, .. }))
}

pub(super) fn open_link(path: &Pin) -> Result<Link, Error> {
    match Object::open(path).trying(|| format!("can't open link `{}`", path.display()))? {
        Object::Link(link) => Ok(link),
        _ => Err(Error::new(ErrorKind::Place, format!("`{}` is no link", path.display()))),
    }
}

/// A program by its number. Who may not look it up finds it in a generation, where it is pinned; `None` if it is gone, or is not.
fn running(id: u32, generation: &Dir) -> Result<Option<Prog>, Error> {
    match Prog::from_id(id) {
        Ok(prog) => return Ok(Some(prog)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error() == Some(libc::EPERM) => {}
        Err(error) => return Err(error).trying(|| format!("can't look at the running program, id {id}")),
    }
    for name in list(generation)?.iter().filter(|name| name.ends_with(names::PROG)) {
        if let Some(Object::Prog(prog)) = object_at(&generation.join(name))?
            && prog.info().trying(|| format!("can't look at program `{name}`"))?.id == id
        {
            return Ok(Some(prog));
        }
    }
    Ok(None)
}

/// The link runs the pinned program; false if it did so before. The program that ran there is one of the generation `from`.
pub(super) fn switch(link: &Link, prog: &Pin, from: &Dir, hook: &str) -> Result<bool, Error> {
    let failed = || format!("can't switch the link of hook `{hook}`");
    let Object::Prog(new) = Object::open(prog).trying(|| format!("can't open program `{}`", prog.display()))? else {
        return Err(Error::new(ErrorKind::Place, format!("`{}` is no program", prog.display())));
    };
    let id = link.info().trying(failed)?.prog_id;
    if id == new.info().trying(failed)?.id {
        return Ok(false);
    }
    // As a compare-and-swap: EPERM where somebody else has put another program there meanwhile.
    let old = running(id, from)?;
    match link.update(new.as_fd(), old.as_ref().map(|old| old.as_fd())) {
        // netns links compare nothing, and say EINVAL to the flag in old kernels.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) && old.is_some() => {
            link.update(new.as_fd(), None).trying(failed)?;
        }
        result => result.trying(failed)?,
    }
    Ok(true)
}

/// Detaches the links of old generations that the live one has not, and notes in each where they were: in all of them before the first goes, as
/// a link may be pinned in several and tells nothing any more when it is detached. Says what became of those of the first.
pub(super) fn detach_vanished(old: &[&Dir], live: &Dir, done: &mut Done) -> Result<(), Error> {
    let mut kept = BTreeSet::new();
    for name in list(live)? {
        if let Some(link) = link_at(&live.join(&name))? {
            kept.insert(link.info().trying(|| format!("can't look at link `{name}`"))?.id);
        }
    }
    let mut vanished = Vec::new();
    for (at, dir) in old.iter().enumerate() {
        // A link that the generation does not speak of is somebody else's.
        let own = meta_of(dir)?.map(|meta| meta.links);
        let is_own = |name: &String| own.as_ref().is_none_or(|own| own.contains(name));
        for name in list(dir)?.into_iter().filter(|name| !names::is_own(name) && is_own(name)) {
            let path = dir.join(&name);
            let Some(link) = link_at(&path)? else { continue };
            let info = link.info().trying(|| format!("can't look at link `{}`", path.display()))?;
            if kept.contains(&info.id) {
                continue;
            }
            let record = dir.join(names::target_of(&name));
            if !is_gone(&link)
                && let Some(whereabouts) = Whereabouts::of(&info)
                && !has_record(dir, &names::target_of(&name))?
            {
                bpffs::write_record(&record, &whereabouts.to_string())
                    .trying(|| format!("can't write `{}`", record.display()))?;
            }
            vanished.push((at == 0, name, path, link));
        }
    }
    for (is_first, name, path, link) in vanished {
        // Types that can't be detached end with their last pin.
        _ = link.detach();
        bpffs::unlink(&path).trying(|| format!("can't remove `{}`", path.display()))?;
        let replaced = is_there(&live.join(&name))?;
        tracing::info!(hook = name, replaced, "link of the old generation detached");
        if !replaced && is_first {
            done.links.push(LinkReport { link: name, what: "detached" });
        }
    }
    Ok(())
}
