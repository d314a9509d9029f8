//! Reads a body strictly, and says where it is wrong: each vendor spells the place in its own way.

use serde::Deserialize;
use serde_json::error::Category;
use serde_path_to_error::Segment;

use super::json::put;

/// One step from the body's root to a place in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

/// What is wrong there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Not JSON, in the words of the parser.
    Syntax(String),
    /// A field that the vendor does not know: the last step of the path.
    Unknown,
    /// A value of another type.
    Type { found: String, expected: Expected },
    /// Anything else, for example a field twice.
    Other(String),
}

/// The type that a vendor wants in a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    Integer,
    Number,
    Text,
    Flag,
    List,
    Object,
}

/// Why a body is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) path: Vec<Step>,
    pub(super) kind: Kind,
}

/// Reads a body.
pub(super) fn read<'r, T: Deserialize<'r>>(body: &'r [u8]) -> Result<T, Problem> {
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    if let Some(b'[') = first {
        // A derived struct would take an array for its fields.
        let kind = Kind::Type { found: "sequence".to_owned(), expected: Expected::Object };
        return Err(Problem { path: Vec::new(), kind });
    }
    // Keeping track of the place costs time, and nearly every body is right.
    serde_json::from_slice(body).map_err(|error| {
        let mut again = serde_json::Deserializer::from_slice(body);
        match serde_path_to_error::deserialize::<_, T>(&mut again) {
            Err(placed) => {
                let path = placed.path().iter().filter_map(step).collect();
                Problem { path, kind: kind(placed.inner()) }
            }
            // What follows the value is wrong.
            Ok(_) => Problem { path: Vec::new(), kind: kind(&error) },
        }
    })
}

fn step(segment: &Segment) -> Option<Step> {
    match segment {
        Segment::Seq { index } => Some(Step::Index(*index)),
        Segment::Map { key } => Some(Step::Key(key.clone())),
        Segment::Enum { .. } | Segment::Unknown => None,
    }
}

fn kind(error: &serde_json::Error) -> Kind {
    let text = error.to_string();
    let bare = text.split(" at line ").next().unwrap_or(&text);
    if error.classify() != Category::Data {
        return Kind::Syntax(text);
    }
    if bare.starts_with("unknown field") {
        return Kind::Unknown;
    }
    let typed =
        bare.strip_prefix("invalid type: ").or_else(|| bare.strip_prefix("invalid value: "));
    let Some((found, expected)) = typed.and_then(|rest| rest.rsplit_once(", expected ")) else {
        return Kind::Other(bare.to_owned());
    };
    let expected = match expected {
        "u32" | "u64" | "i32" | "i64" => Expected::Integer,
        "f64" => Expected::Number,
        "a boolean" => Expected::Flag,
        "a sequence" => Expected::List,
        text if text.contains("string") => Expected::Text,
        _ => Expected::Object,
    };
    Kind::Type { found: found.to_owned(), expected }
}

impl Problem {
    /// The name of the last step, where that is one.
    pub(super) fn name(&self) -> &str {
        match self.path.last() {
            Some(Step::Key(name)) => name,
            Some(Step::Index(_)) | None => "",
        }
    }

    /// The path without its last step.
    pub(super) fn parent(&self) -> &[Step] {
        self.path.split_last().map_or(&[], |(_, parent)| parent)
    }
}

/// The path as Anthropic writes it: `messages.0.content`.
pub(super) fn dotted(path: &[Step]) -> String {
    let steps = path.iter().map(|step| match step {
        Step::Key(name) => name.clone(),
        Step::Index(index) => index.to_string(),
    });
    steps.collect::<Vec<_>>().join(".")
}

/// The path as Google and OpenAI write it: `messages[0].content`.
pub(super) fn bracketed(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Key(name) => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(name);
            }
            Step::Index(index) => put!(&mut text, "[{index}]"),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only what is refused matters")]
    struct Outer {
        list: Option<Vec<Inner>>,
        text: Option<String>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only what is refused matters")]
    struct Inner {
        count: Option<u32>,
        share: Option<f64>,
        flag: Option<bool>,
    }

    #[test]
    fn the_place_and_the_kind_are_told() {
        let type_error = |found: &str, expected| Kind::Type { found: found.to_owned(), expected };
        let cases = [
            (r#"{"list":[{},{"x":1}]}"#, "list[1].x", Kind::Unknown),
            (r#"{"x":1}"#, "x", Kind::Unknown),
            (r#"{"list":{}}"#, "list", type_error("map", Expected::List)),
            (r#"{"list":[7]}"#, "list[0]", type_error("integer `7`", Expected::Object)),
            (r#"{"text":1}"#, "text", type_error("integer `1`", Expected::Text)),
            (
                r#"{"list":[{"count":-1}]}"#,
                "list[0].count",
                type_error("integer `-1`", Expected::Integer),
            ),
            (
                r#"{"list":[{"share":"a"}]}"#,
                "list[0].share",
                type_error("string \"a\"", Expected::Number),
            ),
            (r#"{"list":[{"flag":0}]}"#, "list[0].flag", type_error("integer `0`", Expected::Flag)),
            ("[]", "", type_error("sequence", Expected::Object)),
            (r#"{"text":"a","text":"b"}"#, "", Kind::Other("duplicate field `text`".to_owned())),
        ];
        for (body, path, kind) in cases {
            let problem = read::<Outer>(body.as_bytes()).unwrap_err();
            assert_eq!((bracketed(&problem.path).as_str(), &problem.kind), (path, &kind), "{body}");
        }
        for body in ["", "{", r#"{"text":}"#, "{} x", "\u{1}"] {
            let problem = read::<Outer>(body.as_bytes()).unwrap_err();
            assert!(matches!(problem.kind, Kind::Syntax(_)), "{body}: {problem:?}");
        }
        assert!(read::<Outer>(b" {\"text\":null} ").is_ok());
    }

    #[test]
    fn paths_are_spelled_both_ways() {
        let path = [Step::Key("a".to_owned()), Step::Index(2), Step::Key("b".to_owned())];
        assert_eq!((dotted(&path), bracketed(&path)), ("a.2.b".to_owned(), "a[2].b".to_owned()));
        let problem = Problem { path: path.to_vec(), kind: Kind::Unknown };
        assert_eq!((problem.name(), problem.parent().len()), ("b", 2));
    }
}
