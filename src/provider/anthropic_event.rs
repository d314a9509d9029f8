//! The members of Anthropic's events and messages, read in one pass.

use crate::chat::Usage;
use crate::wire::json::{JsonError, JsonText, Kind, Reader};

use super::error::UpstreamError;
use super::error_anthropic;

/// One event, or the whole message.
#[derive(Debug, Default)]
pub(super) struct Said<'b> {
    pub(super) kind: Option<JsonText<'b>>,
    /// The block that it is about.
    pub(super) index: u64,
    pub(super) block: Block<'b>,
    pub(super) delta: Delta<'b>,
    pub(super) message: Message<'b>,
}

/// A message, which may only be beginning.
#[derive(Debug, Default)]
pub(super) struct Message<'b> {
    pub(super) id: Option<JsonText<'b>>,
    pub(super) model: Option<JsonText<'b>>,
    /// Blocks, an array.
    pub(super) content: Option<&'b str>,
    pub(super) ending: Ending<'b>,
}

/// Why a message ends.
#[derive(Debug, Default)]
pub(super) struct Ending<'b> {
    pub(super) reason: Option<JsonText<'b>>,
    pub(super) sequence: Option<JsonText<'b>>,
    pub(super) explanation: Option<JsonText<'b>>,
}

/// One block of a message, or its beginning.
#[derive(Debug, Default)]
pub(super) struct Block<'b> {
    pub(super) kind: Option<JsonText<'b>>,
    pub(super) id: Option<JsonText<'b>>,
    pub(super) name: Option<JsonText<'b>>,
    pub(super) text: Option<JsonText<'b>>,
    pub(super) thinking: Option<JsonText<'b>>,
    pub(super) signature: Option<JsonText<'b>>,
    pub(super) data: Option<JsonText<'b>>,
    /// An object.
    pub(super) input: Option<&'b str>,
}

/// More of a block, or the end of the message.
#[derive(Debug, Default)]
pub(super) struct Delta<'b> {
    pub(super) kind: Option<JsonText<'b>>,
    pub(super) text: Option<JsonText<'b>>,
    pub(super) thinking: Option<JsonText<'b>>,
    pub(super) signature: Option<JsonText<'b>>,
    pub(super) partial_json: Option<JsonText<'b>>,
    pub(super) ending: Ending<'b>,
}

/// Anthropic's counts, of which the last of each stands.
#[derive(Debug, Default)]
pub(super) struct Counts {
    any: bool,
    input: u64,
    /// In sum, and by how long it is kept.
    cache_write: Option<u64>,
    cache_writes: u64,
    cache_writes_1h: u64,
    cache_read: u64,
    output: u64,
    thinking: u64,
    tier: Option<&'static str>,
    /// Was it served in fast mode?
    fast: bool,
}

impl<'b> Said<'b> {
    /// Reads an event; an error is one.
    pub(super) fn read(
        reader: &mut Reader<'b>,
        counts: &mut Counts,
    ) -> Result<Self, UpstreamError> {
        let mut said = Self::default();
        reader.object(|reader, key| {
            match (key.raw(), reader.kind()?) {
                ("type", Kind::String) => said.kind = Some(reader.string()?),
                ("index", Kind::Number) => said.index = reader.unsigned()?,
                ("delta", Kind::Object) => said.delta = Delta::read(reader)?,
                ("content_block", Kind::Object) => said.block = Block::read(reader)?,
                ("message", Kind::Object) => {
                    let message = &mut said.message;
                    reader.object(|reader, key| message.member(reader, key, counts))?;
                }
                ("error", Kind::Object | Kind::String) => {
                    return Err(error_anthropic::in_answer(reader)?);
                }
                _ => said.message.member(reader, key, counts)?,
            }
            Ok(())
        })?;
        Ok(said)
    }
}

impl<'b> Message<'b> {
    fn member(
        &mut self,
        reader: &mut Reader<'b>,
        key: JsonText<'b>,
        counts: &mut Counts,
    ) -> Result<(), JsonError> {
        match (key.raw(), reader.kind()?) {
            ("id", Kind::String) => self.id = Some(reader.string()?),
            ("model", Kind::String) => self.model = Some(reader.string()?),
            ("content", Kind::Array) => self.content = Some(reader.raw()?),
            ("usage", Kind::Object) => counts.read(reader)?,
            _ => self.ending.member(reader, key)?,
        }
        Ok(())
    }
}

impl<'b> Ending<'b> {
    fn member(&mut self, reader: &mut Reader<'b>, key: JsonText<'b>) -> Result<(), JsonError> {
        match (key.raw(), reader.kind()?) {
            ("stop_reason", Kind::String) => self.reason = Some(reader.string()?),
            ("stop_sequence", Kind::String) => self.sequence = Some(reader.string()?),
            ("stop_details", Kind::Object) => reader.object(|reader, key| {
                if key.raw() == "explanation" && reader.kind()? == Kind::String {
                    self.explanation = Some(reader.string()?);
                    return Ok(());
                }
                reader.skip()
            })?,
            _ => reader.skip()?,
        }
        Ok(())
    }
}

impl<'b> Block<'b> {
    pub(super) fn read(reader: &mut Reader<'b>) -> Result<Self, JsonError> {
        let mut block = Self::default();
        reader.object(|reader, key| {
            let place = match (key.raw(), reader.kind()?) {
                ("type", Kind::String) => &mut block.kind,
                ("id", Kind::String) => &mut block.id,
                ("name", Kind::String) => &mut block.name,
                ("text", Kind::String) => &mut block.text,
                ("thinking", Kind::String) => &mut block.thinking,
                ("signature", Kind::String) => &mut block.signature,
                ("data", Kind::String) => &mut block.data,
                ("input", Kind::Object) => {
                    block.input = Some(reader.raw()?);
                    return Ok(());
                }
                _ => return reader.skip(),
            };
            *place = Some(reader.string()?);
            Ok(())
        })?;
        Ok(block)
    }
}

impl<'b> Delta<'b> {
    fn read(reader: &mut Reader<'b>) -> Result<Self, JsonError> {
        let mut delta = Self::default();
        reader.object(|reader, key| {
            let place = match (key.raw(), reader.kind()?) {
                ("type", Kind::String) => &mut delta.kind,
                ("text", Kind::String) => &mut delta.text,
                ("thinking", Kind::String) => &mut delta.thinking,
                ("signature", Kind::String) => &mut delta.signature,
                ("partial_json", Kind::String) => &mut delta.partial_json,
                _ => return delta.ending.member(reader, key),
            };
            *place = Some(reader.string()?);
            Ok(())
        })?;
        Ok(delta)
    }
}

impl Counts {
    /// Counts are cumulative: what is there replaces, what is not there stays.
    fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), JsonError> {
        reader.object(|reader, key| {
            match (key.raw(), reader.kind()?) {
                (_, Kind::Null) => reader.skip()?,
                ("input_tokens", _) => self.input = self.count(reader)?,
                ("cache_creation_input_tokens", _) => self.cache_write = Some(self.count(reader)?),
                ("cache_read_input_tokens", _) => self.cache_read = self.count(reader)?,
                ("output_tokens", _) => self.output = self.count(reader)?,
                ("cache_creation", Kind::Object) => {
                    self.cache_writes = sum(&mut reader.clone(), |_| true)?;
                    self.cache_writes_1h = sum(reader, |name| name == "ephemeral_1h_input_tokens")?;
                }
                ("output_tokens_details", Kind::Object) => {
                    self.thinking = sum(reader, |name| name == "thinking_tokens")?;
                }
                ("service_tier", Kind::String) => {
                    self.tier = tier_of(reader.string()?.raw()).or(self.tier);
                }
                ("speed", Kind::String) => self.fast = reader.string()?.raw() == "fast",
                _ => reader.skip()?,
            }
            Ok(())
        })
    }

    fn count(&mut self, reader: &mut Reader<'_>) -> Result<u64, JsonError> {
        self.any = true;
        reader.unsigned()
    }

    /// In OpenAI's sense: what is read from a cache and what is written to it are parts of the
    /// prompt, which Anthropic counts beside it.
    pub(super) fn usage(&self) -> Option<Usage> {
        let cache_write = self.cache_write.unwrap_or(self.cache_writes);
        self.any.then(|| Usage {
            prompt: self.input.saturating_add(cache_write).saturating_add(self.cache_read),
            completion: self.output,
            cached: self.cache_read,
            cache_write,
            cache_write_1h: self.cache_writes_1h.min(cache_write),
            reasoning: self.thinking,
            ..Usage::default()
        })
    }

    /// How urgently the request was served, in OpenAI's words.
    pub(super) fn tier(&self) -> Option<&'static str> {
        if self.fast { Some("fast") } else { self.tier }
    }
}

fn tier_of(tier: &str) -> Option<&'static str> {
    match tier {
        "standard" => Some("default"),
        "priority" => Some("priority"),
        _ => None,
    }
}

/// The sum of those numbers of an object whose names are wanted.
fn sum(reader: &mut Reader<'_>, wanted: impl Fn(&str) -> bool) -> Result<u64, JsonError> {
    let mut sum: u64 = 0;
    reader.object(|reader, key| {
        if wanted(key.raw()) && reader.kind()? == Kind::Number {
            sum = sum.saturating_add(reader.unsigned()?);
            return Ok(());
        }
        reader.skip()
    })?;
    Ok(sum)
}
