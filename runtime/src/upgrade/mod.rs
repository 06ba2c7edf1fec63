//! From one generation to the next: begin, plan, stage, commit; and back again.

mod adopt;
pub(crate) mod begin;
mod changeover;
mod commit;
pub(crate) mod confirm;
mod counterpart;
mod create;
mod discard;
pub(crate) mod hooks;
pub(crate) mod inputs;
mod interrupted;
mod links;
mod look_back;
mod missing;
mod places;
mod probe;
mod prometheus;
mod reached;
mod recover;
pub(crate) mod recovery;
pub(crate) mod report;
pub(crate) mod rollback;
mod settle;
mod shown;
pub(crate) mod stage;
pub(crate) mod taken_back;
pub(crate) mod way_out;
