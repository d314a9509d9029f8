//! Tools, their calls and results, and media, in Gemini's wire format.

use crate::chat::problem::{ChatError, Problem};
use crate::chat::{Call, Media, Source, ToolChoice, Tools, Turn};
use crate::wire::json::{self, JsonText, Kind, Reader};

use super::openapi;
use super::order::Rules;
use super::put::{name, quoted};

/// Google's word for a call that comes from somewhere else and so has no mark
/// (<https://ai.google.dev/gemini-api/docs/thought-signatures>).
pub(super) const NO_SIGNATURE: &str = "skip_thought_signature_validator";

/// Appends `tools` and `toolConfig`.
pub(super) fn tools(
    tools: &Tools<'_>,
    rules: &Rules<'_>,
    out: &mut Vec<u8>,
) -> Result<(), ChatError> {
    if tools.list.is_empty() {
        return Ok(());
    }
    name(b"tools", out);
    for (index, tool) in tools.list.iter().enumerate() {
        let open: &[u8] = if index == 0 { b"[{\"functionDeclarations\":[{" } else { b",{" };
        out.extend_from_slice(open);
        name(b"name", out);
        quoted(tool.name, out);
        if let Some(description) = tool.description {
            name(b"description", out);
            quoted(description, out);
        }
        match tool.parameters {
            Some(schema) if rules.openapi_schemas => {
                name(b"parameters", out);
                let param = format!("tools[{index}].function.parameters");
                openapi::convert(schema, &param, out)?;
            }
            Some(schema) => {
                name(b"parametersJsonSchema", out);
                out.extend_from_slice(schema.as_bytes());
            }
            None => {}
        }
        out.push(b'}');
    }
    out.extend_from_slice(b"]}]");
    choice(tools, out);
    Ok(())
}

/// Appends `toolConfig`.
fn choice(tools: &Tools<'_>, out: &mut Vec<u8>) {
    let one;
    let (mode, names): (&str, &[JsonText<'_>]) = match &tools.choice {
        ToolChoice::Unsaid => return,
        ToolChoice::None => ("NONE", &[]),
        ToolChoice::Auto => ("AUTO", &[]),
        ToolChoice::Required => ("ANY", &[]),
        ToolChoice::Named(name) => {
            one = [*name];
            ("ANY", &one)
        }
        ToolChoice::Allowed { required: true, names } => ("ANY", names),
        // AUTO may not carry names.
        ToolChoice::Allowed { required: false, names } => ("VALIDATED", names),
    };
    name(b"toolConfig", out);
    out.extend_from_slice(b"{\"functionCallingConfig\":{\"mode\":");
    json::push_string(out, mode);
    for (index, name) in names.iter().enumerate() {
        let open: &[u8] = if index == 0 { b",\"allowedFunctionNames\":[" } else { b"," };
        out.extend_from_slice(open);
        quoted(*name, out);
    }
    out.extend_from_slice(if names.is_empty() { b"}}" } else { b"]}}" });
}

/// Appends the part of a call in the history. `must_be_marked` puts a stand-in where the mark is
/// lost: on the first call of a turn only, because its siblings have none.
pub(super) fn call(call: &Call<'_>, must_be_marked: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"functionCall\":{\"name\":");
    quoted(call.name, out);
    out.extend_from_slice(b",\"args\":");
    out.extend_from_slice(call.arguments.as_bytes());
    out.push(b'}');
    let stand_in = must_be_marked.then_some(NO_SIGNATURE);
    if let Some(signature) = call.signature.as_deref().or(stand_in) {
        out.extend_from_slice(b",\"thoughtSignature\":\"");
        out.extend_from_slice(signature.as_bytes());
        out.push(b'"');
    }
    out.push(b'}');
}

/// Appends the part of what a tool answered. `response` is an object in Gemini; what is none
/// becomes its `output`.
pub(super) fn result(call: &Call<'_>, answer: &Turn<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"functionResponse\":{\"name\":");
    quoted(call.name, out);
    out.extend_from_slice(b",\"response\":");
    let mut texts = answer.content.texts();
    let (first, second) = (texts.next(), texts.next());
    let text = match (first, second) {
        (None, _) => "".into(),
        (Some(only), None) => only.unescape(),
        (Some(_), Some(_)) => {
            answer.content.texts().map(JsonText::unescape).collect::<String>().into()
        }
    };
    let field: &[u8] = if answer.failed { b"{\"error\":" } else { b"{\"output\":" };
    match kind_of(&text) {
        Some(Kind::Object) if !answer.failed => out.extend_from_slice(text.trim().as_bytes()),
        Some(Kind::Array | Kind::Object) => {
            out.extend_from_slice(field);
            out.extend_from_slice(text.trim().as_bytes());
            out.push(b'}');
        }
        _ => {
            out.extend_from_slice(field);
            json::push_string(out, &text);
            out.push(b'}');
        }
    }
    out.extend_from_slice(b"}}");
}

/// The type of a text that is JSON.
fn kind_of(text: &str) -> Option<Kind> {
    let mut reader = Reader::new(text);
    let kind = reader.kind().ok()?;
    reader.skip().ok()?;
    reader.end().ok()?;
    Some(kind)
}

/// Appends the part of an image, a recording or a file.
pub(super) fn media(medium: &Media<'_>, out: &mut Vec<u8>) -> Result<(), ChatError> {
    let mime = medium.mime.as_deref();
    match medium.source {
        Source::Base64(data) => {
            out.extend_from_slice(b"{\"inlineData\":{\"mimeType\":");
            json::push_string(out, mime.unwrap_or("application/octet-stream"));
            out.extend_from_slice(b",\"data\":");
            quoted(data, out);
        }
        Source::Url(url) => {
            out.extend_from_slice(b"{\"fileData\":{\"fileUri\":");
            quoted(url, out);
            if let Some(mime) = mime {
                out.extend_from_slice(b",\"mimeType\":");
                json::push_string(out, mime);
            }
        }
        Source::Id(_) => {
            let what = Problem::Expected("an https or gs address for this upstream");
            return Err(ChatError::at(format!("{}.file.file_id", medium.at), what));
        }
    }
    out.extend_from_slice(b"}}");
    Ok(())
}
