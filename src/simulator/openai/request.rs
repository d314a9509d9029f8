//! What `POST /v1/chat/completions` takes, field by field; any other name is refused.
//!
//! <https://platform.openai.com/docs/api-reference/chat/create>

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
    pub(super) stream: Option<bool>,
    pub(super) stream_options: Option<StreamOptions>,
    pub(super) max_tokens: Option<u32>,
    pub(super) max_completion_tokens: Option<u32>,
    pub(super) temperature: Option<f64>,
    pub(super) top_p: Option<f64>,
    pub(super) n: Option<u32>,
    #[serde(borrow)]
    pub(super) stop: Option<&'r RawValue>,
    #[serde(rename = "seed")]
    _seed: Option<i64>,
    pub(super) presence_penalty: Option<f64>,
    pub(super) frequency_penalty: Option<f64>,
    pub(super) logprobs: Option<bool>,
    pub(super) top_logprobs: Option<u32>,
    #[serde(rename = "logit_bias")]
    _logit_bias: Option<IgnoredAny>,
    #[serde(rename = "user")]
    _user: Option<String>,
    #[serde(borrow)]
    pub(super) tools: Option<Vec<Tool<'r>>>,
    #[serde(borrow)]
    pub(super) tool_choice: Option<&'r RawValue>,
    pub(super) parallel_tool_calls: Option<bool>,
    #[serde(borrow)]
    pub(super) response_format: Option<ResponseFormat<'r>>,
    #[serde(borrow)]
    pub(super) reasoning_effort: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) service_tier: Option<Cow<'r, str>>,
    #[serde(rename = "metadata")]
    _metadata: Option<IgnoredAny>,
    #[serde(rename = "store")]
    _store: Option<bool>,
    #[serde(rename = "modalities")]
    _modalities: Option<Vec<IgnoredAny>>,
    #[serde(rename = "audio")]
    _audio: Option<IgnoredAny>,
    #[serde(rename = "prediction")]
    _prediction: Option<IgnoredAny>,
    #[serde(rename = "prompt_cache_key")]
    _prompt_cache_key: Option<IgnoredAny>,
    #[serde(rename = "prompt_cache_retention")]
    _prompt_cache_retention: Option<IgnoredAny>,
    #[serde(rename = "safety_identifier")]
    _safety_identifier: Option<IgnoredAny>,
    #[serde(rename = "verbosity")]
    _verbosity: Option<IgnoredAny>,
    #[serde(rename = "web_search_options")]
    _web_search_options: Option<IgnoredAny>,
    #[serde(rename = "moderation")]
    _moderation: Option<IgnoredAny>,
    #[serde(rename = "prompt_cache_options")]
    _prompt_cache_options: Option<IgnoredAny>,
    #[serde(rename = "functions")]
    _functions: Option<IgnoredAny>,
    #[serde(rename = "function_call")]
    _function_call: Option<IgnoredAny>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StreamOptions {
    pub(super) include_usage: Option<bool>,
    #[serde(rename = "include_obfuscation")]
    _include_obfuscation: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Message<'r> {
    #[serde(borrow)]
    pub(super) role: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) content: Option<Content<'r>>,
    #[serde(borrow)]
    pub(super) tool_calls: Option<Vec<ToolCall<'r>>>,
    #[serde(borrow)]
    pub(super) tool_call_id: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) refusal: Option<Cow<'r, str>>,
    #[serde(rename = "name")]
    _name: Option<IgnoredAny>,
    pub(super) function_call: Option<IgnoredAny>,
    pub(super) audio: Option<IgnoredAny>,
    #[serde(rename = "annotations")]
    _annotations: Option<IgnoredAny>,
}

impl<'r> Message<'r> {
    pub(super) fn is(&self, role: &str) -> bool {
        self.role.as_deref() == Some(role)
    }

    pub(super) fn calls(&self) -> &[ToolCall<'r>] {
        self.tool_calls.as_deref().unwrap_or_default()
    }
}

/// A text, or parts.
pub(super) enum Content<'r> {
    Text(Cow<'r, str>),
    Parts(Vec<Part<'r>>),
}

impl Content<'_> {
    /// All text in it.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Text(text) => text.to_string(),
            Self::Parts(parts) => parts.iter().filter_map(|part| part.text.as_deref()).collect(),
        }
    }
}

impl<'de: 'r, 'r> Deserialize<'de> for Content<'r> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Content<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Content::Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Content::Text(Cow::Owned(text.to_owned())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut parts = Vec::new();
                while let Some(part) = list.next_element()? {
                    parts.push(part);
                }
                Ok(Content::Parts(parts))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Part<'r> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) text: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) image_url: Option<ImageUrl<'r>>,
    #[serde(borrow)]
    pub(super) input_audio: Option<InputAudio<'r>>,
    #[serde(borrow)]
    pub(super) file: Option<File<'r>>,
    #[serde(borrow)]
    pub(super) refusal: Option<Cow<'r, str>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ImageUrl<'r> {
    #[serde(borrow)]
    pub(super) url: Option<Cow<'r, str>>,
    #[serde(rename = "detail")]
    _detail: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InputAudio<'r> {
    #[serde(borrow)]
    pub(super) data: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) format: Option<Cow<'r, str>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File<'r> {
    #[serde(borrow)]
    pub(super) file_data: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) file_id: Option<Cow<'r, str>>,
    #[serde(rename = "filename")]
    _filename: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ToolCall<'r> {
    #[serde(borrow)]
    pub(super) id: Option<Cow<'r, str>>,
    #[serde(borrow, rename = "type")]
    pub(super) kind: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) function: Option<CalledFunction<'r>>,
    #[serde(rename = "custom")]
    _custom: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CalledFunction<'r> {
    #[serde(borrow)]
    pub(super) name: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) arguments: Option<Cow<'r, str>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tool<'r> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) function: Option<Function<'r>>,
    #[serde(rename = "custom")]
    _custom: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Function<'r> {
    #[serde(borrow)]
    pub(super) name: Option<Cow<'r, str>>,
    #[serde(borrow, rename = "description")]
    _description: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) parameters: Option<&'r RawValue>,
    pub(super) strict: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ResponseFormat<'r> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) json_schema: Option<JsonSchema<'r>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JsonSchema<'r> {
    #[serde(borrow)]
    pub(super) name: Option<Cow<'r, str>>,
    #[serde(borrow, rename = "description")]
    _description: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) schema: Option<&'r RawValue>,
    pub(super) strict: Option<bool>,
}
