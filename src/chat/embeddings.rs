//! OpenAI's embeddings (<https://platform.openai.com/docs/api-reference/embeddings>): what is
//! asked, and how the vectors of any vendor are told.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::base::ascii;
use crate::wire::json::{self, JsonError, JsonText, Kind, Reader};

use super::others::note;
use super::outline::Outline;
use super::problem::{ChatError, Problem};

/// OpenAI takes at most so many texts.
const TEXTS_MAX: usize = 2048;

/// What is wrong with another input.
const TEXT: &str = "a text, or an array of up to 2048 texts, none of them empty";

/// A request.
#[derive(Clone, Debug, Default)]
pub struct Embeddings<'b> {
    /// What vectors are wanted of; never empty.
    pub texts: Vec<JsonText<'b>>,
    /// How long the vectors are to be, if not as long as the model makes them.
    pub dimensions: Option<u64>,
    /// The vectors are wanted as base64 of 32-bit floats.
    pub base64: bool,
    /// Fields that mean nothing here.
    pub others: Vec<Cow<'b, str>>,
}

impl<'b> Embeddings<'b> {
    /// Understands a body whose syntax has been checked.
    ///
    /// # Errors
    /// What is wrong and which field it concerns.
    pub fn read(outline: &Outline<'b>) -> Result<Self, ChatError> {
        let mut asked = Self::default();
        outline.members(|reader, name| asked.member(reader, &name))?;
        Ok(asked)
    }

    fn member(&mut self, reader: &mut Reader<'b>, name: &str) -> Result<(), ChatError> {
        match name {
            // The outline has it.
            "model" => reader.skip()?,
            "input" => self.input(reader)?,
            _ if reader.null()? => {}
            "dimensions" => {
                const WHAT: &str = "a whole number from 1";
                let read = reader.unsigned();
                let count = read.map_err(|error| ChatError::json(name, WHAT, error))?;
                if count == 0 {
                    return Err(ChatError::at(name, Problem::Expected(WHAT)));
                }
                self.dimensions = Some(count);
            }
            "encoding_format" => {
                const WHAT: &str = "`float` or `base64`";
                let read = reader.string();
                self.base64 = match read.map_err(|error| ChatError::json(name, WHAT, error))?.raw()
                {
                    "base64" => true,
                    "float" => false,
                    _ => return Err(ChatError::at(name, Problem::Expected(WHAT))),
                };
            }
            other => {
                note(&mut self.others, other);
                reader.skip()?;
            }
        }
        Ok(())
    }

    fn input(&mut self, reader: &mut Reader<'b>) -> Result<(), ChatError> {
        if reader.kind()? == Kind::Array {
            reader.array(|reader, _index| self.text(reader))?;
        } else {
            self.text(reader)?;
        }
        if self.texts.is_empty() {
            return Err(ChatError::at("input", Problem::Expected(TEXT)));
        }
        Ok(())
    }

    fn text(&mut self, reader: &mut Reader<'b>) -> Result<(), ChatError> {
        let problem = match reader.kind()? {
            Kind::Number | Kind::Array => Problem::Unsupported(
                "tokens mean something to OpenAI's own models alone: send texts to this one",
            ),
            Kind::String => {
                let text = reader.string()?;
                if !text.is_empty() && self.texts.len() < TEXTS_MAX {
                    self.texts.push(text);
                    return Ok(());
                }
                Problem::Expected(TEXT)
            }
            _ => Problem::Expected(TEXT),
        };
        Err(ChatError::at("input", problem))
    }
}

/// Appends the answer. Each of `vectors` is an array of numbers as the vendor spelt it; `tokens`
/// counts all texts.
///
/// # Errors
/// When one of them is not that.
pub fn render(
    model: &str,
    (vectors, base64): (&[&str], bool),
    tokens: u64,
    out: &mut Vec<u8>,
) -> Result<(), JsonError> {
    out.extend_from_slice(b"{\"object\":\"list\",\"data\":[");
    for (index, vector) in (0..).zip(vectors) {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"object\":\"embedding\",\"index\":");
        ascii::push_u64(out, index);
        out.extend_from_slice(b",\"embedding\":");
        if base64 {
            push_base64(vector, out)?;
        } else {
            json::push_compact(out, vector);
        }
        out.push(b'}');
    }
    out.extend_from_slice(b"],\"model\":");
    json::push_string(out, model);
    for name in [&b",\"usage\":{\"prompt_tokens\":"[..], b",\"total_tokens\":"] {
        out.extend_from_slice(name);
        ascii::push_u64(out, tokens);
    }
    out.extend_from_slice(b"}}");
    Ok(())
}

/// Numbers as OpenAI packs them: 32-bit floats, the lowest byte first.
fn push_base64(vector: &str, out: &mut Vec<u8>) -> Result<(), JsonError> {
    let mut bytes = Vec::new();
    Reader::new(vector).array(|reader, _index| {
        let number: f32 = reader.number()?.parse().map_err(|_odd| JsonError::Type)?;
        bytes.extend_from_slice(&number.to_le_bytes());
        Ok::<(), JsonError>(())
    })?;
    out.push(b'"');
    out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
    out.push(b'"');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::outline::Form;
    use super::*;

    /// Texts, dimensions, and is it base64?
    type Asked = (Vec<String>, Option<u64>, bool);

    fn read(rest: &str) -> Result<Asked, (String, Problem)> {
        let body = format!("{{\"model\":\"m\",{rest}}}");
        let outline = Outline::parse(body.as_bytes(), &Form::EMBEDDINGS).unwrap();
        let read = Embeddings::read(&outline).map_err(|error| (error.param, error.problem))?;
        let texts = read.texts.iter().map(|text| text.unescape().into_owned()).collect();
        Ok((texts, read.dimensions, read.base64))
    }

    #[test]
    fn requests_are_understood() {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        assert_eq!(read(r#""input":"a\u0062""#), Ok((texts(&["ab"]), None, false)));
        let all = r#""input":["a","b"],"dimensions":5,"encoding_format":"base64","user":"u","x":1"#;
        assert_eq!(read(all), Ok((texts(&["a", "b"]), Some(5), true)));
        let nulls = r#""input":["a"],"dimensions":null,"encoding_format":null"#;
        assert_eq!(read(nulls), Ok((texts(&["a"]), None, false)));
    }

    #[test]
    fn what_cannot_be_served_is_refused_by_name() {
        for tokens in ["[1,2]", "[[1,2],[3]]"] {
            let (param, problem) = read(&format!("\"input\":{tokens}")).unwrap_err();
            assert_eq!(param, "input");
            assert!(matches!(problem, Problem::Unsupported(why) if why.contains("tokens")));
        }
        for (rest, name) in [
            (r#""input":"""#, "input"),
            (r#""input":[]"#, "input"),
            (r#""input":["a",""]"#, "input"),
            (r#""input":["a",null]"#, "input"),
            (r#""input":"a","dimensions":0"#, "dimensions"),
            (r#""input":"a","dimensions":"3""#, "dimensions"),
            (r#""input":"a","encoding_format":"hex""#, "encoding_format"),
            (r#""input":"a","encoding_format":1"#, "encoding_format"),
        ] {
            let (param, problem) = read(rest).unwrap_err();
            assert_eq!(param, name, "{rest}");
            assert!(matches!(problem, Problem::Expected(_)), "{rest}");
        }
    }

    #[test]
    fn vectors_are_told_in_both_forms() {
        let told = |base64| {
            let mut out = Vec::new();
            render("m", (&["[ 1, -0.5]", "[]"], base64), 7, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let all = |first: &str, second: &str| {
            format!(
                r#"{{"object":"list","data":[{{"object":"embedding","index":0,"embedding":{first}}},{{"object":"embedding","index":1,"embedding":{second}}}],"model":"m","usage":{{"prompt_tokens":7,"total_tokens":7}}}}"#
            )
        };
        assert_eq!(told(false), all("[1,-0.5]", "[]"));
        assert_eq!(told(true), all("\"AACAPwAAAL8=\"", "\"\""));
        assert!(render("m", (&["[\"x\"]"], true), 0, &mut Vec::new()).is_err());
    }
}
