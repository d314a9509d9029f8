//! What OpenAI refuses in the messages, and what the model remembers of them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::super::reply::Reply;
use super::super::seal;
use super::super::tools::{History, canonical, fingerprint_of};
use super::error::{invalid_value, missing, refused};
use super::request::{Content, Message, Part, Request};

/// Ids may not be longer.
pub(super) const ID_MAX: usize = 64;

/// Checks the messages and remembers what happened since the user's last text.
pub(super) fn review(request: &Request<'_>) -> Result<History, Reply> {
    let Some(messages) = request.messages.as_deref() else { return Err(missing("messages")) };
    if messages.is_empty() {
        let message = "Invalid 'messages': empty array. Expected an array with minimum length 1, \
                       but got an empty array instead.";
        return Err(refused(message, "messages", "empty_array"));
    }
    for (index, message) in messages.iter().enumerate() {
        check_message(message, &format!("messages[{index}]"))?;
    }
    check_order(messages)?;
    let format = request.response_format.as_ref().and_then(|format| format.kind.as_deref());
    let said = |message: &Message<'_>| message.content.as_ref().map(Content::text);
    let mentions = |text: String| text.to_ascii_lowercase().contains("json");
    if format == Some("json_object") && !messages.iter().filter_map(said).any(mentions) {
        let message = "'messages' must contain the word 'json' in some form, to use \
                       'response_format' of type 'json_object'.";
        return Err(refused(message, "messages", ""));
    }
    Ok(remember(messages))
}

fn check_message(message: &Message<'_>, at: &str) -> Result<(), Reply> {
    const ROLES: [&str; 6] = ["system", "assistant", "user", "function", "tool", "developer"];
    let Some(role) = message.role.as_deref() else {
        return Err(missing(&format!("{at}.role")));
    };
    if !ROLES.contains(&role) {
        return Err(invalid_value(role, &ROLES, &format!("{at}.role")));
    }
    let assistant = role == "assistant";
    if message.tool_calls.is_some() && !assistant {
        let param = format!("{at}.tool_calls");
        let message = format!(
            "Invalid parameter: 'tool_calls' is only allowed for role 'assistant' ({param})."
        );
        return Err(refused(&message, &param, ""));
    }
    let instead = message.tool_calls.is_some()
        || message.refusal.is_some()
        || message.function_call.is_some()
        || message.audio.is_some();
    if message.content.is_none() && !(assistant && instead) && role != "function" {
        let param = format!("{at}.content");
        let message = "Invalid value for 'content': expected a string, got null.";
        return Err(refused(message, &param, ""));
    }
    if message.tool_calls.as_ref().is_some_and(Vec::is_empty) {
        let param = format!("{at}.tool_calls");
        let message = format!(
            "Invalid '{param}': empty array. Expected an array with minimum length 1, but got an \
             empty array instead."
        );
        return Err(refused(&message, &param, "empty_array"));
    }
    check_calls(message, at)?;
    if role == "tool" && message.tool_call_id.is_none() {
        let param = format!("{at}.tool_call_id");
        let message = "Missing parameter 'tool_call_id': messages with role 'tool' must have a 'tool_call_id'.";
        return Err(refused(message, &param, ""));
    }
    if let Some(Content::Parts(parts)) = &message.content {
        if parts.is_empty() {
            let param = format!("{at}.content");
            let message = format!(
                "Invalid '{param}': empty array. Expected an array with minimum length 1, but got \
                 an empty array instead."
            );
            return Err(refused(&message, &param, "empty_array"));
        }
        for (index, part) in parts.iter().enumerate() {
            check_part(part, role, &format!("{at}.content[{index}]"))?;
        }
    }
    Ok(())
}

fn check_calls(message: &Message<'_>, at: &str) -> Result<(), Reply> {
    for (index, call) in message.calls().iter().enumerate() {
        let at = format!("{at}.tool_calls[{index}]");
        check_id(call.id.as_deref(), &format!("{at}.id"))?;
        match call.kind.as_deref() {
            Some("function") => {}
            Some("custom") => continue,
            Some(kind) => {
                return Err(invalid_value(kind, &["function", "custom"], &format!("{at}.type")));
            }
            None => return Err(missing(&format!("{at}.type"))),
        }
        let function = call.function.as_ref();
        let function = function.ok_or_else(|| missing(&format!("{at}.function")))?;
        let name = function.name.as_deref().unwrap_or_default();
        super::check::check_function_name(name, &format!("{at}.function.name"))?;
        if function.arguments.is_none() {
            return Err(missing(&format!("{at}.function.arguments")));
        }
    }
    Ok(())
}

pub(super) fn check_id(id: Option<&str>, param: &str) -> Result<(), Reply> {
    match id {
        None => Err(missing(param)),
        Some("") => {
            let message = format!(
                "Invalid '{param}': empty string. Expected a string with minimum length 1, but \
                 got an empty string instead."
            );
            Err(refused(&message, param, "empty_string"))
        }
        Some(id) if id.len() > ID_MAX => {
            let message = format!(
                "Invalid '{param}': string too long. Expected a string with maximum length \
                 {ID_MAX}, but got a string with length {} instead.",
                id.len()
            );
            Err(refused(&message, param, "string_above_max_length"))
        }
        Some(_) => Ok(()),
    }
}

fn check_part(part: &Part<'_>, role: &str, at: &str) -> Result<(), Reply> {
    let kinds: &[&str] = match role {
        "user" => &["text", "image_url", "input_audio", "file"],
        "assistant" => &["text", "refusal"],
        _ => &["text"],
    };
    let Some(kind) = part.kind.as_deref() else { return Err(missing(&format!("{at}.type"))) };
    if !kinds.contains(&kind) {
        return Err(invalid_value(kind, kinds, &format!("{at}.type")));
    }
    let has = match kind {
        "text" => part.text.is_some(),
        "refusal" => part.refusal.is_some(),
        "image_url" => part.image_url.is_some(),
        "input_audio" => part.input_audio.is_some(),
        _ => part.file.is_some(),
    };
    if !has {
        return Err(missing(&format!("{at}.{kind}")));
    }
    if let Some(image) = &part.image_url {
        return check_image(image.url.as_deref().unwrap_or_default(), &format!("{at}.image_url"));
    }
    if let Some(audio) = &part.input_audio {
        let format = audio.format.as_deref().unwrap_or_default();
        if !matches!(format, "wav" | "mp3") {
            let param = format!("{at}.input_audio.format");
            return Err(invalid_value(format, &["wav", "mp3"], &param));
        }
        if STANDARD.decode(audio.data.as_deref().unwrap_or_default()).is_err() {
            let param = format!("{at}.input_audio.data");
            let message = format!("Invalid '{param}': expected base64-encoded data.");
            return Err(refused(&message, &param, "invalid_value"));
        }
    }
    let nothing =
        |file: &super::request::File<'_>| file.file_data.is_none() && file.file_id.is_none();
    if part.file.as_ref().is_some_and(nothing) {
        return Err(missing(&format!("{at}.file.file_id")));
    }
    Ok(())
}

pub(super) fn check_image(url: &str, param: &str) -> Result<(), Reply> {
    let inline = url.strip_prefix("data:image/").and_then(|rest| rest.split_once(";base64,"));
    let good = match inline {
        Some((_, data)) => STANDARD.decode(data).is_ok(),
        None => url.starts_with("https://") || url.starts_with("http://"),
    };
    if good {
        return Ok(());
    }
    let message = "Invalid image_url. Expected a valid URL or a base64-encoded data URL with an \
                   image MIME type (e.g. 'data:image/png;base64,aW1nIGJ5dGVzIGhlcmU=').";
    Err(refused(message, param, "invalid_image_url"))
}

/// Calls are answered at once, each of them, and nothing else is.
fn check_order(messages: &[Message<'_>]) -> Result<(), Reply> {
    let mut open: Vec<&str> = Vec::new();
    let unanswered = |open: &[&str], index: usize| {
        let message = format!(
            "An assistant message with 'tool_calls' must be followed by tool messages responding \
             to each 'tool_call_id'. The following tool_call_ids did not have response messages: \
             {}",
            open.join(", ")
        );
        Err(refused(&message, &format!("messages.[{index}].role"), ""))
    };
    let mut after_calls = false;
    for (index, message) in messages.iter().enumerate() {
        if !message.is("tool") {
            if !open.is_empty() {
                return unanswered(&open, index);
            }
            open = message.calls().iter().filter_map(|call| call.id.as_deref()).collect();
            after_calls = !open.is_empty();
            continue;
        }
        let id = message.tool_call_id.as_deref().unwrap_or_default();
        let place = open.iter().position(|known| *known == id);
        match place {
            Some(place) => drop(open.remove(place)),
            None if after_calls => {
                let message = format!(
                    "Invalid parameter: 'tool_call_id' of '{id}' not found in 'tool_calls' of \
                     previous message."
                );
                let param = format!("messages.[{index}].tool_call_id");
                return Err(refused(&message, &param, ""));
            }
            None => {
                let message = "Invalid parameter: messages with role 'tool' must be a response to \
                               a preceeding message with 'tool_calls'.";
                return Err(refused(message, &format!("messages.[{index}].role"), ""));
            }
        }
    }
    if open.is_empty() { Ok(()) } else { unanswered(&open, messages.len() - 1) }
}

fn remember(messages: &[Message<'_>]) -> History {
    let start = messages.iter().rposition(|message| message.is("user")).map_or(0, |last| last + 1);
    let mut history = History::default();
    let mut names: Vec<(&str, &str)> = Vec::new();
    for message in messages.get(start..).unwrap_or_default() {
        history.rounds += u32::from(!message.calls().is_empty());
        for call in message.calls() {
            let id = call.id.as_deref().unwrap_or_default();
            let Some(function) = &call.function else { continue };
            let name = function.name.as_deref().unwrap_or_default();
            let arguments = function.arguments.as_deref().unwrap_or_default();
            if seal::is_intact(id, name, &canonical(arguments)) == Some(false) {
                history.changed.push(name.to_owned());
            }
            names.push((id, name));
        }
        if message.is("tool") {
            let id = message.tool_call_id.as_deref();
            let known = names.iter().rev().find(|(known, _)| Some(*known) == id);
            let text = message.content.as_ref().map(Content::text).unwrap_or_default();
            let name = known.map_or("", |(_, name)| name).to_owned();
            history.results.push((name, fingerprint_of(&text)));
        }
    }
    history
}
