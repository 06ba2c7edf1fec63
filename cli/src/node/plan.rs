//! `maplock plan`: what an upgrade would do to each pinned map.

use std::collections::BTreeMap;

use maplock::Migrations;
use maplock::internals::pin_name;
use maplock::internals::rehearse::{Rehearsed, Untried, rehearse};
use maplock::internals::sample::{Sample, sample};
use maplock::layout::conversion::Leg;
use maplock::layout::{Disposition, MapDef};
use maplock::plan::{Action, KeptThen, MapPlan, Place, Unfinished, Unpinned};
use maplock::{OnMismatch, OnMissing, Plan, Policies, Policy, Recovered, Spec};

use super::args::{Deny, PlanArgs};
use super::{adopting, failed, privileges};
use crate::Said;
use crate::error::Error;
use crate::progress::Waiting;
use crate::project::{self, lockfile};

/// Places that are named if nothing is pinned.
const MOST_PLACES: usize = 3;

/// What an upgrade would do.
pub(crate) struct Foreseen {
    pub(crate) plan: Plan,
    /// So many generations are kept, and what becomes of those that there are.
    pub(crate) keep: usize,
    pub(crate) kept_then: KeptThen,
    /// Maps with a denied disposition.
    pub(crate) denied: Vec<Denied>,
    /// What is denied of it as a whole: that nothing is pinned there, or that an upgrade did not end.
    pub(crate) denied_whole: Vec<Error>,
    /// Entries of maps that are converted.
    pub(crate) samples: Vec<Samples>,
    /// What came of converting all entries; none if nobody asked for it.
    pub(crate) rehearsal: Option<Rehearsal>,
    /// What else should be known.
    pub(crate) notes: Vec<String>,
    /// The lock and its text, to point at.
    pub(crate) lock: std::path::PathBuf,
    pub(crate) text: String,
}

pub(super) fn run(args: &PlanArgs) -> Result<Said, Error> {
    let shown = project::shown(&args.lock);
    let text = lockfile::read(&args.lock)?.ok_or_else(|| {
        Error::new(format!("there is no {shown}")).help("give the maps.lock of the new release with `--lock`")
    })?;
    let spec = Spec::from(lockfile::parse(&shown, &text)?);
    let policies = args.policy.policies();
    if let Some(unknown) = policies.maps.keys().find(|map| spec.map(map).is_none()) {
        let maps: Vec<_> = spec.maps().map(|map| map.def.name.as_str()).collect();
        return Err(Error::new(format!("{shown} has no pinned map `{unknown}`, for which there is a policy"))
            .help(format!("it has {}", maps.join(", "))));
    }
    let asking = Asking { args, spec: &spec };
    let plan = asking.plan(&policies)?;
    let told = asking.told(plan, &policies, text)?;
    Ok(Said::new(args.message_format.tell(&told)?, told.fails(), Vec::new()))
}

impl Foreseen {
    /// True if something of it is denied.
    pub(crate) fn fails(&self) -> bool {
        !self.denied.is_empty()
            || !self.denied_whole.is_empty()
            || self.rehearsal.as_ref().is_some_and(|rehearsal| !rehearsal.failing.is_empty())
    }

    /// Why it fails.
    pub(crate) fn errors(&self) -> impl Iterator<Item = &Error> {
        let denied = self.denied.iter().map(|denied| &denied.error);
        let failing = self.rehearsal.iter().flat_map(|rehearsal| &rehearsal.failing);
        self.denied_whole.iter().chain(denied).chain(failing)
    }

    /// What is said of a map whose disposition is denied.
    pub(crate) fn denied(&self, map: &str) -> Option<&Error> {
        self.denied.iter().find(|denied| denied.map == map).map(|denied| &denied.error)
    }
}

/// What came of converting all entries that are there now.
pub(crate) struct Rehearsal {
    pub(crate) maps: Vec<Result<Rehearsed, Untried>>,
    /// Of maps at which the upgrade would end, why.
    pub(crate) failing: Vec<Error>,
}

impl Rehearsal {
    /// What is to be known of all of it.
    pub(crate) fn summary(&self) -> &'static str {
        match self.maps.is_empty() {
            true => "rehearsed: no entry would be converted or copied",
            false => "rehearsed: nothing was written; programs go on writing, so this is a picture of now",
        }
    }
}

/// A map whose disposition is denied.
pub(crate) struct Denied {
    pub(crate) map: String,
    /// For a person: why, and the ways out.
    pub(crate) error: Error,
}

/// Some entries of a map that is converted.
pub(crate) struct Samples {
    pub(crate) map: String,
    /// What it is, and what it will be.
    pub(crate) old: MapDef,
    pub(crate) new: MapDef,
    /// How many entries it has, if that is known.
    pub(crate) of: Option<u64>,
    pub(crate) entries: Vec<Sample>,
}

struct Asking<'a> {
    args: &'a PlanArgs,
    spec: &'a Spec,
}

impl Asking<'_> {
    fn plan(&self, policies: &Policies) -> Result<Plan, Error> {
        let pins = &self.args.pins;
        maplock::dry_run(self.spec, pins, policies)
            .map_err(|error| failed(format!("could not plan an upgrade of {}", pins.display()), error))
    }

    fn told(&self, plan: Plan, policies: &Policies, text: String) -> Result<Foreseen, Error> {
        let deny: Vec<_> = self.args.deny.iter().filter_map(|deny| deny.disposition()).collect();
        let ways = if plan.is_refused() { self.ways_out(&plan, policies)? } else { BTreeMap::new() };
        let denied: Vec<_> = plan.denied(&deny).collect();
        let denied =
            denied.into_iter().map(|map| Denied { map: map.map.clone(), error: self.error(map, ways.get(&map.map)) });
        let mut denied: Vec<Denied> = denied.collect();
        if self.args.deny.contains(&Deny::Inexact) {
            let told: Vec<_> = denied.iter().map(|denied| denied.map.clone()).collect();
            let inexact = plan.inexact().filter(|map| !told.contains(&map.map));
            denied.extend(inexact.map(|map| Denied { map: map.map.clone(), error: inexact_error(map) }));
        }
        let mut notes = Vec::new();
        if let Some(missing) = plan.maps.iter().find_map(|map| map.needs) {
            notes.push(format!("without {missing}, the kernel shows this process less than it may show the daemon"));
        }
        notes.extend(adopting::notes(&plan)?);
        let samples = self.samples(&plan, &mut notes)?;
        let rehearsal = if self.args.rehearse { Some(self.rehearsal(&plan)?) } else { None };
        let not_there = plan.unpinned.as_ref().filter(|_| self.args.expect_pins);
        let not_there = not_there.map(|unpinned| self.not_there(unpinned));
        let unsettled = plan.unsettled().filter(|unfinished| self.denies(unfinished));
        let unsettled = unsettled.map(|unfinished| self.unsettled(unfinished));
        let denied_whole = unsettled.into_iter().chain(not_there).collect();
        let keep = self.args.keep;
        let kept_then = plan.kept_then(keep);
        Ok(Foreseen {
            plan,
            keep,
            kept_then,
            denied,
            denied_whole,
            samples,
            rehearsal,
            notes,
            lock: self.args.lock.clone(),
            text,
        })
    }

    /// All entries that would be converted or copied.
    fn rehearsal(&self, plan: &Plan) -> Result<Rehearsal, Error> {
        let (mut maps, mut failing) = (Vec::new(), Vec::new());
        let waiting = Waiting::over(plan.maps.len(), "Rehearsing");
        for (done, map) in plan.maps.iter().enumerate() {
            waiting.step(done, &map.map);
            let tried = rehearse(map, &plan.dir, &Migrations::default(), self.args.sample)
                .map_err(|error| failed(format!("could not rehearse map `{}`", map.map), error))?;
            let Some(tried) = tried else { continue };
            if let (Ok(rehearsed), Some(live)) = (&tried, map.action.live())
                && rehearsed.fails()
            {
                let pin = project::shell_word(&live.pin.to_string_lossy());
                let error = Error::new(format!("an upgrade would stop at map `{}`, and change nothing", map.map));
                let error = error.because(rehearsed.summary());
                failing.push(error.help(format!("look at its entries: maplock dump {pin}")));
            }
            maps.push(tried);
        }
        Ok(Rehearsal { maps, failing })
    }

    /// True if what comes first is denied. If it leads to the maps of this release, its daemon may start: nobody else completes it. How exactly
    /// is not known all the same.
    fn denies(&self, unfinished: &Unfinished) -> bool {
        let deny = &self.args.deny;
        !deny.is_empty() && !unfinished.leads_here || deny.contains(&Deny::Inexact)
    }

    /// That an upgrade did not end, and what ends it.
    fn unsettled(&self, unfinished: &Unfinished) -> Error {
        let dir = project::shell_word(&self.args.pins.to_string_lossy());
        let error =
            Error::new(format!("{} at {dir} comes first, and what is denied may happen after it", unfinished.noun()))
                .because("this plan is of what is pinned now; another one is made when that has ended");
        let error = match (unfinished.is_roll_back, unfinished.next) {
            (true, Recovered::Completed) => error.help(format!("complete it: maplock rollback {dir}")),
            (true, _) => error.help(format!("call it again: maplock rollback {dir}")),
            (false, _) if !unfinished.needs_code.is_empty() => {
                error.help("complete it: start its own daemon").help(format!("or take it back: maplock rollback {dir}"))
            }
            (false, _) => error
                .help("complete it: start its own daemon")
                .help(format!("or complete it and go back: maplock rollback {dir}")),
        };
        match unfinished.next {
            Recovered::Completed => error.help(format!(
                "if that fails each time, give up what can't be carried over: maplock recover {dir} --discard"
            )),
            _ => error,
        }
    }

    /// That nothing is pinned where something was expected, and where the pins may be.
    fn not_there(&self, unpinned: &Unpinned) -> Error {
        let pins = self.args.pins.display();
        let mut error =
            Error::new(format!("no map of the release is pinned at {pins}, and `--expect-pins` says that one is"));
        for near in unpinned.elsewhere().take(MOST_PLACES) {
            let lock = project::shell_word(&self.args.lock.to_string_lossy());
            let dir = project::shell_word(&near.dir.to_string_lossy());
            error = error.help(format!("plan for the pins at {dir}: maplock plan --lock {lock} --pins {dir}"));
        }
        let here = unpinned.near.iter().filter(|near| near.place == Place::Itself).flat_map(|near| &near.alike);
        for (map, pin, _) in here {
            let of = |pin: &str| project::shell_word(&self.args.pins.join(pin).to_string_lossy());
            error = error.help(format!("if `{pin}` is map `{map}`, rename it: mv {} {}", of(pin), of(&pin_name(map))));
        }
        error.help("if this is a first installation, leave out --expect-pins")
    }

    /// Some entries of each map that is converted, read and converted here.
    fn samples(&self, plan: &Plan, notes: &mut Vec<String>) -> Result<Vec<Samples>, Error> {
        let mut all = Vec::new();
        for map in plan.maps.iter().filter(|_| self.args.sample > 0) {
            let Action::Convert { live, new, conversion, .. } = &map.action else { continue };
            if conversion.legs.iter().any(|leg| matches!(leg, Leg::ByHand { .. })) {
                notes.push(format!(
                    "entries of `{}` are converted by the daemon's own code, which alone can show them",
                    map.map
                ));
                continue;
            }
            let entries = sample(map, &plan.dir, &Migrations::default(), self.args.sample)
                .map_err(|error| failed(format!("could not read entries of map `{}`", map.map), error))?;
            all.push(Samples {
                map: map.map.clone(),
                old: live.def.clone(),
                new: new.def.clone(),
                of: live.entries,
                entries,
            });
        }
        Ok(all)
    }

    /// The options that would have a refused map upgraded. They are tried, not guessed: an option that helps not is none.
    fn ways_out(&self, plan: &Plan, policies: &Policies) -> Result<BTreeMap<String, Vec<WayOut>>, Error> {
        type Set = fn(&mut Policy);
        let options: [(&'static str, &'static str, Set); 7] = [
            ("on-unknown", "reuse", |policy| policy.unknown = OnMismatch::Reuse),
            ("on-unknown", "swap", |policy| policy.unknown = OnMismatch::Swap),
            ("unverifiable", "reuse", |policy| policy.unverifiable = OnMismatch::Reuse),
            ("unverifiable", "swap", |policy| policy.unverifiable = OnMismatch::Swap),
            ("larger", "reuse", |policy| policy.larger = OnMismatch::Reuse),
            ("larger", "swap", |policy| policy.larger = OnMismatch::Swap),
            ("missing", "create", |policy| policy.missing = OnMissing::Create),
        ];
        let mut ways: BTreeMap<String, Vec<WayOut>> = BTreeMap::new();
        for (option, answer, set) in options {
            let mut tried = policies.clone();
            std::iter::once(&mut tried.all).chain(tried.maps.values_mut()).for_each(set);
            let other = self.plan(&tried)?;
            for refused in plan.maps.iter().filter(|map| map.disposition() == Disposition::Refuse) {
                let is_way = other.map(&refused.map).is_some_and(|map| map.disposition() != Disposition::Refuse);
                if is_way {
                    ways.entry(refused.map.clone()).or_default().push(WayOut { option, answer });
                }
            }
        }
        Ok(ways)
    }

    fn error(&self, map: &MapPlan, ways: Option<&Vec<WayOut>>) -> Error {
        let name = &map.map;
        let becomes = match map.action {
            Action::Create { .. } => "made",
            Action::TakeBack { .. } | Action::CarryBack { .. } => "exchanged for the kept one",
            Action::Reuse { .. } => "reused",
            Action::GoAlong { .. } => "left as it is",
            Action::Grow { .. } => "grown",
            Action::Shrink { .. } | Action::Convert { .. } => "converted",
            Action::Swap { .. } => "swapped for an empty one",
            Action::Refuse { .. } => "refused",
            Action::GiveUp { loses_entries: true, .. } => "given up with its entries",
            Action::GiveUp { .. } => "unpinned",
        };
        let error = Error::new(format!("map `{name}` would be {becomes}, which is denied")).because(map.why.as_str());
        let mut error =
            error.help(format!("see what is pinned: maplock inspect {} --layouts", self.args.pins.display()));
        if let Some(capability) = map.needs {
            error = error.help(privileges::help_for(capability));
        }
        if map.action.new_map().is_some_and(|new| new.def.lacks_capacity()) {
            error =
                error.help(format!("say how many: --max-entries {name}=N, and `Policy::max_entries` in the daemon"));
        }
        for WayOut { option, answer } in ways.into_iter().flatten() {
            let effect = if *answer == "reuse" { "keep it as it is" } else { "start empty" };
            error = error.help(format!("{effect}: --{option} {name}={answer}, and the same policy in the daemon"));
        }
        // No lock says which of two pins has the entries.
        let is_open = map.findings.iter().any(|finding| finding.needs_decision() && finding.accepted.is_none());
        if is_open && ways.into_iter().flatten().any(|way| way.option == "on-unknown") {
            let way = if map.action.new_map().is_some() { "swap" } else { "drop" };
            let accept = format!("cargo maplock accept {name} --against REV --on-upgrade {way} --reason \"…\"");
            error = error.help(format!("or by the lock, if REV made the pin: {accept}"));
        }
        if map.disposition() != Disposition::Refuse {
            let denied = match &map.action {
                Action::TakeBack { .. } | Action::CarryBack { .. } => vec![Disposition::Swap],
                Action::GiveUp { loses_entries: true, .. } => vec![Disposition::Drop, Disposition::Swap],
                Action::Create { loses_entries: true, .. } => vec![Disposition::Create, Disposition::Swap],
                action => vec![action.disposition()],
            };
            let given = denied
                .into_iter()
                .filter(|denied| self.args.deny.iter().any(|deny| deny.disposition() == Some(*denied)));
            let given: Vec<_> = given.map(|denied| format!("`{denied}`")).collect();
            error = error.help(format!("let it happen: leave {} out of --deny", given.join(" and ")));
        }
        error
    }
}

/// Of a map whose entries are carried over.
fn inexact_error(map: &MapPlan) -> Error {
    let name = &map.map;
    let error = Error::new(format!("map `{name}` may not be carried over exactly, which is denied"));
    error.because(map.why_inexact().join("\n")).help("let it happen: leave `inexact` out of --deny")
}

/// A policy that a refused map would be upgraded under.
struct WayOut {
    option: &'static str,
    answer: &'static str,
}
