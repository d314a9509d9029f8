//! Google's error bodies.
//!
//! <https://cloud.google.com/apis/design/errors>

use super::super::json::{indent, quote};
use super::super::problem::{Expected, Kind, Problem, Step, bracketed};
use super::super::reply::Reply;

/// An error without details.
pub(crate) fn error(status: u16, name: &str, message: &str) -> Reply {
    detailed(status, name, message, "")
}

/// An error with details, JSON objects between commas.
pub(crate) fn detailed(status: u16, name: &str, message: &str, details: &str) -> Reply {
    let message = quote(message);
    let details =
        if details.is_empty() { String::new() } else { format!(",\"details\":[{details}]") };
    let body = format!(
        "{{\"error\":{{\"code\":{status},\"message\":{message},\"status\":\"{name}\"{details}}}}}"
    );
    Reply::json(status, indent(&body))
}

/// A 400 for an argument.
pub(super) fn refused(message: &str) -> Reply {
    error(400, "INVALID_ARGUMENT", message)
}

/// A detail that names a reason.
pub(crate) fn reason(reason: &str) -> String {
    format!(
        "{{\"@type\":\"type.googleapis.com/google.rpc.ErrorInfo\",\"reason\":\"{reason}\",\"domain\":\"googleapis.com\"}}"
    )
}

/// Why a body cannot be read.
pub(crate) fn unreadable(problem: &Problem) -> Reply {
    let (field, message) = match &problem.kind {
        Kind::Syntax(words) => (String::new(), format!("Invalid JSON payload received. {words}")),
        Kind::Other(words) => (String::new(), format!("Invalid JSON payload received. {words}.")),
        Kind::Unknown => {
            return unknown(&problem.path);
        }
        Kind::Type { found, expected } => {
            let field = bracketed(&snake(&problem.path));
            let kind = match expected {
                Expected::Integer => "TYPE_INT32",
                Expected::Number => "TYPE_FLOAT",
                Expected::Text => "TYPE_STRING",
                Expected::Flag => "TYPE_BOOL",
                Expected::List | Expected::Object => "type.googleapis.com/google.protobuf.Message",
            };
            let value = found.split_once(' ').map_or(found.as_str(), |(_, value)| value);
            let value = value.trim_matches('`');
            (field.clone(), format!("Invalid value at '{field}' ({kind}), {value}"))
        }
    };
    violation(&field, &message)
}

/// A name that a message does not have; the last step of `path`.
pub(super) fn unknown(path: &[Step]) -> Reply {
    let (last, parent) = path.split_last().map_or((None, path), |(last, rest)| (Some(last), rest));
    let name = if let Some(Step::Key(name)) = last { name.as_str() } else { "" };
    let place = bracketed(&snake(parent));
    let at = if place.is_empty() { String::new() } else { format!(" at '{place}'") };
    let message =
        format!("Invalid JSON payload received. Unknown name \"{name}\"{at}: Cannot find field.");
    violation(&place, &message)
}

/// A name at the top that only the other service has, or below it.
pub(super) fn unknown_at(parents: &[&str], name: &str) -> Reply {
    let path = parents.iter().chain([&name]).map(|name| Step::Key((*name).to_owned()));
    unknown(&path.collect::<Vec<_>>())
}

fn violation(field: &str, message: &str) -> Reply {
    let field =
        if field.is_empty() { String::new() } else { format!("\"field\":{},", quote(field)) };
    let detail = format!(
        "{{\"@type\":\"type.googleapis.com/google.rpc.BadRequest\",\"fieldViolations\":[{{{field}\"description\":{}}}]}}",
        quote(message)
    );
    detailed(400, "INVALID_ARGUMENT", message, &detail)
}

/// Google names fields in snake case, however the request wrote them.
fn snake(path: &[Step]) -> Vec<Step> {
    let lower = |name: &str| {
        let mut out = String::with_capacity(name.len() + 4);
        for letter in name.chars() {
            if letter.is_ascii_uppercase() {
                out.push('_');
            }
            out.push(letter.to_ascii_lowercase());
        }
        out
    };
    let spell = |step: &Step| match step {
        Step::Key(name) => Step::Key(lower(name)),
        Step::Index(index) => Step::Index(*index),
    };
    path.iter().map(spell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(problem: &Problem) -> String {
        let (status, body) = unreadable(problem).shown();
        let json: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &json["error"]["status"]), (400, &"INVALID_ARGUMENT".into()));
        json["error"]["message"].as_str().unwrap().to_owned()
    }

    #[test]
    fn places_are_named_as_google_names_them() {
        let key = |name: &str| Step::Key(name.to_owned());
        let path = vec![key("generationConfig"), key("fooBar")];
        assert_eq!(
            shown(&Problem { path, kind: Kind::Unknown }),
            "Invalid JSON payload received. Unknown name \"fooBar\" at 'generation_config': Cannot find field."
        );
        let top = Problem { path: vec![key("x")], kind: Kind::Unknown };
        assert!(shown(&top).contains("Unknown name \"x\": Cannot"));
        let kind = Kind::Type { found: "string \"hot\"".to_owned(), expected: Expected::Number };
        let path = vec![key("contents"), Step::Index(1), key("topP")];
        assert_eq!(
            shown(&Problem { path, kind }),
            "Invalid value at 'contents[1].top_p' (TYPE_FLOAT), \"hot\""
        );
        let body = detailed(400, "X", "m", &reason("R")).shown().1;
        let json: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(json["error"]["details"][0]["reason"], "R");
    }
}
