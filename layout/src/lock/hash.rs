//! Short names for texts, made of what they say.

use std::fmt::Write as _;

use hmac_sha256::Hash;

/// The first `bytes` of a SHA-256 over `text`, in hexadecimal.
pub(super) fn of(text: &str, bytes: usize) -> String {
    let mut out = String::with_capacity(2 * bytes);
    for byte in Hash::hash(text.as_bytes()).iter().take(bytes) {
        _ = write!(out, "{byte:02x}");
    }
    out
}
