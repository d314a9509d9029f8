//! What OpenAI refuses in the items, and what the model remembers of them.

use super::super::super::reply::Reply;
use super::super::super::seal;
use super::super::super::tools::{History, canonical, fingerprint_of};
use super::super::error::{invalid_value, missing, refused};
use super::super::history::{check_id, check_image};
use super::request::{Content, Input, Item, Part, Request};

/// Checks the items and remembers what happened since the user's last message.
pub(super) fn review(request: &Request<'_>) -> Result<History, Reply> {
    let items = match &request.input {
        None => return Err(missing("input")),
        Some(Input::Text) => return Ok(History::default()),
        Some(Input::Items(items)) => items,
    };
    if items.is_empty() {
        let message = "Invalid 'input': empty array. Expected an array with minimum length 1, but \
                       got an empty array instead.";
        return Err(refused(message, "input", "empty_array"));
    }
    for (index, item) in items.iter().enumerate() {
        check_item(item, &format!("input[{index}]"))?;
    }
    check_pairs(items)?;
    Ok(remember(items))
}

fn check_item(item: &Item<'_>, at: &str) -> Result<(), Reply> {
    const KINDS: [&str; 4] = ["message", "function_call", "function_call_output", "reasoning"];
    if item.kind() == "item_reference" {
        let id = item.id.as_deref().unwrap_or_default();
        let message = format!("Item with id '{id}' not found.");
        return Err(refused(&message, "input", ""));
    }
    let Some(known) = item.known() else {
        return Err(invalid_value(item.kind(), &KINDS, &format!("{at}.type")));
    };
    if let Some(strange) = item.strange(known) {
        let param = format!("{at}.{strange}");
        let message = format!("Unknown parameter: '{param}'.");
        return Err(refused(&message, &param, "unknown_parameter"));
    }
    match item.kind() {
        "message" => check_message(item, at),
        "function_call" => {
            check_id(item.call_id.as_deref(), &format!("{at}.call_id"))?;
            for (name, given) in [("name", &item.name), ("arguments", &item.arguments)] {
                if given.is_none() {
                    return Err(missing(&format!("{at}.{name}")));
                }
            }
            Ok(())
        }
        "function_call_output" => {
            check_id(item.call_id.as_deref(), &format!("{at}.call_id"))?;
            match &item.output {
                None => Err(missing(&format!("{at}.output"))),
                Some(output) => check_parts(output, "user", &format!("{at}.output")),
            }
        }
        _ => check_reasoning(item, at),
    }
}

fn check_message(item: &Item<'_>, at: &str) -> Result<(), Reply> {
    const ROLES: [&str; 4] = ["assistant", "system", "developer", "user"];
    let role = item.role.as_deref().unwrap_or_default();
    if !ROLES.contains(&role) {
        return Err(invalid_value(role, &ROLES, &format!("{at}.role")));
    }
    let Some(content) = &item.content else {
        return Err(missing(&format!("{at}.content")));
    };
    check_parts(content, role, &format!("{at}.content"))
}

fn check_parts(content: &Content<'_>, role: &str, at: &str) -> Result<(), Reply> {
    let kinds: &[&str] = if role == "assistant" {
        &["output_text", "refusal"]
    } else {
        &["input_text", "input_image", "input_file"]
    };
    let Content::Parts(parts) = content else { return Ok(()) };
    for (index, part) in parts.iter().enumerate() {
        let at = format!("{at}[{index}]");
        let kind = part.kind.as_deref().unwrap_or_default();
        if !kinds.contains(&kind) {
            return Err(invalid_value(kind, kinds, &at));
        }
        check_part(part, kind, &at)?;
    }
    Ok(())
}

fn check_part(part: &Part<'_>, kind: &str, at: &str) -> Result<(), Reply> {
    let has = match kind {
        "refusal" => part.refusal.is_some(),
        "input_image" => match part.image_url.as_deref() {
            Some(url) => return check_image(url, &format!("{at}.image_url")),
            None => part.file_id.is_some(),
        },
        "input_file" => {
            part.file_id.is_some() || part.file_data.is_some() || part.file_url.is_some()
        }
        _ => part.text.is_some(),
    };
    let field = match kind {
        "refusal" => "refusal",
        "input_image" => "image_url",
        "input_file" => "file_id",
        _ => "text",
    };
    if has { Ok(()) } else { Err(missing(&format!("{at}.{field}"))) }
}

fn check_reasoning(item: &Item<'_>, at: &str) -> Result<(), Reply> {
    if item.summary.is_none() {
        return Err(missing(&format!("{at}.summary")));
    }
    let id = item.id.as_deref().unwrap_or_default();
    let sealed = |data: &str| seal::is_opaque(data, "reasoning", "");
    match item.encrypted_content.as_deref() {
        Some(data) if !sealed(data) => {
            let message = format!(
                "The encrypted content for item {id} could not be verified. Reason: Encrypted \
                 content could not be decrypted or parsed."
            );
            Err(refused(&message, "", "invalid_encrypted_content"))
        }
        // Nothing is stored here, so a bare id leads nowhere.
        None => Err(refused(
            &format!(
                "Item with id '{id}' not found. Items are not persisted when `store` is set to \
                 false. Try again with `store` set to true, or remove this item from your input."
            ),
            "input",
            "",
        )),
        Some(_) => Ok(()),
    }
}

/// Every call has its output behind it, every output its call before it, and reasoning stands
/// before what it led to.
fn check_pairs(items: &[Item<'_>]) -> Result<(), Reply> {
    let mut open: Vec<&str> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let id = item.call_id.as_deref().unwrap_or_default();
        match item.kind() {
            "function_call" => open.push(id),
            "function_call_output" => {
                let Some(place) = open.iter().position(|known| *known == id) else {
                    let message =
                        format!("No tool call found for function call output with call_id {id}.");
                    return Err(refused(&message, "input", ""));
                };
                open.remove(place);
            }
            "reasoning" => {
                let led = items.get(index + 1).map_or("", |next| next.kind());
                if !matches!(led, "message" | "function_call" | "reasoning") {
                    let id = item.id.as_deref().unwrap_or_default();
                    let message = format!(
                        "Item '{id}' of type 'reasoning' was provided without its required \
                         following item."
                    );
                    return Err(refused(&message, "input", ""));
                }
            }
            _ => {}
        }
    }
    match open.first() {
        None => Ok(()),
        Some(id) => {
            let message = format!("No tool output found for function call {id}.");
            Err(refused(&message, "input", ""))
        }
    }
}

fn remember(items: &[Item<'_>]) -> History {
    let by_user = |item: &Item<'_>| item.role.as_deref() == Some("user");
    let start = items.iter().rposition(by_user).map_or(0, |last| last + 1);
    let mut history = History::default();
    let mut names: Vec<(&str, &str)> = Vec::new();
    let mut calling = false;
    for item in items.get(start..).unwrap_or_default() {
        let id = item.call_id.as_deref().unwrap_or_default();
        let name = item.name.as_deref().unwrap_or_default();
        let call = item.kind() == "function_call";
        if call {
            let arguments = canonical(item.arguments.as_deref().unwrap_or_default());
            if seal::is_intact(id, name, &arguments) == Some(false) {
                history.changed.push(name.to_owned());
            }
            names.push((id, name));
            // Calls in a row are one turn.
            history.rounds += u32::from(!calling);
        }
        calling = call || (calling && item.kind() == "reasoning");
        if item.kind() == "function_call_output" {
            let known = names.iter().rev().find(|(known, _)| *known == id);
            let text = item.output.as_ref().map(Content::text).unwrap_or_default();
            let name = known.map_or("", |(_, name)| name).to_owned();
            history.results.push((name, fingerprint_of(&text)));
        }
    }
    history
}
