//! Requests of OpenAI's responses (<https://platform.openai.com/docs/api-reference/responses>) to
//! the hub. Nothing is kept between requests: what needs a memory is refused by name.
//!
//! The items of the input are read in `responses_items`.

use std::borrow::Cow;

use crate::wire::json::{JsonText, Kind, Reader};

use super::options::{Effort, ResponseFormat, Schema};
use super::others::note;
use super::outline::Outline;
use super::part::Content;
use super::problem::{ChatError, Problem, typed, typed_at};
use super::request::Request;
use super::responses_items::Talk;
use super::tools::Tool;
use super::turn::{Role, Turn};

/// More tools than this are refused: a limit on everything.
const TOOLS_MAX: usize = 4096;

const NO_MEMORY: &str =
    "nothing is kept between requests: send the whole conversation as input, with store: false";

/// Understands a body whose syntax has been checked.
pub(super) fn read<'b>(outline: &Outline<'b>) -> Result<Request<'b>, ChatError> {
    let mut request = Request {
        model: outline.model.clone(),
        stream: outline.stream,
        include_usage: true,
        ..Request::empty()
    };
    let mut instructions = None;
    outline.members(|reader, name| {
        if name == "instructions" {
            if reader.null()? {
                return Ok(());
            }
            request.echo.push(("instructions", reader.clone().raw()?));
            let text = reader.string();
            let text = text.map_err(|error| ChatError::json(&name, "a string", error))?;
            instructions = Some(text);
            return Ok(());
        }
        member(&mut request, reader, &name)
    })?;
    if let Some(text) = instructions {
        request.turns.insert(0, Turn::new(Role::System, Content::Text(text)));
    }
    let media = request.turns.iter().flat_map(|turn| turn.content.media());
    request.options.openai.detail = { media }.any(|medium| medium.detail.is_some());
    request.options.check()?;
    request.tools.check()?;
    Ok(request)
}

/// Fields that the answer repeats as they were sent.
const ECHOED: [&str; 14] = [
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "parallel_tool_calls",
    "prompt_cache_key",
    "reasoning",
    "safety_identifier",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "user",
];

fn member<'b>(
    request: &mut Request<'b>,
    reader: &mut Reader<'b>,
    name: &str,
) -> Result<(), ChatError> {
    match name {
        // The outline has them.
        "model" | "stream" | "stream_options" => return Ok(reader.skip()?),
        "input" => return Talk::new(&mut request.turns, &mut request.others).input(reader),
        _ => {}
    }
    if reader.null()? {
        return Ok(());
    }
    if let Some(field) = ECHOED.iter().find(|field| **field == name) {
        request.echo.push((field, reader.clone().raw()?));
    }
    match name {
        "previous_response_id" | "conversation" | "prompt" => {
            return Err(ChatError::at(name, Problem::Unsupported(NO_MEMORY)));
        }
        "background" | "store" => {
            let on = reader.boolean();
            let on = on.map_err(|error| ChatError::json(name, "a boolean", error))?;
            match (name, on) {
                ("background", true) => {
                    return Err(ChatError::at("background", Problem::Unsupported(NO_MEMORY)));
                }
                (_, true) => note(&mut request.others, "store"),
                (_, false) => {}
            }
        }
        "max_output_tokens" => {
            let read = request.options.member("max_tokens", reader);
            read.map_err(|error| renamed(error, "max_output_tokens"))?;
        }
        "tools" => tools(reader, request)?,
        "tool_choice" | "parallel_tool_calls" => {
            request.tools.member(name, reader, &mut request.others)?;
        }
        "reasoning" => reasoning(reader, request)?,
        "text" => text(reader, request)?,
        "include" => include(reader, request)?,
        "prompt_cache_key" => {
            request.options.openai.cache_key = Some(string(reader, "prompt_cache_key")?);
        }
        "temperature" | "top_p" | "top_logprobs" | "user" | "safety_identifier"
        | "service_tier" => {
            request.options.member(name, reader)?;
            // Who wants alternatives wants probabilities; chat completions want both to be said.
            request.options.logprobs |= request.options.top_logprobs.is_some_and(|most| most > 0);
        }
        other => {
            note(&mut request.others, other);
            reader.skip()?;
        }
    }
    Ok(())
}

fn string<'b>(reader: &mut Reader<'b>, name: &str) -> Result<JsonText<'b>, ChatError> {
    reader.string().map_err(|error| ChatError::json(name, "a string", error))
}

/// The same problem of a field that the hub knows by another name.
fn renamed(error: ChatError, name: &str) -> ChatError {
    if error.param.is_empty() { error } else { ChatError { param: name.to_owned(), ..error } }
}

fn tools<'b>(reader: &mut Reader<'b>, request: &mut Request<'b>) -> Result<(), ChatError> {
    typed(reader, Kind::Array, "tools", "an array of tools")?;
    reader.array(|reader, index| {
        if index == TOOLS_MAX {
            return Err(ChatError::at("tools", Problem::Expected("at most 4096 tools")));
        }
        let tool = tool(reader, index, &mut request.others)?;
        request.tools.list.push(tool);
        Ok(())
    })
}

/// A function, whose fields stand beside its type.
fn tool<'b>(
    reader: &mut Reader<'b>,
    index: usize,
    others: &mut Vec<Cow<'b, str>>,
) -> Result<Tool<'b>, ChatError> {
    let at = |field: &str| format!("tools[{index}]{field}");
    typed_at(reader, Kind::Object, || at(""), "an object")?;
    let (mut kind, mut name, mut description) = (None, None, None);
    let (mut parameters, mut strict) = (None, None);
    reader.object(|reader, key| {
        match (key.raw(), reader.kind()?) {
            (_, Kind::Null) => reader.skip()?,
            ("type", Kind::String) => kind = Some(reader.string()?),
            ("name", Kind::String) => name = Some(reader.string()?),
            ("description", Kind::String) => description = Some(reader.string()?),
            ("parameters", Kind::Object) => parameters = Some(reader.raw()?),
            ("strict", Kind::Bool) => strict = Some(reader.boolean()?),
            ("type" | "name" | "description", _) => {
                let param = at(&format!(".{}", key.raw()));
                return Err(ChatError::at(param, Problem::Expected("a string")));
            }
            ("parameters", _) => {
                let what = Problem::Expected("a JSON Schema, an object");
                return Err(ChatError::at(at(".parameters"), what));
            }
            (other, _) => {
                note(others, &format!("tools[].{other}"));
                reader.skip()?;
            }
        }
        Ok(())
    })?;
    let missing = |field: &str| ChatError::at(at(field), Problem::Missing);
    if kind.ok_or_else(|| missing(".type"))?.raw() != "function" {
        let why = "only OpenAI itself has this built-in tool; other upstreams take functions";
        return Err(ChatError::at(at(".type"), Problem::Unsupported(why)));
    }
    Ok(Tool {
        name: name.filter(|name| !name.is_empty()).ok_or_else(|| missing(".name"))?,
        description: description.filter(|text| !text.is_empty()),
        parameters,
        strict,
        cache: None,
    })
}

fn reasoning<'b>(reader: &mut Reader<'b>, request: &mut Request<'b>) -> Result<(), ChatError> {
    const EFFORTS: &str = "one of none, minimal, low, medium, high, xhigh, max";
    typed(reader, Kind::Object, "reasoning", "an object")?;
    let mut summary = false;
    reader.object(|reader, key| {
        match (key.raw(), reader.kind()?) {
            (_, Kind::Null) => reader.skip()?,
            ("effort", kind) => {
                let wrong = || ChatError::at("reasoning.effort", Problem::Expected(EFFORTS));
                if kind != Kind::String {
                    return Err(wrong());
                }
                let effort = Effort::named(&reader.string()?.unescape());
                request.options.reasoning_effort = Some(effort.ok_or_else(wrong)?);
            }
            ("summary" | "generate_summary", _) => {
                summary = true;
                reader.skip()?;
            }
            (other, _) => {
                note(&mut request.others, &format!("reasoning.{other}"));
                reader.skip()?;
            }
        }
        Ok(())
    })?;
    // With an effort reasoning is shown anyway.
    if summary && request.options.reasoning_effort.is_none() {
        request.options.google.thinking.include = Some(true);
    }
    Ok(())
}

/// `text`: the form of the answer.
fn text<'b>(reader: &mut Reader<'b>, request: &mut Request<'b>) -> Result<(), ChatError> {
    typed(reader, Kind::Object, "text", "an object")?;
    reader.object(|reader, key| match (key.raw(), reader.kind()?) {
        (_, Kind::Null) => Ok(reader.skip()?),
        ("format", _) => {
            request.options.response_format = format(reader)?;
            Ok(())
        }
        ("verbosity", _) => {
            request.options.openai.verbosity = Some(string(reader, "text.verbosity")?);
            Ok(())
        }
        (other, _) => {
            note(&mut request.others, &format!("text.{other}"));
            Ok(reader.skip()?)
        }
    })
}

fn format<'b>(reader: &mut Reader<'b>) -> Result<ResponseFormat<'b>, ChatError> {
    const KINDS: Problem = Problem::Expected("one of text, json_object, json_schema");
    typed(reader, Kind::Object, "text.format", "an object")?;
    let (mut kind, mut schema) = (None, Schema::default());
    reader.object(|reader, key| {
        match (key.raw(), reader.kind()?) {
            ("type", Kind::String) => kind = Some(reader.string()?),
            (name, _) => schema.member(name, reader)?,
        }
        Ok::<(), ChatError>(())
    })?;
    let missing = |field: &str| ChatError::at(format!("text.format.{field}"), Problem::Missing);
    match kind.map(JsonText::raw) {
        Some("text") => Ok(ResponseFormat::Text),
        Some("json_object") => Ok(ResponseFormat::JsonObject),
        Some("json_schema") if schema.text.is_empty() => Err(missing("schema")),
        Some("json_schema") => Ok(ResponseFormat::JsonSchema(schema)),
        Some(_) => Err(ChatError::at("text.format.type", KINDS)),
        None => Err(missing("type")),
    }
}

fn include<'b>(reader: &mut Reader<'b>, request: &mut Request<'b>) -> Result<(), ChatError> {
    const STRINGS: &str = "an array of strings";
    typed(reader, Kind::Array, "include", STRINGS)?;
    reader.array(|reader, _index| {
        let what = reader.string();
        match what.map_err(|error| ChatError::json("include", STRINGS, error))?.raw() {
            "message.output_text.logprobs" => request.options.logprobs = true,
            // It is always there: without it, reasoning could not come back.
            "reasoning.encrypted_content" => {}
            other => note(&mut request.others, &format!("include.{other}")),
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::super::outline::Form;
    use super::super::tools::ToolChoice;
    use super::*;

    fn parse(body: &[u8]) -> Result<Request<'_>, ChatError> {
        read(&Outline::parse(body, &Form::RESPONSES)?)
    }

    fn fails(field: &str) -> String {
        let body = format!(r#"{{"model":"m","input":"hi",{field}}}"#);
        let error = parse(body.as_bytes()).err();
        error.map(|error| error.param).unwrap_or_else(|| panic!("{body} passes"))
    }

    #[test]
    fn every_wish_has_its_place() {
        let body = r#"{"model":"m","input":"hi","stream":true,"instructions":"S","max_output_tokens":9,
            "temperature":0.70,"top_p":0.5,"user":"u","store":true,"metadata":{"a":"b"},"background":false,
            "previous_response_id":null,"parallel_tool_calls":false,"service_tier":"flex","x":1,
            "reasoning":{"effort":"low","summary":"auto"},"include":["message.output_text.logprobs","reasoning.encrypted_content","y"],
            "text":{"format":{"type":"json_schema","name":"n","schema":{"a": 1},"strict":true},"verbosity":"low"},
            "tools":[{"type":"function","name":"f","description":"d","parameters":{"type":"object"},"strict":true,"defer_loading":true}],
            "tool_choice":{"type":"function","name":"f"}}"#;
        let request = parse(body.as_bytes()).unwrap();
        let options = &request.options;
        assert!(request.stream && options.logprobs);
        assert_eq!((options.max_tokens(), options.temperature), (Some(9), Some("0.70")));
        assert_eq!(options.reasoning_effort, Some(Effort::Low));
        assert_eq!(options.openai.verbosity.map(JsonText::raw), Some("low"));
        let schema = Schema {
            name: Some(JsonText::plain("n")),
            strict: Some(true),
            ..Schema::of(r#"{"a": 1}"#)
        };
        assert_eq!(options.response_format, ResponseFormat::JsonSchema(schema));
        assert_eq!(request.tools.choice, ToolChoice::Named(JsonText::plain("f")));
        assert_eq!(request.tools.parallel, Some(false));
        assert_eq!(request.tools.list[0].strict, Some(true));
        assert_eq!((request.turns[0].role, request.turns.len()), (Role::System, 2));
        let left = ["store", "metadata", "x", "include.y", "tools[].defer_loading"];
        assert_eq!(request.others, left);
        let echoed: Vec<_> = request.echo.iter().map(|(name, _)| *name).collect();
        assert!(echoed.contains(&"metadata") && echoed.contains(&"instructions"), "{echoed:?}");
    }

    #[test]
    fn what_needs_a_memory_or_openai_is_refused_by_name() {
        for (field, param) in [
            (r#""previous_response_id":"r""#, "previous_response_id"),
            (r#""conversation":"c""#, "conversation"),
            (r#""prompt":{"id":"p"}"#, "prompt"),
            (r#""background":true"#, "background"),
            (r#""instructions":[]"#, "instructions"),
            (r#""max_output_tokens":0"#, "max_output_tokens"),
            (r#""tools":[{"type":"web_search"}]"#, "tools[0].type"),
            (r#""tools":[{"type":"function"}]"#, "tools[0].name"),
            (r#""tools":[{"name":"f"}]"#, "tools[0].type"),
            (r#""tools":[{"type":"function","name":"f","parameters":[]}]"#, "tools[0].parameters"),
            (r#""tool_choice":"some""#, "tool_choice"),
            (r#""tool_choice":{"type":"web_search"}"#, "tool_choice"),
            (r#""reasoning":{"effort":"much"}"#, "reasoning.effort"),
            (r#""text":{"format":{"type":"xml"}}"#, "text.format.type"),
            (r#""text":{"format":{"type":"json_schema"}}"#, "text.format.schema"),
            (r#""include":"x""#, "include"),
            (r#""temperature":9"#, "temperature"),
        ] {
            assert_eq!(fails(field), param, "{field}");
        }
        assert_eq!(parse(br#"{"model":"m"}"#).unwrap_err().param, "input");
    }

    #[test]
    fn null_is_as_good_as_nothing() {
        let nulls = ["instructions", "metadata", "reasoning", "text", "tools", "temperature"];
        for field in nulls {
            let body = format!(r#"{{"model":"m","{field}":null,"input":"hi"}}"#);
            let request = parse(body.as_bytes()).unwrap();
            assert_eq!((request.turns.len(), request.echo.len()), (1, 0), "{field}");
        }
    }

    #[test]
    fn no_prefix_of_a_request_is_a_request() {
        let body = br#"{"model":"m","input":[{"role":"user","content":"x"}],"tools":[]}"#;
        assert!(parse(body).is_ok());
        for cut in 0..body.len() {
            assert!(parse(&body[..cut]).is_err(), "cut at {cut}");
        }
    }
}
