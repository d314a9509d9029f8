//! What Anthropic refuses in the messages, and what the model remembers of them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

use super::super::reply::Reply;
use super::super::seal;
use super::super::tools::{History, canonical, fingerprint_of};
use super::check::is_tool_name;
use super::error::{extra, refused};
use super::model::Model;
use super::request::{Block, Content, Message, Request, Source};

/// Checks the messages and remembers what happened since the user's last text.
pub(super) fn review(request: &Request<'_>, model: Model) -> Result<History, Reply> {
    let messages = request.messages.as_deref().unwrap_or_default();
    if messages.is_empty() {
        return Err(refused("messages: at least one message is required"));
    }
    if let Some(system) = &request.system {
        check_content(system, "system", &["text"])?;
    }
    let mut ids: Vec<&str> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        check_message(message, index, index + 1 == messages.len())?;
        let before = index.checked_sub(1).and_then(|before| messages.get(before));
        check_turn(index, (before, message, messages.get(index + 1)))?;
        for call in message.blocks().iter().filter(|block| block.is("tool_use")) {
            let id = call.id.as_deref().unwrap_or_default();
            if ids.contains(&id) {
                return Err(refused("messages: `tool_use` ids must be unique"));
            }
            ids.push(id);
        }
    }
    let enabled = request.thinking.as_ref().and_then(|thinking| thinking.kind.as_deref());
    check_end(messages, model, enabled == Some("enabled"))?;
    Ok(remember(messages))
}

fn check_message(message: &Message<'_>, index: usize, last: bool) -> Result<(), Reply> {
    let at = format!("messages.{index}");
    let kinds: &[&str] = match message.role.as_deref() {
        Some("user") => &["text", "image", "document", "tool_result"],
        Some("assistant") => &["text", "tool_use", "thinking", "redacted_thinking"],
        Some(_) => {
            return Err(refused(&format!("{at}.role: Input should be 'user' or 'assistant'")));
        }
        None => return Err(refused(&format!("{at}.role: Field required"))),
    };
    let Some(content) = &message.content else {
        return Err(refused(&format!("{at}.content: Field required")));
    };
    let empty = match content {
        Content::Text(text) => text.is_empty(),
        Content::Blocks(blocks) => blocks.is_empty(),
    };
    if empty && !(last && message.is_assistant()) {
        return Err(refused(&format!(
            "{at}: all messages must have non-empty content except for the optional final \
             assistant message"
        )));
    }
    check_content(content, &format!("{at}.content"), kinds)
}

fn check_content(content: &Content<'_>, place: &str, kinds: &[&str]) -> Result<(), Reply> {
    if let Content::Text(text) = content {
        return if !text.is_empty() && text.trim().is_empty() { Err(blank()) } else { Ok(()) };
    }
    for (index, block) in content.blocks().iter().enumerate() {
        let kind = block.kind.as_deref().unwrap_or_default();
        let known = block.known().filter(|_| kinds.contains(&kind));
        let Some(known) = known else {
            let expected: Vec<String> = kinds.iter().map(|kind| format!("'{kind}'")).collect();
            return Err(refused(&format!(
                "{place}.{index}: Input tag '{kind}' found using 'type' does not match any of \
                 the expected tags: {}",
                expected.join(", ")
            )));
        };
        let at = format!("{place}.{index}.{kind}");
        if let Some(strange) = block.strange(known) {
            return Err(extra(&format!("{at}.{strange}")));
        }
        check_block(block, &at, &format!("{place}.{index}"))?;
    }
    Ok(())
}

fn blank() -> Reply {
    refused("messages: text content blocks must contain non-whitespace text")
}

fn required(at: &str, name: &str) -> Reply {
    refused(&format!("{at}.{name}: Field required"))
}

fn check_block(block: &Block<'_>, at: &str, bare: &str) -> Result<(), Reply> {
    match block.kind.as_deref().unwrap_or_default() {
        "text" => match block.text.as_deref() {
            None => Err(required(at, "text")),
            Some("") => Err(refused("messages: text content blocks must be non-empty")),
            Some(text) if text.trim().is_empty() => Err(blank()),
            Some(_) => Ok(()),
        },
        "image" | "document" => {
            let source = block.source.as_ref().ok_or_else(|| required(at, "source"))?;
            check_source(source, block.is("image"), &format!("{at}.source"))
        }
        "tool_use" => check_call(block, at),
        "tool_result" => {
            check_id(block.tool_use_id.as_deref(), &format!("{at}.tool_use_id"))?;
            let kinds = ["text", "image", "document"];
            let content = block.content.as_ref();
            content.map_or(Ok(()), |content| {
                let empty = matches!(content, Content::Text(text) if text.trim().is_empty());
                if empty {
                    Ok(())
                } else {
                    check_content(content, &format!("{at}.content"), &kinds)
                }
            })
        }
        "thinking" => {
            let text = block.thinking.as_deref().ok_or_else(|| required(at, "thinking"))?;
            let signature = block.signature.as_deref().ok_or_else(|| required(at, "signature"))?;
            if seal::is_opaque(signature, "thinking", text) {
                return Ok(());
            }
            Err(refused(&format!("{bare}: Invalid `signature` in `thinking` block")))
        }
        _ => {
            let data = block.data.as_deref().ok_or_else(|| required(at, "data"))?;
            if seal::is_opaque(data, "redacted_thinking", "") {
                return Ok(());
            }
            Err(refused(&format!("{bare}: Invalid `data` in `redacted_thinking` block")))
        }
    }
}

fn check_source(source: &Source<'_>, image: bool, at: &str) -> Result<(), Reply> {
    let kind = source.kind.as_deref().unwrap_or_default();
    let media = source.media_type.as_deref().unwrap_or_default();
    match kind {
        "base64" => {
            let at = format!("{at}.base64");
            let pictures = ["image/jpeg", "image/png", "image/gif", "image/webp"];
            if image && !pictures.contains(&media) {
                return Err(refused(&format!(
                    "{at}.media_type: Input should be 'image/jpeg', 'image/png', 'image/gif' or \
                     'image/webp'"
                )));
            }
            if !image && media != "application/pdf" {
                let message = format!("{at}.media_type: Input should be 'application/pdf'");
                return Err(refused(&message));
            }
            let data = source.data.as_deref().unwrap_or_default();
            if data.is_empty() || STANDARD.decode(data).is_err() {
                return Err(refused(&format!("{at}.data: Invalid base64 data")));
            }
            Ok(())
        }
        "url" => {
            let secure = |url: &str| url.starts_with("https://");
            if source.url.as_deref().is_some_and(secure) {
                return Ok(());
            }
            Err(refused(&format!("{at}.url.url: Only HTTPS URLs are supported.")))
        }
        "file" if source.file_id.is_some() => Ok(()),
        "text" if !image && media == "text/plain" && source.data.is_some() => Ok(()),
        "content" if !image => Ok(()),
        "text" | "file" => Err(refused(&format!("{at}.{kind}: Field required"))),
        _ => Err(refused(&format!(
            "{at}: Input tag '{kind}' found using 'type' does not match any of the expected tags: \
             'base64', 'url', 'file'"
        ))),
    }
}

fn check_call(block: &Block<'_>, at: &str) -> Result<(), Reply> {
    check_id(block.id.as_deref(), &format!("{at}.id"))?;
    let name = block.name.as_deref().ok_or_else(|| required(at, "name"))?;
    if !is_tool_name(name) {
        return Err(refused(&format!(
            "{at}.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'"
        )));
    }
    let input = block.input.ok_or_else(|| required(at, "input"))?;
    if !input.get().starts_with('{') {
        return Err(refused(&format!("{at}.input: Input should be a valid dictionary")));
    }
    Ok(())
}

fn check_id(id: Option<&str>, place: &str) -> Result<(), Reply> {
    let Some(id) = id else { return Err(refused(&format!("{place}: Field required"))) };
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if id.is_empty() || !id.bytes().all(fits) {
        let message = format!("{place}: String should match pattern '^[a-zA-Z0-9_-]+$'");
        return Err(refused(&message));
    }
    Ok(())
}

/// A message between its neighbours.
type Turn<'t, 'r> = (Option<&'t Message<'r>>, &'t Message<'r>, Option<&'t Message<'r>>);

/// Roles alternate, and the results of calls stand first in the message right after them.
fn check_turn(index: usize, (before, message, after): Turn<'_, '_>) -> Result<(), Reply> {
    let role = message.role.as_deref().unwrap_or_default();
    if before.is_some_and(|before| before.role.as_deref() == Some(role)) {
        return Err(refused(&format!(
            "messages: roles must alternate between \"user\" and \"assistant\", but found \
             multiple \"{role}\" roles in a row"
        )));
    }
    let calls: Vec<&str> = ids_of(message, "tool_use");
    let leading = after.map(leading_results).unwrap_or_default();
    let mut open: Vec<&str> = calls.iter().copied().filter(|id| !leading.contains(id)).collect();
    // Text behind a call stands between the call and its result.
    let blocks = message.blocks().iter();
    let behind = blocks.skip_while(|block| !block.is("tool_use")).any(|b| !b.is("tool_use"));
    if behind {
        open = calls;
    }
    if !open.is_empty() {
        return Err(refused(&format!(
            "messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately \
             after: {}. Each `tool_use` block must have a corresponding `tool_result` block in \
             the next message.",
            open.join(", ")
        )));
    }
    let asked = before.map(|before| ids_of(before, "tool_use")).unwrap_or_default();
    let mut seen: Vec<&str> = Vec::new();
    for (place, block) in message.blocks().iter().enumerate() {
        let Some(id) = block.tool_use_id.as_deref() else { continue };
        if !asked.contains(&id) {
            return Err(refused(&format!(
                "messages.{index}.content.{place}: unexpected `tool_use_id` found in \
                 `tool_result` blocks: {id}. Each `tool_result` block must have a corresponding \
                 `tool_use` block in the previous message."
            )));
        }
        if seen.contains(&id) {
            return Err(refused(&format!(
                "messages.{index}.content.{place}: each tool_use must have a single result. Found \
                 multiple `tool_result` blocks with id: {id}"
            )));
        }
        seen.push(id);
    }
    Ok(())
}

fn ids_of<'t>(message: &'t Message<'_>, kind: &str) -> Vec<&'t str> {
    let blocks = message.blocks().iter().filter(|block| block.is(kind));
    blocks.filter_map(|block| block.id.as_deref()).collect()
}

/// Results count only before anything else.
fn leading_results<'t>(message: &'t Message<'_>) -> Vec<&'t str> {
    let leading = message.blocks().iter().take_while(|block| block.is("tool_result"));
    leading.filter_map(|block| block.tool_use_id.as_deref()).collect()
}

/// A prefill, and the thinking that must stand before the calls being answered.
fn check_end(messages: &[Message<'_>], model: Model, enabled: bool) -> Result<(), Reply> {
    let last = messages.last();
    if let Some(message) = last.filter(|message| message.is_assistant()) {
        if !model.takes_prefill() {
            return Err(refused(
                "This model does not support assistant message prefill. The conversation must end \
                 with a user message.",
            ));
        }
        let text = match &message.content {
            Some(Content::Text(text)) => Some(text.as_ref()),
            Some(Content::Blocks(blocks)) => blocks.last().and_then(|block| block.text.as_deref()),
            None => None,
        };
        if text.is_some_and(|text| text.ends_with(char::is_whitespace)) {
            return Err(refused(
                "messages: final assistant content cannot end with trailing whitespace",
            ));
        }
    }
    let place = messages.iter().rposition(Message::is_assistant);
    let Some((index, message)) = place.and_then(|place| Some((place, messages.get(place)?))) else {
        return Ok(());
    };
    let open = message.blocks().iter().any(|block| block.is("tool_use"));
    let first = message.blocks().first();
    let thinks = first.is_some_and(Block::is_thinking);
    let prefill = index + 1 == messages.len();
    if !enabled || thinks || !(open || prefill) {
        return Ok(());
    }
    let found = first.and_then(|block| block.kind.as_deref()).unwrap_or("text");
    Err(refused(&format!(
        "messages.{index}.content.0.type: Expected `thinking` or `redacted_thinking`, but found \
         `{found}`. When `thinking` is enabled, a final `assistant` message must start with a \
         thinking block (preceeding the lastmost set of `tool_use` and `tool_result` blocks). We \
         recommend you include thinking blocks from previous turns. To avoid this requirement, \
         disable `thinking`. Please consult our documentation at \
         https://docs.claude.com/en/docs/build-with-claude/extended-thinking"
    )))
}

fn remember(messages: &[Message<'_>]) -> History {
    let said = |message: &Message<'_>| !message.is_assistant() && message.has_text();
    let start = messages.iter().rposition(said).map_or(0, |last| last + 1);
    let mut history = History::default();
    let mut names: Vec<(&str, &str)> = Vec::new();
    for message in messages.get(start..).unwrap_or_default() {
        let calls = message.blocks().iter().filter(|block| block.is("tool_use"));
        let before = names.len();
        for call in calls {
            let id = call.id.as_deref().unwrap_or_default();
            let name = call.name.as_deref().unwrap_or_default();
            let arguments = canonical(call.input.map_or("{}", RawValue::get));
            if seal::is_intact(id, name, &arguments) == Some(false) {
                history.changed.push(name.to_owned());
            }
            names.push((id, name));
        }
        history.rounds += u32::from(names.len() > before);
        for result in message.blocks().iter().filter(|block| block.is("tool_result")) {
            let id = result.tool_use_id.as_deref();
            let known = names.iter().rev().find(|(known, _)| Some(*known) == id);
            let name = known.map_or("", |(_, name)| name).to_owned();
            history.results.push((name, fingerprint_of(&text_of(result))));
        }
    }
    history
}

/// All text of a result.
fn text_of(result: &Block<'_>) -> String {
    match &result.content {
        Some(Content::Text(text)) => text.to_string(),
        Some(Content::Blocks(blocks)) => {
            blocks.iter().filter_map(|block| block.text.as_deref()).collect()
        }
        None => String::new(),
    }
}
