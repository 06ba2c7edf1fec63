//! `maplock fleet`: which nodes are where, by what was written there.

use std::collections::BTreeMap;

use super::args::FleetArgs;
use crate::Said;
use crate::error::Error;
use crate::fleet::{self, Node};
use crate::progress::Waiting;

/// What many nodes say.
pub(crate) struct Fleet {
    /// In the order in which they were named.
    pub(crate) nodes: Vec<Node>,
    /// What is pinned on nodes, once each, in the order of the nodes; it is named by letters.
    pub(crate) pinned: Vec<BTreeMap<String, String>>,
}

pub(super) fn run(args: &FleetArgs) -> Result<Said, Error> {
    let waiting = Waiting::over(args.files.len(), "Reading nodes");
    let nodes = args.files.iter().enumerate().flat_map(|(done, file)| {
        waiting.step(done, &file.display().to_string());
        fleet::read(file)
    });
    let fleet = Fleet::of(nodes.collect());
    drop(waiting);
    let text = args.message_format.tell(&fleet)?;
    let fails = fleet.nodes.iter().any(Node::is_held_back);
    let undone = fleet.nodes.into_iter().filter_map(|node| node.unread).collect();
    Ok(Said::new(text, fails, undone))
}

impl Fleet {
    fn of(nodes: Vec<Node>) -> Self {
        let mut pinned = Vec::new();
        for layouts in nodes.iter().filter_map(Node::layouts) {
            if !pinned.contains(&layouts) {
                pinned.push(layouts);
            }
        }
        Self { nodes, pinned }
    }

    /// The letter of what is pinned on a node.
    pub(crate) fn letter(&self, node: &Node) -> Option<String> {
        let layouts = node.layouts()?;
        self.pinned.iter().position(|pinned| *pinned == layouts).map(letter)
    }
}

/// A to Z, then A1 and so on.
pub(crate) fn letter(index: usize) -> String {
    let letter = char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"[index % 26]);
    match index / 26 {
        0 => letter.to_string(),
        more => format!("{letter}{more}"),
    }
}

impl Node {
    /// True if the upgrade that was planned would not begin, or is denied.
    pub(crate) fn is_held_back(&self) -> bool {
        self.plan.as_ref().is_some_and(|plan| plan.fails || plan.refused)
    }
}
