//! What upgrades from releases keep.

use serde::Serialize;

use super::to_json;
use crate::error::Error;
use crate::verbs::matrix::{Cell, Matrix, Row};

#[derive(Serialize)]
struct Document<'a> {
    lock: &'a str,
    summary: String,
    fails: bool,
    releases: Vec<ReleaseJson<'a>>,
    maps: Vec<RowJson<'a>>,
    /// The ways back to each release.
    #[serde(skip_serializing_if = "Option::is_none")]
    back: Option<Vec<RowJson<'a>>>,
}

#[derive(Serialize)]
struct ReleaseJson<'a> {
    tag: &'a str,
    /// Why nothing is known of it.
    unknown: Option<&'a str>,
}

#[derive(Serialize)]
struct RowJson<'a> {
    map: &'a str,
    /// In the order of the releases; null if one has no such map, or is not known.
    cells: Vec<Option<CellJson<'a>>>,
}

#[derive(Serialize)]
struct CellJson<'a> {
    what: &'static str,
    loses: bool,
    /// True if the map is known by its size alone.
    untold: bool,
    /// How many entries there may be at most; with more, nothing happens.
    #[serde(skip_serializing_if = "Option::is_none")]
    must_fit: Option<u32>,
    why: &'a str,
}

pub(super) fn render(of: &Matrix) -> Result<String, Error> {
    let releases = of.releases.iter();
    to_json(&Document {
        lock: &of.lock,
        summary: of.headline(),
        fails: of.fails(),
        releases: releases
            .map(|release| ReleaseJson { tag: release.tag(), unknown: release.unknown.as_deref() })
            .collect(),
        maps: rows(&of.maps),
        back: of.back.as_deref().map(rows),
    })
}

fn rows(rows: &[Row]) -> Vec<RowJson<'_>> {
    rows.iter()
        .map(|row| RowJson { map: &row.map, cells: row.cells.iter().map(|of| of.as_ref().map(cell)).collect() })
        .collect()
}

fn cell(cell: &Cell) -> CellJson<'_> {
    CellJson { what: cell.what.name(), loses: cell.loses, untold: cell.untold, must_fit: cell.must_fit, why: &cell.why }
}
