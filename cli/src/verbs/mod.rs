//! A file for each verb: from arguments to outcomes.

pub(crate) mod accept;
mod add;
mod base;
pub(crate) mod check;
pub(crate) mod diff;
mod disagree;
pub(crate) mod explain;
pub(crate) mod init;
pub(crate) mod inspect;
pub(crate) mod layout;
pub(crate) mod manual;
pub(crate) mod matrix;
pub(crate) mod merge_driver;
pub(crate) mod migrate;
mod new_meaning;
pub(crate) mod on_nodes;
pub(crate) mod report;
pub(crate) mod review;
pub(crate) mod rules;
pub(crate) mod schema;
pub(crate) mod update;
