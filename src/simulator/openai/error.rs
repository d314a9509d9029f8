//! OpenAI's error bodies.
//!
//! <https://platform.openai.com/docs/guides/error-codes>

use super::super::json::quote;
use super::super::problem::{Expected, Kind, Problem, bracketed};
use super::super::reply::Reply;

/// An error's words beside its message; an empty text stands for null.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Label<'l> {
    pub(super) kind: &'l str,
    pub(super) param: &'l str,
    pub(super) code: &'l str,
}

/// An error.
pub(super) fn error(status: u16, message: &str, label: Label<'_>) -> Reply {
    let or_null = |text: &str| if text.is_empty() { "null".to_owned() } else { quote(text) };
    let Label { kind, param, code } = label;
    let kind = if kind.is_empty() { "invalid_request_error" } else { kind };
    let body = format!(
        "{{\n  \"error\": {{\n    \"message\": {},\n    \"type\": \"{kind}\",\n    \"param\": {},\n    \"code\": {}\n  }}\n}}",
        quote(message),
        or_null(param),
        or_null(code)
    );
    Reply::json(status, body).typed("application/json")
}

/// A 400 for a parameter.
pub(super) fn refused(message: &str, param: &str, code: &str) -> Reply {
    error(400, message, Label { param, code, ..Label::default() })
}

/// A 400 for a value that is none of those there are.
pub(super) fn invalid_value(found: &str, known: &[&str], param: &str) -> Reply {
    let quoted: Vec<String> = known.iter().map(|name| format!("'{name}'")).collect();
    let list = match quoted.as_slice() {
        [all @ .., last] if !all.is_empty() => format!("{}, and {last}", all.join(", ")),
        all => all.concat(),
    };
    let message = format!("Invalid value: '{found}'. Supported values are: {list}.");
    refused(&message, param, "invalid_value")
}

/// A parameter that must be there.
pub(super) fn missing(param: &str) -> Reply {
    let message = format!("Missing required parameter: '{param}'.");
    refused(&message, param, "missing_required_parameter")
}

/// Why a body cannot be read. Chat completions name an unknown argument at the top in an older
/// way than everything else.
pub(super) fn unreadable(problem: &Problem, old_words: bool) -> Reply {
    let path = bracketed(&problem.path);
    match &problem.kind {
        Kind::Syntax(words) => refused(
            &format!(
                "We could not parse the JSON body of your request. (HINT: This likely means you \
                 aren't using your HTTP library correctly. The OpenAI API expects a JSON payload, \
                 but what was sent was not valid JSON. {words})"
            ),
            "",
            "",
        ),
        Kind::Unknown if old_words && problem.parent().is_empty() => {
            refused(&format!("Unrecognized request argument supplied: {}", problem.name()), "", "")
        }
        Kind::Unknown => {
            refused(&format!("Unknown parameter: '{path}'."), &path, "unknown_parameter")
        }
        Kind::Other(words) => refused(words, &path, ""),
        Kind::Type { found, expected } => {
            let wanted = match expected {
                Expected::Integer => "an integer",
                Expected::Number => "a decimal",
                Expected::Text => "a string",
                Expected::Flag => "a boolean",
                Expected::List => "an array",
                Expected::Object => "an object",
            };
            let found = match found.split(' ').next().unwrap_or_default() {
                "string" => "a string",
                "integer" => "an integer",
                "floating" => "a decimal",
                "boolean" => "a boolean",
                "sequence" => "an array",
                "map" => "an object",
                _ => "null",
            };
            let message =
                format!("Invalid type for '{path}': expected {wanted}, but got {found} instead.");
            refused(&message, &path, "invalid_type")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::problem::Step;
    use super::*;

    fn shown(reply: Reply) -> (String, serde_json::Value, serde_json::Value) {
        let (status, body) = reply.shown();
        let json: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &json["error"]["type"]), (400, &"invalid_request_error".into()));
        let error = &json["error"];
        (
            error["message"].as_str().unwrap().to_owned(),
            error["param"].clone(),
            error["code"].clone(),
        )
    }

    #[test]
    fn problems_are_told_in_openais_words() {
        let key = |name: &str| Step::Key(name.to_owned());
        let top = Problem { path: vec![key("foo")], kind: Kind::Unknown };
        let (message, param, code) = shown(unreadable(&top, true));
        assert_eq!(message, "Unrecognized request argument supplied: foo");
        assert!(param.is_null() && code.is_null());
        let (message, param, code) = shown(unreadable(&top, false));
        assert_eq!((message.as_str(), param.as_str()), ("Unknown parameter: 'foo'.", Some("foo")));
        assert_eq!(code, "unknown_parameter");
        let path = vec![key("messages"), Step::Index(1), key("role")];
        let kind = Kind::Type { found: "integer `1`".to_owned(), expected: Expected::Text };
        let (message, ..) = shown(unreadable(&Problem { path, kind }, true));
        let words =
            "Invalid type for 'messages[1].role': expected a string, but got an integer instead.";
        assert_eq!(message, words);
        let (message, ..) = shown(invalid_value("x", &["a", "b", "c"], "p"));
        assert_eq!(message, "Invalid value: 'x'. Supported values are: 'a', 'b', and 'c'.");
    }
}
