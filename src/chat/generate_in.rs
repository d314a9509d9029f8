//! Requests of Google's `generateContent` (<https://ai.google.dev/api/generate-content>) to the
//! hub.
//!
//! The contents are read in `generate_parts`.

use crate::wire::json::{JsonText, Kind, Reader};

use super::generate_names::{camel, camel_of};
use super::generate_parts::Talk;
use super::generate_schema;
use super::options::{ResponseFormat, Schema};
use super::others::note;
use super::outline::Outline;
use super::part::{Content, Part};
use super::problem::{ChatError, Problem, typed};
use super::request::Request;
use super::shelf::Shelf;
use super::tools::{Tool, ToolChoice};
use super::turn::{Role, Turn};

/// More declarations than this are refused: a limit on everything.
const TOOLS_MAX: usize = 4096;

/// So many stop sequences are read; a vendor's own limit is checked by its encoder.
const STOPS_MAX: usize = 64;

/// Understands a body whose syntax has been checked.
pub(super) fn read<'b>(outline: &Outline<'b>, shelf: &'b Shelf) -> Result<Request<'b>, ChatError> {
    let mut request = Request::empty();
    let (mut system, mut choice) = (Vec::new(), Choice::default());
    outline.members(|reader, name| {
        let name = camel_of(name);
        match name.as_ref() {
            "contents" => {
                Talk::new(&mut request.turns, &mut request.others, shelf).contents(reader)
            }
            _ if reader.null()? => Ok(()),
            "systemInstruction" => instruction(reader, &mut system),
            "tools" => tools(reader, &mut request, shelf),
            "toolConfig" => choice.read(reader),
            "generationConfig" => config(reader, &mut request, shelf),
            "safetySettings" => {
                typed(reader, Kind::Array, &name, "an array")?;
                request.options.google.safety_settings = Some(reader.raw()?);
                Ok(())
            }
            "cachedContent" => {
                request.options.google.cached_content = Some(string(reader, &name)?);
                Ok(())
            }
            "labels" => {
                typed(reader, Kind::Object, &name, "an object")?;
                request.options.google.labels = Some(reader.raw()?);
                Ok(())
            }
            "serviceTier" => service_tier(reader, &mut request),
            // Some clients repeat what the path says.
            "model" => Ok(reader.skip()?),
            other => {
                note(&mut request.others, other);
                Ok(reader.skip()?)
            }
        }
    })?;
    if !system.is_empty() {
        request.turns.insert(0, Turn::new(Role::System, Content::Parts(system)));
    }
    request.tools.choice = choice.choice(!request.tools.list.is_empty())?;
    request.options.check()?;
    request.tools.check()?;
    request.include_usage = true;
    Ok(request)
}

fn string<'b>(reader: &mut Reader<'b>, name: &str) -> Result<JsonText<'b>, ChatError> {
    reader.string().map_err(|error| ChatError::json(name, "a string", error))
}

/// `systemInstruction`: a content of which only the texts count.
fn instruction<'b>(reader: &mut Reader<'b>, system: &mut Vec<Part<'b>>) -> Result<(), ChatError> {
    const WHAT: &str = "a content whose parts are texts";
    let name = "systemInstruction";
    if reader.kind()? == Kind::String {
        system.push(Part::Text { text: reader.string()?, cache: None });
        return Ok(());
    }
    typed(reader, Kind::Object, name, WHAT)?;
    let mut part = |reader: &mut Reader<'b>, index: usize| {
        let at = format!("{name}.parts[{index}]");
        typed(reader, Kind::Object, &at, "an object with a text")?;
        let mut text = None;
        reader.object(|reader, key| match (key.raw(), reader.kind()?) {
            ("text", Kind::String) => {
                text = Some(reader.string()?);
                Ok(())
            }
            _ => Ok::<(), ChatError>(reader.skip()?),
        })?;
        let missing = || ChatError::at(format!("{at}.text"), Problem::Missing);
        system.push(Part::Text { text: text.ok_or_else(missing)?, cache: None });
        Ok(())
    };
    reader.object(|reader, key| match (key.raw(), reader.kind()?) {
        ("parts", Kind::Object) => part(reader, 0),
        ("parts", Kind::Array) => reader.array(&mut part),
        ("parts", _) => Err(ChatError::at(name, Problem::Expected(WHAT))),
        _ => Ok(reader.skip()?),
    })
}

fn tools<'b>(
    reader: &mut Reader<'b>,
    request: &mut Request<'b>,
    shelf: &'b Shelf,
) -> Result<(), ChatError> {
    typed(reader, Kind::Array, "tools", "an array of tools")?;
    reader.array(|reader, index| {
        let at = format!("tools[{index}]");
        typed(reader, Kind::Object, &at, "an object")?;
        reader.object(|reader, key| {
            let name = camel(key);
            if reader.null()? {
                return Ok(());
            }
            if name != "functionDeclarations" {
                let why = "only Google itself has this built-in tool; \
                           other upstreams take functionDeclarations";
                return Err(ChatError::at(format!("{at}.{name}"), Problem::Unsupported(why)));
            }
            let at = format!("{at}.{name}");
            typed(reader, Kind::Array, &at, "an array of declarations")?;
            reader.array(|reader, index| {
                if request.tools.list.len() == TOOLS_MAX {
                    return Err(ChatError::at("tools", Problem::Expected("at most 4096 tools")));
                }
                let tool = declaration(reader, &format!("{at}[{index}]"), shelf)?;
                request.tools.list.push(tool);
                Ok(())
            })
        })
    })
}

fn declaration<'b>(
    reader: &mut Reader<'b>,
    at: &str,
    shelf: &'b Shelf,
) -> Result<Tool<'b>, ChatError> {
    typed(reader, Kind::Object, at, "an object")?;
    let (mut name, mut description, mut parameters) = (None, None, None);
    reader.object(|reader, key| {
        let field = camel(key);
        match (field.as_ref(), reader.kind()?) {
            (_, Kind::Null) => reader.skip()?,
            ("name", _) => name = Some(string(reader, &format!("{at}.name"))?),
            ("description", _) => {
                description = Some(string(reader, &format!("{at}.description"))?);
            }
            ("parameters", _) => {
                parameters = Some(schema(reader, &format!("{at}.{field}"), shelf)?);
            }
            ("parametersJsonSchema", Kind::Object) => parameters = Some(reader.raw()?),
            // What the tool answers is told by its answers.
            _ => reader.skip()?,
        }
        Ok::<(), ChatError>(())
    })?;
    let missing = || ChatError::at(format!("{at}.name"), Problem::Missing);
    Ok(Tool {
        name: name.filter(|name| !name.is_empty()).ok_or_else(missing)?,
        description: description.filter(|text| !text.is_empty()),
        parameters,
        strict: None,
        cache: None,
    })
}

/// A schema in Google's form.
fn schema<'b>(reader: &mut Reader<'b>, at: &str, shelf: &'b Shelf) -> Result<&'b str, ChatError> {
    let converted = generate_schema::convert(reader.raw()?);
    let wrong = |_error| ChatError::at(at, Problem::Expected("a schema, an object"));
    Ok(shelf.keep(converted.map_err(wrong)?))
}

/// `toolConfig`.
#[derive(Debug, Default)]
struct Choice<'b> {
    mode: Option<JsonText<'b>>,
    names: Vec<JsonText<'b>>,
}

impl<'b> Choice<'b> {
    fn read(&mut self, reader: &mut Reader<'b>) -> Result<(), ChatError> {
        typed(reader, Kind::Object, "toolConfig", "an object")?;
        reader.object(|reader, key| {
            if camel(key) != "functionCallingConfig" || reader.kind()? != Kind::Object {
                return Ok(reader.skip()?);
            }
            reader.object(|reader, key| match (camel(key).as_ref(), reader.kind()?) {
                ("mode", Kind::String) => {
                    self.mode = Some(reader.string()?);
                    Ok(())
                }
                ("allowedFunctionNames", Kind::Array) => reader.array(|reader, _index| {
                    let name = "toolConfig.functionCallingConfig.allowedFunctionNames";
                    self.names.push(string(reader, name)?);
                    Ok(())
                }),
                _ => Ok::<(), ChatError>(reader.skip()?),
            })
        })
    }

    /// Google ignores a choice among nothing.
    fn choice(self, any: bool) -> Result<ToolChoice<'b>, ChatError> {
        let Self { mode, names } = self;
        let mode = mode.map(|mode| mode.unescape().to_ascii_uppercase());
        Ok(match mode.as_deref() {
            _ if !any => ToolChoice::Unsaid,
            None | Some("MODE_UNSPECIFIED") => ToolChoice::Unsaid,
            Some("NONE") => ToolChoice::None,
            Some("AUTO") => ToolChoice::Auto,
            Some("ANY") if names.is_empty() => ToolChoice::Required,
            Some("ANY") => match names[..] {
                [name] => ToolChoice::Named(name),
                _ => ToolChoice::Allowed { required: true, names },
            },
            Some("VALIDATED") if names.is_empty() => ToolChoice::Auto,
            Some("VALIDATED") => ToolChoice::Allowed { required: false, names },
            Some(_) => {
                let param = "toolConfig.functionCallingConfig.mode";
                let what = Problem::Expected("one of AUTO, ANY, NONE, VALIDATED");
                return Err(ChatError::at(param, what));
            }
        })
    }
}

/// `generationConfig`.
fn config<'b>(
    reader: &mut Reader<'b>,
    request: &mut Request<'b>,
    shelf: &'b Shelf,
) -> Result<(), ChatError> {
    typed(reader, Kind::Object, "generationConfig", "an object")?;
    let mut form = Form::default();
    reader.object(|reader, key| {
        let name = camel(key);
        if reader.null()? {
            return Ok(());
        }
        let read = wish(&name, reader, request, &mut form, shelf);
        read.map_err(|error| error.within("generationConfig", &name))
    })?;
    request.options.response_format = form.format()?;
    Ok(())
}

/// The form of the answer, in Google's words.
#[derive(Debug, Default)]
struct Form<'b> {
    mime: Option<JsonText<'b>>,
    schema: Option<&'b str>,
}

impl<'b> Form<'b> {
    fn format(self) -> Result<ResponseFormat<'b>, ChatError> {
        match (self.mime.map(JsonText::unescape).as_deref(), self.schema) {
            (None | Some("application/json"), Some(schema)) => {
                Ok(ResponseFormat::JsonSchema(Schema::of(schema)))
            }
            (Some("application/json"), None) => Ok(ResponseFormat::JsonObject),
            (None | Some("text/plain"), None) => Ok(ResponseFormat::Text),
            _ => {
                let what = Problem::Expected("text/plain, or application/json with any schema");
                Err(ChatError::at("generationConfig.responseMimeType", what))
            }
        }
    }
}

fn wish<'b>(
    name: &str,
    reader: &mut Reader<'b>,
    request: &mut Request<'b>,
    form: &mut Form<'b>,
    shelf: &'b Shelf,
) -> Result<(), ChatError> {
    let options = &mut request.options;
    // Google's own client sends whole numbers with a fraction of nothing.
    let mut same = |hub: &str, reader: &mut Reader<'b>| {
        let number = reader.clone().number().unwrap_or_default();
        match number.strip_suffix(".0") {
            Some(whole) => {
                reader.skip()?;
                options.member(hub, &mut Reader::new(whole))
            }
            None => options.member(hub, reader),
        }
    };
    match name {
        "temperature" | "seed" => drop(same(name, reader)?),
        "topP" => drop(same("top_p", reader)?),
        "topK" => drop(same("top_k", reader)?),
        "candidateCount" => drop(same("n", reader)?),
        "maxOutputTokens" => drop(same("max_tokens", reader)?),
        "presencePenalty" => drop(same("presence_penalty", reader)?),
        "frequencyPenalty" => drop(same("frequency_penalty", reader)?),
        "responseLogprobs" => drop(same("logprobs", reader)?),
        "logprobs" => drop(same("top_logprobs", reader)?),
        "stopSequences" => {
            typed(reader, Kind::Array, name, "an array of strings")?;
            reader.array(|reader, index| {
                if index == STOPS_MAX {
                    return Err(ChatError::at(name, Problem::Expected("at most 64 strings")));
                }
                options.stop.push(string(reader, name)?);
                Ok(())
            })?;
        }
        "responseMimeType" => form.mime = Some(string(reader, name)?),
        "responseSchema" => form.schema = Some(schema(reader, name, shelf)?),
        "responseJsonSchema" | "_responseJsonSchema" => {
            typed(reader, Kind::Object, name, "a JSON Schema, an object")?;
            form.schema = Some(reader.raw()?);
        }
        "responseModalities" => modalities(reader, request)?,
        "speechConfig" => speech(reader, request)?,
        "thinkingConfig" => thinking(reader, request)?,
        other => {
            note(&mut request.others, &format!("generationConfig.{other}"));
            reader.skip()?;
        }
    }
    Ok(())
}

fn modalities<'b>(reader: &mut Reader<'b>, request: &mut Request<'b>) -> Result<(), ChatError> {
    const NAMES: Problem = Problem::Expected("an array of TEXT, IMAGE, AUDIO");
    typed(reader, Kind::Array, "responseModalities", "an array of TEXT, IMAGE, AUDIO")?;
    reader.array(|reader, index| {
        let name = string(reader, "responseModalities")?;
        let name = match name.raw().to_ascii_lowercase().as_str() {
            "text" => "text",
            "image" => "image",
            "audio" => "audio",
            _ => return Err(ChatError::at("responseModalities", NAMES)),
        };
        if index > 7 {
            return Err(ChatError::at("responseModalities", NAMES));
        }
        request.options.modalities.push(JsonText::plain(name));
        Ok(())
    })
}

/// The voice, which stands at the end of a long way.
fn speech<'b>(reader: &mut Reader<'b>, request: &mut Request<'b>) -> Result<(), ChatError> {
    typed(reader, Kind::Object, "speechConfig", "an object")?;
    reader.object(|reader, key| {
        let name = camel(key);
        match (name.as_ref(), reader.kind()?) {
            ("voiceConfig" | "prebuiltVoiceConfig", Kind::Object) => speech(reader, request),
            ("voiceName", Kind::String) => {
                request.options.voice = Some(reader.string()?);
                Ok(())
            }
            (other, _) => {
                note(&mut request.others, &format!("generationConfig.speechConfig.{other}"));
                Ok(reader.skip()?)
            }
        }
    })
}

fn thinking<'b>(reader: &mut Reader<'b>, request: &mut Request<'b>) -> Result<(), ChatError> {
    typed(reader, Kind::Object, "thinkingConfig", "an object")?;
    request.options.google.thinking(reader, "generationConfig")
}

fn service_tier<'b>(reader: &mut Reader<'b>, request: &mut Request<'b>) -> Result<(), ChatError> {
    const TIERS: Problem = Problem::Expected("one of standard, flex, priority");
    let tier = string(reader, "serviceTier")?;
    let tier = match tier.raw().to_ascii_lowercase().as_str() {
        "unspecified" => return Ok(()),
        "standard" => "default",
        "flex" => "flex",
        "priority" => "priority",
        _ => return Err(ChatError::at("serviceTier", TIERS)),
    };
    request.options.service_tier = Some(JsonText::plain(tier));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::options::Effort;
    use super::super::outline::Form as Body;
    use super::*;

    fn fails(body: &str) -> String {
        fails_bytes(body.as_bytes())
    }

    fn fails_bytes(body: &[u8]) -> String {
        let shelf = Shelf::default();
        let outline = Outline::parse(body, &Body::GENERATE);
        let error = outline.and_then(|outline| read(&outline, &shelf).map(drop)).err();
        error
            .map(|error| error.param)
            .unwrap_or_else(|| panic!("{} passes", String::from_utf8_lossy(body)))
    }

    const HI: &str = r#""contents":[{"parts":[{"text":"hi"}]}]"#;

    #[test]
    fn every_wish_has_its_place_in_both_spellings() {
        let camel = format!(
            r#"{{{HI},"systemInstruction":{{"parts":[{{"text":"S"}}]}},"model":"models/m","store":true,
            "tools":[{{"functionDeclarations":[{{"name":"f","description":"d","parameters":{{"type":"OBJECT"}}}},
              {{"name":"g","parametersJsonSchema":{{"type":"object" }},"response":{{}}}}]}}],
            "toolConfig":{{"functionCallingConfig":{{"mode":"ANY","allowedFunctionNames":["f"]}}}},
            "safetySettings":[1],"cachedContent":"c","labels":{{"a":"b"}},"serviceTier":"standard",
            "generationConfig":{{"temperature":0.70,"topP":0.5,"topK":40.0,"candidateCount":2,"maxOutputTokens":9.0,
              "stopSequences":["a"],"seed":-1,"presencePenalty":1,"frequencyPenalty":-1,"responseLogprobs":true,"logprobs":3,
              "responseMimeType":"application/json","responseSchema":{{"type":"STRING"}},"mediaResolution":"LOW",
              "responseModalities":["TEXT","AUDIO"],"thinkingConfig":{{"thinkingBudget":2000,"includeThoughts":true}},
              "speechConfig":{{"voiceConfig":{{"prebuiltVoiceConfig":{{"voiceName":"V"}}}}}}}}}}"#
        );
        let mut snake = String::new();
        for character in camel.chars() {
            // No value here has a capital letter behind a small one.
            let inside = snake.ends_with(|last: char| last.is_ascii_lowercase());
            if character.is_ascii_uppercase() && inside {
                snake.push('_');
                snake.push(character.to_ascii_lowercase());
            } else {
                snake.push(character);
            }
        }
        for body in [camel, snake] {
            let shelf = Shelf::default();
            let outline = Outline::parse(body.as_bytes(), &Body::GENERATE).unwrap();
            let request = read(&outline, &shelf).unwrap();
            let options = &request.options;
            assert_eq!((options.temperature, options.top_k), (Some("0.70"), Some("40")));
            assert_eq!(
                (options.n, options.max_tokens(), options.seed),
                (Some(2), Some(9), Some(-1))
            );
            assert_eq!(
                (options.presence_penalty, options.frequency_penalty),
                (Some("1"), Some("-1"))
            );
            assert!(options.logprobs && options.top_logprobs == Some(3));
            assert_eq!(
                options.response_format,
                ResponseFormat::JsonSchema(Schema::of(r#"{"type":"string"}"#))
            );
            assert_eq!(
                (options.modalities.len(), options.voice.map(JsonText::raw)),
                (2, Some("V"))
            );
            assert_eq!(options.google.thinking.budget, Some("2000"));
            assert_eq!((options.reasoning_effort, options.effort()), (None, Some(Effort::Medium)));
            assert_eq!(options.google.safety_settings, Some("[1]"));
            assert_eq!(options.google.labels, Some(r#"{"a":"b"}"#));
            assert_eq!(options.service_tier.map(JsonText::raw), Some("default"));
            assert_eq!(request.tools.choice, ToolChoice::Named(JsonText::plain("f")));
            assert_eq!(request.tools.list[0].parameters, Some(r#"{"type":"object"}"#));
            assert_eq!(request.tools.list[1].parameters, Some(r#"{"type":"object" }"#));
            assert_eq!((request.turns[0].role, request.turns.len()), (Role::System, 2));
            let left: Vec<_> = request.others.iter().map(|name| name.replace("_r", "R")).collect();
            assert_eq!(left, ["store", "generationConfig.mediaResolution"]);
        }
    }

    #[test]
    fn the_field_at_fault_is_named() {
        assert_eq!(fails("{"), "");
        assert_eq!(fails("{}"), "contents");
        for (field, param) in [
            (r#""systemInstruction":7"#, "systemInstruction"),
            (r#""systemInstruction":{"parts":[{}]}"#, "systemInstruction.parts[0].text"),
            (r#""tools":[{"googleSearch":{}}]"#, "tools[0].googleSearch"),
            (r#""tools":[{"functionDeclarations":[{}]}]"#, "tools[0].functionDeclarations[0].name"),
            (
                r#""tools":[{"functionDeclarations":[{"name":"f","parameters":[]}]}]"#,
                "tools[0].functionDeclarations[0].parameters",
            ),
            (
                r#""tools":[{"functionDeclarations":[{"name":"f"}]}],"toolConfig":{"functionCallingConfig":{"mode":"SOME"}}"#,
                "toolConfig.functionCallingConfig.mode",
            ),
            (r#""generationConfig":7"#, "generationConfig"),
            (r#""generationConfig":{"temperature":9}"#, "generationConfig.temperature"),
            (r#""generationConfig":{"topP":"x"}"#, "generationConfig.topP"),
            (r#""generationConfig":{"maxOutputTokens":0}"#, "generationConfig.maxOutputTokens"),
            (r#""generationConfig":{"stopSequences":"x"}"#, "generationConfig.stopSequences"),
            (
                r#""generationConfig":{"responseMimeType":"text/x.enum"}"#,
                "generationConfig.responseMimeType",
            ),
            (
                r#""generationConfig":{"responseModalities":["SMELL"]}"#,
                "generationConfig.responseModalities",
            ),
            (
                r#""generationConfig":{"thinkingConfig":{"x":1}}"#,
                "generationConfig.thinking_config.x",
            ),
            (r#""safetySettings":1"#, "safetySettings"),
            (r#""serviceTier":"gold""#, "serviceTier"),
        ] {
            assert_eq!(fails(&format!("{{{HI},{field}}}")), param, "{field}");
        }
    }

    #[test]
    fn no_prefix_of_a_request_is_a_request() {
        let body = format!(r#"{{{HI},"tools":[],"generationConfig":{{"seed":1}}}}"#);
        for cut in 0..body.len() {
            assert_eq!(fails_bytes(&body.as_bytes()[..cut]), "", "cut at {cut}");
        }
    }
}
