//! The tools that a request offers, and how the model shall choose among them.

use std::borrow::Cow;

use crate::wire::json::{JsonText, Kind, Reader};

use super::others::note;
use super::problem::{ChatError, Problem, typed};

/// More tools than this are refused: a limit on everything.
const TOOLS_MAX: usize = 4096;

/// All that a request says about tools.
#[derive(Clone, Debug, Default)]
pub struct Tools<'b> {
    /// What may be called, in the client's order: vendors cache by prefix.
    pub list: Vec<Tool<'b>>,
    /// Which of them.
    pub choice: ToolChoice<'b>,
    /// May several be called at once?
    pub parallel: Option<bool>,
}

/// A function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tool<'b> {
    /// Its name.
    pub name: JsonText<'b>,
    /// What it does; never empty.
    pub description: Option<JsonText<'b>>,
    /// A JSON Schema of its arguments, an object as it was sent.
    pub parameters: Option<&'b str>,
    /// Shall the arguments follow the schema exactly?
    pub strict: Option<bool>,
    /// Anthropic's `cache_control`, an object as it was sent.
    pub cache: Option<&'b str>,
}

/// Which tools the model may or must call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ToolChoice<'b> {
    /// Nothing was said.
    #[default]
    Unsaid,
    /// None.
    None,
    /// The model decides.
    Auto,
    /// At least one.
    Required,
    /// This one.
    Named(JsonText<'b>),
    /// Only these.
    Allowed {
        /// At least one of them.
        required: bool,
        /// Their names.
        names: Vec<JsonText<'b>>,
    },
}

impl<'b> Tools<'b> {
    /// Reads the value of a top-level field of OpenAI's; false when it is not about tools.
    pub(super) fn member(
        &mut self,
        name: &str,
        reader: &mut Reader<'b>,
        others: &mut Vec<Cow<'b, str>>,
    ) -> Result<bool, ChatError> {
        match name {
            "tools" | "functions" => {
                typed(reader, Kind::Array, name, "an array of tools")?;
                reader.array(|reader, index| {
                    if index == TOOLS_MAX {
                        let what = Problem::Expected("at most 4096 tools");
                        return Err(ChatError::at(name, what));
                    }
                    let at = format!("{name}[{index}]");
                    self.list.push(Tool::parse(reader, &at, name == "functions", others)?);
                    Ok(())
                })?;
            }
            "tool_choice" | "function_call" => self.choice = ToolChoice::parse(reader, name)?,
            "parallel_tool_calls" => {
                let read = reader.boolean();
                let read = read.map_err(|error| ChatError::json(name, "a boolean", error))?;
                self.parallel = Some(read);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Names that a choice refers to must be there.
    pub(super) fn check(&self) -> Result<(), ChatError> {
        let known = |name: &JsonText<'_>| self.list.iter().any(|tool| tool.name == *name);
        let fine = match &self.choice {
            ToolChoice::Named(name) => known(name),
            ToolChoice::Allowed { names, .. } => names.iter().all(known),
            _ => true,
        };
        if fine {
            return Ok(());
        }
        Err(ChatError::at("tool_choice", Problem::Expected("a choice among the tools given")))
    }
}

impl<'b> Tool<'b> {
    /// Reads one element of `tools`, or of the old `functions`, which have no `type` around them.
    fn parse(
        reader: &mut Reader<'b>,
        at: &str,
        bare: bool,
        others: &mut Vec<Cow<'b, str>>,
    ) -> Result<Self, ChatError> {
        typed(reader, Kind::Object, at, "an object")?;
        let mut fields = Fields::default();
        if bare {
            fields.function(reader, at)?;
            return fields.tool(at, "name");
        }
        let (mut kind, mut seen) = (None, false);
        reader.object(|reader, key| {
            match key.unescape().as_ref() {
                "type" => {
                    let read = reader.string();
                    let param = format!("{at}.type");
                    let read = read.map_err(|error| ChatError::json(&param, "a string", error))?;
                    kind = Some(read);
                }
                "function" => {
                    seen = true;
                    fields.function(reader, &format!("{at}.function"))?;
                }
                "cache_control" if reader.kind()? == Kind::Object => {
                    fields.cache = Some(reader.raw()?);
                }
                other => {
                    note(others, &format!("tools[].{other}"));
                    reader.skip()?;
                }
            }
            Ok::<(), ChatError>(())
        })?;
        match kind.map(JsonText::raw) {
            Some("function") | None if seen => fields.tool(at, "function.name"),
            Some("function") => Err(ChatError::at(format!("{at}.function"), Problem::Missing)),
            None => Err(ChatError::at(format!("{at}.type"), Problem::Missing)),
            Some(_) => {
                let why = "only tools of type function can be translated for this upstream";
                Err(ChatError::at(format!("{at}.type"), Problem::Unsupported(why)))
            }
        }
    }
}

#[derive(Debug, Default)]
struct Fields<'b> {
    name: Option<JsonText<'b>>,
    description: Option<JsonText<'b>>,
    parameters: Option<&'b str>,
    strict: Option<bool>,
    cache: Option<&'b str>,
}

impl<'b> Fields<'b> {
    fn function(&mut self, reader: &mut Reader<'b>, at: &str) -> Result<(), ChatError> {
        typed(reader, Kind::Object, at, "an object")?;
        reader.object(|reader, key| {
            let name = key.unescape();
            let param = || format!("{at}.{name}");
            match name.as_ref() {
                "name" | "description" | "parameters" | "strict" if reader.null()? => {}
                "name" | "description" => {
                    let read = reader.string();
                    let text = read.map_err(|e| ChatError::json(&param(), "a string", e))?;
                    let place = if name == "name" { &mut self.name } else { &mut self.description };
                    *place = Some(text).filter(|text| !text.is_empty());
                }
                "parameters" => {
                    typed(reader, Kind::Object, &param(), "a JSON Schema, an object")?;
                    self.parameters = Some(reader.raw()?);
                }
                "strict" => {
                    let read = reader.boolean();
                    let read = read.map_err(|e| ChatError::json(&param(), "a boolean", e))?;
                    self.strict = Some(read);
                }
                _ => reader.skip()?,
            }
            Ok(())
        })
    }

    fn tool(self, at: &str, name: &str) -> Result<Tool<'b>, ChatError> {
        let missing = || ChatError::at(format!("{at}.{name}"), Problem::Missing);
        Ok(Tool {
            name: self.name.ok_or_else(missing)?,
            description: self.description,
            parameters: self.parameters,
            strict: self.strict,
            cache: self.cache,
        })
    }
}

impl<'b> ToolChoice<'b> {
    fn parse(reader: &mut Reader<'b>, param: &str) -> Result<Self, ChatError> {
        const CHOICES: &str = "none, auto, required, or an object that names tools";
        let wrong = || ChatError::at(param, Problem::Expected(CHOICES));
        match reader.kind()? {
            Kind::String => match reader.string()?.unescape().as_ref() {
                "none" => Ok(Self::None),
                "auto" => Ok(Self::Auto),
                "required" | "any" => Ok(Self::Required),
                _ => Err(wrong()),
            },
            Kind::Object => {
                let mut fields = Choice::default();
                reader.object(|reader, key| fields.member(reader, key))?;
                fields.choice().ok_or_else(wrong)
            }
            _ => Err(wrong()),
        }
    }
}

#[derive(Debug, Default)]
struct Choice<'b> {
    kind: Option<JsonText<'b>>,
    name: Option<JsonText<'b>>,
    mode: Option<JsonText<'b>>,
    names: Vec<JsonText<'b>>,
}

impl<'b> Choice<'b> {
    /// The chat API nests what the responses API does not: both are read.
    fn member(&mut self, reader: &mut Reader<'b>, key: JsonText<'b>) -> Result<(), ChatError> {
        match (key.unescape().as_ref(), reader.kind()?) {
            ("type", Kind::String) => self.kind = Some(reader.string()?),
            ("name", Kind::String) => self.name = Some(reader.string()?),
            ("mode", Kind::String) => self.mode = Some(reader.string()?),
            ("function" | "allowed_tools", Kind::Object) => {
                reader.object(|reader, key| match (key.raw(), reader.kind()?) {
                    ("name", Kind::String) => {
                        self.name = Some(reader.string()?);
                        Ok(())
                    }
                    ("mode", Kind::String) => {
                        self.mode = Some(reader.string()?);
                        Ok(())
                    }
                    ("tools", Kind::Array) => self.tools(reader),
                    _ => Ok::<(), ChatError>(reader.skip()?),
                })?;
            }
            ("tools", Kind::Array) => self.tools(reader)?,
            _ => reader.skip()?,
        }
        Ok(())
    }

    fn tools(&mut self, reader: &mut Reader<'b>) -> Result<(), ChatError> {
        reader.array(|reader, _index| {
            let mut one = Choice::default();
            if reader.kind()? != Kind::Object {
                return Err(ChatError::at("tool_choice", Problem::Expected("a list of tools")));
            }
            reader.object(|reader, key| one.member(reader, key))?;
            self.names.extend(one.name);
            Ok(())
        })
    }

    fn choice(self) -> Option<ToolChoice<'b>> {
        match self.kind.map(JsonText::raw) {
            Some("allowed_tools") => {
                let required = self.mode.is_some_and(|mode| mode.raw() == "required");
                Some(ToolChoice::Allowed { required, names: self.names })
            }
            Some("function" | "tool") | None => self.name.map(ToolChoice::Named),
            Some(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, value: &'static str) -> Result<Tools<'static>, ChatError> {
        let mut tools = Tools::default();
        tools.member(name, &mut Reader::new(value), &mut Vec::new()).map(|_| tools)
    }

    #[test]
    fn functions_are_read_with_their_schema_untouched() {
        let tools = read(
            "tools",
            r#"[{"type":"function","function":{"name":"f","description":"","parameters":{ "type":"object" },"strict":true},"cache_control":{"type":"ephemeral"}}]"#,
        );
        let tool = tools.unwrap().list[0];
        assert_eq!((tool.name.raw(), tool.description), ("f", None));
        assert_eq!((tool.parameters, tool.strict), (Some(r#"{ "type":"object" }"#), Some(true)));
        assert!(tool.cache.is_some());
        assert_eq!(read("functions", r#"[{"name":"g"}]"#).unwrap().list[0].name.raw(), "g");
        for (value, param) in [
            (r#"[{"type":"web_search"}]"#, "tools[0].type"),
            (r#"[{"type":"function"}]"#, "tools[0].function"),
            (r#"[{"type":"function","function":{}}]"#, "tools[0].function.name"),
            ("[{}]", "tools[0].type"),
            ("[7]", "tools[0]"),
        ] {
            assert_eq!(read("tools", value).unwrap_err().param, param);
        }
    }

    #[test]
    fn every_form_of_choice() {
        let choice = |value| read("tool_choice", value).unwrap().choice;
        let f = JsonText::plain("f");
        assert_eq!(choice(r#""required""#), ToolChoice::Required);
        assert_eq!(choice(r#"{"type":"function","function":{"name":"f"}}"#), ToolChoice::Named(f));
        let allowed = ToolChoice::Allowed { required: true, names: vec![f] };
        let nested = r#"{"type":"allowed_tools","allowed_tools":{"mode":"required","tools":[{"type":"function","function":{"name":"f"}}]}}"#;
        assert_eq!(choice(nested), allowed);
        let flat = r#"{"type":"allowed_tools","mode":"required","tools":[{"type":"function","name":"f"}]}"#;
        assert_eq!(choice(flat), allowed);
        assert!(read("tool_choice", r#""some""#).is_err());
        assert!(read("tool_choice", "7").is_err());
        let unknown = Tools { choice: ToolChoice::Named(f), ..Tools::default() };
        assert!(unknown.check().is_err());
    }
}
