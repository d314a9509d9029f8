//! Chat request to Gemini's `generateContent` (<https://ai.google.dev/api/generate-content>).
//!
//! The answer is read in `gemini_answer`.

use std::ops::Range;

use crate::base::ascii;
use crate::chat::history::{self, Step};
use crate::chat::options::{Effort, Options, ResponseFormat, Thinking};
use crate::chat::part::Piece;
use crate::chat::problem::{ChatError, Problem};
use crate::chat::{Request, Role, Turn};
use crate::wire::json::{self, JsonText};

use super::dropped::Dropped;
use super::gemini_tools;
use super::openapi;
use super::order::{Order, Vendor};
use super::put::{name, quoted};

/// Gemini takes at most so many stop sequences.
const STOPS_MAX: usize = 5;

/// Gemini gives at most so many answers.
const CANDIDATES_MAX: u32 = 8;

/// Appends what the request's target ends in.
pub(super) fn method(stream: bool, out: &mut Vec<u8>) {
    let method: &[u8] =
        if stream { b":streamGenerateContent?alt=sse" } else { b":generateContent" };
    out.extend_from_slice(method);
}

/// Appends the request body.
pub(super) fn encode<'r>(
    order: &Order<'_>,
    request: &'r Request<'_>,
    out: &mut Vec<u8>,
    dropped: &mut Dropped<'r>,
) -> Result<(), ChatError> {
    let (options, model) = (&request.options, order.model);
    out.push(b'{');
    system_instruction(&request.turns, out);
    contents(&request.turns, model, out)?;
    gemini_tools::tools(&request.tools, &order.rules, out)?;
    generation_config(options, order, out)?;
    google(order, request, out, dropped)?;
    out.push(b'}');
    leave_out(request, dropped);
    Ok(())
}

/// Google's own wishes.
fn google<'r>(
    order: &Order<'_>,
    request: &'r Request<'_>,
    out: &mut Vec<u8>,
    dropped: &mut Dropped<'r>,
) -> Result<(), ChatError> {
    let wishes = &request.options.google;
    if let Some(settings) = wishes.safety_settings.or(order.rules.safety_settings) {
        name(b"safetySettings", out);
        out.extend_from_slice(settings.as_bytes());
    }
    if let Some(content) = wishes.cached_content {
        let system = request.turns.iter().any(|turn| turn.role == Role::System);
        if system || !request.tools.list.is_empty() {
            let why = "Google takes no system message and no tools beside a cached content, \
                       which holds its own";
            return Err(ChatError::at("cached_content", Problem::Unsupported(why)));
        }
        name(b"cachedContent", out);
        quoted(content, out);
    }
    let on_vertex = order.vendor == Vendor::Vertex;
    match wishes.labels {
        Some(labels) if on_vertex => {
            name(b"labels", out);
            out.extend_from_slice(labels.as_bytes());
        }
        Some(_) => dropped.push("labels".into()),
        None => {}
    }
    match request.options.service_tier.map(JsonText::raw) {
        None | Some("auto") => {}
        // Vertex AI has header fields for it.
        Some("flex" | "priority" | "default" | "standard") if on_vertex => {}
        Some(tier @ ("flex" | "priority")) => {
            name(b"serviceTier", out);
            json::push_string(out, tier);
        }
        Some("default" | "standard") => {
            name(b"serviceTier", out);
            json::push_string(out, "standard");
        }
        Some(_) => dropped.push("service_tier".into()),
    }
    Ok(())
}

/// Notes what Gemini has no place for.
fn leave_out<'r>(request: &'r Request<'_>, dropped: &mut Dropped<'r>) {
    let (options, turns) = (&request.options, &request.turns);
    let strict = request.tools.list.iter().any(|tool| tool.strict == Some(true));
    let cached = options.anthropic.cache.is_some()
        || turns.iter().any(|turn| turn.cache.is_some())
        || request.tools.list.iter().any(|tool| tool.cache.is_some());
    for (name, there) in [
        ("user", options.user.is_some()),
        ("safety_identifier", options.safety_identifier.is_some()),
        ("cache_control", cached),
        ("text.verbosity", options.openai.verbosity.is_some()),
        ("prompt_cache_key", options.openai.cache_key.is_some()),
        ("input[].detail", options.openai.detail),
        ("messages[].thinking_blocks", turns.iter().any(|turn| turn.thinking.is_some())),
        ("parallel_tool_calls", request.tools.parallel == Some(false)),
        ("tools[].function.strict", strict),
    ] {
        if there {
            dropped.push(name.into());
        }
    }
}

/// System text stands apart from the conversation, wherever it was said.
fn system_instruction(turns: &[Turn<'_>], out: &mut Vec<u8>) {
    let system = turns.iter().filter(|turn| turn.role == Role::System);
    let texts = system.flat_map(|turn| turn.content.texts());
    let mut first = true;
    for text in texts.filter(|text| !text.is_empty()) {
        let open: &[u8] = if first { b"\"systemInstruction\":{\"parts\":[" } else { b"," };
        out.extend_from_slice(open);
        text_part(text, out);
        first = false;
    }
    if !first {
        out.extend_from_slice(b"]},");
    }
}

/// Whose content is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Nothing,
    User,
    Model,
    /// Nothing else may stand beside the results of tools.
    Results,
}

/// Writes `contents`, which alternate between user and model.
struct Contents<'o> {
    out: &'o mut Vec<u8>,
    open: Open,
}

/// Writes the conversation.
fn contents(turns: &[Turn<'_>], model: &str, out: &mut Vec<u8>) -> Result<(), ChatError> {
    out.extend_from_slice(b"\"contents\":[");
    let steps = history::steps(turns)?;
    let says = |step: &Step| match step {
        Step::User(run) => range(turns, run, Role::User).any(|turn| turn.content.says_something()),
        Step::Model(_) | Step::Results(_) => false,
    };
    // From the third generation on, calls behind the user's last words must be marked.
    let marked_from = if generation(model) >= 3 {
        steps.iter().rposition(says).map_or(0, |last| last + 1)
    } else {
        usize::MAX
    };
    let mut contents = Contents { out, open: Open::Nothing };
    for (index, step) in steps.iter().enumerate() {
        match step {
            Step::User(run) => contents.user(range(turns, run, Role::User))?,
            Step::Model(run) => {
                let turns = range(turns, run, Role::Assistant);
                contents.model(turns, index >= marked_from)?;
            }
            Step::Results(pairs) => contents.results(turns, pairs)?,
        }
    }
    contents.close();
    Ok(())
}

/// The turns of `role` in a run.
fn range<'t, 'b>(
    turns: &'t [Turn<'b>],
    run: &Range<usize>,
    role: Role,
) -> impl Iterator<Item = &'t Turn<'b>> + Clone {
    let turns = turns.get(run.clone()).unwrap_or_default();
    turns.iter().filter(move |turn| turn.role == role)
}

impl Contents<'_> {
    /// Begins a part of whose content `open` is.
    fn part(&mut self, open: Open) {
        if self.open == open {
            self.out.push(b',');
            return;
        }
        let close: &[u8] = if self.open == Open::Nothing { b"" } else { b"]}," };
        self.out.extend_from_slice(close);
        let role: &[u8] = if open == Open::Model {
            b"{\"role\":\"model\",\"parts\":["
        } else {
            b"{\"role\":\"user\",\"parts\":["
        };
        self.out.extend_from_slice(role);
        self.open = open;
    }

    fn user<'t>(
        &mut self,
        turns: impl Iterator<Item = &'t Turn<'t>> + Clone,
    ) -> Result<(), ChatError> {
        if !turns.clone().any(|turn| turn.content.says_something()) {
            // An explicit empty text is kept when it is all that is said: Google takes it.
            if self.open != Open::User {
                self.part(Open::User);
                self.out.extend_from_slice(b"{\"text\":\"\"}");
            }
            return Ok(());
        }
        for turn in turns {
            self.pieces(turn, Open::User)?;
        }
        Ok(())
    }

    /// Writes what a turn says, without empty texts.
    fn pieces(&mut self, turn: &Turn<'_>, open: Open) -> Result<bool, ChatError> {
        let mut any = false;
        for piece in turn.content.pieces() {
            match piece {
                Piece::Text(text, _) if text.is_empty() => continue,
                Piece::Text(text, _) => {
                    self.part(open);
                    text_part(text, self.out);
                }
                Piece::Media(medium) => {
                    self.part(open);
                    gemini_tools::media(medium, self.out)?;
                }
            }
            any = true;
        }
        Ok(any)
    }

    fn model<'t>(
        &mut self,
        turns: impl Iterator<Item = &'t Turn<'t>>,
        must_be_marked: bool,
    ) -> Result<(), ChatError> {
        let mut first_call = true;
        for turn in turns {
            let said = self.pieces(turn, Open::Model)?;
            // The mark belongs to the last part of the text, also when that is empty.
            if let Some(signature) = turn.signature {
                if said {
                    self.out.pop();
                } else if turn.calls.is_empty() {
                    self.part(Open::Model);
                    self.out.extend_from_slice(b"{\"text\":\"\"");
                }
                if said || turn.calls.is_empty() {
                    self.out.extend_from_slice(b",\"thoughtSignature\":");
                    quoted(signature, self.out);
                    self.out.push(b'}');
                }
            }
            for call in &turn.calls {
                self.part(Open::Model);
                gemini_tools::call(call, must_be_marked && first_call, self.out);
                first_call = false;
            }
        }
        Ok(())
    }

    fn results(
        &mut self,
        turns: &[Turn<'_>],
        pairs: &[(history::Place, usize)],
    ) -> Result<(), ChatError> {
        let answers = pairs
            .iter()
            .filter_map(|(call, answer)| Some((history::call(turns, *call)?, turns.get(*answer)?)));
        for (call, answer) in answers.clone() {
            self.part(Open::Results);
            gemini_tools::result(call, answer, self.out);
        }
        // What tools show instead of telling follows as the user's.
        for medium in answers.flat_map(|(_, answer)| answer.content.media()) {
            self.part(Open::User);
            gemini_tools::media(medium, self.out)?;
        }
        Ok(())
    }

    /// Gemini wants at least one content; a conversation of system text alone has none.
    fn close(self) {
        let end: &[u8] = match self.open {
            Open::Nothing => b"{\"role\":\"user\",\"parts\":[{\"text\":\" \"}]}]",
            Open::User | Open::Model | Open::Results => b"]}]",
        };
        self.out.extend_from_slice(end);
    }
}

fn text_part(text: JsonText<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"text\":");
    quoted(text, out);
    out.push(b'}');
}

/// Appends `generationConfig`, if the request wishes anything.
fn generation_config(
    options: &Options<'_>,
    order: &Order<'_>,
    out: &mut Vec<u8>,
) -> Result<(), ChatError> {
    const OPEN: &[u8] = b",\"generationConfig\":{";
    let start = out.len();
    out.extend_from_slice(OPEN);
    numbers(options, out);
    if let Some(limit) = options.max_tokens() {
        name(b"maxOutputTokens", out);
        ascii::push_u64(out, limit);
    }
    if let Some(count) = options.n {
        if count > CANDIDATES_MAX {
            return Err(ChatError::at("n", Problem::Expected("a whole number from 1 to 8")));
        }
        name(b"candidateCount", out);
        ascii::push_u64(out, u64::from(count));
    }
    stop_sequences(&options.stop, out)?;
    match options.response_format {
        ResponseFormat::Text => {}
        ResponseFormat::JsonObject => json_answer(out),
        ResponseFormat::JsonSchema(schema) if order.rules.openapi_schemas => {
            json_answer(out);
            name(b"responseSchema", out);
            openapi::convert(schema.text, "response_format.json_schema.schema", out)?;
        }
        ResponseFormat::JsonSchema(schema) => {
            json_answer(out);
            name(b"responseJsonSchema", out);
            out.extend_from_slice(schema.text.as_bytes());
        }
    }
    thinking_config(options, order.model, out);
    answer_form(options, out);
    if out.len() == start + OPEN.len() {
        out.truncate(start);
    } else {
        out.push(b'}');
    }
    Ok(())
}

/// What the answer is made of, and how much is told about it.
fn answer_form(options: &Options<'_>, out: &mut Vec<u8>) {
    if options.logprobs {
        name(b"responseLogprobs", out);
        out.extend_from_slice(b"true");
        if let Some(count) = options.top_logprobs {
            name(b"logprobs", out);
            ascii::push_u64(out, count);
        }
    }
    if !options.modalities.is_empty() {
        name(b"responseModalities", out);
        for (index, modality) in options.modalities.iter().enumerate() {
            out.extend_from_slice(if index == 0 { b"[\"" } else { b",\"" });
            out.extend(modality.raw().bytes().map(|byte| byte.to_ascii_uppercase()));
            out.push(b'"');
        }
        out.push(b']');
    }
    if let Some(voice) = options.voice {
        name(b"speechConfig", out);
        let open = b"{\"voiceConfig\":{\"prebuiltVoiceConfig\":{\"voiceName\":";
        out.extend_from_slice(open);
        quoted(voice, out);
        out.extend_from_slice(b"}}}");
    }
}

fn numbers(options: &Options<'_>, out: &mut Vec<u8>) {
    let numbers: [(&[u8], Option<&str>); 5] = [
        (b"temperature", options.temperature),
        (b"topP", options.top_p),
        (b"topK", options.top_k),
        (b"presencePenalty", options.presence_penalty.map(below_two)),
        (b"frequencyPenalty", options.frequency_penalty.map(below_two)),
    ];
    for (field, number) in numbers {
        if let Some(number) = number {
            name(field, out);
            out.extend_from_slice(number.as_bytes());
        }
    }
    if let Some(seed) = options.seed {
        // Gemini takes 32 bits; equal seeds stay equal.
        let wrapped = seed.rem_euclid(1 << 31);
        let fits = i32::try_from(seed).is_ok();
        name(b"seed", out);
        if fits && seed < 0 {
            out.push(b'-');
        }
        ascii::push_u64(out, if fits { seed.unsigned_abs() } else { wrapped.unsigned_abs() });
    }
}

/// Gemini's range for penalties leaves 2 out.
fn below_two(number: &str) -> &str {
    let two = number.parse::<f64>().is_ok_and(|value| value >= 2.0);
    if two { "1.9999" } else { number }
}

fn stop_sequences(stops: &[JsonText<'_>], out: &mut Vec<u8>) -> Result<(), ChatError> {
    if stops.len() > STOPS_MAX {
        return Err(ChatError::at("stop", Problem::Expected("at most 5 sequences")));
    }
    for (index, stop) in stops.iter().enumerate() {
        if index == 0 {
            name(b"stopSequences", out);
            out.push(b'[');
        } else {
            out.push(b',');
        }
        quoted(*stop, out);
    }
    if !stops.is_empty() {
        out.push(b']');
    }
    Ok(())
}

fn json_answer(out: &mut Vec<u8>) {
    name(b"responseMimeType", out);
    json::push_string(out, "application/json");
}

/// An explicit configuration replaces what the effort would say.
fn thinking_config(options: &Options<'_>, model: &str, out: &mut Vec<u8>) {
    let explicit = options.google.thinking;
    if explicit != Thinking::default() {
        open_thinking(out);
        if let Some(budget) = explicit.budget {
            name(b"thinkingBudget", out);
            out.extend_from_slice(budget.as_bytes());
        }
        if let Some(level) = explicit.level {
            name(b"thinkingLevel", out);
            quoted(level, out);
        }
        if let Some(include) = explicit.include {
            name(b"includeThoughts", out);
            out.extend_from_slice(if include { b"true" } else { b"false" });
        }
        out.push(b'}');
        return;
    }
    let anthropic = options.anthropic.thinking_kind.map(JsonText::raw);
    if let (Some("enabled"), Some(budget)) = (anthropic, options.anthropic.budget) {
        open_thinking(out);
        name(b"thinkingBudget", out);
        out.extend_from_slice(budget.as_bytes());
        name(b"includeThoughts", out);
        out.extend_from_slice(b"true}");
        return;
    }
    let disabled = (anthropic == Some("disabled")).then_some(Effort::None);
    let Some(effort) = options.reasoning_effort.or(disabled) else {
        // Who lets the model decide how much to think wants to see it, as with a budget.
        if anthropic == Some("adaptive") {
            open_thinking(out);
            name(b"includeThoughts", out);
            out.extend_from_slice(b"true}");
        }
        return;
    };
    open_thinking(out);
    if generation(model) >= 3 {
        name(b"thinkingLevel", out);
        json::push_string(out, thinking_level(effort, model));
    } else {
        name(b"thinkingBudget", out);
        ascii::push_u64(out, thinking_budget(effort, model));
    }
    if effort != Effort::None {
        name(b"includeThoughts", out);
        out.extend_from_slice(b"true");
    }
    out.push(b'}');
}

fn open_thinking(out: &mut Vec<u8>) {
    name(b"thinkingConfig", out);
    out.push(b'{');
}

/// The number behind `gemini-`: levels came with the third generation, budgets with 2.5.
pub(super) fn generation(model: &str) -> u32 {
    let name = model.strip_prefix("gemini-").unwrap_or("");
    let digits = name.split(['.', '-']).next().unwrap_or("");
    digits.parse().unwrap_or_else(|_word| if name.ends_with("-latest") { NEWEST.0 } else { 0 })
}

/// A name like `gemini-flash-latest` stands for one of these or newer.
const NEWEST: (u32, u32) = (3, 7);

/// The two numbers behind `gemini-`.
fn version(model: &str) -> (u32, u32) {
    let name = model.strip_prefix("gemini-").unwrap_or("");
    let mut numbers = name.split('-').next().unwrap_or("").split('.').map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), minor) => (major, minor.and_then(Result::ok).unwrap_or(0)),
        _ => NEWEST,
    }
}

/// Google's own mapping for its OpenAI endpoint; Pro cannot be told not to think.
fn thinking_budget(effort: Effort, model: &str) -> u64 {
    match effort {
        Effort::None if model.contains("pro") => 128,
        Effort::None => 0,
        Effort::Minimal | Effort::Low => 1024,
        Effort::Medium => 8192,
        Effort::High | Effort::Xhigh | Effort::Max => 24_576,
    }
}

fn thinking_level(effort: Effort, model: &str) -> &'static str {
    // Neither a Pro nor a newer Flash can think that little.
    let newer = || version(model) >= NEWEST && !model.contains("lite");
    match effort {
        Effort::None | Effort::Minimal if model.contains("pro") || newer() => "low",
        Effort::None | Effort::Minimal => "minimal",
        Effort::Low => "low",
        // The first Pro of the generation knows only low and high.
        Effort::Medium if model.starts_with("gemini-3-pro") => "high",
        Effort::Medium => "medium",
        Effort::High | Effort::Xhigh | Effort::Max => "high",
    }
}

#[cfg(test)]
mod tests {
    use super::super::order::Rules;
    use super::*;

    fn encoded(messages: &str, rest: &str) -> Result<String, ChatError> {
        encoded_for("gemini-2.5-flash", messages, rest)
    }

    fn encoded_for(model: &str, messages: &str, rest: &str) -> Result<String, ChatError> {
        let body = format!(r#"{{"model":"{model}","messages":{messages}{rest}}}"#);
        let request = Request::parse(body.as_bytes())?;
        let mut out = Vec::new();
        let order = Order { vendor: Vendor::Gemini, model, rules: Rules::default() };
        encode(&order, &request, &mut out, &mut Dropped::default())?;
        let text = String::from_utf8(out).unwrap();
        serde_json::from_str::<serde::de::IgnoredAny>(&text).unwrap();
        Ok(text)
    }

    const HI: &str = r#"[{"role":"user","content":"hi"}]"#;
    const HI_OUT: &str = r#""contents":[{"role":"user","parts":[{"text":"hi"}]}]"#;

    #[test]
    fn messages_become_contents() {
        assert_eq!(encoded(HI, "").unwrap(), format!("{{{HI_OUT}}}"));
        let talk = r#"[{"role":"system","content":"S"},{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":""}]},
            {"role":"user","content":"b\n"},{"role":"assistant","content":"c"},{"role":"assistant","content":null},
            {"role":"developer","content":"T"},{"role":"user","content":"d"}]"#;
        let expected = concat!(
            r#"{"systemInstruction":{"parts":[{"text":"S"},{"text":"T"}]},"contents":["#,
            r#"{"role":"user","parts":[{"text":"a"},{"text":"b\n"}]},"#,
            r#"{"role":"model","parts":[{"text":"c"}]},{"role":"user","parts":[{"text":"d"}]}]}"#
        );
        assert_eq!(encoded(talk, "").unwrap(), expected);
        let empty = encoded(r#"[{"role":"user","content":""}]"#, "").unwrap();
        assert_eq!(empty, r#"{"contents":[{"role":"user","parts":[{"text":""}]}]}"#);
        let system = encoded(r#"[{"role":"system","content":"S"}]"#, "").unwrap();
        assert!(system.ends_with(r#""contents":[{"role":"user","parts":[{"text":" "}]}]}"#));
        let signed = r#"[{"role":"user","content":"a"},{"role":"assistant","content":"b","extra_content":{"google":{"thought_signature":"c2k="}}}]"#;
        assert!(encoded(signed, "").unwrap().contains(r#"{"text":"b","thoughtSignature":"c2k="}"#));
    }

    #[test]
    fn wishes_become_the_generation_config() {
        let config = |rest: &str| {
            let text = encoded(HI, rest).unwrap();
            text.strip_prefix(&format!("{{{HI_OUT},\"generationConfig\":")).map(str::to_owned)
        };
        let cases = [
            (
                r#","temperature":0.70,"top_p":0.9,"top_k":40"#,
                r#"{"temperature":0.70,"topP":0.9,"topK":40}}"#,
            ),
            (
                r#","presence_penalty":2,"frequency_penalty":-2"#,
                r#"{"presencePenalty":1.9999,"frequencyPenalty":-2}}"#,
            ),
            (r#","seed":-7"#, r#"{"seed":-7}}"#),
            (r#","seed":4294967297"#, r#"{"seed":1}}"#),
            (
                r#","max_tokens":5,"n":2,"stop":"X""#,
                r#"{"maxOutputTokens":5,"candidateCount":2,"stopSequences":["X"]}}"#,
            ),
            (
                r#","response_format":{"type":"json_object"}"#,
                r#"{"responseMimeType":"application/json"}}"#,
            ),
            (
                r#","response_format":{"type":"json_schema","json_schema":{"schema":{"type":"object"}}}"#,
                r#"{"responseMimeType":"application/json","responseJsonSchema":{"type":"object"}}}"#,
            ),
            (
                r#","reasoning_effort":"low""#,
                r#"{"thinkingConfig":{"thinkingBudget":1024,"includeThoughts":true}}}"#,
            ),
            (r#","reasoning_effort":"none""#, r#"{"thinkingConfig":{"thinkingBudget":0}}}"#),
            (
                r#","thinking":{"type":"adaptive"}"#,
                r#"{"thinkingConfig":{"includeThoughts":true}}}"#,
            ),
            (
                r#","google":{"thinking_config":{"thinking_budget":5}},"reasoning_effort":"high""#,
                r#"{"thinkingConfig":{"thinkingBudget":5}}}"#,
            ),
        ];
        for (rest, expected) in cases {
            assert_eq!(config(rest).as_deref(), Some(expected), "{rest}");
        }
    }

    #[test]
    fn the_third_generation_has_levels() {
        for (model, effort, level) in [
            ("gemini-3-flash", "none", "minimal"),
            ("gemini-3.7-flash", "none", "low"),
            ("gemini-3.7-flash-lite", "minimal", "minimal"),
            ("gemini-flash-latest", "none", "low"),
            ("gemini-3.1-pro", "none", "low"),
            ("gemini-3-pro-preview", "medium", "high"),
            ("gemini-3.1-pro", "medium", "medium"),
            ("gemini-10-flash", "xhigh", "high"),
        ] {
            let rest = format!(r#","reasoning_effort":"{effort}""#);
            let text = encoded_for(model, HI, &rest).unwrap();
            assert!(text.contains(&format!(r#""thinkingLevel":"{level}""#)), "{model} {text}");
        }
    }

    #[test]
    fn old_models_get_schemas_in_their_subset() {
        let body = format!(
            r#"{{"model":"m","messages":{HI},"tools":[{{"type":"function","function":{{"name":"f","parameters":{{"type":"object","additionalProperties":false}}}}}}],"response_format":{{"type":"json_schema","json_schema":{{"schema":{{"const":"a"}}}}}}}}"#
        );
        let request = Request::parse(body.as_bytes()).unwrap();
        let rules = Rules { openapi_schemas: true, ..Rules::default() };
        let order = Order { vendor: Vendor::Gemini, model: "m", rules };
        let mut out = Vec::new();
        encode(&order, &request, &mut out, &mut Dropped::default()).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains(r#""parameters":{"type":"object"}"#), "{text}");
        assert!(text.contains(r#""responseSchema":{"enum":["a"]}"#), "{text}");
    }

    #[test]
    fn what_gemini_cannot_do_is_refused_by_name() {
        let param = |rest: &str| encoded(HI, rest).unwrap_err().param;
        assert_eq!(param(r#","n":9"#), "n");
        assert_eq!(param(r#","stop":["1","2","3","4","5","6"]"#), "stop");
    }
}
