//! Sampling and the other wishes of a request: read, range-checked, spelling kept.

use std::borrow::Cow;

use crate::wire::json::{JsonError, JsonText, Kind, Reader};

use super::problem::{ChatError, Problem, typed};

/// How many stop sequences are read; a vendor's own limit is checked by its encoder.
const STOPS_MAX: usize = 64;

/// What a request wishes besides its messages. Numbers keep the client's spelling.
#[derive(Clone, Debug, Default)]
pub struct Options<'b> {
    /// 0 to 2.
    pub temperature: Option<&'b str>,
    /// 0 to 1.
    pub top_p: Option<&'b str>,
    /// An extension: 0 or more.
    pub top_k: Option<&'b str>,
    /// -2 to 2.
    pub presence_penalty: Option<&'b str>,
    /// -2 to 2.
    pub frequency_penalty: Option<&'b str>,
    /// Any whole number of 64 bits.
    pub seed: Option<i64>,
    /// How many answers, 1 to 128.
    pub n: Option<u32>,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    /// Where to stop.
    pub stop: Vec<JsonText<'b>>,
    /// The form of the answer.
    pub response_format: ResponseFormat<'b>,
    /// How hard to think.
    pub reasoning_effort: Option<Effort>,
    /// Wants the probabilities of the tokens of the answer.
    pub logprobs: bool,
    /// And of so many alternatives to each, 0 to 20.
    pub top_logprobs: Option<u64>,
    /// Who the client's own user is: `user`.
    pub user: Option<JsonText<'b>>,
    /// Its newer name: `safety_identifier`.
    pub safety_identifier: Option<JsonText<'b>>,
    /// `auto`, `default`, `flex`, `priority`.
    pub service_tier: Option<JsonText<'b>>,
    /// What the answer may be made of: `text`, `audio`, `image`.
    pub modalities: Vec<JsonText<'b>>,
    /// The voice of a spoken answer.
    pub voice: Option<JsonText<'b>>,
    /// Wishes that only Google understands.
    pub google: Google<'b>,
    /// Wishes that only Anthropic understands.
    pub anthropic: Anthropic<'b>,
    /// Wishes that only `OpenAI` understands, of those that its chat completions have.
    pub openai: OpenAi<'b>,
}

/// Wishes that only `OpenAI` understands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenAi<'b> {
    /// How long the answer shall be: `low`, `medium`, `high`.
    pub verbosity: Option<JsonText<'b>>,
    /// What requests with the same beginning are kept together by.
    pub cache_key: Option<JsonText<'b>>,
    /// It is told how closely an image shall be looked at ([`super::Media::detail`]).
    pub detail: bool,
}

/// Wishes that only Anthropic understands, in its own spelling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Anthropic<'b> {
    /// `thinking`, an object as it was sent.
    pub thinking: Option<&'b str>,
    /// Its `type`.
    pub thinking_kind: Option<JsonText<'b>>,
    /// Its `budget_tokens`, which Google understands too.
    pub budget: Option<&'b str>,
    /// `cache_control`, an object as it was sent.
    pub cache: Option<&'b str>,
}

/// The form of the answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResponseFormat<'b> {
    /// Plain text.
    #[default]
    Text,
    /// Any JSON object.
    JsonObject,
    /// JSON of this schema.
    JsonSchema(Schema<'b>),
}

/// A schema of an answer, and what `OpenAI` wants to know of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Schema<'b> {
    /// The schema itself, which is passed on as it is.
    pub text: &'b str,
    /// Its name.
    pub name: Option<JsonText<'b>>,
    /// What it is for.
    pub description: Option<JsonText<'b>>,
    /// Must the answer keep to it? The other vendors see to that anyway.
    pub strict: Option<bool>,
}

impl<'b> Schema<'b> {
    /// A schema about which nothing is told.
    pub fn of(text: &'b str) -> Self {
        Self { text, ..Self::default() }
    }

    /// Reads a field that tells of a schema; skips any other one.
    pub(super) fn member(&mut self, name: &str, reader: &mut Reader<'b>) -> Result<(), JsonError> {
        match (name, reader.kind()?) {
            ("schema", Kind::Object) => self.text = reader.raw()?,
            ("name", Kind::String) => self.name = Some(reader.string()?),
            ("description", Kind::String) => self.description = Some(reader.string()?),
            ("strict", Kind::Bool) => self.strict = Some(reader.boolean()?),
            _ => reader.skip()?,
        }
        Ok(())
    }
}

/// How hard to think, in OpenAI's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are OpenAI's")]
pub enum Effort {
    None,
    Minimal,
    Low,
    Medium,
    High,
    Xhigh,
    Max,
}

impl Effort {
    /// The effort of this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        const ALL: [Effort; 7] = [
            Effort::None,
            Effort::Minimal,
            Effort::Low,
            Effort::Medium,
            Effort::High,
            Effort::Xhigh,
            Effort::Max,
        ];
        ALL.into_iter().find(|effort| effort.as_str() == name)
    }

    /// The effort whose usual budget of tokens is not below this one; nothing when the model
    /// decides (`-1`) or it is no number.
    pub fn of_budget(budget: &str) -> Option<Self> {
        match budget.parse::<i64>().ok()? {
            ..0 => None,
            0 => Some(Self::None),
            1..=1024 => Some(Self::Low),
            1025..=8192 => Some(Self::Medium),
            _ => Some(Self::High),
        }
    }

    /// OpenAI's spelling.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Xhigh => "xhigh",
            Self::Max => "max",
        }
    }
}

/// Wishes that only Google understands, in its own or in our extension's spelling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Google<'b> {
    /// `safetySettings`, an array as it was sent.
    pub safety_settings: Option<&'b str>,
    /// `cachedContent`.
    pub cached_content: Option<JsonText<'b>>,
    /// `labels`, an object as it was sent. Only Vertex AI has them.
    pub labels: Option<&'b str>,
    /// `thinkingConfig`.
    pub thinking: Thinking<'b>,
}

/// `thinkingConfig`, each part only if the client set it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Thinking<'b> {
    /// `thinkingBudget`.
    pub budget: Option<&'b str>,
    /// `thinkingLevel`.
    pub level: Option<JsonText<'b>>,
    /// `includeThoughts`.
    pub include: Option<bool>,
}

impl<'b> Options<'b> {
    /// The limit of tokens; the newer name wins.
    pub fn max_tokens(&self) -> Option<u64> {
        self.max_completion_tokens.or(self.max_tokens)
    }

    /// How hard to think, in OpenAI's words or in what Google's stand for.
    pub fn effort(&self) -> Option<Effort> {
        let Thinking { budget, level, .. } = self.google.thinking;
        let level = || Effort::named(&level?.unescape().to_ascii_lowercase());
        self.reasoning_effort.or_else(level).or_else(|| Effort::of_budget(budget?))
    }

    /// Sets the limit of tokens, for dialects that have only one.
    pub fn limit_tokens(&mut self, limit: u64) {
        self.max_tokens = Some(limit);
    }

    /// Reads the value of the top-level field `name`; false when it has no meaning here. The
    /// value is not `null`.
    pub(super) fn member(
        &mut self,
        name: &str,
        reader: &mut Reader<'b>,
    ) -> Result<bool, ChatError> {
        match name {
            "temperature" => self.temperature = Some(number(reader, name, 0.0, 2.0)?),
            "top_p" => self.top_p = Some(number(reader, name, 0.0, 1.0)?),
            "top_k" => self.top_k = Some(number(reader, name, 0.0, 1e9)?),
            "presence_penalty" => self.presence_penalty = Some(number(reader, name, -2.0, 2.0)?),
            "frequency_penalty" => self.frequency_penalty = Some(number(reader, name, -2.0, 2.0)?),
            "seed" => {
                let text = reader.number().map_err(|e| ChatError::json(name, WHOLE, e))?;
                let seed = text.parse().ok();
                self.seed =
                    Some(seed.ok_or_else(|| ChatError::at(name, Problem::Expected(WHOLE)))?);
            }
            "n" => self.n = u32::try_from(whole(reader, name, 1, 128)?).ok(),
            "max_tokens" => self.max_tokens = Some(whole(reader, name, 1, u64::MAX)?),
            "max_completion_tokens" => {
                self.max_completion_tokens = Some(whole(reader, name, 1, u64::MAX)?);
            }
            "stop" => self.stop(reader)?,
            "response_format" => self.response_format(reader)?,
            "reasoning_effort" => self.reasoning_effort = Some(effort(reader)?),
            "logprobs" => {
                let read = reader.boolean();
                self.logprobs = read.map_err(|error| ChatError::json(name, "a boolean", error))?;
            }
            "top_logprobs" => self.top_logprobs = Some(whole(reader, name, 0, 20)?),
            "user" => self.user = Some(text(reader, name)?),
            "safety_identifier" => self.safety_identifier = Some(text(reader, name)?),
            "service_tier" => self.service_tier = Some(text(reader, name)?),
            "modalities" => self.modalities(reader)?,
            "audio" => self.voice(reader)?,
            _ => return self.extension(name, reader),
        }
        Ok(true)
    }

    fn modalities(&mut self, reader: &mut Reader<'b>) -> Result<(), ChatError> {
        const NAMES: &str = "an array of text, audio, image";
        typed(reader, Kind::Array, "modalities", NAMES)?;
        reader.array(|reader, index| {
            let name = reader.string();
            let name = name.map_err(|error| ChatError::json("modalities", NAMES, error))?;
            if index > 7 || !matches!(name.raw(), "text" | "audio" | "image") {
                return Err(ChatError::at("modalities", Problem::Expected(NAMES)));
            }
            self.modalities.push(name);
            Ok(())
        })
    }

    fn voice(&mut self, reader: &mut Reader<'b>) -> Result<(), ChatError> {
        typed(reader, Kind::Object, "audio", "an object")?;
        reader.object(|reader, key| {
            if key.raw() == "voice" && reader.kind()? == Kind::String {
                self.voice = Some(reader.string()?);
                return Ok(());
            }
            Ok::<(), ChatError>(reader.skip()?)
        })
    }

    /// Anthropic's `thinking`, which goes to it as it is.
    fn thinking(&mut self, reader: &mut Reader<'b>) -> Result<(), ChatError> {
        typed(reader, Kind::Object, "thinking", "an object")?;
        self.anthropic.thinking = Some(reader.clone().raw()?);
        let mut seen: Vec<Cow<'b, str>> = Vec::new();
        reader.object(|reader, key| {
            let name = key.unescape();
            if seen.len() == 16 {
                let what = Problem::Expected("an object with at most 16 fields");
                return Err(ChatError::at("thinking", what));
            }
            // It goes on as it is, and the vendor might take the other one of the two.
            if seen.contains(&name) {
                return Err(ChatError::at(
                    format!("thinking.{}", short(&name)),
                    Problem::Duplicate,
                ));
            }
            seen.push(name.clone());
            match (name.as_ref(), reader.kind()?) {
                ("type", Kind::String) => self.anthropic.thinking_kind = Some(reader.string()?),
                ("budget_tokens", Kind::Number) => self.anthropic.budget = Some(reader.number()?),
                _ => reader.skip()?,
            }
            Ok::<(), ChatError>(())
        })
    }

    /// Fields that stand only together.
    pub(super) fn check(&self) -> Result<(), ChatError> {
        let thinking = &self.google.thinking;
        if thinking.budget.is_some() && thinking.level.is_some() {
            let param = "extra_body.google.thinking_config";
            let what = Problem::Unsupported("a budget and a level cannot stand together");
            return Err(ChatError::at(param, what));
        }
        Ok(())
    }

    fn extension(&mut self, name: &str, reader: &mut Reader<'b>) -> Result<bool, ChatError> {
        match name {
            "safety_settings" | "safetySettings" => {
                typed(reader, Kind::Array, name, "an array")?;
                self.google.safety_settings = Some(reader.raw()?);
            }
            "cached_content" | "cachedContent" => self.google.cached_content(reader)?,
            "google" => self.google.parse(reader, "google")?,
            "thinking" => self.thinking(reader)?,
            "cache_control" => {
                typed(reader, Kind::Object, name, "an object")?;
                self.anthropic.cache = Some(reader.raw()?);
            }
            "extra_body" => {
                typed(reader, Kind::Object, name, "an object")?;
                let google = &mut self.google;
                reader.object(|reader, key| match key.unescape().as_ref() {
                    "google" => google.parse(reader, "extra_body.google"),
                    _ => Ok(reader.skip()?),
                })?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn stop(&mut self, reader: &mut Reader<'b>) -> Result<(), ChatError> {
        const STOP: &str = "a string or an array of strings";
        if reader.kind()? == Kind::String {
            self.stop.push(reader.string()?);
            return Ok(());
        }
        typed(reader, Kind::Array, "stop", STOP)?;
        reader.array(|reader, index| {
            if index == STOPS_MAX {
                return Err(ChatError::at("stop", Problem::Expected("at most 64 strings")));
            }
            let text = reader.string().map_err(|error| ChatError::json("stop", STOP, error))?;
            self.stop.push(text);
            Ok(())
        })
    }

    fn response_format(&mut self, reader: &mut Reader<'b>) -> Result<(), ChatError> {
        const KINDS: &str = "one of text, json_object, json_schema";
        typed(reader, Kind::Object, "response_format", "an object")?;
        let (mut kind, mut schema) = (None, None);
        reader.object(|reader, key| {
            match key.unescape().as_ref() {
                "type" => {
                    let text = reader.string();
                    kind =
                        Some(text.map_err(|error| {
                            ChatError::json("response_format.type", KINDS, error)
                        })?);
                }
                "json_schema" => schema = read_schema(reader)?,
                _ => reader.skip()?,
            }
            Ok::<(), ChatError>(())
        })?;
        let kind = kind.map(JsonText::unescape);
        self.response_format = match kind.as_deref() {
            Some("text") => ResponseFormat::Text,
            Some("json_object") => ResponseFormat::JsonObject,
            Some("json_schema") => ResponseFormat::JsonSchema(schema.ok_or_else(|| {
                ChatError::at("response_format.json_schema.schema", Problem::Missing)
            })?),
            Some(_) => {
                return Err(ChatError::at("response_format.type", Problem::Expected(KINDS)));
            }
            None => return Err(ChatError::at("response_format.type", Problem::Missing)),
        };
        Ok(())
    }
}

impl<'b> Google<'b> {
    fn parse(&mut self, reader: &mut Reader<'b>, at: &str) -> Result<(), ChatError> {
        typed(reader, Kind::Object, at, "an object")?;
        reader.object(|reader, key| match key.unescape().as_ref() {
            "thinking_config" | "thinkingConfig" => self.thinking(reader, at),
            "cached_content" | "cachedContent" => self.cached_content(reader),
            "safety_settings" | "safetySettings" => {
                self.safety_settings = Some(reader.raw()?);
                Ok(())
            }
            "labels" => {
                typed(reader, Kind::Object, "labels", "an object")?;
                self.labels = Some(reader.raw()?);
                Ok(())
            }
            other => {
                let what = Problem::Unsupported("this extension is not supported yet");
                Err(ChatError::at(format!("{at}.{}", short(other)), what))
            }
        })
    }

    fn cached_content(&mut self, reader: &mut Reader<'b>) -> Result<(), ChatError> {
        let name = reader
            .string()
            .map_err(|error| ChatError::json("cached_content", "a string", error))?;
        self.cached_content = Some(name);
        Ok(())
    }

    pub(super) fn thinking(&mut self, reader: &mut Reader<'b>, at: &str) -> Result<(), ChatError> {
        let at = format!("{at}.thinking_config");
        typed(reader, Kind::Object, &at, "an object")?;
        reader.object(|reader, key| {
            let name = key.unescape();
            let wrong = |expected| {
                let param = format!("{at}.{}", short(&name));
                move |error| ChatError::json(&param, expected, error)
            };
            match name.as_ref() {
                "thinking_budget" | "thinkingBudget" => {
                    self.thinking.budget = Some(reader.number().map_err(wrong("a number"))?);
                }
                "thinking_level" | "thinkingLevel" => {
                    self.thinking.level = Some(reader.string().map_err(wrong("a string"))?);
                }
                "include_thoughts" | "includeThoughts" => {
                    self.thinking.include = Some(reader.boolean().map_err(wrong("a boolean"))?);
                }
                _ => {
                    let what = Problem::Expected("a field of Google's thinkingConfig");
                    return Err(ChatError::at(format!("{at}.{}", short(&name)), what));
                }
            }
            Ok(())
        })
    }
}

const WHOLE: &str = "a whole number of 64 bits";

fn number<'b>(
    reader: &mut Reader<'b>,
    name: &str,
    least: f64,
    most: f64,
) -> Result<&'b str, ChatError> {
    let text = reader.number().map_err(|error| ChatError::json(name, "a number", error))?;
    let fits = text.parse::<f64>().is_ok_and(|value| (least..=most).contains(&value));
    if fits { Ok(text) } else { Err(ChatError::at(name, Problem::Expected(range_of(name)))) }
}

fn range_of(name: &str) -> &'static str {
    match name {
        "temperature" => "a number from 0 to 2",
        "top_p" => "a number from 0 to 1",
        "top_k" => "a number, 0 or more",
        "n" => "a whole number from 1 to 128",
        "top_logprobs" => "a whole number from 0 to 20",
        "max_tokens" | "max_completion_tokens" => "a whole number, 1 or more",
        _ => "a number from -2 to 2",
    }
}

fn whole(reader: &mut Reader<'_>, name: &str, least: u64, most: u64) -> Result<u64, ChatError> {
    let wrong = |error| ChatError::json(name, range_of(name), error);
    let value = reader.unsigned().map_err(wrong)?;
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    Err(ChatError::at(name, Problem::Expected(range_of(name))))
}

fn text<'b>(reader: &mut Reader<'b>, name: &str) -> Result<JsonText<'b>, ChatError> {
    reader.string().map_err(|error| ChatError::json(name, "a string", error))
}

fn effort(reader: &mut Reader<'_>) -> Result<Effort, ChatError> {
    const EFFORTS: &str = "one of none, minimal, low, medium, high, xhigh, max";
    let name = "reasoning_effort";
    let text = reader.string().map_err(|error| ChatError::json(name, EFFORTS, error))?;
    let effort = Effort::named(&text.unescape());
    effort.ok_or_else(|| ChatError::at(name, Problem::Expected(EFFORTS)))
}

fn read_schema<'b>(reader: &mut Reader<'b>) -> Result<Option<Schema<'b>>, ChatError> {
    const NAME: &str = "response_format.json_schema";
    typed(reader, Kind::Object, NAME, "an object")?;
    let mut schema = Schema::default();
    reader.object(|reader, key| {
        let name = key.unescape();
        if name == "schema" {
            typed(reader, Kind::Object, "response_format.json_schema.schema", "an object")?;
        }
        Ok::<(), ChatError>(schema.member(&name, reader)?)
    })?;
    Ok((!schema.text.is_empty()).then_some(schema))
}

/// A client's own name, short enough to be quoted.
fn short(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::super::request::Request;
    use super::*;

    fn with(field: &str) -> String {
        format!(r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],{field}}}"#)
    }

    #[test]
    fn numbers_keep_their_spelling() {
        let body = with(
            r#""temperature":0.70,"top_p":1e-1,"seed":-9,"n":2,"max_tokens":5,"max_completion_tokens":6,"stop":["a","b"]"#,
        );
        let options = Request::parse(body.as_bytes()).unwrap().options;
        assert_eq!((options.temperature, options.top_p), (Some("0.70"), Some("1e-1")));
        assert_eq!((options.seed, options.n, options.max_tokens()), (Some(-9), Some(2), Some(6)));
        assert_eq!(options.stop.len(), 2);
    }

    #[test]
    fn values_out_of_range_name_their_field() {
        for field in [
            r#""temperature":2.1"#,
            r#""temperature":"1""#,
            r#""temperature":1e999"#,
            r#""top_p":-0.1"#,
            r#""n":0"#,
            r#""n":1.5"#,
            r#""n":129"#,
            r#""max_tokens":0"#,
            r#""max_tokens":-1"#,
            r#""seed":1.5"#,
            r#""seed":9223372036854775808"#,
            r#""stop":7"#,
            r#""stop":[7]"#,
            r#""presence_penalty":-2.5"#,
            r#""reasoning_effort":"much""#,
            r#""response_format":"json""#,
            r#""tools":{}"#,
            r#""top_logprobs":21"#,
            r#""logprobs":1"#,
            r#""modalities":["smell"]"#,
            r#""thinking":true"#,
            r#""safety_settings":1"#,
        ] {
            let name = field.split('"').nth(1).unwrap();
            let error = Request::parse(with(field).as_bytes()).unwrap_err();
            assert_eq!(error.param, name, "{field}");
        }
    }

    #[test]
    fn null_is_absent_and_formats_are_read() {
        let body = with(r#""temperature":null,"tools":null,"stop":null,"n":null,"tools_":1"#);
        let request = Request::parse(body.as_bytes()).unwrap();
        assert_eq!(request.options.temperature, None);
        let schema = r#""response_format":{"type":"json_schema","json_schema":{"name":"a","schema":{ "type" : "object" }}}"#;
        let body = with(schema);
        let options = Request::parse(body.as_bytes()).unwrap().options;
        let expected = ResponseFormat::JsonSchema(Schema {
            name: Some(JsonText::plain("a")),
            ..Schema::of(r#"{ "type" : "object" }"#)
        });
        assert_eq!(options.response_format, expected);
        let google = r#""extra_body":{"google":{"thinking_config":{"thinking_budget":0,"include_thoughts":false}}}"#;
        let body = with(google);
        let options = Request::parse(body.as_bytes()).unwrap().options;
        let thinking = Thinking { budget: Some("0"), level: None, include: Some(false) };
        assert_eq!(options.google.thinking, thinking);
        let twice = r#""thinking":{"type":"enabled","ty\u0070e":"disabled"}"#;
        let error = Request::parse(with(twice).as_bytes()).unwrap_err();
        assert_eq!((error.param.as_str(), error.problem), ("thinking.type", Problem::Duplicate));
        let both = r#""google":{"thinking_config":{"thinking_budget":0,"thinking_level":"low"}}"#;
        assert!(Request::parse(with(both).as_bytes()).is_err());
    }
}
