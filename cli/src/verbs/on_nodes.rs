//! `cargo maplock check --fleet`: what an upgrade to the lock does on each node, by what is pinned there.
//!
//! What a pinned map is, its digest tells, or the one that its generation has for it. What becomes of it says the comparison of that
//! definition with the lock, which a review and a node make, too. A node of which a document leaves something open is told as that.

mod class;

use std::collections::BTreeMap;
use std::path::PathBuf;

use maplock_layout::lock::OnUpgrade;
use maplock_layout::map::pin_name;
use maplock_layout::{Disposition, MapDef};

use super::matrix::Cell;
use crate::error::Error;
use crate::fleet::{self, Node, Pinned};
use crate::outcome::{Ending, Outcome, Side, count};
use crate::progress::Waiting;
use crate::project::Target;
use crate::undone::Undone;
use class::{Met, is};

/// What an upgrade to a lock does on nodes.
#[derive(Debug)]
pub(crate) struct OnNodes {
    /// Nodes of which all is told.
    pub(crate) nodes: usize,
    /// Those of which it is not.
    pub(crate) untold: usize,
    /// Worst first.
    pub(crate) rows: Vec<Row>,
}

/// One thing that becomes of a map that has one layout.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) map: String,
    /// Its pin, if that has not the name of the map.
    pub(crate) pin: Option<String>,
    /// The digest of what is pinned; `None` if nothing is.
    pub(crate) layout: Option<String>,
    pub(crate) cell: Cell,
    /// True if the node loses entries or does not upgrade, and no answer says so.
    pub(crate) fails: bool,
    /// What was accepted of it.
    pub(crate) accepted: Option<OnUpgrade>,
    /// In the order in which their files were named.
    pub(crate) nodes: Vec<String>,
    /// Entries there, as far as they are counted.
    pub(crate) entries: u64,
    /// Nodes on which they are not.
    pub(crate) uncounted: usize,
}

/// Holds the lock against what nodes have pinned. Of breaks that were found, it is said how many nodes have their layout.
pub(super) fn add(target: &Target, files: &[PathBuf], outcomes: &mut Vec<Outcome>) {
    let (text, lock) = match target.read_lock() {
        Ok(read) => read,
        Err(error) => return outcomes.push(Outcome::undone(target, Undone::Compared, error)),
    };
    let mut named: Vec<&PathBuf> = Vec::new();
    files.iter().for_each(|file| named.extend((!named.contains(&file)).then_some(file)));
    let (mut told, mut untold) = (Vec::new(), Vec::new());
    let waiting = Waiting::over(named.len(), "Reading nodes");
    for (done, file) in named.into_iter().enumerate() {
        waiting.step(done, &file.display().to_string());
        let (shown, nodes) = (file.display(), fleet::read(file));
        let is_one = nodes.len() == 1;
        for mut node in nodes {
            // Two nodes are told apart, though their files may be called alike.
            if told.iter().any(|(name, _)| *name == node.name) {
                node.name = if is_one { shown.to_string() } else { format!("{} of {shown}", node.name) };
            }
            match pinned(node) {
                Ok(node) => told.push(node),
                Err(error) => untold.push(error),
            }
        }
    }
    drop(waiting);
    let _waiting = Waiting::at("Comparing nodes");
    meetings(outcomes, &told, untold.len());
    let mut classes: BTreeMap<String, Result<Vec<Met>, String>> = BTreeMap::new();
    let (mut rows, mut nodes) = (Vec::new(), 0);
    for (name, pinned) in &told {
        match classes.entry(class::key(pinned)).or_insert_with(|| class::met(&lock, pinned)) {
            Ok(met) => {
                nodes += 1;
                met.iter().for_each(|met| row(&mut rows, name, met, pinned));
            }
            Err(open) => {
                let error =
                    Error::new(open.as_str()).help("ask the node: `maplock plan` there says what an upgrade does");
                untold.push((name.clone(), error));
            }
        }
    }
    rows.sort_by_key(|row| {
        (!row.fails, !row.cell.loses, row.cell.what == Disposition::Reuse, row.map.clone(), row.layout.clone())
    });
    if nodes > 0 {
        let mut outcome = Outcome::new(target, Ending::OnNodes);
        if rows.iter().any(|row: &Row| row.fails) {
            outcome.notes.push(
                "this is what the lock alone says. Policies, a kept generation or a newer release's lock may change it on a node; \
                 run `maplock plan` there"
                    .to_owned(),
            );
        }
        outcome.new = Side::of_lock(target, text, lock);
        outcome.on_nodes = Some(OnNodes { nodes, untold: untold.len(), rows });
        outcomes.push(outcome);
    }
    let undone = untold
        .into_iter()
        .map(|(name, error)| Outcome { against: Some(name), ..Outcome::undone(target, Undone::Compared, error) });
    outcomes.extend(undone);
}

/// What is pinned on a node, with its name; else its name with why that is not known.
fn pinned(node: Node) -> Result<(String, Pinned), (String, Error)> {
    let is_silent = node.is_silent();
    let error = match (node.unread, node.pinned, node.failed) {
        (Some(error), ..) => error,
        (None, Some(pinned), _) => return Ok((node.name, pinned)),
        (None, None, Some(failed)) => Error::new("the node could not tell what is pinned there").because(failed),
        (None, None, None) if is_silent => Error::new("its file is empty: nothing was told"),
        (None, None, None) => Error::new("its file does not tell what is pinned there"),
    };
    Err((node.name, error.help("write it on the node: `maplock inspect DIR --message-format json`")))
}

/// Enters what becomes of a map on one node.
fn row(rows: &mut Vec<Row>, node: &str, met: &Met, pinned: &Pinned) {
    let live = met.pin.as_ref().and_then(|pin| pinned.maps.iter().find(|map| map.pin == *pin));
    let entries = live.and_then(|live| live.entries);
    let (cell, fails) = met.with(live.map(|_| entries));
    let same =
        |row: &&mut Row| row.map == met.map && row.layout == met.layout && row.cell == cell && row.fails == fails;
    if let Some(row) = rows.iter_mut().find(same) {
        row.nodes.push(node.to_owned());
        row.entries += entries.unwrap_or_default();
        row.uncounted += usize::from(live.is_some() && entries.is_none());
        return;
    }
    rows.push(Row {
        map: met.map.clone(),
        pin: met.pin.clone().filter(|pin| *pin != pin_name(&met.map)),
        layout: met.layout.clone(),
        cell,
        fails,
        accepted: met.accepted,
        nodes: vec![node.to_owned()],
        entries: entries.unwrap_or_default(),
        uncounted: usize::from(live.is_some() && entries.is_none()),
    });
}

/// Says of each map with a break how many nodes have the layout from which it leads. The break stays one.
fn meetings(outcomes: &mut [Outcome], nodes: &[(String, Pinned)], untold: usize) {
    for outcome in outcomes.iter_mut().filter(|outcome| outcome.undone.is_none()) {
        let is_broken = |map: &str| {
            outcome.comparison.of_map(map).any(maplock_layout::Finding::is_break)
                || outcome.one_way.iter().any(|(broken, _)| broken == map)
        };
        let mut notes = Vec::new();
        for verdict in outcome.comparison.maps.iter().filter(|verdict| is_broken(&verdict.map)) {
            let Some(was) = verdict.was.as_ref().and_then(|was| outcome.old.lock.maps.get(was)) else { continue };
            let now = outcome.new.lock.maps.get(&verdict.map);
            let names = now.into_iter().flat_map(|now| &now.renamed_from).chain(&was.renamed_from);
            let names: Vec<_> = names.chain([&verdict.map, &was.def.name]).map(|name| pin_name(name)).collect();
            notes.push(meeting(&verdict.map, (&was.def, &names), nodes, untold));
        }
        outcome.notes.extend(notes);
    }
}

fn meeting(map: &str, (def, pins): (&MapDef, &[String]), nodes: &[(String, Pinned)], untold: usize) -> String {
    let (mut have, mut open) = (0, untold);
    for (_, pinned) in nodes {
        let mut live = pinned.maps.iter().filter(|map| pins.contains(&map.pin));
        if live.clone().any(|map| is(def, map)) {
            have += 1;
        } else if pinned.is_changing() || live.any(|map| class::is_open(def, map)) {
            open += 1;
        }
    }
    let told = nodes.len() + untold - open;
    let layout = def.digest().short();
    let open = more(open);
    match have {
        0 => format!("map `{map}`: no node of {told} has this layout, {layout}{open}"),
        1 => format!("map `{map}`: 1 node of {told} has this layout, {layout}{open}"),
        _ => format!("map `{map}`: {have} nodes of {told} have this layout, {layout}{open}"),
    }
}

/// That of so many more nodes nothing is known: the end of a sentence.
fn more(untold: usize) -> String {
    match untold {
        0 => String::new(),
        1 => "; 1 more is not known".to_owned(),
        _ => format!("; {untold} more are not known"),
    }
}

impl OnNodes {
    /// True if a node would lose entries or not upgrade, and no answer says so.
    pub(crate) fn fails(&self) -> bool {
        self.rows.iter().any(|row| row.fails)
    }

    /// In one line.
    pub(crate) fn headline(&self) -> String {
        let on = |wanted: &dyn Fn(&Row) -> bool| {
            let mut nodes: Vec<_> = self.rows.iter().filter(|row| wanted(row)).flat_map(|row| &row.nodes).collect();
            nodes.sort_unstable();
            nodes.dedup();
            nodes.len()
        };
        let failing = on(&|row| row.fails);
        let accepted = on(&|row| !row.fails && row.cell.loses && row.accepted.is_some());
        let evicting = on(&|row| !row.fails && row.cell.loses && row.accepted.is_none());
        let mut parts = Vec::new();
        if failing > 0 {
            parts.push(format!("{failing} would lose entries or refuse the upgrade, and no answer accepts that"));
        }
        if accepted > 0 {
            let (lose, not) = if accepted == 1 { ("loses", "does not") } else { ("lose", "do not") };
            parts.push(format!("{accepted} {lose} something, or {not} upgrade, as was accepted"));
        }
        if evicting > 0 {
            parts.push(format!("{evicting} may lose entries that the kernel drops"));
        }
        let nodes = count(self.nodes, "node");
        let mut told = match parts.is_empty() {
            true => format!("of {nodes}, none loses entries or refuses the upgrade"),
            false => format!("of {nodes}, {}", parts.join("; ")),
        };
        let mut maps: Vec<_> = self.rows.iter().filter(|row| row.cell.untold).map(|row| &row.map).collect();
        maps.sort_unstable();
        maps.dedup();
        if !maps.is_empty() {
            told.push_str(&format!("; {} known by size alone", count(maps.len(), "map")));
        }
        told + &more(self.untold)
    }
}

impl Row {
    /// The layout in a few digits.
    pub(crate) fn short(&self) -> &str {
        self.layout.as_deref().map_or("-", |layout| layout.get(..8).unwrap_or(layout))
    }

    /// The map, with its pin if that is called otherwise.
    pub(crate) fn name(&self) -> String {
        match &self.pin {
            Some(pin) => format!("{} (pinned as {pin})", self.map),
            None => self.map.clone(),
        }
    }

    /// What becomes of it, with a mark if something is lost.
    pub(crate) fn what(&self) -> String {
        format!("{}{}", self.cell.what, if self.cell.loses { " !" } else { "" })
    }

    /// So many nodes of all.
    pub(crate) fn share(&self, of: &OnNodes) -> String {
        format!("{} of {}", self.nodes.len(), of.nodes)
    }

    /// How many entries are there.
    pub(crate) fn counted(&self) -> String {
        match (&self.layout, self.uncounted) {
            (None, _) => "-".to_owned(),
            (_, 0) => self.entries.to_string(),
            (_, uncounted) if uncounted == self.nodes.len() => "?".to_owned(),
            _ => format!("over {}", self.entries),
        }
    }

    /// The nodes, of many the first.
    pub(crate) fn on(&self) -> String {
        const MOST: usize = 8;
        let names: Vec<_> = self.nodes.iter().take(MOST).map(String::as_str).collect();
        match self.nodes.len().checked_sub(MOST).filter(|more| *more > 0) {
            Some(more) => format!("{} and {} more", names.join(", "), count(more, "node")),
            None => names.join(", "),
        }
    }
}

/// What the mark means.
pub(crate) const LEGEND: &str =
    "! entries or parts of them are lost or misread, or the upgrade does not happen; - nothing is pinned";
