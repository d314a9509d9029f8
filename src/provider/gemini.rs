//! Chat request to Gemini's `generateContent` (<https://ai.google.dev/api/generate-content>).
//!
//! The answer is read in `gemini_answer`.

use crate::base::ascii;
use crate::chat::options::{Effort, Options, ResponseFormat, Thinking};
use crate::chat::problem::{ChatError, Problem};
use crate::chat::{Part, Request, Role, Turn};
use crate::wire::json::{self, JsonText};

/// Gemini takes at most so many stop sequences.
const STOPS_MAX: usize = 5;

/// Gemini gives at most so many answers.
const CANDIDATES_MAX: u32 = 8;

/// Appends the request target.
pub(super) fn target(model: &str, stream: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(b"/v1beta/models/");
    out.extend_from_slice(model.as_bytes());
    let method: &[u8] =
        if stream { b":streamGenerateContent?alt=sse" } else { b":generateContent" };
    out.extend_from_slice(method);
}

/// Appends the request body.
pub(super) fn encode(
    request: &Request<'_>,
    model: &str,
    out: &mut Vec<u8>,
) -> Result<(), ChatError> {
    let options = &request.options;
    out.push(b'{');
    system_instruction(&request.turns, out);
    contents(&request.turns, out);
    generation_config(options, model, out)?;
    if let Some(settings) = options.google.safety_settings {
        out.extend_from_slice(b",\"safetySettings\":");
        out.extend_from_slice(settings.as_bytes());
    }
    if let Some(name) = options.google.cached_content {
        out.extend_from_slice(b",\"cachedContent\":");
        quoted(name, out);
    }
    out.push(b'}');
    Ok(())
}

/// System text stands apart from the conversation, wherever it was said.
fn system_instruction(turns: &[Turn<'_>], out: &mut Vec<u8>) {
    let system = turns.iter().filter(|turn| turn.role == Role::System);
    let parts = system.flat_map(|turn| turn.content.parts());
    let mut first = true;
    for Part::Text(text) in parts {
        if text.is_empty() {
            continue;
        }
        let open: &[u8] = if first { b"\"systemInstruction\":{\"parts\":[" } else { b"," };
        out.extend_from_slice(open);
        text_part(text, out);
        first = false;
    }
    if !first {
        out.extend_from_slice(b"]},");
    }
}

/// Contents alternate between user and model, so neighbours of one role are merged.
fn contents(turns: &[Turn<'_>], out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"contents\":[");
    let mut open: Option<Role> = None;
    for (index, turn) in turns.iter().enumerate() {
        if turn.role == Role::System || !has_text(turn) && !is_alone(turns, index) {
            continue;
        }
        match open {
            Some(role) if role == turn.role => out.push(b','),
            other => {
                let close: &[u8] = if other.is_some() { b"]}," } else { b"" };
                out.extend_from_slice(close);
                let role: &[u8] = if turn.role == Role::User {
                    b"{\"role\":\"user\",\"parts\":["
                } else {
                    b"{\"role\":\"model\",\"parts\":["
                };
                out.extend_from_slice(role);
            }
        }
        open = Some(turn.role);
        turn_parts(turn, out);
    }
    // Gemini wants at least one content; a conversation of system text alone has none.
    let end: &[u8] = match open {
        Some(_) => b"]}]",
        None => b"{\"role\":\"user\",\"parts\":[{\"text\":\" \"}]}]",
    };
    out.extend_from_slice(end);
}

/// Appends the parts of one turn; empty texts only if nothing else is said.
fn turn_parts(turn: &Turn<'_>, out: &mut Vec<u8>) {
    let said = has_text(turn);
    let mut first = true;
    for Part::Text(text) in turn.content.parts() {
        if (said && text.is_empty()) || (!said && !first) {
            continue;
        }
        if !first {
            out.push(b',');
        }
        first = false;
        text_part(text, out);
    }
    // The mark belongs to the last part of the vendor's answer.
    if let Some(signature) = turn.signature.filter(|_| turn.role == Role::Assistant && !first) {
        out.pop();
        out.extend_from_slice(b",\"thoughtSignature\":");
        quoted(signature, out);
        out.push(b'}');
    }
}

fn has_text(turn: &Turn<'_>) -> bool {
    turn.content.parts().any(|Part::Text(text)| !text.is_empty())
}

/// An explicit empty text of the user is kept when it is all that the user says: Google takes it.
fn is_alone(turns: &[Turn<'_>], index: usize) -> bool {
    let user = |turn: &Turn<'_>| turn.role == Role::User;
    let first = turns.iter().position(user);
    first == Some(index) && !turns.iter().any(|turn| user(turn) && has_text(turn))
}

fn text_part(text: JsonText<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"text\":");
    quoted(text, out);
    out.push(b'}');
}

fn quoted(text: JsonText<'_>, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(text.raw().as_bytes());
    out.push(b'"');
}

/// Appends `generationConfig`, if the request wishes anything.
fn generation_config(
    options: &Options<'_>,
    model: &str,
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
        ResponseFormat::JsonSchema(schema) => {
            json_answer(out);
            name(b"responseJsonSchema", out);
            out.extend_from_slice(schema.as_bytes());
        }
    }
    thinking_config(options, model, out);
    if out.len() == start + OPEN.len() {
        out.truncate(start);
    } else {
        out.push(b'}');
    }
    Ok(())
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
    let Some(effort) = options.reasoning_effort else { return };
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
fn generation(model: &str) -> u32 {
    let digits = model.strip_prefix("gemini-").unwrap_or("");
    let digits = digits.split(['.', '-']).next().unwrap_or("");
    digits.parse().unwrap_or(0)
}

/// Google's own mapping for its OpenAI endpoint; Pro cannot be told not to think.
fn thinking_budget(effort: Effort, model: &str) -> u64 {
    match effort {
        Effort::None if model.contains("pro") => 128,
        Effort::None => 0,
        Effort::Minimal | Effort::Low => 1024,
        Effort::Medium => 8192,
        Effort::High => 24_576,
    }
}

fn thinking_level(effort: Effort, model: &str) -> &'static str {
    let pro = model.contains("pro");
    match effort {
        Effort::None | Effort::Minimal if pro => "low",
        Effort::None | Effort::Minimal => "minimal",
        Effort::Low => "low",
        // The first Pro of the generation knows only low and high.
        Effort::Medium if model.starts_with("gemini-3-pro") => "high",
        Effort::Medium => "medium",
        Effort::High => "high",
    }
}

/// Appends `"field":`, with a comma unless it is the first of its object.
fn name(field: &[u8], out: &mut Vec<u8>) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    out.push(b'"');
    out.extend_from_slice(field);
    out.extend_from_slice(b"\":");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(messages: &str, rest: &str) -> Result<String, ChatError> {
        encoded_for("gemini-2.5-flash", messages, rest)
    }

    fn encoded_for(model: &str, messages: &str, rest: &str) -> Result<String, ChatError> {
        let body = format!(r#"{{"model":"{model}","messages":{messages}{rest}}}"#);
        let request = Request::parse(body.as_bytes())?;
        let mut out = Vec::new();
        encode(&request, model, &mut out)?;
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
    fn what_gemini_cannot_do_is_refused_by_name() {
        let param = |rest: &str| encoded(HI, rest).unwrap_err().param;
        assert_eq!(param(r#","n":9"#), "n");
        assert_eq!(param(r#","stop":["1","2","3","4","5","6"]"#), "stop");
    }
}
