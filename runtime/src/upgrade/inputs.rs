//! What a plan is made from, looked up on the node.

use std::path::Path;
use std::time::Duration;

use crate::error::{Error, Trying as _};
use crate::generation::derivation::{self, Derivation};
use crate::generation::directory;
use crate::generation::kept;
use crate::generation::missing::{self, Missing};
use crate::generation::names::{self, pin_name};
use crate::generation::site::Site;
use crate::inspect;
use crate::inspect::normalise::Node;
use crate::plan::policy::Policies;
use crate::plan::spec::Spec;
use crate::plan::{self, Action, PinnedLock, Plan};
use crate::sys::bpffs::{self, Named as _};
use crate::transfer;
use crate::transfer::migrate::Migrations;
use crate::upgrade::look_back::look_back;
use crate::upgrade::probe::foresee_settling;
use crate::upgrade::{places, shown, unfinished};

/// How long the entries of one map may be counted for the plan, and for a report.
pub(super) const COUNTING: Duration = Duration::from_millis(20);

/// The plan for `dir`, without taking the lock or changing anything: what [`Options::begin`](crate::Options::begin) would plan now. It
/// also says who else has a map that would be left behind ([`Plan::looked`]), and what comes first of an upgrade that did not end ([`Plan::unfinished`]).
///
/// # Errors
/// As [`Options::begin`](crate::Options::begin).
pub fn dry_run(spec: &Spec, dir: &Path, policies: &Policies) -> Result<Plan, Error> {
    let site = Site::at(dir)?.as_found()?;
    let unfinished = unfinished::found(&site, spec)?;
    if unfinished.is_none() {
        shown::check(&site)?;
        shown::check_links(&site)?;
    }
    let (mut plan, _) = look(spec, &site, policies, None)?;
    plan.unfinished = unfinished;
    if plan.unsettled().is_some() {
        plan.way_back = None;
    }
    let left = plan.left();
    if !left.is_empty() && !plan.is_refused() {
        plan.tell_users(inspect::users(&site, &left));
    }
    Ok(plan)
}

/// The plan; and why the upgrade does not begin, if a name that it needs is taken.
pub(super) fn look(
    spec: &Spec,
    site: &Site,
    policies: &Policies,
    migrations: Option<&Migrations>,
) -> Result<(Plan, Option<Error>), Error> {
    let mut live = inspect::within(&site.dir)?;
    let kept_ones = kept::all(site)?;
    let kept = kept::last_left(&kept_ones).map(|kept| inspect::within(&kept.dir)).transpose()?.unwrap_or_default();
    live.count_entries(|map| transfer::count(map, COUNTING));
    for warning in &live.warnings {
        tracing::warn!(dir = %site.dir.display(), "{warning}");
    }
    // Between the very maps that are there.
    let is_pair = |name: &String, record: &Derivation| {
        let id = |maps: &inspect::Inventory, name: &str| maps.maps.get(name).map(|map| map.observed.id);
        (id(&kept, record.old_name(name)), id(&live, name)) == (Some(record.from), Some(record.to))
    };
    let mut records = derivation::ways_back(&site.dir)?;
    records.retain(|(name, record)| is_pair(name, record));
    let ways_back = records.iter().map(|(name, _)| name.clone()).collect();
    let is_spec = |pin: &str| spec.maps().any(|map| pin_name(&map.def.name) == pin);
    let is_older = |pin: &str| spec.older_names().any(|name| pin_name(name) == pin);
    let mut observed = live.observed();
    // The root of a mount is everybody's: who has nothing there yet has given nothing up.
    if site.is_root && live.meta.is_none() && !observed.iter().any(|map| is_spec(&map.pin) || is_older(&map.pin)) {
        observed.clear();
    }
    let mut plan = plan::plan(&plan::Inputs {
        spec,
        dir: site.dir.path(),
        live: &observed,
        kept: &kept.observed(),
        ways_back: &ways_back,
        meta: live.meta.as_ref(),
        newer: &PinnedLock::of(&site.dir),
        policies,
        migrations,
        node: Node::this().trying(|| "can't look at this machine".to_owned())?,
    });
    foresee_settling(&mut plan, site, &records);
    for map in plan.maps.iter_mut().filter(|map| matches!(map.action, Action::Refuse { live: None, .. })) {
        let Some(id) = map.removed else { continue };
        let pin = pin_name(&map.map);
        let missing = Missing { map: map.map.clone(), id, lives: missing::lives(id) };
        let remedy = match kept.maps.get(&pin).filter(|kept| kept.observed.id == id) {
            Some(kept) => {
                missing::can_be_had(&format!("ln {} {}", kept.observed.path.display(), site.dir.join(&pin).display()))
            }
            None => missing.remedy(site.dir.path()),
        };
        map.why.push_str(&format!("; {remedy}"));
    }
    if let Some(unpinned) = &mut plan.unpinned {
        let listed = directory::list(&site.dir)?.into_iter();
        let maps = spec.maps().map(|map| map.def.name.clone()).chain(spec.older_names().map(str::to_owned));
        unpinned.exists = live.exists;
        unpinned.names = listed.filter(|name| !name.contains('.') && !names::is_own(name)).collect();
        unpinned.near = inspect::near(site.dir.path(), &maps.collect());
    }
    look_back(&mut plan, site);
    let is_lacked = |pin: &str| spec.lacked().any(|name| pin_name(name) == pin);
    let former: Vec<String> = plan.former().map(str::to_owned).collect();
    let is_former = |pin: &str| former.iter().any(|former| former == pin);
    let foreign = live.foreign(|pin| is_spec(pin) || is_lacked(pin) || is_former(pin));
    plan.commit = match foreign.into_iter().find(|name| !site.is_within(name)) {
        _ if site.is_root => plan::CommitBy::EachPin { why: "the directory is the root of a mount".to_owned() },
        Some(name) if live.meta.is_none() => {
            plan::CommitBy::EachPin { why: format!("the directory also holds `{name}`, and nothing says whose it is") }
        }
        Some(name) => plan::CommitBy::EachPin { why: format!("the directory is shared: `{name}` is somebody else's") },
        // What is not there yet is only renamed.
        None if !live.exists => plan::CommitBy::Exchange,
        None => plan::CommitBy::on_a_kernel_that(bpffs::exchanges()),
    };
    let taken = places::refuse_taken(&mut plan, &live);
    plan.way_back = match observed.is_empty() || plan.is_refused() {
        true => None,
        false if plan.leaves_kept => match kept::one_back(&kept_ones) {
            Some(to) => Some(inspect::WayBack::between(&live, &inspect::within(&to.dir)?)),
            None => None,
        },
        false => Some(plan::way_back::after(&plan.maps, &live)),
    };
    for kept in &kept_ones {
        plan.kept.push(plan::KeptNow { generation: kept.number()?, is_newer: kept.is_newer });
    }
    Ok((plan, taken))
}
