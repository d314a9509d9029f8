//! The small change of JSON that all encoders put down.

use crate::wire::json::JsonText;

/// Appends a text with its quotes, as it was spelt.
pub(super) fn quoted(text: JsonText<'_>, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(text.raw().as_bytes());
    out.push(b'"');
}

/// Appends `"field":`, with a comma unless it is the first of its object.
pub(super) fn name(field: &[u8], out: &mut Vec<u8>) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    out.push(b'"');
    out.extend_from_slice(field);
    out.extend_from_slice(b"\":");
}
