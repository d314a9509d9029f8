//! What Google refuses in a conversation, and what the model remembers of it.
//!
//! Calls and their results stand in contents of their own, one right after the other. Gemini 3
//! wants the thought signature of the first call of every step since the user's last text
//! (<https://ai.google.dev/gemini-api/docs/thought-signatures>).

use std::fmt::Arguments;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use super::super::reply::Reply;
use super::super::seal::{self, Signature};
use super::super::tools::{History, canonical, fingerprint_of};
use super::check::is_function_name;
use super::error::refused;
use super::path::{Address, generation};
use super::request::{Blob, Content, FunctionCall, Part, Request};

/// Checks the conversation and remembers what happened since the user's last text.
pub(super) fn review(request: &Request<'_>, address: &Address<'_>) -> Result<History, Reply> {
    let contents = request.contents.as_deref().unwrap_or_default();
    if contents.is_empty() {
        return Err(refused("* GenerateContentRequest.contents: contents is not specified\n"));
    }
    for (index, content) in contents.iter().enumerate() {
        match content.role.as_deref() {
            Some("user" | "model") => {}
            None if address.is_studio() => {}
            _ => return Err(refused("Please use a valid role: user, model.")),
        }
        check_parts(content, format_args!("contents[{index}]"))?;
    }
    if let Some(system) = &request.system_instruction {
        check_parts(system, format_args!("system_instruction"))?;
        if system.parts().iter().any(|part| part.text.is_none()) {
            return Err(refused("System instruction supports only text parts."));
        }
    }
    let strict = generation(address.model) >= (3, 0);
    for (index, content) in contents.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|before| contents.get(before));
        check_turn(content, before, contents.get(index + 1), strict)?;
    }
    if contents.last().is_some_and(Content::is_model) && strict {
        let message = "Please ensure that single turn requests end with a user role or the role field is empty.";
        return Err(refused(message));
    }
    let said = |content: &Content<'_>| {
        !content.is_model() && content.parts().iter().any(|part| part.text.is_some())
    };
    let start = contents.iter().rposition(said).map_or(0, |last| last + 1);
    let mut history = History::default();
    for (index, content) in contents.iter().enumerate() {
        let changed = check_signatures(content, index, strict && index >= start)?;
        if index >= start {
            history.changed.extend(changed);
            remember(&mut history, content);
        }
    }
    Ok(history)
}

/// Every part has exactly one kind of data, and that is whole. Places are spelled only for errors.
fn check_parts(content: &Content<'_>, place: Arguments<'_>) -> Result<(), Reply> {
    if content.parts().is_empty() {
        return Err(empty_parts(place));
    }
    for (index, part) in content.parts().iter().enumerate() {
        let at = format_args!("{place}.parts[{index}]");
        let kinds = [
            ("text", part.text.is_some()),
            ("inlineData", part.inline_data.is_some()),
            ("fileData", part.file_data.is_some()),
            ("functionCall", part.function_call.is_some()),
            ("functionResponse", part.function_response.is_some()),
            ("executableCode", part.executable_code.is_some()),
            ("codeExecutionResult", part.code_execution_result.is_some()),
        ];
        let mut given = kinds.iter().filter(|(_, given)| *given);
        // A mark or a flag alone is no data.
        let marked = part.thought.is_some() || part.thought_signature.is_some();
        if given.next().is_none() && !marked {
            return Err(empty_parts(place));
        }
        if let Some((second, _)) = given.next() {
            let message = format!(
                "Invalid value at '{at}' (oneof), oneof field 'data' is already set. Cannot set '{second}'"
            );
            return Err(refused(&message));
        }
        if let Some(blob) = &part.inline_data {
            check_blob(blob, at)?;
        }
        if part
            .file_data
            .as_ref()
            .is_some_and(|file| file.file_uri.as_deref().is_none_or(str::is_empty))
        {
            return Err(refused(&format!("* {at}.file_data.file_uri: must not be empty")));
        }
        check_function(part, at)?;
    }
    Ok(())
}

fn empty_parts(place: Arguments<'_>) -> Reply {
    refused(&format!("* GenerateContentRequest.{place}.parts: contents.parts must not be empty.\n"))
}

fn check_blob(blob: &Blob<'_>, at: Arguments<'_>) -> Result<(), Reply> {
    let mime = blob.mime_type.as_deref().unwrap_or_default();
    let kind = mime.split('/').next().unwrap_or_default();
    if !matches!(kind, "image" | "audio" | "video" | "text") && mime != "application/pdf" {
        return Err(refused(&format!("Unsupported MIME type: {mime}")));
    }
    let data = blob.data.as_deref().unwrap_or_default();
    if data.is_empty() {
        return Err(refused(&format!("* {at}.inline_data.data: must not be empty")));
    }
    if STANDARD.decode(data).is_err() && URL_SAFE.decode(data).is_err() {
        return Err(not_base64(&format!("{at}.inline_data.data")));
    }
    Ok(())
}

fn not_base64(place: &str) -> Reply {
    refused(&format!("Invalid value at '{place}' (TYPE_BYTES), Base64 decoding failed"))
}

fn check_function(part: &Part<'_>, at: Arguments<'_>) -> Result<(), Reply> {
    let named = |name: Option<&str>, kind: &str| {
        if name.is_some_and(is_function_name) {
            return Ok(());
        }
        Err(refused(&format!("* GenerateContentRequest.{at}.{kind}.name: Name cannot be empty.\n")))
    };
    let object = |raw: Option<&serde_json::value::RawValue>, field: &str| match raw {
        Some(raw) if !raw.get().starts_with('{') => Err(refused(&format!(
            "Invalid value at '{at}.{field}' (type.googleapis.com/google.protobuf.Struct), {}",
            raw.get()
        ))),
        _ => Ok(()),
    };
    if let Some(call) = &part.function_call {
        named(call.name.as_deref(), "function_call")?;
        object(call.args, "function_call.args")?;
    }
    if let Some(result) = &part.function_response {
        named(result.name.as_deref(), "function_response")?;
        if result.response.is_none() {
            let place = format!("{at}.function_response.response");
            return Err(refused(&format!("* GenerateContentRequest.{place}: must be set.\n")));
        }
        object(result.response, "function_response.response")?;
    }
    Ok(())
}

const COUNTS: &str = "Please ensure that the number of function response parts is equal to the \
                      number of function call parts of the function call turn.";

/// The order of turns, and that calls and results belong together.
fn check_turn(
    content: &Content<'_>,
    before: Option<&Content<'_>>,
    after: Option<&Content<'_>>,
    strict: bool,
) -> Result<(), Reply> {
    let calls = count(content, |part| part.function_call.is_some());
    let results = count(content, |part| part.function_response.is_some());
    let calls_before = before.map_or(0, |before| count(before, |p| p.function_call.is_some()));
    let same_role = before.is_some_and(|before| before.is_model() == content.is_model());
    if calls > 0 && (!content.is_model() || same_role || before.is_none()) {
        return Err(refused(
            "Please ensure that function call turn comes immediately after a user turn or after \
             a function response turn.",
        ));
    }
    if results > 0 && (content.is_model() || calls_before == 0) {
        return Err(refused(
            "Please ensure that function response turn comes immediately after a function call \
             turn.",
        ));
    }
    // A text may follow the results of calls in a content of its own.
    let after_results =
        before.is_some_and(|before| count(before, |part| part.function_response.is_some()) > 0);
    if same_role && !after_results {
        return Err(refused(
            "Please ensure that multiturn requests alternate between user and model.",
        ));
    }
    if calls > 0 {
        let answered =
            after.map_or(0, |after| count(after, |part| part.function_response.is_some()));
        if answered != calls {
            return Err(refused(COUNTS));
        }
    }
    if results > 0 {
        if strict && results != content.parts().len() {
            let message = "Function response parts must not be mixed with other parts in the \
                           same content.";
            return Err(refused(message));
        }
        check_results(content, before)?;
    }
    Ok(())
}

fn count(content: &Content<'_>, is_one: impl Fn(&Part<'_>) -> bool) -> usize {
    content.parts().iter().filter(|part| is_one(part)).count()
}

/// Every result has the name of a call, and its id when it gives one.
fn check_results(content: &Content<'_>, calls: Option<&Content<'_>>) -> Result<(), Reply> {
    let calls = calls.map(Content::parts).unwrap_or_default();
    let mut open: Vec<&FunctionCall<'_>> =
        calls.iter().filter_map(|part| part.function_call.as_deref()).collect();
    for result in content.parts().iter().filter_map(|part| part.function_response.as_ref()) {
        let given = result.id.as_deref().filter(|id| !id.is_empty());
        let place = open.iter().position(|call| {
            let same_id = call.id.is_none() || given.is_none() || call.id.as_deref() == given;
            call.name == result.name && same_id
        });
        let Some(place) = place else {
            let name = result.name.as_deref().unwrap_or_default();
            return Err(refused(&format!(
                "The function response part {name} does not match any function call part of the \
                 function call turn. {COUNTS}"
            )));
        };
        open.remove(place);
    }
    Ok(())
}

/// Checks all signatures of a content; gives the calls whose arguments have changed.
fn check_signatures(
    content: &Content<'_>,
    index: usize,
    needed: bool,
) -> Result<Vec<String>, Reply> {
    let mut changed = Vec::new();
    for (place, part) in content.parts().iter().enumerate() {
        let Some(signature) = part.thought_signature.as_deref() else { continue };
        let call = part.function_call.as_deref();
        let name = call.and_then(|call| call.name.as_deref()).unwrap_or_default();
        match seal::inspect(signature, name, &call.map(arguments_of).unwrap_or_default()) {
            Signature::Broken => {
                let at = format!("contents[{index}].parts[{place}].thought_signature");
                return Err(not_base64(&at));
            }
            Signature::Foreign => return Err(refused("Thought signature is not valid.")),
            Signature::Ours { intact: false } => changed.push(name.to_owned()),
            Signature::Dummy | Signature::Ours { intact: true } => {}
        }
    }
    let first = content.parts().iter().find(|part| part.function_call.is_some());
    let bare = first.filter(|part| needed && part.thought_signature.is_none());
    if let Some(call) = bare.and_then(|part| part.function_call.as_ref()) {
        let name = call.name.as_deref().unwrap_or_default();
        return Err(refused(&format!(
            "Function call is missing a thought_signature in functionCall parts. This is required \
             for tools to work correctly, and missing thought_signature may lead to degraded \
             model performance. Additional data, function call `default_api:{name}` , position \
             {}. Please refer to https://ai.google.dev/gemini-api/docs/thought-signatures for \
             more details.",
            index + 1
        )));
    }
    Ok(changed)
}

fn arguments_of(call: &FunctionCall<'_>) -> String {
    canonical(call.args.map_or("{}", serde_json::value::RawValue::get))
}

fn remember(history: &mut History, content: &Content<'_>) {
    if content.parts().iter().any(|part| part.function_call.is_some()) {
        history.rounds += 1;
    }
    for part in content.parts() {
        if let Some(call) = &part.function_call
            && let (Some(id), Some(name)) = (call.id.as_deref(), call.name.as_deref())
            && seal::is_intact(id, name, &arguments_of(call)) == Some(false)
            && !history.changed.iter().any(|known| known == name)
        {
            history.changed.push(name.to_owned());
        }
        if let Some(result) = &part.function_response {
            let name = result.name.as_deref().unwrap_or_default().to_owned();
            let response = result.response.map_or("", serde_json::value::RawValue::get);
            history.results.push((name, fingerprint_of(response)));
        }
    }
}
