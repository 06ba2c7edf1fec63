//! How entries are converted.

use maplock_layout::conversion::Collide;
use maplock_layout::rehearsal::Rehearsed;
use serde::Serialize;

use super::to_json;
use crate::conversion::{Conversion, How};
use crate::error::Error;
use crate::verbs::migrate::{Conversions, Row};

#[derive(Serialize)]
struct RowJson<'a> {
    map: &'a str,
    from: &'a str,
    to: &'a str,
    #[serde(flatten)]
    conversion: ConversionJson<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    test: Option<&'a Rehearsed>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'a str>,
}

#[derive(Serialize)]
pub(crate) struct ConversionJson<'a> {
    by_hand: bool,
    /// True if the way back gives every entry back.
    lossless: bool,
    collide: Option<&'static str>,
    members: Vec<MemberJson<'a>>,
    problems: Vec<String>,
}

#[derive(Serialize)]
struct MemberJson<'a> {
    old: Option<&'a str>,
    new: Option<&'a str>,
    what: String,
    lossless: bool,
}

pub(super) fn render(of: &Conversions) -> Result<String, Error> {
    to_json(&of.rows.iter().map(row).collect::<Vec<_>>())
}

fn row(row: &Row) -> RowJson<'_> {
    RowJson {
        map: &row.conversion.map,
        from: &row.conversion.from,
        to: &row.conversion.to,
        conversion: conversion(&row.conversion),
        test: row.rehearsed.as_ref(),
        note: row.note.as_deref(),
    }
}

pub(super) fn conversion(of: &Conversion) -> ConversionJson<'_> {
    let nothing =
        ConversionJson { by_hand: false, lossless: false, collide: None, members: Vec::new(), problems: Vec::new() };
    match &of.how {
        How::Derived(derived) => ConversionJson {
            lossless: derived.is_lossless(),
            collide: derived.leg.collide.map(Collide::name),
            members: derived
                .members
                .iter()
                .map(|member| MemberJson {
                    old: member.old.as_deref(),
                    new: member.new.as_deref(),
                    what: member.to_string(),
                    lossless: member.lossless,
                })
                .collect(),
            ..nothing
        },
        How::ByHand(_) => ConversionJson { by_hand: true, ..nothing },
        How::Open(problems) => {
            let questions = problems.questions.iter().map(ToString::to_string);
            let problems = questions.chain(problems.mistakes.iter().map(ToString::to_string)).collect();
            ConversionJson { problems, ..nothing }
        }
    }
}
