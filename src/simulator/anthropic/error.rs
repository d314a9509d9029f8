//! Anthropic's error bodies.
//!
//! <https://docs.claude.com/en/api/errors>

use super::super::json::{Json, quote};
use super::super::problem::{Expected, Kind, Problem, Step, dotted};
use super::super::reply::Reply;

/// An error. The request's id is added when the answer is complete.
pub(super) fn error(status: u16, kind: &str, message: &str) -> Reply {
    let body = format!(
        "{{\"type\":\"error\",\"error\":{{\"type\":\"{kind}\",\"message\":{}}}}}",
        quote(message)
    );
    Reply::json(status, body).typed("application/json")
}

/// A 400 for the request.
pub(super) fn refused(message: &str) -> Reply {
    error(400, "invalid_request_error", message)
}

/// A field that has no business there.
pub(super) fn extra(place: &str) -> Reply {
    refused(&format!("{place}: Extra inputs are not permitted"))
}

/// Why a body cannot be read.
pub(super) fn unreadable(problem: &Problem, body: &[u8]) -> Reply {
    let path = dotted(&tagged(&problem.path, body));
    match &problem.kind {
        Kind::Syntax(words) => refused(&format!("The request body is not valid JSON: {words}")),
        Kind::Unknown => extra(&path),
        Kind::Other(words) => refused(&format!("{path}: {words}")),
        Kind::Type { found, expected } => {
            let wanted = match expected {
                Expected::Integer if found.starts_with("integer") => {
                    return refused(&format!("{path}: Input should be greater than or equal to 0"));
                }
                Expected::Integer => "integer",
                Expected::Number => "number",
                Expected::Text => "string",
                Expected::Flag => "boolean",
                Expected::List => "list",
                Expected::Object => "dictionary",
            };
            refused(&format!("{path}: Input should be a valid {wanted}"))
        }
    }
}

/// Behind the index of a block or a tool stands its type: `messages.0.content.0.text.x`.
fn tagged(path: &[Step], body: &[u8]) -> Vec<Step> {
    let text = std::str::from_utf8(body).unwrap_or_default();
    let root = Json::parse(text);
    let mut place = root.as_ref();
    let mut steps: Vec<Step> = Vec::new();
    for (index, step) in path.iter().enumerate() {
        let under = index.checked_sub(1).and_then(|before| path.get(before));
        let listed = |name: &str| under == Some(&Step::Key(name.to_owned()));
        place = place.and_then(|place| match step {
            Step::Key(name) => place.member(name),
            Step::Index(index) => place.as_list()?.get(*index),
        });
        steps.push(step.clone());
        if !matches!(step, Step::Index(_)) || index + 1 == path.len() {
            continue;
        }
        let tag = place.and_then(|place| place.member("type")?.as_text());
        if listed("content") || listed("system") {
            steps.extend(tag.map(|tag| Step::Key(tag.to_owned())));
        } else if listed("tools") {
            steps.push(Step::Key(tag.unwrap_or("custom").to_owned()));
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(problem: &Problem, body: &str) -> String {
        let (status, text) = unreadable(problem, body.as_bytes()).shown();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((status, &json["error"]["type"]), (400, &"invalid_request_error".into()));
        json["error"]["message"].as_str().unwrap().to_owned()
    }

    #[test]
    fn places_have_the_types_of_their_blocks() {
        let key = |name: &str| Step::Key(name.to_owned());
        let path = vec![key("messages"), Step::Index(0), key("content"), Step::Index(1), key("x")];
        let body = r#"{"messages":[{"content":[{},{"type":"image"}]}]}"#;
        let problem = Problem { path, kind: Kind::Unknown };
        let expected = "messages.0.content.1.image.x: Extra inputs are not permitted";
        assert_eq!(message(&problem, body), expected);
        let path = vec![key("tools"), Step::Index(0), key("y")];
        let problem = Problem { path, kind: Kind::Unknown };
        let expected = "tools.0.custom.y: Extra inputs are not permitted";
        assert_eq!(message(&problem, r#"{"tools":[{"name":"a"}]}"#), expected);
    }

    #[test]
    fn types_are_named() {
        let path = vec![Step::Key("max_tokens".to_owned())];
        for (found, expected, words) in [
            ("string \"a\"", Expected::Integer, "max_tokens: Input should be a valid integer"),
            (
                "integer `-1`",
                Expected::Integer,
                "max_tokens: Input should be greater than or equal to 0",
            ),
            ("map", Expected::List, "max_tokens: Input should be a valid list"),
        ] {
            let kind = Kind::Type { found: found.to_owned(), expected };
            assert_eq!(message(&Problem { path: path.clone(), kind }, "{}"), words);
        }
    }
}
