//! One message of OpenAI's, or one piece of it: read whole, then told in an order that makes sense
//! in every other API.

use crate::chat::{Event, MediaKind};
use crate::wire::json::{self, JsonError, JsonText, Kind, Reader};

/// What a `message` or a `delta` holds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Message<'b> {
    content: Option<JsonText<'b>>,
    /// `content` as an array of parts, which some services send.
    parts: Option<&'b str>,
    /// `reasoning_content`, and `reasoning`, which others say; some say both.
    reasoning_content: Option<JsonText<'b>>,
    reasoning: Option<JsonText<'b>>,
    refusal: Option<JsonText<'b>>,
    audio: Option<JsonText<'b>>,
    transcript: Option<JsonText<'b>>,
    images: Option<&'b str>,
    calls: Option<&'b str>,
    logprobs: Option<&'b str>,
}

/// What one element of `tool_calls` holds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fragment<'b> {
    pub(super) index: Option<u64>,
    pub(super) id: Option<JsonText<'b>>,
    pub(super) name: Option<JsonText<'b>>,
    pub(super) arguments: Option<Arguments<'b>>,
    /// Google's mark, which its own OpenAI endpoint sends.
    pub(super) signature: Option<JsonText<'b>>,
}

/// Arguments, or a piece of them.
#[derive(Clone, Copy, Debug)]
pub(super) enum Arguments<'b> {
    /// As OpenAI has them: JSON text in a string.
    Text(JsonText<'b>),
    /// As some services have them: the object itself.
    Object(&'b str),
}

impl<'b> Message<'b> {
    /// Reads the object.
    pub(super) fn read(&mut self, reader: &mut Reader<'b>) -> Result<(), JsonError> {
        reader.object(|reader, key| {
            let place = match (key.raw(), reader.kind()?) {
                ("content", Kind::String) => &mut self.content,
                ("reasoning_content", Kind::String) => &mut self.reasoning_content,
                ("reasoning", Kind::String) => &mut self.reasoning,
                ("refusal", Kind::String) => &mut self.refusal,
                ("content", Kind::Array) => return raw(reader, &mut self.parts),
                ("images", Kind::Array) => return raw(reader, &mut self.images),
                ("tool_calls", Kind::Array) => return raw(reader, &mut self.calls),
                ("audio", Kind::Object) => return self.read_audio(reader),
                _ => return reader.skip(),
            };
            *place = Some(reader.string()?);
            Ok(())
        })
    }

    /// Reads the object `logprobs` beside it.
    pub(super) fn read_logprobs(&mut self, reader: &mut Reader<'b>) -> Result<(), JsonError> {
        reader.object(|reader, key| match (key.raw(), reader.kind()?) {
            ("content", Kind::Array) => raw(reader, &mut self.logprobs),
            _ => reader.skip(),
        })
    }

    fn read_audio(&mut self, reader: &mut Reader<'b>) -> Result<(), JsonError> {
        reader.object(|reader, key| {
            match (key.raw(), reader.kind()?) {
                ("data", Kind::String) => self.audio = Some(reader.string()?),
                ("transcript", Kind::String) => self.transcript = Some(reader.string()?),
                _ => reader.skip()?,
            }
            Ok(())
        })
    }

    /// Tells all but the calls. Is it a refusal?
    pub(super) fn tell(
        &self,
        choice: u32,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<bool, JsonError> {
        let said = |text: Option<JsonText<'b>>| text.filter(|text| !text.is_empty());
        if let Some(text) = said(self.reasoning_content).or_else(|| said(self.reasoning)) {
            sink(Event::Reasoning { choice, text });
        }
        // An empty text begins an answer, too.
        if let Some(text) = self.content {
            sink(Event::Text { choice, text });
        }
        if let Some(parts) = self.parts {
            tell_parts(parts, choice, sink)?;
        }
        // The words of a recording are all that a client without ears gets.
        if let Some(text) = said(self.transcript) {
            sink(Event::Text { choice, text });
        }
        let refusal = said(self.refusal);
        if let Some(text) = refusal {
            sink(Event::Refusal { choice, text });
        }
        if let Some(images) = self.images {
            tell_images(images, choice, sink)?;
        }
        if let Some(data) = said(self.audio) {
            let mime = JsonText::plain("audio/wav");
            sink(Event::Media { choice, kind: MediaKind::Audio, mime, data });
        }
        let content = self.logprobs.and_then(|list| list.strip_prefix('[')?.strip_suffix(']'));
        if let Some(spelt) = content.map(str::trim).filter(|content| !content.is_empty()) {
            // A line end in it would end the line of the event that it goes into.
            let mut compact = Vec::new();
            if spelt.contains(['\n', '\r']) {
                json::push_compact(&mut compact, spelt);
            }
            let compact = std::str::from_utf8(&compact).ok().filter(|text| !text.is_empty());
            sink(Event::Logprobs { choice, content: compact.unwrap_or(spelt) });
        }
        Ok(refusal.is_some())
    }

    /// Gives each call, or what came of it.
    pub(super) fn each_call<E: From<JsonError>>(
        &self,
        mut take: impl FnMut(Fragment<'b>) -> Result<(), E>,
    ) -> Result<(), E> {
        let Some(calls) = self.calls else { return Ok(()) };
        Reader::new(calls).array(|reader, _place| {
            let mut fragment = Fragment::default();
            reader.object(|reader, key| fragment.member(reader, key.raw()))?;
            take(fragment)
        })
    }
}

impl<'b> Fragment<'b> {
    fn member(&mut self, reader: &mut Reader<'b>, name: &str) -> Result<(), JsonError> {
        match (name, reader.kind()?) {
            ("index", Kind::Number) => self.index = reader.number()?.parse().ok(),
            ("id", Kind::String) => self.id = Some(reader.string()?).filter(|id| !id.is_empty()),
            ("function", Kind::Object) => reader.object(|reader, key| {
                match (key.raw(), reader.kind()?) {
                    ("name", Kind::String) => {
                        self.name = Some(reader.string()?).filter(|name| !name.is_empty());
                    }
                    ("arguments", Kind::String) => {
                        self.arguments = Some(Arguments::Text(reader.string()?));
                    }
                    ("arguments", Kind::Object) => {
                        self.arguments = Some(Arguments::Object(reader.raw()?));
                    }
                    _ => reader.skip()?,
                }
                Ok::<(), JsonError>(())
            })?,
            ("extra_content", Kind::Object) => self.signature = google_signature(reader)?,
            _ => reader.skip()?,
        }
        Ok(())
    }
}

/// `google.thought_signature` of an `extra_content`.
fn google_signature<'b>(reader: &mut Reader<'b>) -> Result<Option<JsonText<'b>>, JsonError> {
    let mut found = None;
    reader.object(|reader, key| match (key.raw(), reader.kind()?) {
        ("google" | "vertex", Kind::Object) => reader.object(|reader, key| {
            match (key.raw(), reader.kind()?) {
                ("thought_signature", Kind::String) => found = Some(reader.string()?),
                _ => reader.skip()?,
            }
            Ok(())
        }),
        _ => reader.skip(),
    })?;
    Ok(found)
}

fn raw<'b>(reader: &mut Reader<'b>, place: &mut Option<&'b str>) -> Result<(), JsonError> {
    *place = Some(reader.raw()?);
    Ok(())
}

/// Tells the texts among parts.
fn tell_parts(parts: &str, choice: u32, sink: &mut impl FnMut(Event<'_>)) -> Result<(), JsonError> {
    Reader::new(parts).array(|reader, _place| {
        if reader.kind()? != Kind::Object {
            return reader.skip();
        }
        reader.object(|reader, key| match (key.raw(), reader.kind()?) {
            ("text", Kind::String) => {
                sink(Event::Text { choice, text: reader.string()? });
                Ok(())
            }
            // Mistral's reasoning.
            ("thinking", Kind::Array) => reader.array(|reader, _place| {
                reader.object(|reader, key| match (key.raw(), reader.kind()?) {
                    ("text", Kind::String) => {
                        sink(Event::Reasoning { choice, text: reader.string()? });
                        Ok(())
                    }
                    _ => reader.skip(),
                })
            }),
            _ => reader.skip(),
        })
    })
}

/// Tells images in `OpenRouter`'s form: `{type, image_url:{url: data URL}}`.
fn tell_images(
    images: &str,
    choice: u32,
    sink: &mut impl FnMut(Event<'_>),
) -> Result<(), JsonError> {
    Reader::new(images).array(|reader, _place| {
        if reader.kind()? != Kind::Object {
            return reader.skip();
        }
        let mut url = None;
        reader.object(|reader, key| match (key.raw(), reader.kind()?) {
            ("image_url", Kind::Object) => reader.object(|reader, key| {
                match (key.raw(), reader.kind()?) {
                    ("url", Kind::String) => url = Some(reader.string()?),
                    _ => reader.skip()?,
                }
                Ok(())
            }),
            _ => reader.skip(),
        })?;
        let at = url.and_then(|url: JsonText<'_>| url.raw().find(";base64,"));
        if let (Some(url), Some(at)) = (url, at)
            && url.raw().starts_with("data:")
        {
            let mime = url.head(at).tail("data:".len());
            let data = url.tail(at + ";base64,".len());
            sink(Event::Media { choice, kind: MediaKind::Image, mime, data });
        }
        Ok::<(), JsonError>(())
    })
}
