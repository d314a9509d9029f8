//! What `POST /v1/messages` takes, field by field; any other name is refused.
//!
//! <https://docs.claude.com/en/api/messages>

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Request<'r> {
    #[serde(borrow)]
    pub(super) model: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) messages: Option<Vec<Message<'r>>>,
    pub(super) max_tokens: Option<u32>,
    pub(super) stream: Option<bool>,
    #[serde(borrow)]
    pub(super) system: Option<Content<'r>>,
    pub(super) temperature: Option<f64>,
    pub(super) top_p: Option<f64>,
    pub(super) top_k: Option<u32>,
    #[serde(borrow)]
    pub(super) stop_sequences: Option<Vec<Cow<'r, str>>>,
    #[serde(borrow)]
    pub(super) metadata: Option<Metadata<'r>>,
    #[serde(borrow)]
    pub(super) tools: Option<Vec<Tool<'r>>>,
    #[serde(borrow)]
    pub(super) tool_choice: Option<ToolChoice<'r>>,
    #[serde(borrow)]
    pub(super) thinking: Option<Thinking<'r>>,
    #[serde(borrow)]
    pub(super) output_config: Option<OutputConfig<'r>>,
    #[serde(borrow)]
    pub(super) service_tier: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) cache_control: Option<CacheControl<'r>>,
    #[serde(rename = "container")]
    _container: Option<IgnoredAny>,
    #[serde(rename = "inference_geo")]
    _inference_geo: Option<IgnoredAny>,
    #[serde(rename = "speed")]
    _speed: Option<IgnoredAny>,
    #[serde(rename = "diagnostics")]
    _diagnostics: Option<IgnoredAny>,
    /// Only on Vertex, where it stands in for the header.
    #[serde(borrow)]
    pub(super) anthropic_version: Option<Cow<'r, str>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Message<'r> {
    #[serde(borrow)]
    pub(super) role: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) content: Option<Content<'r>>,
}

impl<'r> Message<'r> {
    pub(super) fn is_assistant(&self) -> bool {
        self.role.as_deref() == Some("assistant")
    }

    /// The blocks; none when the content is a plain text.
    pub(super) fn blocks(&self) -> &[Block<'r>] {
        self.content.as_ref().map(Content::blocks).unwrap_or_default()
    }

    /// Does it say anything itself, beside results of tools?
    pub(super) fn has_text(&self) -> bool {
        match &self.content {
            Some(Content::Text(_)) => true,
            Some(Content::Blocks(blocks)) => blocks.iter().any(|block| block.is("text")),
            None => false,
        }
    }
}

/// A text, or blocks.
pub(super) enum Content<'r> {
    Text(Cow<'r, str>),
    Blocks(Vec<Block<'r>>),
}

impl<'r> Content<'r> {
    pub(super) fn blocks(&self) -> &[Block<'r>] {
        if let Self::Blocks(blocks) = self { blocks } else { &[] }
    }
}

impl<'de: 'r, 'r> Deserialize<'de> for Content<'r> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Content<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Content::Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Content::Text(Cow::Owned(text.to_owned())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut blocks = Vec::new();
                while let Some(block) = list.next_element()? {
                    blocks.push(block);
                }
                Ok(Content::Blocks(blocks))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// A block of any type; [`Block::strange`] finds what its own type does not have.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Block<'r> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) text: Option<Cow<'r, str>>,
    citations: Option<IgnoredAny>,
    #[serde(borrow)]
    pub(super) cache_control: Option<CacheControl<'r>>,
    #[serde(borrow)]
    pub(super) source: Option<Source<'r>>,
    title: Option<IgnoredAny>,
    context: Option<IgnoredAny>,
    #[serde(borrow)]
    pub(super) id: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) name: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) input: Option<&'r RawValue>,
    caller: Option<IgnoredAny>,
    toolset_name: Option<IgnoredAny>,
    #[serde(borrow)]
    pub(super) tool_use_id: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) content: Option<Content<'r>>,
    is_error: Option<bool>,
    #[serde(borrow)]
    pub(super) thinking: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) signature: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) data: Option<Cow<'r, str>>,
}

impl Block<'_> {
    pub(super) fn is(&self, kind: &str) -> bool {
        self.kind.as_deref() == Some(kind)
    }

    pub(super) fn is_thinking(&self) -> bool {
        self.is("thinking") || self.is("redacted_thinking")
    }

    /// What a block of this type may have; none for a type that there is not.
    pub(super) fn known(&self) -> Option<&'static [&'static str]> {
        Some(match self.kind.as_deref()? {
            "text" => &["text", "citations", "cache_control"],
            "image" => &["source", "cache_control"],
            "document" => &["source", "title", "context", "citations", "cache_control"],
            "tool_use" => &["id", "name", "input", "cache_control", "caller", "toolset_name"],
            "tool_result" => &["tool_use_id", "content", "is_error", "cache_control"],
            "thinking" => &["thinking", "signature"],
            "redacted_thinking" => &["data"],
            _ => return None,
        })
    }

    /// A field that the block's type does not have.
    pub(super) fn strange(&self, known: &[&str]) -> Option<&'static str> {
        let given = [
            ("text", self.text.is_some()),
            ("citations", self.citations.is_some()),
            ("cache_control", self.cache_control.is_some()),
            ("source", self.source.is_some()),
            ("title", self.title.is_some()),
            ("context", self.context.is_some()),
            ("id", self.id.is_some()),
            ("name", self.name.is_some()),
            ("input", self.input.is_some()),
            ("caller", self.caller.is_some()),
            ("toolset_name", self.toolset_name.is_some()),
            ("tool_use_id", self.tool_use_id.is_some()),
            ("content", self.content.is_some()),
            ("is_error", self.is_error.is_some()),
            ("thinking", self.thinking.is_some()),
            ("signature", self.signature.is_some()),
            ("data", self.data.is_some()),
        ];
        let strange = |(name, given): &&(&str, bool)| *given && !known.contains(name);
        given.iter().find(strange).map(|(name, _)| *name)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Source<'r> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) media_type: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) data: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) url: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) file_id: Option<Cow<'r, str>>,
    #[serde(rename = "content")]
    _content: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CacheControl<'r> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) ttl: Option<Cow<'r, str>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Metadata<'r> {
    #[serde(borrow)]
    pub(super) user_id: Option<Cow<'r, str>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tool<'r> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) name: Option<Cow<'r, str>>,
    #[serde(borrow, rename = "description")]
    _description: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) input_schema: Option<&'r RawValue>,
    #[serde(borrow)]
    pub(super) cache_control: Option<CacheControl<'r>>,
    pub(super) strict: Option<bool>,
    #[serde(rename = "eager_input_streaming")]
    _eager_input_streaming: Option<bool>,
    #[serde(rename = "defer_loading")]
    _defer_loading: Option<bool>,
    #[serde(rename = "allowed_callers")]
    _allowed_callers: Option<Vec<IgnoredAny>>,
    #[serde(rename = "input_examples")]
    _input_examples: Option<Vec<IgnoredAny>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ToolChoice<'r> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) name: Option<Cow<'r, str>>,
    pub(super) disable_parallel_tool_use: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Thinking<'r> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Option<Cow<'r, str>>,
    pub(super) budget_tokens: Option<u32>,
    #[serde(borrow, rename = "display")]
    pub(super) display: Option<Cow<'r, str>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OutputConfig<'r> {
    #[serde(borrow)]
    pub(super) effort: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) format: Option<Format<'r>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Format<'r> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) schema: Option<&'r RawValue>,
}
