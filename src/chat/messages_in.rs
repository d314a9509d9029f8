//! Requests of Anthropic's Messages API (<https://docs.anthropic.com/en/api/messages>) to the hub.
//!
//! The blocks of the messages are read in `messages_blocks`.

use std::borrow::Cow;

use crate::wire::json::{JsonText, Kind, Reader};

use super::messages_blocks::Talk;
use super::options::{Effort, ResponseFormat, Schema};
use super::others::note;
use super::outline::Outline;
use super::part::{Content, Part};
use super::problem::{ChatError, Problem, typed, typed_at};
use super::request::Request;
use super::tools::{Tool, ToolChoice};
use super::turn::{Role, Turn};

/// More tools than this are refused: a limit on everything.
const TOOLS_MAX: usize = 4096;

/// So many stop sequences are read; a vendor's own limit is checked by its encoder.
const STOPS_MAX: usize = 64;

/// Which request is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wants {
    /// An answer.
    Answer,
    /// Only the count of the request's tokens.
    Count,
}

/// Understands a body whose syntax has been checked.
pub(super) fn read<'b>(outline: &Outline<'b>, wants: Wants) -> Result<Request<'b>, ChatError> {
    let mut fields = Fields::default();
    fields.request.model = outline.model.clone();
    fields.request.stream = outline.stream;
    outline.members(|reader, name| fields.member(reader, &name))?;
    fields.request(wants)
}

/// What has been read so far.
struct Fields<'b> {
    request: Request<'b>,
    /// Said first, wherever the field stands.
    system: Option<Content<'b>>,
}

impl Default for Fields<'_> {
    fn default() -> Self {
        Self { request: Request::empty(), system: None }
    }
}

impl<'b> Fields<'b> {
    fn request(mut self, wants: Wants) -> Result<Request<'b>, ChatError> {
        let limited = wants == Wants::Count || self.request.options.max_tokens().is_some();
        if !limited {
            return Err(ChatError::at("max_tokens", Problem::Missing));
        }
        if let Some(system) = self.system {
            self.request.turns.insert(0, Turn::new(Role::System, system));
        }
        self.request.tools.check()?;
        self.request.include_usage = true;
        Ok(self.request)
    }

    fn member(&mut self, reader: &mut Reader<'b>, name: &str) -> Result<(), ChatError> {
        let request = &mut self.request;
        match name {
            // The outline has them.
            "model" | "stream" => reader.skip()?,
            "messages" => {
                Talk::new(&mut request.turns, &mut request.others).messages(reader)?;
            }
            _ if reader.null()? => {}
            "system" => self.system = Some(system(reader, &mut request.others)?),
            "tools" => tools(reader, request)?,
            "tool_choice" => choice(reader, request)?,
            "stop_sequences" => stops(reader, &mut request.options.stop)?,
            "metadata" => metadata(reader, request)?,
            "output_config" => output_config(reader, request)?,
            "output_format" => format(reader, "output_format", request)?,
            "service_tier" => service_tier(reader, request)?,
            "mcp_servers" if reader.clone().raw()? != "[]" => {
                let why = "only Anthropic itself calls MCP servers";
                return Err(ChatError::at("mcp_servers", Problem::Unsupported(why)));
            }
            known @ ("max_tokens" | "temperature" | "top_p" | "top_k" | "thinking"
            | "cache_control") => {
                request.options.member(known, reader)?;
            }
            other => {
                note(&mut request.others, other);
                reader.skip()?;
            }
        }
        Ok(())
    }
}

/// `system`: a text or text blocks.
fn system<'b>(
    reader: &mut Reader<'b>,
    others: &mut Vec<Cow<'b, str>>,
) -> Result<Content<'b>, ChatError> {
    const SYSTEM: &str = "a string or an array of text blocks";
    if reader.kind()? == Kind::String {
        return Ok(Content::Text(reader.string()?));
    }
    typed(reader, Kind::Array, "system", SYSTEM)?;
    let mut parts = Vec::new();
    reader.array(|reader, index| {
        let (mut text, mut cache) = (None, None);
        typed(reader, Kind::Object, "system", SYSTEM)?;
        reader.object(|reader, key| {
            match (key.raw(), reader.kind()?) {
                ("text", Kind::String) => text = Some(reader.string()?),
                ("cache_control", Kind::Object) => cache = Some(reader.raw()?),
                ("type", Kind::String) if reader.clone().string()?.raw() == "text" => {
                    reader.skip()?;
                }
                ("type", _) => return Err(ChatError::at("system", Problem::Expected(SYSTEM))),
                (_, Kind::Null) => reader.skip()?,
                (other, _) => {
                    note(others, &format!("system[].{other}"));
                    reader.skip()?;
                }
            }
            Ok(())
        })?;
        let missing = || ChatError::at(format!("system[{index}].text"), Problem::Missing);
        parts.push(Part::Text { text: text.ok_or_else(missing)?, cache });
        Ok::<(), ChatError>(())
    })?;
    Ok(Content::Parts(parts))
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

fn tool<'b>(
    reader: &mut Reader<'b>,
    index: usize,
    others: &mut Vec<Cow<'b, str>>,
) -> Result<Tool<'b>, ChatError> {
    let at = |field: &str| format!("tools[{index}]{field}");
    typed_at(reader, Kind::Object, || at(""), "an object")?;
    let (mut name, mut description, mut schema) = (None, None, None);
    let (mut strict, mut cache) = (None, None);
    reader.object(|reader, key| {
        match (key.raw(), reader.kind()?) {
            ("name", Kind::String) => name = Some(reader.string()?),
            ("description", Kind::String) => description = Some(reader.string()?),
            ("input_schema", Kind::Object) => schema = Some(reader.raw()?),
            ("strict", Kind::Bool) => strict = Some(reader.boolean()?),
            ("cache_control", Kind::Object) => cache = Some(reader.raw()?),
            ("type", Kind::String) if reader.clone().string()?.raw() == "custom" => {
                reader.skip()?;
            }
            ("type", Kind::String) => {
                let why = "only Anthropic itself has this built-in tool; \
                           other upstreams take tools with an input_schema";
                return Err(ChatError::at(at(".type"), Problem::Unsupported(why)));
            }
            (_, Kind::Null) => reader.skip()?,
            ("name" | "description", _) => {
                return Err(ChatError::at(at(&format!(".{}", key.raw())), STRING));
            }
            ("input_schema", _) => {
                let what = Problem::Expected("a JSON Schema, an object");
                return Err(ChatError::at(at(".input_schema"), what));
            }
            (other, _) => {
                note(others, &format!("tools[].{other}"));
                reader.skip()?;
            }
        }
        Ok(())
    })?;
    let missing = |field: &str| ChatError::at(at(field), Problem::Missing);
    Ok(Tool {
        name: name.filter(|name| !name.is_empty()).ok_or_else(|| missing(".name"))?,
        description: description.filter(|text| !text.is_empty()),
        parameters: Some(schema.ok_or_else(|| missing(".input_schema"))?),
        strict,
        cache,
    })
}

const STRING: Problem = Problem::Expected("a string");

fn choice<'b>(reader: &mut Reader<'b>, request: &mut Request<'b>) -> Result<(), ChatError> {
    const TYPES: Problem = Problem::Expected("one of auto, any, tool, none");
    typed(reader, Kind::Object, "tool_choice", "an object")?;
    let (mut kind, mut name, mut single) = (None, None, None);
    let others = &mut request.others;
    reader.object(|reader, key| {
        match (key.raw(), reader.kind()?) {
            ("type", Kind::String) => kind = Some(reader.string()?),
            ("name", Kind::String) => name = Some(reader.string()?),
            ("disable_parallel_tool_use", Kind::Bool) => single = Some(reader.boolean()?),
            (_, Kind::Null) => reader.skip()?,
            (other, _) => {
                note(others, &format!("tool_choice.{other}"));
                reader.skip()?;
            }
        }
        Ok::<(), ChatError>(())
    })?;
    let missing = |field: &str| ChatError::at(field, Problem::Missing);
    request.tools.choice = match kind.map(JsonText::raw) {
        Some("auto") => ToolChoice::Auto,
        Some("any") => ToolChoice::Required,
        Some("none") => ToolChoice::None,
        Some("tool") => ToolChoice::Named(name.ok_or_else(|| missing("tool_choice.name"))?),
        Some(_) => return Err(ChatError::at("tool_choice.type", TYPES)),
        None => return Err(missing("tool_choice.type")),
    };
    if let Some(single) = single {
        request.tools.parallel = Some(!single);
    }
    Ok(())
}

fn stops<'b>(reader: &mut Reader<'b>, stop: &mut Vec<JsonText<'b>>) -> Result<(), ChatError> {
    const STOPS: &str = "an array of strings, at most 64";
    typed(reader, Kind::Array, "stop_sequences", STOPS)?;
    reader.array(|reader, index| {
        if index == STOPS_MAX {
            return Err(ChatError::at("stop_sequences", Problem::Expected(STOPS)));
        }
        let text = reader.string();
        stop.push(text.map_err(|error| ChatError::json("stop_sequences", STOPS, error))?);
        Ok(())
    })
}

fn metadata<'b>(reader: &mut Reader<'b>, request: &mut Request<'b>) -> Result<(), ChatError> {
    typed(reader, Kind::Object, "metadata", "an object")?;
    reader.object(|reader, key| {
        match (key.raw(), reader.kind()?) {
            ("user_id", Kind::String) => request.options.user = Some(reader.string()?),
            (_, Kind::Null) => reader.skip()?,
            ("user_id", _) => return Err(ChatError::at("metadata.user_id", STRING)),
            (other, _) => {
                note(&mut request.others, &format!("metadata.{other}"));
                reader.skip()?;
            }
        }
        Ok(())
    })
}

fn service_tier<'b>(reader: &mut Reader<'b>, request: &mut Request<'b>) -> Result<(), ChatError> {
    const TIERS: &str = "one of auto, standard_only";
    let tier = reader.string();
    let tier = tier.map_err(|error| ChatError::json("service_tier", TIERS, error))?;
    request.options.service_tier = Some(match tier.raw() {
        "auto" => tier,
        "standard_only" => JsonText::plain("default"),
        _ => return Err(ChatError::at("service_tier", Problem::Expected(TIERS))),
    });
    Ok(())
}

fn output_config<'b>(reader: &mut Reader<'b>, request: &mut Request<'b>) -> Result<(), ChatError> {
    const EFFORTS: Problem = Problem::Expected("one of low, medium, high, xhigh, max");
    typed(reader, Kind::Object, "output_config", "an object")?;
    reader.object(|reader, key| {
        match (key.raw(), reader.kind()?) {
            (_, Kind::Null) => reader.skip()?,
            ("effort", Kind::String) => {
                let effort = Effort::named(&reader.string()?.unescape());
                let wrong = || ChatError::at("output_config.effort", EFFORTS);
                request.options.reasoning_effort = Some(effort.ok_or_else(wrong)?);
            }
            ("effort", _) => return Err(ChatError::at("output_config.effort", EFFORTS)),
            ("format", _) => format(reader, "output_config.format", request)?,
            (other, _) => {
                note(&mut request.others, &format!("output_config.{other}"));
                reader.skip()?;
            }
        }
        Ok(())
    })
}

/// The form of the answer: JSON of a schema.
fn format<'b>(
    reader: &mut Reader<'b>,
    at: &str,
    request: &mut Request<'b>,
) -> Result<(), ChatError> {
    typed(reader, Kind::Object, at, "an object")?;
    let (mut kind, mut schema) = (None, None);
    reader.object(|reader, key| {
        match (key.raw(), reader.kind()?) {
            ("type", Kind::String) => kind = Some(reader.string()?),
            ("schema", Kind::Object) => schema = Some(reader.raw()?),
            _ => reader.skip()?,
        }
        Ok::<(), ChatError>(())
    })?;
    if kind.is_none_or(|kind| kind.raw() != "json_schema") {
        return Err(ChatError::at(format!("{at}.type"), Problem::Expected("json_schema")));
    }
    let missing = || ChatError::at(format!("{at}.schema"), Problem::Missing);
    request.options.response_format =
        ResponseFormat::JsonSchema(Schema::of(schema.ok_or_else(missing)?));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::outline::Form;
    use super::*;

    fn body(fields: &str) -> String {
        format!(r#"{{"model":"m","max_tokens":9,{fields}}}"#)
    }

    const HI: &str = r#""messages":[{"role":"user","content":"hi"}]"#;

    fn parse(body: &[u8], wants: Wants) -> Result<Request<'_>, ChatError> {
        read(&Outline::parse(body, &Form::MESSAGES)?, wants)
    }

    fn fails(body: &str) -> (String, Problem) {
        let error = parse(body.as_bytes(), Wants::Answer).err();
        error.map(|error| (error.param, error.problem)).unwrap_or_else(|| panic!("{body} passes"))
    }

    #[test]
    fn every_wish_has_its_place() {
        let body = body(&format!(
            r#"{HI},"system":[{{"type":"text","text":"S","cache_control":{{"type":"ephemeral"}}}}],
            "stream":true,"temperature":0.70,"top_p":1e-1,"top_k":5,"stop_sequences":["a","b"],
            "metadata":{{"user_id":"u"}},"service_tier":"standard_only","speed":"fast","container":null,
            "thinking":{{"type":"enabled","budget_tokens":2000}},
            "output_config":{{"effort":"max","format":{{"type":"json_schema","schema":{{"a": 1}}}}}},
            "tools":[{{"name":"f","description":"d","input_schema":{{"type":"object"}},"strict":true,"type":"custom","input_examples":[]}}],
            "tool_choice":{{"type":"tool","name":"f","disable_parallel_tool_use":true}}"#
        ));
        let request = parse(body.as_bytes(), Wants::Answer).unwrap();
        let options = &request.options;
        assert!(request.stream && request.model == "m");
        assert_eq!((options.max_tokens(), options.temperature), (Some(9), Some("0.70")));
        assert_eq!((options.top_p, options.top_k), (Some("1e-1"), Some("5")));
        assert_eq!(options.stop.len(), 2);
        assert_eq!(options.user.map(JsonText::raw), Some("u"));
        assert_eq!(options.service_tier.map(JsonText::raw), Some("default"));
        assert_eq!(options.anthropic.budget, Some("2000"));
        assert_eq!(options.reasoning_effort, Some(Effort::Max));
        assert_eq!(options.response_format, ResponseFormat::JsonSchema(Schema::of(r#"{"a": 1}"#)));
        let tool = request.tools.list[0];
        assert_eq!((tool.parameters, tool.strict), (Some(r#"{"type":"object"}"#), Some(true)));
        assert_eq!(request.tools.choice, ToolChoice::Named(JsonText::plain("f")));
        assert_eq!(request.tools.parallel, Some(false));
        assert_eq!(request.others, ["speed", "tools[].input_examples"]);
        assert_eq!(request.turns[0].role, Role::System);
        let Content::Parts(parts) = &request.turns[0].content else { panic!("no parts") };
        assert!(matches!(parts[0], Part::Text { cache: Some(_), .. }));
    }

    #[test]
    fn the_field_at_fault_is_named() {
        use Problem as P;
        assert_eq!(fails("{"), (String::new(), P::Syntax));
        let missing = |name: &str| (name.to_owned(), P::Missing);
        assert_eq!(fails(&format!(r#"{{"model":"m",{HI}}}"#)), missing("max_tokens"));
        assert_eq!(fails(&format!(r#"{{"max_tokens":1,{HI}}}"#)), missing("model"));
        assert_eq!(fails(r#"{"model":"m","max_tokens":1}"#), missing("messages"));
        for (field, param) in [
            (r#""max_tokens":1"#, "max_tokens"),
            (r#""system":7"#, "system"),
            (r#""system":[{"type":"image"}]"#, "system"),
            (r#""system":[{"type":"text"}]"#, "system[0].text"),
            (r#""tools":{}"#, "tools"),
            (r#""tools":[{"input_schema":{}}]"#, "tools[0].name"),
            (r#""tools":[{"name":"f"}]"#, "tools[0].input_schema"),
            (r#""tools":[{"name":7}]"#, "tools[0].name"),
            (r#""tools":[{"type":"bash_20250124","name":"bash"}]"#, "tools[0].type"),
            (r#""tool_choice":"auto""#, "tool_choice"),
            (r#""tool_choice":{"type":"some"}"#, "tool_choice.type"),
            (r#""tool_choice":{"type":"tool"}"#, "tool_choice.name"),
            (r#""tool_choice":{"type":"tool","name":"g"}"#, "tool_choice"),
            (r#""stop_sequences":"x""#, "stop_sequences"),
            (r#""metadata":{"user_id":1}"#, "metadata.user_id"),
            (r#""service_tier":"gold""#, "service_tier"),
            (r#""output_config":{"effort":"much"}"#, "output_config.effort"),
            (r#""output_config":{"format":{"type":"xml"}}"#, "output_config.format.type"),
            (r#""output_config":{"format":{"type":"json_schema"}}"#, "output_config.format.schema"),
            (r#""mcp_servers":[{}]"#, "mcp_servers"),
            (r#""temperature":9"#, "temperature"),
        ] {
            assert_eq!(fails(&body(&format!("{HI},{field}"))).0, param, "{field}");
        }
    }

    #[test]
    fn counting_needs_no_limit() {
        let count = format!(r#"{{"model":"m",{HI},"thinking":{{"type":"adaptive"}}}}"#);
        let request = parse(count.as_bytes(), Wants::Count).unwrap();
        let kind = request.options.anthropic.thinking_kind.map(JsonText::raw);
        assert_eq!(kind, Some("adaptive"));
    }

    #[test]
    fn no_prefix_of_a_request_is_a_request() {
        let body = body(&format!(r#"{HI},"system":"é\n","tools":[]"#));
        assert!(parse(body.as_bytes(), Wants::Answer).is_ok());
        for cut in 0..body.len() {
            assert!(parse(&body.as_bytes()[..cut], Wants::Answer).is_err(), "cut at {cut}");
        }
    }
}
