//! A chat request in OpenAI's wire format, for clients that speak another API.
//!
//! <https://platform.openai.com/docs/api-reference/chat/create>. Clients of OpenAI's own API do
//! not come here: their bytes pass as they are.

use crate::base::ascii;
use crate::chat::options::{Effort, ResponseFormat};
use crate::chat::part::Piece;
use crate::chat::problem::{ChatError, Problem};
use crate::chat::{Call, Content, Request, Role, ToolChoice, Tools, Turn};
use crate::wire::json::{self, JsonText};

use super::anthropic_messages::ONLY_JSON;
use super::dropped::Dropped;
use super::openai_media;
use super::order::Order;
use super::put::{name, quoted};

/// Appends the request body.
pub(super) fn encode<'r>(
    order: &Order<'_>,
    request: &'r Request<'_>,
    out: &mut Vec<u8>,
    dropped: &mut Dropped<'r>,
) -> Result<(), ChatError> {
    let model = order.model;
    out.push(b'{');
    name(b"model", out);
    json::push_string(out, model);
    messages(request, out)?;
    if request.stream {
        out.extend_from_slice(b",\"stream\":true");
        if !order.rules.no_stream_usage {
            out.extend_from_slice(b",\"stream_options\":{\"include_usage\":true}");
        }
    }
    let own = is_openais(model);
    let effort = effort(request, model, own);
    tools(&request.tools, own, out);
    sampling(request, own, out);
    wishes(request, (own, effort), out);
    out.push(b'}');
    leave_out(request, (own, effort), dropped);
    Ok(())
}

fn speak_of_json(turns: &[Turn<'_>]) -> bool {
    let mut texts = turns.iter().flat_map(|turn| turn.content.texts());
    texts.any(|text| text.raw().to_ascii_lowercase().contains("json"))
}

/// Is this a model that only OpenAI serves? Compatible services know OpenAI's older names.
pub(super) fn is_openais(model: &str) -> bool {
    let model = model.rsplit('/').next().unwrap_or(model);
    let own = ["gpt-", "chatgpt-", "codex-"].iter().any(|start| model.starts_with(start));
    is_reasoning(model) || own && !model.starts_with("gpt-oss")
}

/// Does this model of OpenAI's think, and so take an effort?
fn is_reasoning(model: &str) -> bool {
    let model = model.rsplit('/').next().unwrap_or(model);
    let digit = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
    let generation = model.strip_prefix("gpt-").and_then(|rest| rest.split(['.', '-']).next());
    model.strip_prefix('o').is_some_and(digit)
        || model.starts_with("codex-")
        || generation.and_then(|number| number.parse::<u32>().ok()).is_some_and(|at| at >= 5)
}

/// Appends `messages`.
fn messages(request: &Request<'_>, out: &mut Vec<u8>) -> Result<(), ChatError> {
    let turns = &request.turns;
    name(b"messages", out);
    out.push(b'[');
    let open = out.len();
    // JSON that nobody speaks of is refused.
    if request.options.response_format == ResponseFormat::JsonObject && !speak_of_json(turns) {
        out.extend_from_slice(b"{\"role\":\"system\",\"content\":");
        json::push_string(out, ONLY_JSON);
        out.push(b'}');
    }
    // What tools have shown: their messages take text only, so it follows as the user's.
    let mut shown: Vec<Piece<'_, '_>> = Vec::new();
    for turn in turns {
        if turn.role != Role::Tool {
            show(&mut shown, open, out)?;
        }
        separate(open, out);
        message(turn, &mut shown, out)?;
    }
    show(&mut shown, open, out)?;
    out.push(b']');
    Ok(())
}

fn separate(open: usize, out: &mut Vec<u8>) {
    if out.len() > open {
        out.push(b',');
    }
}

/// Appends a user's message with what tools have shown.
fn show(shown: &mut Vec<Piece<'_, '_>>, open: usize, out: &mut Vec<u8>) -> Result<(), ChatError> {
    if shown.is_empty() {
        return Ok(());
    }
    separate(open, out);
    out.extend_from_slice(b"{\"role\":\"user\",\"content\":");
    parts(shown.drain(..), out)?;
    out.push(b'}');
    Ok(())
}

fn message<'t, 'b>(
    turn: &'t Turn<'b>,
    shown: &mut Vec<Piece<'t, 'b>>,
    out: &mut Vec<u8>,
) -> Result<(), ChatError> {
    let role = match turn.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    };
    out.extend_from_slice(b"{\"role\":\"");
    out.extend_from_slice(role.as_bytes());
    out.push(b'"');
    if let Some(id) = turn.answers {
        name(b"tool_call_id", out);
        quoted(id, out);
    }
    name(b"content", out);
    match (&turn.content, turn.role) {
        (Content::None, Role::Assistant) => out.extend_from_slice(b"null"),
        (Content::None, _) => out.extend_from_slice(b"\"\""),
        (Content::Text(text), _) => quoted(*text, out),
        (Content::Parts(_), Role::User) => parts(turn.content.pieces(), out)?,
        (Content::Parts(_), Role::Tool) => {
            texts(turn, out);
            shown.extend(turn.content.media().map(Piece::Media));
        }
        (Content::Parts(_), Role::System | Role::Assistant) => {
            if let Some(media) = turn.content.media().next() {
                let what = "OpenAI takes media from the user only";
                return Err(ChatError::at(media.at.to_string(), Problem::Unsupported(what)));
            }
            texts(turn, out);
        }
    }
    if !turn.calls.is_empty() {
        name(b"tool_calls", out);
        calls(&turn.calls, out);
    }
    out.push(b'}');
    Ok(())
}

/// Appends the texts of a turn: one as a string, several as parts.
fn texts(turn: &Turn<'_>, out: &mut Vec<u8>) {
    let mut texts = turn.content.texts();
    match (texts.next(), texts.next()) {
        (None, _) if turn.role == Role::Assistant => out.extend_from_slice(b"null"),
        (None, _) => out.extend_from_slice(b"\"\""),
        (Some(text), None) => quoted(text, out),
        _ => {
            out.push(b'[');
            let open = out.len();
            for text in turn.content.texts() {
                separate(open, out);
                text_part(text, out);
            }
            out.push(b']');
        }
    }
}

fn text_part(text: JsonText<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"text\",\"text\":");
    quoted(text, out);
    out.push(b'}');
}

fn parts<'t>(
    pieces: impl Iterator<Item = Piece<'t, 't>>,
    out: &mut Vec<u8>,
) -> Result<(), ChatError> {
    out.push(b'[');
    let open = out.len();
    for piece in pieces {
        separate(open, out);
        match piece {
            Piece::Text(text, _) => text_part(text, out),
            Piece::Media(media) => openai_media::part(media, out)?,
        }
    }
    out.push(b']');
    Ok(())
}

fn calls(calls: &[Call<'_>], out: &mut Vec<u8>) {
    out.push(b'[');
    let open = out.len();
    for call in calls {
        separate(open, out);
        out.extend_from_slice(b"{\"id\":");
        quoted(call.id, out);
        out.extend_from_slice(b",\"type\":\"function\",\"function\":{\"name\":");
        quoted(call.name, out);
        out.extend_from_slice(b",\"arguments\":");
        json::push_string(out, &call.arguments);
        out.extend_from_slice(b"}}");
    }
    out.push(b']');
}

/// Appends `tools`, `tool_choice` and `parallel_tool_calls`.
fn tools(tools: &Tools<'_>, own: bool, out: &mut Vec<u8>) {
    // A subset is asked for in OpenAI's own words where they are known, else nothing else is
    // offered.
    let subset = match &tools.choice {
        ToolChoice::Allowed { names, .. } if !own => Some(names),
        _ => None,
    };
    let offered = |tool: &JsonText<'_>| subset.is_none_or(|names| names.contains(tool));
    let mut list = tools.list.iter().filter(|tool| offered(&tool.name)).peekable();
    if list.peek().is_none() {
        return;
    }
    name(b"tools", out);
    out.push(b'[');
    let open = out.len();
    for tool in list {
        separate(open, out);
        out.extend_from_slice(b"{\"type\":\"function\",\"function\":{\"name\":");
        quoted(tool.name, out);
        if let Some(description) = tool.description {
            name(b"description", out);
            quoted(description, out);
        }
        if let Some(schema) = tool.parameters {
            name(b"parameters", out);
            out.extend_from_slice(schema.as_bytes());
        }
        if let Some(strict) = tool.strict {
            name(b"strict", out);
            out.extend_from_slice(if strict { b"true" } else { b"false" });
        }
        out.extend_from_slice(b"}}");
    }
    out.push(b']');
    choice(&tools.choice, own, out);
    if let Some(parallel) = tools.parallel {
        name(b"parallel_tool_calls", out);
        out.extend_from_slice(if parallel { b"true" } else { b"false" });
    }
}

fn choice(choice: &ToolChoice<'_>, own: bool, out: &mut Vec<u8>) {
    let word: &[u8] = match choice {
        ToolChoice::Unsaid => return,
        ToolChoice::None => b"none",
        ToolChoice::Allowed { required: false, .. } | ToolChoice::Auto => b"auto",
        ToolChoice::Allowed { required: true, .. } | ToolChoice::Required => b"required",
        ToolChoice::Named(tool) => {
            name(b"tool_choice", out);
            function(*tool, out);
            return;
        }
    };
    name(b"tool_choice", out);
    let ToolChoice::Allowed { names, .. } = choice else {
        return word_of(word, out);
    };
    if !own {
        return word_of(word, out);
    }
    out.extend_from_slice(b"{\"type\":\"allowed_tools\",\"allowed_tools\":{\"mode\":");
    word_of(word, out);
    name(b"tools", out);
    out.push(b'[');
    let open = out.len();
    for tool in names {
        separate(open, out);
        function(*tool, out);
    }
    out.extend_from_slice(b"]}}");
}

fn word_of(word: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(word);
    out.push(b'"');
}

fn function(tool: JsonText<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"function\",\"function\":{\"name\":");
    quoted(tool, out);
    out.extend_from_slice(b"}}");
}

/// Appends what steers the choice of tokens.
fn sampling(request: &Request<'_>, own: bool, out: &mut Vec<u8>) {
    let options = &request.options;
    for (field, value) in [
        (&b"temperature"[..], options.temperature),
        (b"top_p", options.top_p),
        (b"presence_penalty", options.presence_penalty),
        (b"frequency_penalty", options.frequency_penalty),
    ] {
        if let Some(value) = value {
            name(field, out);
            out.extend_from_slice(value.as_bytes());
        }
    }
    let limit: &[u8] = if own { b"max_completion_tokens" } else { b"max_tokens" };
    let n = options.n.map(u64::from);
    for (field, value) in [(limit, options.max_tokens()), (b"n", n)] {
        if let Some(value) = value {
            name(field, out);
            ascii::push_u64(out, value);
        }
    }
    if let Some(seed) = options.seed {
        name(b"seed", out);
        out.extend_from_slice(seed.to_string().as_bytes());
    }
    if !options.stop.is_empty() {
        name(b"stop", out);
        out.push(b'[');
        let open = out.len();
        for text in &options.stop {
            separate(open, out);
            quoted(*text, out);
        }
        out.push(b']');
    }
    if options.logprobs {
        name(b"logprobs", out);
        out.extend_from_slice(b"true");
    }
    if let Some(count) = options.top_logprobs {
        name(b"top_logprobs", out);
        ascii::push_u64(out, count);
    }
}

/// Appends the form of the answer, the effort, and who asks.
fn wishes(request: &Request<'_>, (own, effort): (bool, Option<Effort>), out: &mut Vec<u8>) {
    let options = &request.options;
    match options.response_format {
        ResponseFormat::Text => {}
        ResponseFormat::JsonObject => {
            name(b"response_format", out);
            out.extend_from_slice(b"{\"type\":\"json_object\"}");
        }
        ResponseFormat::JsonSchema(schema) => {
            name(b"response_format", out);
            out.extend_from_slice(b"{\"type\":\"json_schema\",\"json_schema\":{\"name\":");
            quoted(schema.name.unwrap_or(JsonText::plain("answer")), out);
            if let Some(description) = schema.description {
                name(b"description", out);
                quoted(description, out);
            }
            name(b"schema", out);
            out.extend_from_slice(schema.text.as_bytes());
            if let Some(strict) = schema.strict {
                name(b"strict", out);
                out.extend_from_slice(if strict { b"true" } else { b"false" });
            }
            out.extend_from_slice(b"}}");
        }
    }
    if let Some(effort) = effort {
        name(b"reasoning_effort", out);
        json::push_string(out, effort.as_str());
    }
    for (field, value) in [
        (&b"user"[..], options.user),
        (b"safety_identifier", options.safety_identifier),
        (b"service_tier", options.service_tier),
        (b"verbosity", options.openai.verbosity.filter(|_| own)),
        (b"prompt_cache_key", options.openai.cache_key.filter(|_| own)),
    ] {
        if let Some(value) = value {
            name(field, out);
            quoted(value, out);
        }
    }
    if !options.modalities.is_empty() {
        name(b"modalities", out);
        out.push(b'[');
        let open = out.len();
        for modality in &options.modalities {
            separate(open, out);
            quoted(*modality, out);
        }
        out.push(b']');
    }
    if let Some(voice) = options.voice {
        name(b"audio", out);
        out.push(b'{');
        name(b"voice", out);
        quoted(voice, out);
        // Streams have this one form only.
        let format: &[u8] = if request.stream { b"pcm16" } else { b"wav" };
        name(b"format", out);
        word_of(format, out);
        out.push(b'}');
    }
}

/// The effort that the client names, or the one that its words for another vendor stand for. Those
/// of OpenAI's models that do not think refuse every effort.
fn effort(request: &Request<'_>, model: &str, own: bool) -> Option<Effort> {
    let options = &request.options;
    let named = options.reasoning_effort.filter(|_| !own || is_reasoning(model));
    let told = || {
        let budget = options.anthropic.budget.and_then(Effort::of_budget);
        match budget.or_else(|| options.effort()).filter(|_| is_reasoning(model))? {
            Effort::None => Some(least(model)),
            effort => Some(effort),
        }
    };
    named.or_else(told)
}

/// The least that a model of OpenAI's thinks. All of those that can be told not to at all are
/// named with a version behind the point.
fn least(model: &str) -> Effort {
    let model = model.rsplit('/').next().unwrap_or(model);
    match model.strip_prefix("gpt-") {
        Some(version) if version.contains('.') => Effort::None,
        Some(version) if !version.contains("codex") => Effort::Minimal,
        _ => Effort::Low,
    }
}

/// Notes what OpenAI has no field for.
fn leave_out<'r>(
    request: &'r Request<'_>,
    (own, effort): (bool, Option<Effort>),
    dropped: &mut Dropped<'r>,
) {
    let (options, turns) = (&request.options, &request.turns);
    let in_parts = |turn: &Turn<'_>| {
        turn.content.pieces().any(|piece| match piece {
            Piece::Text(_, cache) => cache.is_some(),
            Piece::Media(media) => media.cache.is_some(),
        })
    };
    let cached = options.anthropic.cache.is_some()
        || turns.iter().any(|turn| turn.cache.is_some() || in_parts(turn))
        || request.tools.list.iter().any(|tool| tool.cache.is_some());
    let config = options.google.thinking;
    let thinks = options.anthropic.thinking_kind.is_some_and(|kind| kind.raw() != "disabled")
        || config.level.is_some()
        || config.budget.is_some_and(|budget| budget != "0");
    let signed = |turn: &Turn<'_>| {
        turn.signature.is_some() || turn.calls.iter().any(|call| call.signature.is_some())
    };
    for (name, there) in [
        ("top_k", options.top_k.is_some()),
        ("cache_control", cached),
        ("thinking", thinks && effort.is_none()),
        ("text.verbosity", options.openai.verbosity.is_some() && !own),
        ("prompt_cache_key", options.openai.cache_key.is_some() && !own),
        ("reasoning_effort", options.reasoning_effort.is_some() && effort.is_none()),
        ("safety_settings", options.google.safety_settings.is_some()),
        ("cached_content", options.google.cached_content.is_some()),
        ("labels", options.google.labels.is_some()),
        ("messages[].thinking_blocks", turns.iter().any(|turn| turn.thinking.is_some())),
        ("messages[].extra_content", turns.iter().any(signed)),
        ("messages[].is_error", turns.iter().any(|turn| turn.failed)),
    ] {
        if there {
            dropped.push(name.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::chat::door::Beside;
    use crate::chat::{Door, Form, Outline};

    use super::super::order::{Rules, Vendor};
    use super::*;

    fn encoded_for(model: &str, messages: &str, rest: &str) -> Result<(String, String), ChatError> {
        let body = format!(r#"{{"model":"x","messages":{messages}{rest}}}"#);
        let request = Request::parse(body.as_bytes())?;
        let (mut out, mut dropped) = (Vec::new(), Dropped::default());
        let order = Order { vendor: Vendor::OpenAi, model, rules: Rules::default() };
        encode(&order, &request, &mut out, &mut dropped)?;
        let text = String::from_utf8(out).unwrap();
        serde_json::from_str::<serde::de::IgnoredAny>(&text).unwrap();
        let mut names = Vec::new();
        dropped.render(&mut names);
        Ok((text, String::from_utf8(names).unwrap()))
    }

    const HI: &str = r#"[{"role":"user","content":"hi"}]"#;

    /// What stands behind the messages.
    fn rest(model: &str, rest: &str) -> String {
        let (text, _) = encoded_for(model, HI, rest).unwrap();
        let head = format!(r#"{{"model":"{model}","messages":{HI}"#);
        text.strip_prefix(&head).and_then(|text| text.strip_suffix('}')).unwrap().to_owned()
    }

    fn talk(messages: &str) -> String {
        let (text, _) = encoded_for("m", messages, "").unwrap();
        let text = text.strip_prefix(r#"{"model":"m","messages":"#).unwrap();
        text.strip_suffix('}').unwrap().to_owned()
    }

    #[test]
    fn a_conversation_comes_out_as_it_went_in() {
        for same in [
            r#"[{"role":"system","content":"S"},{"role":"user","content":"a\u00e9\n"}]"#,
            r#"[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}},{"type":"image_url","image_url":{"url":"https://h/i.png"}}]}]"#,
            r#"[{"role":"user","content":[{"type":"input_audio","input_audio":{"data":"AA==","format":"wav"}},{"type":"file","file":{"file_id":"file-1"}}]}]"#,
            r#"[{"role":"user","content":"x"},{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"n\":1.0e400, \"s\":\"\\\"\"}"}}]},{"role":"tool","tool_call_id":"c1","content":"1"}]"#,
            r#"[{"role":"assistant","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]"#,
        ] {
            assert_eq!(talk(same), same);
        }
    }

    #[test]
    fn what_tools_show_follows_their_results() {
        let result = |id: &str, content: &str| {
            format!(r#"{{"role":"tool","tool_call_id":"{id}","content":{content}}}"#)
        };
        let image = r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}}"#;
        let shown = result("a", &format!(r#"[{{"type":"text","text":"see"}},{image}]"#));
        let bare = result("b", &format!("[{image}]"));
        let messages = format!(r#"[{shown},{bare},{{"role":"user","content":"?"}}]"#);
        let expected = format!(
            r#"[{},{},{{"role":"user","content":[{image},{image}]}},{{"role":"user","content":"?"}}]"#,
            result("a", r#""see""#),
            result("b", r#""""#)
        );
        assert_eq!(talk(&messages), expected);
    }

    #[test]
    fn wishes_keep_their_names() {
        let all = r#","temperature":0.70,"top_p":1,"presence_penalty":-2,"frequency_penalty":0.5,"n":2,"seed":-7,"stop":["a","b"],"logprobs":true,"top_logprobs":3"#;
        assert_eq!(rest("m", all), all);
        assert_eq!(rest("m", r#","max_tokens":5"#), r#","max_tokens":5"#);
        assert_eq!(rest("openai/gpt-4o", r#","max_tokens":5"#), r#","max_completion_tokens":5"#);
        assert_eq!(rest("gpt-oss-20b", r#","max_completion_tokens":5"#), r#","max_tokens":5"#);
        let stream = r#","stream":true,"stream_options":{"include_usage":true}"#;
        assert_eq!(rest("m", r#","stream":true"#), stream);
        for same in [
            r#","reasoning_effort":"high","user":"u","safety_identifier":"s","service_tier":"flex""#,
            r#","modalities":["text","audio"],"audio":{"voice":"alloy","format":"wav"}"#,
        ] {
            assert_eq!(rest("m", same), same);
        }
        for told in [
            r#""name":"answer","schema":{ "type":"object" }"#,
            r#""name":"n","description":"d","schema":{},"strict":true"#,
        ] {
            let schema =
                format!(r#","response_format":{{"type":"json_schema","json_schema":{{{told}}}}}"#);
            assert_eq!(rest("m", &schema), schema);
        }
    }

    #[test]
    fn json_is_spoken_of_where_it_is_wanted() {
        let wish = r#","response_format":{"type":"json_object"}"#;
        let sent = |content: &str| {
            encoded_for("m", &format!(r#"[{{"role":"user","content":"{content}"}}]"#), wish)
        };
        let (silent, _) = sent("hi").unwrap();
        assert!(silent.contains(ONLY_JSON) && silent.contains(wish), "{silent}");
        let (told, _) = sent("as Json").unwrap();
        assert!(!told.contains(ONLY_JSON) && told.contains(wish), "{told}");
    }

    #[test]
    fn what_responses_wish_is_wished_of_openai() {
        let body = r#"{"model":"x","input":[{"role":"user","content":[{"type":"input_image","image_url":"https://h/i.png","detail":"low"}]}],"text":{"verbosity":"low"},"prompt_cache_key":"k","top_logprobs":2}"#;
        for (model, sent, left_out) in [
            ("gpt-5", r#","verbosity":"low","prompt_cache_key":"k"}"#, ""),
            ("llama3", r#","logprobs":true,"top_logprobs":2}"#, "text.verbosity, prompt_cache_key"),
        ] {
            let outline = Outline::parse(body.as_bytes(), &Form::RESPONSES).unwrap();
            let beside = Beside::default();
            let request = Door::Responses.read(&outline, &beside).unwrap();
            let (mut out, mut dropped) = (Vec::new(), Dropped::default());
            let order = Order { vendor: Vendor::OpenAi, model, rules: Rules::default() };
            encode(&order, &request, &mut out, &mut dropped).unwrap();
            let text = String::from_utf8(out).unwrap();
            assert!(text.ends_with(sent) && text.contains(r#""detail":"low""#), "{text}");
            let mut names = Vec::new();
            dropped.render(&mut names);
            assert_eq!(String::from_utf8(names).unwrap(), left_out);
        }
    }

    #[test]
    fn only_models_that_think_are_told_how_hard() {
        let google = |config: &str| format!(r#","google":{{"thinking_config":{config}}}"#);
        let off = google(r#"{"thinking_budget":0}"#);
        for (model, wish, expected, left_out) in [
            ("gpt-4o", off.as_str(), "", ""),
            ("gpt-4o", r#","reasoning_effort":"low""#, "", "reasoning_effort"),
            ("llama3", r#","reasoning_effort":"low""#, r#","reasoning_effort":"low""#, ""),
            ("gpt-5-mini", off.as_str(), r#","reasoning_effort":"minimal""#, ""),
            ("gpt-5.2", off.as_str(), r#","reasoning_effort":"none""#, ""),
            ("o3", off.as_str(), r#","reasoning_effort":"low""#, ""),
            ("gpt-4o", &google(r#"{"thinking_level":"HIGH"}"#), "", "thinking"),
            ("o3", &google(r#"{"thinking_level":"HIGH"}"#), r#","reasoning_effort":"high""#, ""),
        ] {
            assert_eq!(rest(model, wish), expected, "{model} {wish}");
            assert_eq!(encoded_for(model, HI, wish).unwrap().1, left_out, "{model} {wish}");
        }
    }

    #[test]
    fn tools_and_every_choice() {
        let tools = r#","tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{ "a":1},"strict":true}},{"type":"function","function":{"name":"g"}}]"#;
        for choice in [
            r#""none""#,
            r#""auto""#,
            r#""required""#,
            r#"{"type":"function","function":{"name":"f"}}"#,
        ] {
            let same = format!(r#"{tools},"tool_choice":{choice},"parallel_tool_calls":false"#);
            assert_eq!(rest("m", &same), same);
        }
        let subset = format!(
            r#"{tools},"tool_choice":{{"type":"allowed_tools","allowed_tools":{{"mode":"required","tools":[{{"type":"function","function":{{"name":"g"}}}}]}}}}"#
        );
        assert_eq!(rest("gpt-5", &subset), subset);
        let filtered =
            r#","tools":[{"type":"function","function":{"name":"g"}}],"tool_choice":"required""#;
        assert_eq!(rest("llama3", &subset), filtered);
    }

    #[test]
    fn budgets_become_efforts_where_models_think() {
        let thinking = r#","thinking":{"type":"enabled","budget_tokens":5000}"#;
        for (model, expected) in [
            ("gpt-5-mini", r#","reasoning_effort":"medium""#),
            ("o3", r#","reasoning_effort":"medium""#),
            ("gpt-4.1", ""),
            ("olmo", ""),
        ] {
            assert_eq!(rest(model, thinking), expected, "{model}");
        }
        assert_eq!(encoded_for("gpt-4o", HI, thinking).unwrap().1, "thinking");
        let named = format!(r#"{thinking},"reasoning_effort":"low""#);
        assert_eq!(rest("m", &named), r#","reasoning_effort":"low""#);
    }

    #[test]
    fn what_has_no_field_is_named() {
        let all = r#","top_k":4,"safety_settings":[],"cached_content":"c","cache_control":{},"google":{"labels":{}}"#;
        let names = encoded_for("m", HI, all).unwrap().1;
        assert_eq!(names, "top_k, cache_control, safety_settings, cached_content, labels");
        let image = r#"[{"role":"system","content":[{"type":"image_url","image_url":{"url":"https://h/i"}}]}]"#;
        let error = encoded_for("m", image, "").unwrap_err();
        assert_eq!(error.param, "messages[0].content[0]");
    }
}
