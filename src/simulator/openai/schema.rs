//! What OpenAI wants of a schema: names, and the rules of `strict`.
//!
//! <https://platform.openai.com/docs/guides/structured-outputs>

use super::super::json::Json;

/// What is wrong with a schema whose answers must follow it strictly.
pub(super) fn strict_problem(schema: &Json<'_>) -> Option<String> {
    problem_at(schema, &mut Vec::new())
}

/// Keywords that strict schemas do not take.
const FORBIDDEN: [&str; 8] = [
    "allOf",
    "oneOf",
    "not",
    "if",
    "dependentRequired",
    "patternProperties",
    "unevaluatedProperties",
    "default",
];

fn problem_at(schema: &Json<'_>, path: &mut Vec<String>) -> Option<String> {
    let context = || {
        let names: Vec<String> = path.iter().map(|name| format!("'{name}'")).collect();
        // The words are those of Python, whose tuple of one ends in a comma.
        let comma = if names.len() == 1 { "," } else { "" };
        format!("In context=({}{comma})", names.join(", "))
    };
    if let Some(word) = FORBIDDEN.iter().find(|word| schema.member(word).is_some()) {
        return Some(format!("{}, '{word}' is not permitted.", context()));
    }
    if schema.member("properties").is_some() || is_type(schema, "object") {
        if schema.member("additionalProperties") != Some(&Json::Plain("false")) {
            return Some(format!(
                "{}, 'additionalProperties' is required to be supplied and to be false.",
                context()
            ));
        }
        let required = schema.member("required").and_then(Json::as_list).unwrap_or_default();
        let properties = schema.member("properties").and_then(Json::as_map).unwrap_or_default();
        let named = |name: &str| required.iter().any(|known| known.as_text() == Some(name));
        if let Some((name, _)) = properties.iter().find(|(name, _)| !named(name)) {
            return Some(format!(
                "{}, 'required' is required to be supplied and to be an array including every key \
                 in properties. Missing '{name}'.",
                context()
            ));
        }
    }
    for keyword in ["properties", "$defs", "definitions"] {
        for (name, inner) in schema.member(keyword).and_then(Json::as_map).unwrap_or_default() {
            path.extend([keyword.to_owned(), name.to_string()]);
            let found = problem_at(inner, path);
            path.truncate(path.len() - 2);
            if found.is_some() {
                return found;
            }
        }
    }
    let branches = schema.member("anyOf").and_then(Json::as_list).unwrap_or_default();
    let items = schema.member("items").map(|items| ("items".to_owned(), items));
    let branches = branches.iter().zip(0..).map(|(inner, at)| (format!("anyOf {at}"), inner));
    branches.chain(items).find_map(|(name, inner)| {
        path.push(name);
        let found = problem_at(inner, path);
        path.pop();
        found
    })
}

pub(super) fn is_type(schema: &Json<'_>, wanted: &str) -> bool {
    match schema.member("type") {
        Some(Json::Text(name)) => name == wanted,
        Some(Json::List(names)) => names.iter().any(|name| name.as_text() == Some(wanted)),
        _ => false,
    }
}

/// `^[a-zA-Z0-9_-]{1,64}$`
pub(super) fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strict_schemas_are_closed_and_complete() {
        for (schema, words) in [
            (r#"{"type":"string"}"#, None),
            (
                r#"{"type":"object","properties":{"a":{"type":"array","items":{"type":"string"}}},"required":["a"],"additionalProperties":false}"#,
                None,
            ),
            (r#"{"type":"object"}"#, Some("In context=(), 'additionalProperties' is required")),
            (r#"{"properties":{"a":{}},"additionalProperties":false}"#, Some("Missing 'a'")),
            (
                r#"{"properties":{"a":{"type":["object","null"]}},"required":["a"],"additionalProperties":false}"#,
                Some("In context=('properties', 'a'), 'additionalProperties'"),
            ),
            (r#"{"anyOf":[{"type":"object"}]}"#, Some("In context=('anyOf 0',)")),
            (r#"{"items":{"type":"object"}}"#, Some("In context=('items',)")),
            (r#"{"oneOf":[]}"#, Some("'oneOf' is not permitted")),
        ] {
            let found = strict_problem(&Json::parse(schema).unwrap());
            match words {
                None => assert_eq!(found, None, "{schema}"),
                Some(words) => assert!(found.expect(schema).contains(words), "{schema}"),
            }
        }
        assert!(is_name("a-b_9") && !is_name("") && !is_name("a b") && !is_name(&"a".repeat(65)));
    }
}
