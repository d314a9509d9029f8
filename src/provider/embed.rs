//! OpenAI's embeddings at Google: `batchEmbedContents` on AI Studio
//! (<https://ai.google.dev/api/embeddings>), `predict` on Vertex AI
//! (<https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api>).

use std::borrow::Cow;

use crate::base::ascii;
use crate::chat::embeddings::Embeddings;
use crate::chat::problem::{ChatError, Problem};
use crate::wire::json::{self, JsonError, Kind, Reader};

use super::dropped::Dropped;
use super::error::{UpstreamError, google_in_answer};
use super::order::{Order, Vendor};
use super::put::quoted;
use super::vendor;
use super::watch::{text, wrong_shape};

/// What an answer holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vectors<'b> {
    /// Arrays of numbers, in the order of the texts.
    pub vectors: Vec<&'b str>,
    /// Tokens of all texts, as far as the vendor counts them.
    pub tokens: u64,
}

/// Appends the request target.
///
/// # Errors
/// When the model's name cannot stand in a URL, or the vendor makes no vectors.
pub fn target(order: &Order<'_>, out: &mut Vec<u8>) -> Result<(), ChatError> {
    let method = match order.vendor {
        Vendor::Vertex => ":predict",
        Vendor::Gemini => ":batchEmbedContents",
        Vendor::Anthropic | Vendor::Claude | Vendor::OpenAi => {
            let why = "the upstream of this model has no embeddings";
            return Err(ChatError::at("model", Problem::Unsupported(why)));
        }
    };
    vendor::model(order, out)?;
    out.extend_from_slice(method.as_bytes());
    Ok(())
}

/// Appends the request body, and notes what it leaves out.
pub fn encode<'r>(
    order: &Order<'_>,
    asked: &'r Embeddings<'_>,
    out: &mut Vec<u8>,
    dropped: &mut Dropped<'r>,
) {
    for name in &asked.others {
        dropped.push(Cow::Borrowed(name.as_ref()));
    }
    let on_vertex = order.vendor == Vendor::Vertex;
    out.extend_from_slice(if on_vertex { b"{\"instances\":[" } else { b"{\"requests\":[" });
    for (index, text) in asked.texts.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        if on_vertex {
            out.extend_from_slice(b"{\"content\":");
            quoted(*text, out);
            out.push(b'}');
            continue;
        }
        out.extend_from_slice(b"{\"model\":");
        json::push_string(out, &["models/", order.model].concat());
        out.extend_from_slice(b",\"content\":{\"parts\":[{\"text\":");
        quoted(*text, out);
        out.extend_from_slice(b"}]}");
        if let Some(count) = asked.dimensions {
            out.extend_from_slice(b",\"outputDimensionality\":");
            ascii::push_u64(out, count);
        }
        out.push(b'}');
    }
    out.push(b']');
    if let Some(count) = asked.dimensions.filter(|_| on_vertex) {
        out.extend_from_slice(b",\"parameters\":{\"outputDimensionality\":");
        ascii::push_u64(out, count);
        out.push(b'}');
    }
    out.push(b'}');
}

/// Reads the answer to a request for `count` vectors, of either service.
///
/// # Errors
/// When it is not that, or the vendor's error.
pub fn read(body: &[u8], count: usize) -> Result<Vectors<'_>, UpstreamError> {
    let (mut found, mut reader) = (Vectors::default(), Reader::new(text(body)?));
    reader.object(|reader, key| {
        match (key.raw(), reader.kind()?) {
            ("embeddings", Kind::Array) => {
                reader.array(|reader, _index| found.embedding(reader))?;
            }
            ("predictions", Kind::Array) => reader.array(|reader, _index| {
                reader.object(|reader, key| match (key.raw(), reader.kind()?) {
                    ("embeddings", Kind::Object) => found.embedding(reader),
                    _ => reader.skip(),
                })
            })?,
            ("usageMetadata", Kind::Object) => {
                let tokens = &mut found.tokens;
                reader.object(|reader, key| count_of(reader, key.raw(), tokens))?;
            }
            ("error", Kind::Object) => return Err(google_in_answer(reader)?),
            _ => reader.skip()?,
        }
        Ok::<(), UpstreamError>(())
    })?;
    reader.end()?;
    if found.vectors.len() == count { Ok(found) } else { Err(wrong_shape()) }
}

impl<'b> Vectors<'b> {
    fn embedding(&mut self, reader: &mut Reader<'b>) -> Result<(), JsonError> {
        reader.object(|reader, key| match (key.raw(), reader.kind()?) {
            ("values", Kind::Array) => {
                self.vectors.push(reader.raw()?);
                Ok(())
            }
            ("statistics", Kind::Object) => {
                let tokens = &mut self.tokens;
                reader.object(|reader, key| count_of(reader, key.raw(), tokens))
            }
            _ => reader.skip(),
        })
    }
}

/// Adds a count of tokens. A vendor's oddity in it must not cost a client its answer.
fn count_of(reader: &mut Reader<'_>, name: &str, tokens: &mut u64) -> Result<(), JsonError> {
    if matches!(name, "token_count" | "promptTokenCount") && reader.kind()? == Kind::Number {
        // Vertex AI writes it as a fraction.
        let whole = reader.number()?.split('.').next().and_then(|whole| whole.parse().ok());
        *tokens = tokens.saturating_add(whole.unwrap_or(0));
        return Ok(());
    }
    reader.skip()
}

#[cfg(test)]
mod tests {
    use crate::chat::{Form, Outline};

    use super::super::error::UpstreamErrorKind;
    use super::super::order::Rules;
    use super::*;

    fn encoded(vendor: Vendor, rest: &str) -> String {
        let body = format!(r#"{{"model":"m","input":["a\n","b"]{rest}}}"#);
        let outline = Outline::parse(body.as_bytes(), &Form::EMBEDDINGS).unwrap();
        let asked = Embeddings::read(&outline).unwrap();
        let order = Order { vendor, model: "gemini-embedding-001", rules: Rules::default() };
        let mut out = Vec::new();
        let mut dropped = Dropped::default();
        encode(&order, &asked, &mut out, &mut dropped);
        assert_eq!(dropped.is_empty(), !rest.contains("user"));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn both_services_are_asked_in_their_words() {
        let item = |text: &str, more: &str| {
            format!(
                r#"{{"model":"models/gemini-embedding-001","content":{{"parts":[{{"text":"{text}"}}]}}{more}}}"#
            )
        };
        let studio =
            |more| format!("{{\"requests\":[{},{}]}}", item("a\\n", more), item("b", more));
        assert_eq!(encoded(Vendor::Gemini, ""), studio(""));
        let few = r#","dimensions":5,"user":"u""#;
        assert_eq!(encoded(Vendor::Gemini, few), studio(",\"outputDimensionality\":5"));
        let vertex = r#"{"instances":[{"content":"a\n"},{"content":"b"}]"#;
        assert_eq!(encoded(Vendor::Vertex, ""), format!("{vertex}}}"));
        let parameters = r#","parameters":{"outputDimensionality":5}}"#;
        assert_eq!(encoded(Vendor::Vertex, few), format!("{vertex}{parameters}"));
        let at = |vendor| {
            let order = Order { vendor, model: "m", rules: Rules::default() };
            let mut out = Vec::new();
            target(&order, &mut out).map(|()| String::from_utf8(out).unwrap())
        };
        assert_eq!(at(Vendor::Gemini).unwrap(), "/v1beta/models/m:batchEmbedContents");
        assert!(at(Vendor::Anthropic).is_err());
    }

    #[test]
    fn both_services_answers_are_read() {
        let studio = br#"{"embeddings":[{"values":[1, 2]},{"values":[],"x":1}],"usageMetadata":{"promptTokenCount":3}}"#;
        let told = Vectors { vectors: vec!["[1, 2]", "[]"], tokens: 3 };
        assert_eq!(read(studio, 2), Ok(told));
        let vertex = br#"{"predictions":[{"embeddings":{"statistics":{"truncated":false,"token_count":4.0},"values":[1]}},{"embeddings":{"statistics":{"token_count":5},"values":[2]}}],"metadata":{}}"#;
        let told = Vectors { vectors: vec!["[1]", "[2]"], tokens: 9 };
        assert_eq!(read(vertex, 2), Ok(told));
        for (body, count) in [(&studio[..], 1), (b"{}", 1), (b"[]", 0), (b"{", 0)] {
            let kind = read(body, count).map_err(|error| error.kind);
            assert_eq!(kind, Err(UpstreamErrorKind::Invalid));
        }
        let error = br#"{"error":{"code":503,"message":"m","status":"UNAVAILABLE"}}"#;
        let kind = read(error, 1).map_err(|error| error.kind);
        assert_eq!(kind, Err(UpstreamErrorKind::Overloaded));
    }
}
