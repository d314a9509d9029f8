//! Carries vendors' marks across turns for clients that do not return them.

use std::borrow::Cow;

use crate::base::Tick;
use crate::chat::{Event, Request, ids, render};
use crate::provider::Vendor;
use crate::shard::{Marker, Signatures};

/// What one answer has marked so far.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// Anthropic's thinking blocks before the next call: the elements of an array.
    thoughts: Vec<u8>,
}

impl Marks {
    /// Keeps the marks that an event brings.
    pub(super) fn on_event(&mut self, event: &Event<'_>, kept: &Signatures, now: Tick) {
        match event {
            Event::Thought { text, signature, .. } => {
                self.separate();
                render::thinking_block(*text, *signature, &mut self.thoughts);
            }
            Event::Redacted { data, .. } => {
                self.separate();
                render::redacted_block(*data, &mut self.thoughts);
            }
            Event::Call { id, signature, .. } => {
                // Each API has its own prefix for ids, and the next turn may come by another.
                let id = ids::bare(id.raw());
                if let Some(signature) = signature {
                    kept.keep(Marker::Google, id, signature.raw(), now);
                }
                if !self.thoughts.is_empty() {
                    self.thoughts.push(b']');
                    let blocks = std::str::from_utf8(&self.thoughts).unwrap_or_default();
                    kept.keep(Marker::Anthropic, id, blocks, now);
                    self.thoughts.clear();
                }
            }
            _ => {}
        }
    }

    fn separate(&mut self) {
        let open = if self.thoughts.is_empty() { b'[' } else { b',' };
        self.thoughts.push(open);
    }
}

/// Puts back what the client has not returned.
pub(super) fn recall(request: &mut Request<'_>, vendor: Vendor, kept: &Signatures, now: Tick) {
    match vendor {
        Vendor::OpenAi => {}
        Vendor::Gemini | Vendor::Vertex => {
            let calls = request.turns.iter_mut().flat_map(|turn| &mut turn.calls);
            for call in calls.filter(|call| call.signature.is_none()) {
                call.signature =
                    kept.recall(Marker::Google, ids::bare(call.id.raw()), now).map(Cow::Owned);
            }
        }
        Vendor::Anthropic | Vendor::Claude => {
            for turn in request.turns.iter_mut().filter(|turn| turn.thinking.is_none()) {
                let ids = turn.calls.iter().map(|call| ids::bare(call.id.raw()));
                let blocks = ids.filter_map(|id| kept.recall(Marker::Anthropic, id, now));
                turn.thinking =
                    blocks.reduce(|first, second| joined(first, &second)).map(Cow::Owned);
            }
        }
    }
}

/// Two arrays as one.
fn joined(mut first: String, second: &str) -> String {
    first.pop();
    first.push(',');
    first.push_str(second.get(1..).unwrap_or_default());
    first
}
