//! What a vendor has no place for.

use std::borrow::Cow;

/// Names of request fields that a vendor cannot take, for `x-vertex-bridge-dropped`.
#[derive(Clone, Debug, Default)]
pub struct Dropped<'r> {
    names: Vec<Cow<'r, str>>,
}

impl<'r> Dropped<'r> {
    /// Notes one field.
    pub fn push(&mut self, name: Cow<'r, str>) {
        self.names.push(name);
    }

    /// Was anything left out?
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The names, as the client wrote them.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(AsRef::as_ref)
    }

    /// Appends the names, separated by commas, safe for a header and at most 1 KiB.
    pub fn render(&self, out: &mut Vec<u8>) {
        let start = out.len();
        for (index, name) in self.names.iter().enumerate() {
            if out.len() - start > 1000 {
                out.extend_from_slice(b", ...");
                return;
            }
            if index > 0 {
                out.extend_from_slice(b", ");
            }
            // A client chooses its field names; only harmless characters go into a header.
            let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-[]".contains(&byte);
            let bytes = name.bytes().take(100);
            out.extend(bytes.map(|byte| if safe(byte) { byte } else { b'?' }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dropped_names_are_safe_in_a_header() {
        let mut dropped = Dropped::default();
        dropped.push("user".into());
        dropped.push("a\r\nb: c".into());
        let mut out = Vec::new();
        dropped.render(&mut out);
        assert_eq!(out, b"user, a??b??c");
    }
}
