//! One JSON document.

pub(crate) mod layouts;
pub(crate) mod locks;

use crate::error::Error;

pub(crate) fn to_json(document: &impl serde::Serialize) -> Result<String, Error> {
    let text = serde_json::to_string(document).map_err(|error| Error::new("could not write JSON").because(error))?;
    Ok(text + "\n")
}
