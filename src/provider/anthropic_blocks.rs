//! Content blocks in Anthropic's wire format, and where `cache_control` stands among them.

use crate::wire::json::{self, JsonText};

use super::put::{name, quoted};

/// An array of content blocks.
#[derive(Debug)]
pub(super) struct Blocks<'o> {
    pub(super) out: &'o mut Vec<u8>,
    /// None has been written.
    first: bool,
    /// The last block is one of this turn, and has no `cache_control`, but may have one.
    bare: bool,
}

impl<'o> Blocks<'o> {
    /// The inside of an array that has been opened.
    pub(super) fn new(out: &'o mut Vec<u8>) -> Self {
        Self { out, first: true, bare: false }
    }

    /// Has none been written?
    pub(super) fn is_empty(&self) -> bool {
        self.first
    }

    /// The array of another message has been opened.
    pub(super) fn begin_message(&mut self) {
        self.first = true;
    }

    /// What follows belongs to another turn.
    pub(super) fn begin_turn(&mut self) {
        self.bare = false;
    }

    /// Begins a block.
    pub(super) fn begin(&mut self, kind: &str) {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
        self.out.extend_from_slice(b"{\"type\":");
        json::push_string(self.out, kind);
    }

    /// Ends it, with the `cache_control` that the client gave it.
    pub(super) fn end(&mut self, cache: Option<&str>) {
        if let Some(cache) = cache {
            name(b"cache_control", self.out);
            self.out.extend_from_slice(cache.as_bytes());
        }
        self.out.push(b'}');
        self.bare = cache.is_none();
    }

    /// A block that the vendor made itself, as it is.
    pub(super) fn ready(&mut self, block: &str) {
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
        self.bare = false;
        self.out.extend_from_slice(block.as_bytes());
    }

    /// A text.
    pub(super) fn text(&mut self, text: JsonText<'_>, cache: Option<&str>) {
        self.begin("text");
        name(b"text", self.out);
        quoted(text, self.out);
        self.end(cache);
    }

    /// The `cache_control` of a whole turn belongs to the turn's last block.
    pub(super) fn mark(&mut self, cache: Option<&str>) {
        if let Some(cache) = cache.filter(|_| self.bare) {
            self.out.pop();
            self.end(Some(cache));
        }
    }
}
