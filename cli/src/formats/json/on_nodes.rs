//! What an upgrade does on nodes.

use serde::Serialize;

use crate::verbs::on_nodes::{OnNodes, Row};

#[derive(Serialize)]
pub(super) struct FleetJson<'a> {
    /// Nodes of which all is told.
    nodes: usize,
    /// Those of which it is not; of each, there is an element of `locks` with an error.
    untold: usize,
    /// Worst first.
    maps: Vec<RowJson<'a>>,
}

#[derive(Serialize)]
struct RowJson<'a> {
    map: &'a str,
    /// Only if the pin has another name than the map.
    #[serde(skip_serializing_if = "Option::is_none")]
    pin: Option<&'a str>,
    /// The digest of what is pinned; null if nothing is.
    layout: Option<&'a str>,
    what: &'static str,
    loses: bool,
    /// True if it fails: a loss or a refusal that no answer accepts.
    fails: bool,
    /// True if the map is known by its size alone.
    untold: bool,
    /// The answer that was accepted.
    accepted: Option<&'static str>,
    why: &'a str,
    nodes: &'a [String],
    /// As far as they are counted.
    entries: u64,
    /// Nodes on which they are not.
    uncounted: usize,
}

pub(super) fn fleet(of: &OnNodes) -> FleetJson<'_> {
    FleetJson { nodes: of.nodes, untold: of.untold, maps: of.rows.iter().map(row).collect() }
}

fn row(row: &Row) -> RowJson<'_> {
    RowJson {
        map: &row.map,
        pin: row.pin.as_deref(),
        layout: row.layout.as_deref(),
        what: row.cell.what.name(),
        loses: row.cell.loses,
        fails: row.fails,
        untold: row.cell.untold,
        accepted: row.accepted.map(maplock_layout::lock::OnUpgrade::name),
        why: &row.cell.why,
        nodes: &row.nodes,
        entries: row.entries,
        uncounted: row.uncounted,
    }
}
