//! Chat request to Anthropic's Messages (<https://docs.claude.com/en/api/messages>), at Anthropic
//! and on Vertex AI.
//!
//! The answer is read in `anthropic_answer`.

use crate::base::ascii;
use crate::chat::Request;
use crate::chat::options::{Effort, Options, ResponseFormat};
use crate::chat::part::Source;
use crate::chat::problem::{ChatError, Problem};
use crate::wire::json::{self, JsonText};
use crate::wire::write;

use super::anthropic_model::{self, Service, Thinks};
use super::dropped::Dropped;
use super::order::{Order, Vendor};
use super::put::{name, quoted};
use super::{anthropic_media, anthropic_messages, anthropic_schema, anthropic_tools};

/// What Vertex AI wants instead of a header field.
pub(super) const VERTEX_VERSION: &str = "vertex-2023-10-16";

/// The least that a model may be told to think.
const BUDGET_MIN: u64 = 1024;

/// What is left for the text that follows the reasoning.
const TEXT_MIN: u64 = 1024;

/// Appends what the request's target ends in on Vertex AI.
pub(super) fn method(stream: bool, out: &mut Vec<u8>) {
    let method: &[u8] = if stream { b":streamRawPredict" } else { b":rawPredict" };
    out.extend_from_slice(method);
}

/// Appends the header field that names the unfinished features that the client wants, and those
/// that the request needs.
pub(super) fn betas(request: &Request<'_>, out: &mut Vec<u8>) {
    const FILES: &str = "files-api-2025-04-14";
    let mut media = request.turns.iter().flat_map(|turn| turn.content.media());
    let files = media.any(|medium| matches!(medium.source, Source::Id(_)));
    let wanted = request.betas.unwrap_or_default();
    let value = match (wanted, files) {
        ("", false) => return,
        ("", true) => FILES.to_owned(),
        (wanted, true) if !wanted.contains("files-api") => format!("{wanted},{FILES}"),
        (wanted, _) => wanted.to_owned(),
    };
    write::field(out, "anthropic-beta", value.as_bytes());
}

/// Appends the request body.
pub(super) fn encode<'r>(
    order: &Order<'_>,
    request: &'r Request<'_>,
    out: &mut Vec<u8>,
    dropped: &mut Dropped<'r>,
) -> Result<(), ChatError> {
    write(order, request, true, (out, dropped))
}

/// Appends the body of a request whose tokens are only counted: it wants no answer.
pub(super) fn encode_prompt<'r>(
    order: &Order<'_>,
    request: &'r Request<'_>,
    out: &mut Vec<u8>,
    dropped: &mut Dropped<'r>,
) -> Result<(), ChatError> {
    write(order, request, false, (out, dropped))
}

fn write<'r>(
    order: &Order<'_>,
    request: &'r Request<'_>,
    answer: bool,
    (out, dropped): (&mut Vec<u8>, &mut Dropped<'r>),
) -> Result<(), ChatError> {
    let service = if order.vendor == Vendor::Claude { Service::Vertex } else { Service::Api };
    let (options, model) = (&request.options, order.model);
    refuse(options, service)?;
    let own = order.rules.max_tokens.unwrap_or_else(|| anthropic_model::max_tokens(model));
    let limit = options.max_tokens().unwrap_or(own);
    let thinking = Thinking::decide(request, model, limit);
    out.extend_from_slice(b"{");
    if service == Service::Vertex {
        name(b"anthropic_version", out);
        json::push_string(out, VERTEX_VERSION);
    }
    // On Vertex AI the path names the model, but not the one whose tokens are counted.
    if service == Service::Api || !answer {
        name(b"model", out);
        json::push_string(out, model);
    }
    if answer {
        name(b"max_tokens", out);
        ascii::push_u64(out, limit);
    }
    anthropic_messages::system(request, out)?;
    anthropic_messages::messages(&request.turns, out, dropped)?;
    anthropic_tools::tools(&request.tools, (service, thinking.has_budget()), out, dropped);
    thinking.push(out);
    output_config(options, (model, thinking), out, dropped)?;
    sampling(options, &thinking, out, dropped);
    stop_sequences(&options.stop, out, dropped);
    account(options, out, dropped);
    if let Some(cache) = options.anthropic.cache {
        name(b"cache_control", out);
        out.extend_from_slice(cache.as_bytes());
    }
    if request.stream {
        name(b"stream", out);
        out.extend_from_slice(b"true");
    }
    out.push(b'}');
    leave_out(request, dropped);
    Ok(())
}

/// What must not be left out.
fn refuse(options: &Options<'_>, service: Service) -> Result<(), ChatError> {
    if options.n.is_some_and(|n| n > 1) {
        return Err(ChatError::at("n", Problem::Expected("1 for this upstream")));
    }
    let schema = matches!(options.response_format, ResponseFormat::JsonSchema(_));
    if schema && service == Service::Vertex {
        let why = "Claude on Vertex AI has no structured outputs";
        return Err(ChatError::at("response_format", Problem::Unsupported(why)));
    }
    Ok(())
}

/// Does the client want the model to think, in words that are not Anthropic's?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Unsaid,
    No,
    /// With about so many tokens.
    Tokens(u64),
}

impl Wish {
    fn of(options: &Options<'_>) -> Self {
        // A number that Google's words name is taken as it is; below zero the model decides.
        let budget = options.google.thinking.budget.filter(|_| options.reasoning_effort.is_none());
        let budget = budget.and_then(|budget| budget.parse::<i64>().ok());
        let tokens = match budget {
            Some(budget) => {
                u64::try_from(budget).unwrap_or_else(|_below| budget_of(Effort::Medium))
            }
            None => match options.effort() {
                None => return Self::Unsaid,
                Some(effort) => budget_of(effort),
            },
        };
        if tokens == 0 { Self::No } else { Self::Tokens(tokens) }
    }
}

/// Shall the model think, and how much?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Thinking<'b> {
    /// Nothing is said about it.
    Unsaid,
    /// What the client says in Anthropic's words, and their `type`.
    Told(&'b str, &'b str),
    /// As much as it finds right.
    Adaptive,
    /// At most so many tokens.
    Budget(u64),
}

impl<'b> Thinking<'b> {
    /// The client's own words win; else the effort decides. What the conversation does not allow
    /// is not asked for: every answer to it would be an error.
    fn decide(request: &Request<'b>, model: &str, limit: u64) -> Self {
        let options = &request.options;
        let thinking = Self::wished(options, model, limit);
        if thinking.has_budget() && !anthropic_messages::may_think(&request.turns) {
            return Self::Unsaid;
        }
        thinking
    }

    fn wished(options: &Options<'b>, model: &str, limit: u64) -> Self {
        let wishes = &options.anthropic;
        if let Some(told) = wishes.thinking {
            return Self::Told(told, wishes.thinking_kind.map_or("", JsonText::raw));
        }
        let Wish::Tokens(budget) = Wish::of(options) else { return Self::Unsaid };
        match anthropic_model::thinks(model) {
            Thinks::Never => Self::Unsaid,
            Thinks::Adaptive => Self::Adaptive,
            Thinks::Budget => {
                let budget = budget.max(BUDGET_MIN).min(limit.saturating_sub(TEXT_MIN));
                if budget < BUDGET_MIN { Self::Unsaid } else { Self::Budget(budget) }
            }
        }
    }

    /// Anthropic allows less beside reasoning.
    fn is_on(&self) -> bool {
        match self {
            Self::Unsaid => false,
            Self::Told(_, kind) => *kind != "disabled",
            Self::Adaptive | Self::Budget(_) => true,
        }
    }

    fn has_budget(&self) -> bool {
        matches!(self, Self::Budget(_) | Self::Told(_, "enabled"))
    }

    fn push(&self, out: &mut Vec<u8>) {
        match self {
            Self::Unsaid => {}
            Self::Told(told, _) => {
                name(b"thinking", out);
                out.extend_from_slice(told.as_bytes());
            }
            Self::Adaptive => {
                name(b"thinking", out);
                out.extend_from_slice(b"{\"type\":\"adaptive\"}");
            }
            Self::Budget(budget) => {
                name(b"thinking", out);
                out.extend_from_slice(b"{\"type\":\"enabled\",\"budget_tokens\":");
                ascii::push_u64(out, *budget);
                out.push(b'}');
            }
        }
    }
}

fn budget_of(effort: Effort) -> u64 {
    match effort {
        Effort::None => 0,
        Effort::Minimal | Effort::Low => 1024,
        Effort::Medium => 8192,
        Effort::High | Effort::Xhigh | Effort::Max => 24_576,
    }
}

/// Appends `output_config`: the effort, and the form of the answer.
fn output_config(
    options: &Options<'_>,
    (model, thinking): (&str, Thinking<'_>),
    out: &mut Vec<u8>,
    dropped: &mut Dropped<'_>,
) -> Result<(), ChatError> {
    let wished = options.effort().filter(|effort| *effort != Effort::None);
    let adaptive = wished.is_some() && anthropic_model::thinks(model) == Thinks::Adaptive;
    let effort = match wished {
        Some(Effort::Minimal) if adaptive => Some(Effort::Low),
        Some(effort) if adaptive => Some(effort),
        _ => None,
    };
    let unheard = effort.is_none() && !matches!(thinking, Thinking::Budget(_));
    if unheard && options.reasoning_effort.is_some_and(|effort| effort != Effort::None) {
        dropped.push("reasoning_effort".into());
    }
    if options.anthropic.thinking.is_some() && !matches!(thinking, Thinking::Told(..)) {
        dropped.push("thinking".into());
    }
    // That thoughts are shown, or that there are none, is what they are without.
    let config = options.google.thinking;
    let asked = config.level.is_some() || config.budget.is_some();
    if asked
        && Wish::of(options) != Wish::No
        && !matches!(thinking, Thinking::Budget(_) | Thinking::Adaptive)
    {
        dropped.push("google.thinking_config".into());
    }
    let schema = match options.response_format {
        ResponseFormat::JsonSchema(schema) => Some(schema.text),
        ResponseFormat::Text | ResponseFormat::JsonObject => None,
    };
    if effort.is_none() && schema.is_none() {
        return Ok(());
    }
    name(b"output_config", out);
    out.push(b'{');
    if let Some(effort) = effort {
        name(b"effort", out);
        json::push_string(out, effort.as_str());
    }
    if let Some(schema) = schema {
        name(b"format", out);
        out.extend_from_slice(b"{\"type\":\"json_schema\",\"schema\":");
        anthropic_schema::push(schema, out, |keyword| {
            dropped.push(format!("response_format.json_schema.schema.{keyword}").into());
        })?;
        out.push(b'}');
    }
    out.push(b'}');
    Ok(())
}

/// Appends temperature and the like, as far as they may stand together.
fn sampling(
    options: &Options<'_>,
    thinking: &Thinking<'_>,
    out: &mut Vec<u8>,
    dropped: &mut Dropped<'_>,
) {
    let free = !thinking.is_on();
    let temperature = options.temperature.filter(|_| free).map(at_most_one);
    let top_p = options.top_p.filter(|_| free && temperature.is_none());
    let top_k = options.top_k.filter(|_| free);
    let numbers: [(&str, Option<&str>, Option<&str>); 3] = [
        ("temperature", options.temperature, temperature),
        ("top_p", options.top_p, top_p),
        ("top_k", options.top_k, top_k),
    ];
    for (field, wished, sent) in numbers {
        if let Some(number) = sent {
            name(field.as_bytes(), out);
            out.extend_from_slice(number.as_bytes());
        } else if wished.is_some() {
            dropped.push(field.into());
        }
    }
}

/// Appends `stop_sequences`. Anthropic refuses those that are only space.
fn stop_sequences(stops: &[JsonText<'_>], out: &mut Vec<u8>, dropped: &mut Dropped<'_>) {
    let mut kept = 0;
    for stop in stops.iter().filter(|stop| !stop.unescape().trim().is_empty()) {
        if kept == 0 {
            name(b"stop_sequences", out);
        }
        out.push(if kept == 0 { b'[' } else { b',' });
        quoted(*stop, out);
        kept += 1;
    }
    if kept > 0 {
        out.push(b']');
    }
    if kept < stops.len() {
        dropped.push("stop".into());
    }
}

/// Anthropic's temperatures end where `OpenAI`'s are half way.
fn at_most_one(number: &str) -> &str {
    let more = number.parse::<f64>().is_ok_and(|value| value > 1.0);
    if more { "1" } else { number }
}

/// Appends who asks, and how urgently.
fn account(options: &Options<'_>, out: &mut Vec<u8>, dropped: &mut Dropped<'_>) {
    if let Some(user) = options.user.or(options.safety_identifier) {
        name(b"metadata", out);
        out.extend_from_slice(b"{\"user_id\":");
        quoted(user, out);
        out.push(b'}');
    }
    let tier = match options.service_tier.map(JsonText::raw) {
        None => return,
        Some("auto") => "auto",
        Some("default") => "standard_only",
        Some(_) => {
            dropped.push("service_tier".into());
            return;
        }
    };
    name(b"service_tier", out);
    json::push_string(out, tier);
}

/// Notes what Anthropic has no place for.
fn leave_out<'r>(request: &'r Request<'_>, dropped: &mut Dropped<'r>) {
    let options = &request.options;
    let spoken = options.modalities.iter().any(|modality| modality.raw() != "text");
    let untitled = request.turns.iter().flat_map(|turn| turn.content.media());
    let untitled = untitled.filter(|medium| !anthropic_media::is_titled(medium));
    for (name, there) in [
        ("seed", options.seed.is_some()),
        ("logprobs", options.logprobs),
        ("top_logprobs", options.top_logprobs.is_some()),
        ("presence_penalty", options.presence_penalty.is_some()),
        ("frequency_penalty", options.frequency_penalty.is_some()),
        ("modalities", spoken),
        ("audio", options.voice.is_some()),
        ("safety_identifier", options.user.is_some() && options.safety_identifier.is_some()),
        ("safety_settings", options.google.safety_settings.is_some()),
        ("cached_content", options.google.cached_content.is_some()),
        ("labels", options.google.labels.is_some()),
        ("text.verbosity", options.openai.verbosity.is_some()),
        ("prompt_cache_key", options.openai.cache_key.is_some()),
        ("input[].detail", options.openai.detail),
        ("messages[].content[].file.filename", { untitled }.any(|file| file.name.is_some())),
    ] {
        if there {
            dropped.push(name.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::order::Rules;
    use super::*;

    /// The body without its model and limit, and what was left out.
    fn sent(vendor: Vendor, model: &str, rest: &str) -> Result<(String, String), ChatError> {
        let body = format!(r#"{{"model":"m",{rest}}}"#);
        let request = Request::parse(body.as_bytes())?;
        let (mut out, mut dropped) = (Vec::new(), Dropped::default());
        let order = Order { vendor, model, rules: Rules::default() };
        encode(&order, &request, &mut out, &mut dropped)?;
        let text = String::from_utf8(out).unwrap();
        serde_json::from_str::<serde::de::IgnoredAny>(&text).unwrap();
        let mut names = Vec::new();
        dropped.render(&mut names);
        Ok((text, String::from_utf8(names).unwrap()))
    }

    const SONNET: &str = "claude-sonnet-4-5";
    const OPUS: &str = "claude-opus-4-6";
    const HI: &str = r#""messages":[{"role":"user","content":"hi"}]"#;

    /// What stands behind the messages, and what was left out.
    fn wishes(model: &str, rest: &str) -> (String, String) {
        let (text, dropped) =
            sent(Vendor::Anthropic, model, &format!("{HI},\"max_tokens\":2048{rest}")).unwrap();
        let start = format!(
            r#"{{"model":"{model}","max_tokens":2048,"messages":[{{"role":"user","content":[{{"type":"text","text":"hi"}}]}}]"#
        );
        (text.strip_prefix(&start).unwrap().to_owned(), dropped)
    }

    #[track_caller]
    fn wished(model: &str, rest: &str, expected: &str, left_out: &str) {
        let expected = if expected.is_empty() { String::new() } else { format!(",{expected}") };
        let expected = (format!("{expected}}}"), left_out.to_owned());
        assert_eq!(wishes(model, rest), expected, "{rest}");
    }

    #[test]
    fn the_limit_is_the_clients_the_operators_or_the_models() {
        let limit = |rules, rest: &str| {
            let body = format!(r#"{{"model":"m",{HI}{rest}}}"#);
            let request = Request::parse(body.as_bytes()).unwrap();
            let mut out = Vec::new();
            let order = Order { vendor: Vendor::Anthropic, model: SONNET, rules };
            encode(&order, &request, &mut out, &mut Dropped::default()).unwrap();
            let text = String::from_utf8(out).unwrap();
            let (_, rest) = text.split_once("\"max_tokens\":").unwrap();
            rest.split(',').next().unwrap().to_owned()
        };
        let operator = Rules { max_tokens: Some(77), ..Rules::default() };
        assert_eq!(limit(Rules::default(), ""), "64000");
        assert_eq!(limit(operator, ""), "77");
        assert_eq!(limit(operator, r#","max_tokens":5,"max_completion_tokens":6"#), "6");
    }

    #[test]
    fn thinking_follows_effort_and_model() {
        let adaptive = r#""thinking":{"type":"adaptive"},"output_config":{"effort":"#;
        for (model, rest, expected, left_out) in [
            (OPUS, r#","reasoning_effort":"minimal""#, format!("{adaptive}\"low\"}}"), ""),
            (OPUS, r#","reasoning_effort":"xhigh""#, format!("{adaptive}\"xhigh\"}}"), ""),
            (OPUS, r#","reasoning_effort":"none""#, String::new(), ""),
            (SONNET, r#","reasoning_effort":"none""#, String::new(), ""),
            (
                OPUS,
                r#","reasoning_effort":"high","thinking":{ "type":"disabled" },"top_k":3"#,
                r#""thinking":{ "type":"disabled" },"output_config":{"effort":"high"},"top_k":3"#
                    .to_owned(),
                "",
            ),
            (
                SONNET,
                r#","reasoning_effort":"high","temperature":0.3,"top_p":0.4,"top_k":5"#,
                r#""thinking":{"type":"enabled","budget_tokens":1024}"#.to_owned(),
                "temperature, top_p, top_k",
            ),
            (
                SONNET,
                r#","reasoning_effort":"high","thinking":{"type":"enabled","budget_tokens":1500}"#,
                r#""thinking":{"type":"enabled","budget_tokens":1500}"#.to_owned(),
                "reasoning_effort",
            ),
            (
                SONNET,
                r#","reasoning_effort":"high","max_completion_tokens":2047"#,
                String::new(),
                "reasoning_effort",
            ),
            ("claude-3-haiku", r#","reasoning_effort":"low""#, String::new(), "reasoning_effort"),
        ] {
            if rest.contains("max_completion_tokens") {
                let rest = format!("{HI}{rest}");
                let (text, dropped) = sent(Vendor::Anthropic, model, &rest).unwrap();
                assert!(!text.contains("thinking") && dropped == left_out, "{text} {dropped}");
                continue;
            }
            wished(model, rest, &expected, left_out);
        }
        let budgets = ["low", "medium", "max"].map(|effort| {
            let rest = format!(r#"{HI},"reasoning_effort":"{effort}""#);
            let (text, _) = sent(Vendor::Anthropic, SONNET, &rest).unwrap();
            let (_, rest) = text.split_once("budget_tokens\":").unwrap();
            rest.split('}').next().unwrap().to_owned()
        });
        assert_eq!(budgets, ["1024", "8192", "24576"]);
    }

    #[test]
    fn budgets_of_googles_are_taken_as_they_are() {
        for (model, config, expected, left_out) in [
            (SONNET, r#"{"thinking_budget":2000}"#, Some("2000"), ""),
            (SONNET, r#"{"thinking_budget":512}"#, Some("1024"), ""),
            (SONNET, r#"{"thinking_budget":-1}"#, Some("8192"), ""),
            (SONNET, r#"{"thinking_level":"LOW"}"#, Some("1024"), ""),
            (SONNET, r#"{"thinking_budget":0}"#, None, ""),
            (SONNET, r#"{"include_thoughts":true}"#, None, ""),
            ("claude-3-haiku", r#"{"thinking_budget":2000}"#, None, "google.thinking_config"),
        ] {
            let rest = format!(r#"{HI},"google":{{"thinking_config":{config}}}"#);
            let (text, dropped) = sent(Vendor::Anthropic, model, &rest).unwrap();
            let budget = text.split_once("budget_tokens\":").map(|(_, rest)| rest);
            let budget = budget.and_then(|rest| rest.split('}').next());
            assert_eq!((budget, &*dropped), (expected, left_out), "{model} {config}");
        }
        let open = r#","google":{"thinking_config":{"thinking_budget":-1}}"#;
        wished(OPUS, open, r#""thinking":{"type":"adaptive"}"#, "");
    }

    #[test]
    fn an_answer_that_began_without_a_signed_thought_goes_on_without() {
        let call = r#"{"role":"assistant","content":null,THOUGHT"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c","content":"1"}"#;
        let signed = r#""thinking_blocks":[{"type":"thinking","thinking":"t","signature":"S"}],"#;
        let ask = r#"{"role":"user","content":"hi"}"#;
        let plain = call.replace("THOUGHT", "");
        let unsigned = call.replace("THOUGHT", &signed.replace("S", ""));
        let signed = call.replace("THOUGHT", signed);
        let said = r#"{"role":"assistant","content":"so"}"#;
        for (turns, thinks) in [
            (format!("{ask},{signed}"), true),
            (format!("{ask},{plain}"), false),
            (format!("{ask},{unsigned}"), false),
            (format!("{ask},{signed},{}", plain.replace(r#""c""#, r#""d""#)), false),
            (format!("{ask},{plain},{}", signed.replace(r#""c""#, r#""d""#)), false),
            (format!("{ask},{signed},{}", signed.replace(r#""c""#, r#""d""#)), true),
            (format!("{ask},{signed},{ask}"), true),
            (format!("{ask},{plain},{ask}"), false),
            (format!("{ask},{plain},{said},{ask}"), true),
            (format!("{ask},{said}"), false),
        ] {
            for (wish, name) in [
                (r#""reasoning_effort":"high""#, "reasoning_effort"),
                (r#""thinking":{"type":"enabled","budget_tokens":1500}"#, "thinking"),
            ] {
                let rest = format!(r#""messages":[{turns}],{wish}"#);
                let (text, dropped) = sent(Vendor::Anthropic, SONNET, &rest).unwrap();
                assert_eq!(text.contains("budget_tokens"), thinks, "{text}");
                assert_eq!(dropped.contains(name), !thinks, "{text} {dropped}");
            }
            let rest = format!(r#""messages":[{turns}],"reasoning_effort":"high""#);
            let (text, _) = sent(Vendor::Anthropic, OPUS, &rest).unwrap();
            assert!(text.contains("adaptive"), "{text}");
        }
    }

    #[test]
    fn sampling_keeps_its_spelling_and_its_rules() {
        wished(
            SONNET,
            r#","temperature":1.50,"top_p":0.9,"top_k":40"#,
            r#""temperature":1,"top_k":40"#,
            "top_p",
        );
        wished(SONNET, r#","top_p":9e-1"#, r#""top_p":9e-1"#, "");
        wished(
            SONNET,
            r#","temperature":0.70,"stop":["A","\n "," B"]"#,
            r#""temperature":0.70,"stop_sequences":["A"," B"]"#,
            "stop",
        );
        wished(SONNET, r#","stop":"\t""#, "", "stop");
    }

    #[test]
    fn who_asks_and_how_urgently() {
        wished(SONNET, r#","user":"ü""#, r#""metadata":{"user_id":"ü"}"#, "");
        wished(
            SONNET,
            r#","user":"u","safety_identifier":"s""#,
            r#""metadata":{"user_id":"u"}"#,
            "safety_identifier",
        );
        wished(SONNET, r#","safety_identifier":"s""#, r#""metadata":{"user_id":"s"}"#, "");
        wished(SONNET, r#","service_tier":"default""#, r#""service_tier":"standard_only""#, "");
        wished(SONNET, r#","service_tier":"auto""#, r#""service_tier":"auto""#, "");
        wished(SONNET, r#","service_tier":"flex""#, "", "service_tier");
        wished(
            SONNET,
            r#","cache_control":{ "type":"ephemeral" },"stream":true,"stream_options":{}"#,
            r#""cache_control":{ "type":"ephemeral" },"stream":true"#,
            "",
        );
    }

    #[test]
    fn the_form_of_the_answer() {
        wished(
            SONNET,
            r#","response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object","properties":{"a":{"type":"integer","minimum":1}}}}}"#,
            r#""output_config":{"format":{"type":"json_schema","schema":{"type":"object","properties":{"a":{"type":"integer"}},"additionalProperties":false}}}"#,
            "response_format.json_schema.schema.minimum",
        );
        let object = r#""response_format":{"type":"json_object"}"#;
        let (text, _) = sent(Vendor::Anthropic, SONNET, &format!("{HI},{object}")).unwrap();
        assert!(text.contains(r#""system":[{"type":"text","text":"Answer with one JSON object"#));
    }

    #[test]
    fn what_has_no_place_is_named() {
        wished(
            SONNET,
            r#","n":1,"seed":3,"logprobs":true,"top_logprobs":2,"presence_penalty":1,"frequency_penalty":1,"modalities":["text","audio"],"audio":{"voice":"v"},"safety_settings":[],"google":{"labels":{},"cached_content":"c"}"#,
            "",
            "seed, logprobs, top_logprobs, presence_penalty, frequency_penalty, modalities, \
             audio, safety_settings, cached_content, labels",
        );
        wished(SONNET, r#","modalities":["text"],"logprobs":false"#, "", "");
        let param = |vendor, rest: &str| sent(vendor, SONNET, rest).unwrap_err().param;
        assert_eq!(param(Vendor::Anthropic, &format!("{HI},\"n\":2")), "n");
        let schema = r#""response_format":{"type":"json_schema","json_schema":{"schema":{}}}"#;
        assert_eq!(param(Vendor::Claude, &format!("{HI},{schema}")), "response_format");
    }

    #[test]
    fn vertex_has_a_version_and_no_model() {
        let tools =
            r#""tools":[{"type":"function","function":{"name":"f","strict":true}}],"stream":true"#;
        let rest = format!("{HI},\"max_tokens\":9,{tools}");
        let (text, dropped) = sent(Vendor::Claude, "claude-sonnet-4-5@20250929", &rest).unwrap();
        let expected = r#"{"anthropic_version":"vertex-2023-10-16","max_tokens":9,"messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}],"tools":[{"name":"f","input_schema":{"type":"object","properties":{}}}],"stream":true}"#;
        assert_eq!((text.as_str(), dropped.as_str()), (expected, "tools[].function.strict"));
    }

    #[test]
    fn unfinished_features_go_into_the_header() {
        let field = |betas: Option<&str>, content: &str| {
            let body =
                format!(r#"{{"model":"m","messages":[{{"role":"user","content":[{content}]}}]}}"#);
            let mut request = Request::parse(body.as_bytes()).unwrap();
            request.betas = betas;
            let mut out = Vec::new();
            super::betas(&request, &mut out);
            String::from_utf8(out).unwrap()
        };
        let text = r#"{"type":"text","text":"x"}"#;
        let file = r#"{"type":"file","file":{"file_id":"file_1"}}"#;
        assert_eq!(field(None, text), "");
        assert_eq!(field(Some("a,b"), text), "anthropic-beta: a,b\r\n");
        assert_eq!(field(None, file), "anthropic-beta: files-api-2025-04-14\r\n");
        assert_eq!(field(Some("a"), file), "anthropic-beta: a,files-api-2025-04-14\r\n");
        let newer = "files-api-2026-01-01";
        assert_eq!(field(Some(newer), file), format!("anthropic-beta: {newer}\r\n"));
        assert_eq!(field(Some("a\r\nb: c"), text), "");
    }
}
