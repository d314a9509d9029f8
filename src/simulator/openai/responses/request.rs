//! What a request takes, field by field; any other name is refused.

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
    pub(super) input: Option<Input<'r>>,
    #[serde(borrow)]
    pub(super) instructions: Option<Cow<'r, str>>,
    pub(super) stream: Option<bool>,
    #[serde(rename = "stream_options")]
    _stream_options: Option<IgnoredAny>,
    pub(super) max_output_tokens: Option<u32>,
    pub(super) temperature: Option<f64>,
    pub(super) top_p: Option<f64>,
    pub(super) top_logprobs: Option<u32>,
    #[serde(borrow)]
    pub(super) tools: Option<Vec<Tool<'r>>>,
    #[serde(borrow)]
    pub(super) tool_choice: Option<&'r RawValue>,
    pub(super) parallel_tool_calls: Option<bool>,
    #[serde(borrow)]
    pub(super) text: Option<Text<'r>>,
    #[serde(borrow)]
    pub(super) reasoning: Option<Reasoning<'r>>,
    #[serde(borrow)]
    pub(super) include: Option<Vec<Cow<'r, str>>>,
    #[serde(borrow)]
    pub(super) previous_response_id: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) service_tier: Option<Cow<'r, str>>,
    pub(super) store: Option<bool>,
    #[serde(borrow)]
    pub(super) metadata: Option<&'r RawValue>,
    #[serde(rename = "background")]
    _background: Option<bool>,
    #[serde(rename = "conversation")]
    _conversation: Option<IgnoredAny>,
    #[serde(rename = "context_management")]
    _context_management: Option<IgnoredAny>,
    #[serde(rename = "max_tool_calls")]
    _max_tool_calls: Option<u32>,
    #[serde(rename = "moderation")]
    _moderation: Option<IgnoredAny>,
    #[serde(rename = "prompt")]
    _prompt: Option<IgnoredAny>,
    #[serde(rename = "prompt_cache_key")]
    _prompt_cache_key: Option<IgnoredAny>,
    #[serde(rename = "prompt_cache_options")]
    _prompt_cache_options: Option<IgnoredAny>,
    #[serde(rename = "prompt_cache_retention")]
    _prompt_cache_retention: Option<IgnoredAny>,
    #[serde(rename = "safety_identifier")]
    _safety_identifier: Option<IgnoredAny>,
    #[serde(rename = "truncation")]
    _truncation: Option<IgnoredAny>,
    #[serde(rename = "user")]
    _user: Option<IgnoredAny>,
}

/// A text, or items.
pub(super) enum Input<'r> {
    Text,
    Items(Vec<Item<'r>>),
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

/// A string or a list, which is all that these two differ in from each other.
struct Either<T>(std::marker::PhantomData<T>);

trait FromEither<'r>: Sized {
    type One: Deserialize<'r>;

    fn text(text: Cow<'r, str>) -> Self;
    fn list(list: Vec<Self::One>) -> Self;
}

impl<'de, T: FromEither<'de>> Visitor<'de> for Either<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or an array")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<T, E> {
        Ok(T::text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        Ok(T::text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<T, A::Error> {
        let mut all = Vec::new();
        while let Some(one) = list.next_element()? {
            all.push(one);
        }
        Ok(T::list(all))
    }
}

impl<'r> FromEither<'r> for Input<'r> {
    type One = Item<'r>;

    fn text(_text: Cow<'r, str>) -> Self {
        Self::Text
    }

    fn list(list: Vec<Item<'r>>) -> Self {
        Self::Items(list)
    }
}

impl<'r> FromEither<'r> for Content<'r> {
    type One = Part<'r>;

    fn text(text: Cow<'r, str>) -> Self {
        Self::Text(text)
    }

    fn list(list: Vec<Part<'r>>) -> Self {
        Self::Parts(list)
    }
}

impl<'de: 'r, 'r> Deserialize<'de> for Input<'r> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Either::<Input<'de>>(std::marker::PhantomData))
    }
}

impl<'de: 'r, 'r> Deserialize<'de> for Content<'r> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Either::<Content<'de>>(std::marker::PhantomData))
    }
}

/// An item of any type; [`Item::strange`] finds what its own type does not have.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Item<'r> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) role: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) content: Option<Content<'r>>,
    #[serde(borrow)]
    pub(super) id: Option<Cow<'r, str>>,
    #[serde(rename = "status")]
    _status: Option<IgnoredAny>,
    #[serde(rename = "phase")]
    _phase: Option<IgnoredAny>,
    #[serde(borrow)]
    pub(super) call_id: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) name: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) arguments: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) output: Option<Content<'r>>,
    pub(super) summary: Option<Vec<IgnoredAny>>,
    #[serde(borrow)]
    pub(super) encrypted_content: Option<Cow<'r, str>>,
    #[serde(rename = "caller")]
    _caller: Option<IgnoredAny>,
    #[serde(rename = "namespace")]
    _namespace: Option<IgnoredAny>,
    #[serde(rename = "async")]
    _async: Option<IgnoredAny>,
}

impl Item<'_> {
    /// The type; an item with nothing but a role is a message.
    pub(super) fn kind(&self) -> &str {
        let role = self.role.as_ref().map_or("", |_| "message");
        self.kind.as_deref().unwrap_or(role)
    }

    /// What an item of this type may have; none for a type that there is not.
    pub(super) fn known(&self) -> Option<&'static [&'static str]> {
        Some(match self.kind() {
            "message" => &["role", "content"],
            "function_call" => &["call_id", "name", "arguments"],
            "function_call_output" => &["call_id", "output", "name"],
            "reasoning" => &["summary", "encrypted_content", "content"],
            _ => return None,
        })
    }

    /// A field that the item's type does not have.
    pub(super) fn strange(&self, known: &[&str]) -> Option<&'static str> {
        let given = [
            ("role", self.role.is_some()),
            ("content", self.content.is_some()),
            ("call_id", self.call_id.is_some()),
            ("name", self.name.is_some()),
            ("arguments", self.arguments.is_some()),
            ("output", self.output.is_some()),
            ("summary", self.summary.is_some()),
            ("encrypted_content", self.encrypted_content.is_some()),
        ];
        let strange = |(name, given): &&(&str, bool)| *given && !known.contains(name);
        given.iter().find(strange).map(|(name, _)| *name)
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
    pub(super) image_url: Option<Cow<'r, str>>,
    #[serde(rename = "detail")]
    _detail: Option<IgnoredAny>,
    #[serde(borrow)]
    pub(super) file_id: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) file_data: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) file_url: Option<Cow<'r, str>>,
    #[serde(rename = "filename")]
    _filename: Option<IgnoredAny>,
    #[serde(borrow)]
    pub(super) refusal: Option<Cow<'r, str>>,
    #[serde(rename = "annotations")]
    _annotations: Option<IgnoredAny>,
    #[serde(rename = "logprobs")]
    _logprobs: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tool<'r> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) name: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) description: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) parameters: Option<&'r RawValue>,
    pub(super) strict: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Text<'r> {
    #[serde(borrow)]
    pub(super) format: Option<Format<'r>>,
    #[serde(rename = "verbosity")]
    _verbosity: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Format<'r> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) name: Option<Cow<'r, str>>,
    #[serde(rename = "description")]
    _description: Option<IgnoredAny>,
    #[serde(borrow)]
    pub(super) schema: Option<&'r RawValue>,
    pub(super) strict: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reasoning<'r> {
    #[serde(borrow)]
    pub(super) effort: Option<Cow<'r, str>>,
    #[serde(borrow)]
    pub(super) summary: Option<Cow<'r, str>>,
    #[serde(rename = "generate_summary")]
    _generate_summary: Option<IgnoredAny>,
    #[serde(rename = "context")]
    _context: Option<IgnoredAny>,
    #[serde(rename = "mode")]
    _mode: Option<IgnoredAny>,
}
