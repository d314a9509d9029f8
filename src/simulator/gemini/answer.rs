//! Answers of `generateContent`, whole, as events, and as an array that grows.
//!
//! AI Studio indents whole answers and numbers the candidates; Vertex says when the answer was
//! made and by which kind of capacity.

use super::super::json::{indent, put, quote};
use super::super::reply::{Asked, Reply};
use super::super::script::{self, Said};
use super::super::seal;
use super::super::tools::{self, Choice, History, Situation, Tool, Turn};
use super::path::{Address, generation};
use super::request::{GenerationConfig, Request};

/// How a target asks for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Whole,
    Events,
    Array,
}

/// The answer to a request that was found right.
pub(super) fn say(
    asked: &Asked<'_>,
    (request, address): (&Request<'_>, &Address<'_>),
    history: History,
    form: Form,
) -> Reply {
    let speech = Speech::new(asked, (request, address), history);
    match form {
        Form::Whole if speech.is_plain() => Reply::json(200, speech.plain()),
        Form::Whole => {
            let body = speech.render(&speech.whole(), speech.tokens(), true);
            Reply::json(200, if speech.studio { indent(&body) } else { body.into_bytes() })
        }
        Form::Events => {
            let data = |chunk: String| format!("data: {chunk}\r\n\r\n").into_bytes();
            Reply::events(speech.chunks().into_iter().map(data).collect())
        }
        Form::Array => {
            let mut pieces: Vec<Vec<u8>> = Vec::new();
            for chunk in speech.chunks() {
                let before = if pieces.is_empty() { "[" } else { ",\r\n" };
                pieces.push(format!("{before}{chunk}").into_bytes());
            }
            pieces.push(b"\r\n]\r\n".to_vec());
            Reply::events(pieces).typed("application/json; charset=UTF-8")
        }
    }
}

/// The tokens of a prompt.
pub(super) fn prompt_tokens(request: &Request<'_>) -> u32 {
    let contents = request.contents.iter().flatten().chain(&request.system_instruction);
    let (mut bytes, mut media) = (0, 0u32);
    for part in contents.flat_map(|content| content.parts()) {
        bytes += part.text.as_deref().map_or(0, str::len);
        let raw = part.function_response.as_ref().and_then(|result| result.response);
        bytes += raw.map_or(0, |raw| raw.get().len());
        media += u32::from(part.inline_data.is_some() || part.file_data.is_some());
    }
    script::tokens_of(bytes) + media * MEDIA_TOKENS
}

/// What Google counts for a small image.
const MEDIA_TOKENS: u32 = 258;

/// What a cached content is taken to hold.
const CACHED_TOKENS: u32 = 64;

/// Everything that all chunks of an answer have in common.
struct Speech<'s> {
    studio: bool,
    model: &'s str,
    id: String,
    /// Only Vertex says it.
    created: Option<String>,
    traffic: &'static str,
    tier: Option<&'s str>,
    prompt: u32,
    cached: u32,
    choices: u32,
    turn: Turn,
    finish: &'static str,
    /// Counted; shown when `show`.
    thoughts: u32,
    show: bool,
    /// Makes signatures; none before Gemini 3.
    nonce: Option<u64>,
    /// Alternatives for every token.
    logprobs: Option<u32>,
}

impl<'s> Speech<'s> {
    fn new(
        asked: &Asked<'_>,
        (request, address): (&'s Request<'_>, &Address<'s>),
        history: History,
    ) -> Self {
        let none = GenerationConfig::default();
        let config = request.generation_config.as_deref().unwrap_or(&none);
        let limit = config.max_output_tokens.unwrap_or(u32::MAX);
        let situation = situation(request, config, history);
        let mut turn = tools::turn(&situation, asked.options.tool_rounds, asked.options.tokens);
        let thinking = config.thinking_config.as_ref();
        let thinks = thinking.is_some_and(|thinking| {
            thinking.include_thoughts == Some(true)
                || thinking.thinking_level.is_some()
                || thinking.thinking_budget.is_some_and(|budget| budget != 0)
        });
        let thoughts = if thinks { script::THOUGHT_TOKENS.min(limit) } else { 0 };
        let stops: Vec<&str> = config.stop_sequences.iter().flatten().map(AsRef::as_ref).collect();
        turn.said.stop_at(&stops);
        let cut = turn.said.limit(limit.saturating_sub(thoughts));
        if cut {
            turn.calls.clear();
        }
        let cached = if request.cached_content.is_some() { CACHED_TOKENS } else { 0 };
        let newest = generation(address.model) >= (3, 0);
        Self {
            studio: address.is_studio(),
            model: address.model,
            id: format!("sim{:016x}", asked.serial),
            created: (!address.is_studio()).then(|| created(asked)),
            traffic: asked.fields.traffic(),
            tier: request.service_tier.as_deref(),
            prompt: prompt_tokens(request) + cached,
            cached,
            choices: config.candidate_count.unwrap_or(1),
            turn,
            finish: if cut { "MAX_TOKENS" } else { "STOP" },
            thoughts,
            show: thinking.and_then(|thinking| thinking.include_thoughts) == Some(true),
            nonce: newest.then(|| asked.nonce()),
            logprobs: (config.response_logprobs == Some(true))
                .then(|| config.logprobs.unwrap_or(0)),
        }
    }

    fn said(&self) -> &Said {
        &self.turn.said
    }

    /// Tokens of one candidate.
    fn tokens(&self) -> u32 {
        let calls = self.turn.calls.iter();
        let calls: usize = calls.map(|call| call.name.len() + call.arguments.len()).sum();
        self.said().count() + script::tokens_of(calls)
    }

    /// Nothing but words from AI Studio: what load tests ask for.
    fn is_plain(&self) -> bool {
        let bare = self.turn.calls.is_empty() && self.nonce.is_none() && self.said().count() > 0;
        let counted = self.thoughts == 0 && self.cached == 0 && self.tier.is_none();
        self.studio && bare && counted && self.logprobs.is_none()
    }

    /// What [`Self::render`] gives for a plain answer, already indented.
    fn plain(&self) -> String {
        let mut out = String::with_capacity(1024);
        out.push_str("{\n  \"candidates\": [\n");
        let text = quote(&self.said().whole());
        for choice in 0..self.choices {
            put!(
                &mut out,
                "    {{\n      \"content\": {{\n        \"parts\": [\n          {{\n            \"text\": {text}\n          }}\n        ],\n        \"role\": \"model\"\n      }},\n      \"finishReason\": \"{}\",\n      \"index\": {choice}\n    }}{}\n",
                self.finish,
                if choice + 1 < self.choices { "," } else { "" }
            );
        }
        let spoken = self.said().count() * self.choices;
        put!(
            &mut out,
            "  ],\n  \"usageMetadata\": {{\n    \"promptTokenCount\": {0},\n    \"candidatesTokenCount\": {spoken},\n    \"totalTokenCount\": {1},\n    \"promptTokensDetails\": [\n      {{\n        \"modality\": \"TEXT\",\n        \"tokenCount\": {0}\n      }}\n    ]\n  }},\n  \"modelVersion\": {2},\n  \"responseId\": \"{3}\"\n}}\n",
            self.prompt,
            self.prompt + spoken,
            quote(self.model),
            self.id
        );
        out
    }

    /// Parts of a whole answer.
    fn whole(&self) -> String {
        let mut parts = Vec::new();
        if self.show && self.thoughts > 0 {
            parts.push(thought(&script::THOUGHTS.concat()));
        }
        // A model that had no tokens left says nothing at all.
        if self.said().count() > 0 {
            let mark = if self.turn.calls.is_empty() { self.text_mark() } else { String::new() };
            parts.push(format!("{{\"text\": {}{mark}}}", quote(&self.said().whole())));
        }
        parts.extend(self.calls());
        parts.join(",")
    }

    /// One chunk per token; the counts grow, and the reason stands on the last.
    fn chunks(&self) -> Vec<String> {
        let mut parts: Vec<(String, u32)> = Vec::new();
        if self.show && self.thoughts > 0 {
            parts.extend(script::THOUGHTS.iter().map(|text| (thought(text), 0)));
        }
        for index in 0..self.said().count() {
            let text = quote(self.said().token(index));
            parts.push((format!("{{\"text\": {text}}}"), index + 1));
        }
        let calls = self.calls();
        let tokens = self.tokens();
        if self.turn.said.count() > 0 {
            parts.extend(calls.into_iter().map(|call| (call, tokens)));
        } else if !calls.is_empty() {
            // Some models send all calls in one chunk.
            parts.push((calls.join(","), tokens));
        }
        let mark = self.text_mark();
        if (parts.is_empty() && self.thoughts == 0) || !mark.is_empty() {
            parts.push((format!("{{\"text\": \"\"{mark}}}"), tokens));
        } else if parts.is_empty() {
            parts.push((String::new(), 0));
        }
        let last = parts.len();
        let numbered = parts.iter().zip(1..);
        numbered.map(|((part, count), index)| self.render(part, *count, index == last)).collect()
    }

    /// The calls as parts; from Gemini 3 on the first has a signature, and AI Studio gives ids.
    fn calls(&self) -> Vec<String> {
        let calls = self.turn.calls.iter().enumerate();
        let part = |(index, call): (usize, &tools::Call)| {
            let nonce = self.nonce.map(|nonce| nonce ^ (u64::try_from(index).unwrap_or(0) << 60));
            let canonical = tools::canonical(&call.arguments);
            let id = nonce.filter(|_| self.studio).map_or_else(String::new, |nonce| {
                format!("\"id\": \"{}\",", seal::call_id("", &call.name, &canonical, nonce))
            });
            let mark = nonce.filter(|_| index == 0).map_or_else(String::new, |nonce| {
                let signature = seal::signature(&call.name, &canonical, nonce);
                format!(",\"thoughtSignature\": \"{signature}\"")
            });
            format!(
                "{{\"functionCall\": {{{id}\"name\": {},\"args\": {}}}{mark}}}",
                quote(&call.name),
                call.arguments
            )
        };
        calls.map(part).collect()
    }

    /// The signature of an answer in words.
    fn text_mark(&self) -> String {
        let nonce = self.nonce.filter(|_| self.turn.calls.is_empty() && self.said().count() > 0);
        nonce.map_or_else(String::new, |nonce| {
            format!(",\"thoughtSignature\": \"{}\"", seal::signature("", "", nonce))
        })
    }

    /// One chunk, or the whole answer.
    fn render(&self, parts: &str, count: u32, last: bool) -> String {
        let mut out = String::with_capacity(512 + parts.len());
        out.push_str("{\"candidates\": [");
        for choice in 0..self.choices {
            put!(&mut out, "{}{{\"content\": {{", if choice > 0 { "," } else { "" });
            if !parts.is_empty() {
                put!(&mut out, "\"parts\": [{parts}],");
            }
            out.push_str("\"role\": \"model\"}");
            if last {
                put!(&mut out, ",\"finishReason\": \"{}\"", self.finish);
                if self.nonce.is_some() && !self.turn.calls.is_empty() {
                    out.push_str(",\"finishMessage\": \"Model generated function call(s).\"");
                }
                self.put_logprobs(&mut out);
            }
            if self.studio {
                put!(&mut out, ",\"index\": {choice}");
            }
            out.push('}');
        }
        out.push_str("],\"usageMetadata\": ");
        self.put_usage(&mut out, count, last);
        put!(&mut out, ",\"modelVersion\": {}", quote(self.model));
        if let Some(created) = &self.created {
            put!(&mut out, ",\"createTime\": \"{created}\"");
        }
        put!(&mut out, ",\"responseId\": \"{}\"}}", self.id);
        out
    }

    fn put_usage(&self, out: &mut String, count: u32, last: bool) {
        if !self.studio && !last {
            return put!(out, "{{\"trafficType\": \"{}\"}}", self.traffic);
        }
        let spoken = count * self.choices;
        put!(out, "{{\"promptTokenCount\": {},", self.prompt);
        if spoken > 0 {
            put!(out, "\"candidatesTokenCount\": {spoken},");
        }
        put!(out, "\"totalTokenCount\": {},", self.prompt + spoken + self.thoughts);
        if self.cached > 0 {
            put!(out, "\"cachedContentTokenCount\": {},", self.cached);
        }
        if self.thoughts > 0 {
            put!(out, "\"thoughtsTokenCount\": {},", self.thoughts);
        }
        put!(
            out,
            "\"promptTokensDetails\": [{{\"modality\": \"TEXT\",\"tokenCount\": {}}}]",
            self.prompt
        );
        if !self.studio {
            put!(
                out,
                ",\"candidatesTokensDetails\": [{{\"modality\": \"TEXT\",\"tokenCount\": {spoken}}}],\"trafficType\": \"{}\"",
                self.traffic
            );
        }
        if let Some(tier) = self.tier {
            put!(out, ",\"serviceTier\": \"{tier}\"");
        }
        out.push('}');
    }

    fn put_logprobs(&self, out: &mut String) {
        let Some(alternatives) = self.logprobs else { return };
        let one = |token: &str, rank: u32| {
            let id = 1000 + token.len();
            let value = f64::from(rank) * -2.5 - 0.125;
            format!("{{\"token\": {},\"tokenId\": {id},\"logProbability\": {value}}}", quote(token))
        };
        let tokens = 0..self.said().count();
        let chosen: Vec<String> =
            tokens.clone().map(|index| one(self.said().token(index), 0)).collect();
        put!(
            out,
            ",\"avgLogprobs\": -0.125,\"logprobsResult\": {{\"chosenCandidates\": [{}]",
            chosen.join(",")
        );
        if alternatives > 0 {
            let top = |index: u32| {
                let others = (1..alternatives).map(|rank| one(&format!("alt{rank}"), rank));
                let all: Vec<String> =
                    std::iter::once(one(self.said().token(index), 0)).chain(others).collect();
                format!("{{\"candidates\": [{}]}}", all.join(","))
            };
            let top: Vec<String> = tokens.map(top).collect();
            put!(out, ",\"topCandidates\": [{}]", top.join(","));
        }
        out.push('}');
    }
}

fn thought(text: &str) -> String {
    format!("{{\"text\": {},\"thought\": true}}", quote(text))
}

/// Now, to the microsecond.
fn created(asked: &Asked<'_>) -> String {
    let mut date = Vec::new();
    crate::wire::write::push_rfc3339(&mut date, asked.now());
    let date = String::from_utf8(date).unwrap_or_default();
    format!("{}.{:03}000Z", date.trim_end_matches('Z'), asked.now_ms % 1000)
}

/// What the request asks of the model.
fn situation<'r>(
    request: &'r Request<'_>,
    config: &'r GenerationConfig<'_>,
    history: History,
) -> Situation<'r> {
    let calling =
        request.tool_config.as_ref().and_then(|config| config.function_calling_config.as_ref());
    let allowed = calling.and_then(|calling| calling.allowed_function_names.as_deref());
    let allowed = allowed.unwrap_or_default();
    let declared = request.tools.iter().flatten();
    let declared = declared.flat_map(|tool| tool.function_declarations.iter().flatten());
    let tools = declared.filter_map(|function| {
        let name = function.name.as_deref()?;
        let offered = allowed.is_empty() || allowed.iter().any(|known| known == name);
        let schema = function.parameters_json_schema.or(function.parameters);
        offered.then(|| Tool { name: name.to_owned(), schema: schema.map(|raw| raw.get()) })
    });
    let json = config.response_mime_type.as_deref() == Some("application/json");
    let schema = config.response_json_schema.or(config.response_schema);
    Situation {
        tools: tools.collect(),
        choice: match calling.and_then(|calling| calling.mode.as_deref()) {
            Some("ANY") => Choice::Must,
            Some("NONE") => Choice::Never,
            _ => Choice::Auto,
        },
        one_call: false,
        history,
        output: json.then(|| schema.map_or("", |schema| schema.get())),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::problem;
    use super::super::super::reply::Fields;
    use super::super::super::script::Options;
    use super::*;

    #[test]
    fn a_plain_answer_is_the_rendered_one_indented() {
        let path = "/v1beta/models/gemini-2.5-flash:generateContent";
        let options = Options::default();
        for config in ["{}", r#"{"candidateCount":3,"maxOutputTokens":2}"#] {
            let body = format!(
                r#"{{"contents":[{{"parts":[{{"text":"hi there"}}]}}],"generationConfig":{config}}}"#
            );
            let request: Request<'_> = problem::read(body.as_bytes()).unwrap();
            let asked = Asked {
                get: false,
                path,
                query: "",
                fields: Fields::default(),
                body: body.as_bytes(),
                options: &options,
                serial: 5,
                now_ms: 0,
            };
            let address = Address::parse(path).unwrap();
            let speech = Speech::new(&asked, (&request, &address), History::default());
            assert!(speech.is_plain());
            let rendered = indent(&speech.render(&speech.whole(), speech.tokens(), true));
            assert_eq!(speech.plain(), String::from_utf8(rendered).unwrap());
        }
    }
}
