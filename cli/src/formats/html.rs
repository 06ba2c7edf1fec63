//! A page of a lock that stands by itself: it asks for nothing, and opens from a disk.

use std::fmt::Write as _;

use maplock_layout::lock::Epoch;
use maplock_layout::rules::ALL;

use super::xml::escaped;
use super::{human, page, svg};
use crate::map_part::MapPart;
use crate::outcome::{count, describe};
use crate::verbs::layout;
use crate::verbs::matrix::Row;
use crate::verbs::report::Report;

const STYLE: &str = include_str!("../templates/report.css");
const SCRIPT: &str = include_str!("../templates/report.js");

/// The page.
pub(crate) fn page(of: &Report) -> String {
    let title = format!("maplock: {}", of.lock_name);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n\
         <title>{0}</title>\n<style>{STYLE}{1}</style>\n</head>\n<body>\n{2}\n<header><h1>{0}</h1>\n\
         <label>Search <input type=\"search\" id=\"search\" placeholder=\"map, member, type, rule\" size=\"26\" autocomplete=\"off\"></label> <output id=\"found\"></output>\n\
         <nav><a href=\"#findings\">Findings</a> <a href=\"#matrix\">Releases</a> <a href=\"#maps\">Maps</a> <a href=\"#rules\">Rules</a></nav></header>\n<main>\n",
        escaped(&title),
        svg::STYLE,
        svg::DEFS,
    );
    findings(of, &mut out);
    matrix(of, &mut out);
    maps(of, &mut out);
    rules(&mut out);
    _ = write!(out, "</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n");
    out
}

fn findings(of: &Report, out: &mut String) {
    out.push_str("<section id=\"findings\"><h2>Findings</h2>\n");
    if of.outcomes.is_empty() {
        out.push_str("<p>Nothing was compared: no revision was named by <code>--against</code>.</p>\n");
    }
    for outcome in &of.outcomes {
        let class = if outcome.fails() { " class=\"bad\"" } else { "" };
        _ = writeln!(out, "<p{class}>{}</p>", text(&outcome.headline()));
        if let Some(error) = &outcome.undone {
            let more = error.cause().into_iter().chain(error.help.iter().cloned());
            _ = writeln!(
                out,
                "<p>{}{}</p>",
                text(&error.what),
                more.map(|line| format!("<br>{}", text(&line))).collect::<String>()
            );
        }
        let told: Vec<_> = outcome.findings().into_iter().filter(|finding| finding.consequence_of.is_none()).collect();
        if told.is_empty() {
            continue;
        }
        out.push_str("<div class=\"wide\"><table class=\"stack\"><thead><tr><th>map</th><th>on upgrade</th><th>what was found</th></tr></thead><tbody>\n");
        for found in told.chunk_by(|one, other| one.map == other.map) {
            let map = &found[0].map;
            let becomes =
                outcome.comparison.verdict(map).map_or_else(String::new, |verdict| match outcome.what(verdict) {
                    (disposition, Some(becomes)) => format!("{disposition}: {becomes}"),
                    (disposition, None) => disposition.to_string(),
                });
            // Of a map that an older lock has alone, the page has no more to say.
            let name = match of.lock.maps.contains_key(map) || of.lock.gone.contains_key(map) {
                true => format!("<a href=\"#map-{0}\">{0}</a>", escaped(map)),
                false => escaped(map),
            };
            let class = if found.iter().any(|finding| finding.is_break()) { " class=\"bad\"" } else { "" };
            let found = found.iter().map(|finding| {
                format!("<li>{} <a href=\"#rule-{1}\">{1}</a></li>", text(&finding.message()), finding.rule.id)
            });
            _ = writeln!(
                out,
                "<tr class=\"item\"><td>{name}</td><td{class}>{becomes}</td><td><ul>{}</ul></td></tr>",
                found.collect::<String>(),
            );
        }
        out.push_str("</tbody></table></div>\n");
    }
    out.push_str("</section>\n");
}

fn matrix(of: &Report, out: &mut String) {
    out.push_str("<section id=\"matrix\"><h2>Releases</h2>\n");
    let Some(matrix) = &of.matrix else {
        out.push_str("<p>No releases were named: neither by <code>--tags</code> nor by <code>releases</code> in the configuration.</p>\n</section>\n");
        return;
    };
    _ = writeln!(out, "<p>{}</p>", text(&matrix.headline()));
    let mut table = |caption: &str, rows: &[Row]| {
        let tags = matrix.releases.iter().map(|release| format!("<th>{}</th>", escaped(release.tag())));
        _ = writeln!(
            out,
            "<div class=\"wide\"><table><caption>{caption}</caption><thead><tr><th>map</th>{}</tr></thead><tbody>",
            tags.collect::<String>()
        );
        for row in rows {
            let cells = matrix.releases.iter().zip(&row.cells).map(|(release, cell)| {
                let loses = cell.as_ref().is_some_and(|cell| cell.loses);
                let why = cell.as_ref().map_or("", |cell| cell.why.as_str());
                let class = if loses { " class=\"bad\"" } else { "" };
                format!("<td{class} title=\"{}\">{}</td>", escaped(why), human::matrix_cell(release, cell.as_ref()))
            });
            _ = writeln!(out, "<tr class=\"item\"><th>{}</th>{}</tr>", escaped(&row.map), cells.collect::<String>());
        }
        out.push_str("</tbody></table></div>\n");
    };
    table("Upgrades", &matrix.maps);
    if let Some(back) = &matrix.back {
        table("Ways back", back);
    }
    _ = writeln!(out, "<p class=\"dim\">{}</p>\n</section>", text(&human::matrix_legend(matrix)));
}

fn maps(of: &Report, out: &mut String) {
    _ = writeln!(out, "<section id=\"maps\"><h2>{}</h2>", count(of.lock.maps.len(), "map"));
    for (name, map) in &of.lock.maps {
        _ = writeln!(
            out,
            "<details class=\"item\" id=\"map-{0}\"><summary><b>{0}</b> <span class=\"dim\">{1}</span></summary>",
            escaped(name),
            escaped(&describe(map))
        );
        _ = writeln!(out, "<p class=\"dim\">digest <code>{}</code></p>", map.def.digest());
        let bytes = layout::bytes(map, map.epochs.last().map(|epoch| &epoch.previous));
        if !bytes.rulers.is_empty() {
            // With scripts, it is parsed when it is unfolded: of a thousand maps, pictures are most of the page.
            let picture = svg::inline(name, &bytes.rulers);
            _ = writeln!(out, "<div class=\"wide\"><noscript>{picture}</noscript></div>");
        } else if MapPart::ALL.into_iter().any(|part| part.has_members(&map.def)) {
            out.push_str("<p>Nothing tells its members: it is known by its sizes.</p>\n");
        } else {
            out.push_str("<p>Neither its keys nor its values have members.</p>\n");
        }
        history(&map.epochs, out);
        out.push_str("</details>\n");
    }
    for (name, gone) in &of.lock.gone {
        _ = writeln!(
            out,
            "<details class=\"item\" id=\"map-{0}\"><summary><b>{0}</b> <span class=\"dim\">given up</span></summary>",
            escaped(name)
        );
        history(&gone.epochs, out);
        out.push_str("</details>\n");
    }
    out.push_str("</section>\n");
}

fn history(epochs: &[Epoch], out: &mut String) {
    if epochs.is_empty() {
        return;
    }
    out.push_str("<h3>History</h3><ol>\n");
    for epoch in epochs {
        let reason = if epoch.is_bridge() { "nothing to decide" } else { &epoch.reason };
        let rules = epoch.rules.iter().map(|rule| format!("<a href=\"#rule-{0}\">{0}</a>", escaped(rule)));
        let (from, to) = (epoch.from.short(), epoch.to.short());
        let from = format!("<code>{from}</code>");
        let way = if epoch.from == epoch.to { format!("of {from}") } else { format!("{from} to <code>{to}</code>") };
        _ = writeln!(
            out,
            "<li>{way}: <b>{}</b>, {} ({})</li>",
            epoch.on_upgrade,
            escaped(reason),
            rules.collect::<Vec<_>>().join(", ")
        );
    }
    out.push_str("</ol>\n");
}

fn rules(out: &mut String) {
    out.push_str("<section id=\"rules\"><h2>Rules</h2>\n");
    for rule in ALL {
        _ = writeln!(
            out,
            "<details class=\"item\" id=\"rule-{0}\"><summary><b>{0}</b> <span class=\"dim\">{1}</span></summary><pre>{2}</pre></details>",
            rule.id,
            escaped(rule.purpose),
            lines(&page::of_rule(rule))
        );
    }
    out.push_str("</section>\n");
}

/// A phrase of ours, with code in backticks.
fn text(phrase: &str) -> String {
    let parts = phrase.split('`').enumerate();
    match phrase.matches('`').count() % 2 {
        0 => parts
            .map(|(at, part)| if at % 2 == 0 { escaped(part) } else { format!("<code>{}</code>", escaped(part)) })
            .collect(),
        _ => escaped(phrase),
    }
}

/// Lines that stay lines.
fn lines(text: &str) -> String {
    text.lines().map(|line| escaped(line) + "\n").collect()
}
