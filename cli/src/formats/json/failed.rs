//! What could not be done.

use serde::Serialize;

use super::to_json;
use crate::error::Error;
use crate::undone::Failure;

#[derive(Serialize)]
struct Document<'a> {
    result: &'static str,
    summary: String,
    fails: bool,
    error: ErrorJson<'a>,
}

#[derive(Serialize)]
pub(crate) struct ErrorJson<'a> {
    what: &'a str,
    cause: Option<String>,
    help: &'a [String],
}

pub(super) fn render(failure: &Failure<'_>) -> Result<String, Error> {
    let Failure { undone, error } = failure;
    let summary = format!("{}: {error}", undone.words());
    to_json(&Document { result: undone.result(), summary, fails: true, error: self::error(error) })
}

pub(crate) fn error(error: &Error) -> ErrorJson<'_> {
    ErrorJson { what: &error.what, cause: error.cause(), help: &error.help }
}
