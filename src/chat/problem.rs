//! What is wrong with a client's JSON, and where.

use crate::wire::json::{JsonError, Kind, Reader};

use super::error::{ApiError, Row};

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The body is not UTF-8.
    NotUtf8,
    /// The body is not JSON.
    Syntax,
    /// The JSON nests too deep.
    TooDeep,
    /// A field is missing.
    Missing,
    /// A field stands twice: two readers could take different ones.
    Duplicate,
    /// The value is not what the field takes; the text says what it takes.
    Expected(&'static str),
    /// The value is legal, but this gateway or the chosen upstream cannot serve it.
    Unsupported(&'static str),
}

/// A request that cannot be served as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChatError {
    /// The field, as a path like `messages[0].content`; empty when it is the whole body.
    pub param: String,
    /// What is wrong with it.
    pub problem: Problem,
}

impl From<JsonError> for ChatError {
    fn from(error: JsonError) -> Self {
        let problem = match error {
            JsonError::Syntax => Problem::Syntax,
            JsonError::Depth => Problem::TooDeep,
            JsonError::Type => Problem::Expected("another type"),
        };
        Self { param: String::new(), problem }
    }
}

impl ChatError {
    /// A problem of the field `param`.
    pub fn at(param: impl Into<String>, problem: Problem) -> Self {
        Self { param: param.into(), problem }
    }

    /// A JSON error of the field `param`, which takes `expected`.
    pub fn json(param: &str, expected: &'static str, error: JsonError) -> Self {
        match error {
            JsonError::Type => Self::at(param, Problem::Expected(expected)),
            other => other.into(),
        }
    }

    /// The same problem of the field `name` in the object `outer`, whatever the hub calls it.
    pub(super) fn within(self, outer: &str, name: &str) -> Self {
        // A field inside of the field has its whole path already.
        if self.param.is_empty() || self.param.contains('.') {
            return self;
        }
        Self { param: format!("{outer}.{name}"), ..self }
    }

    /// As the client sees it.
    pub fn to_api(&self) -> ApiError {
        let name = if self.param.is_empty() { "the request body" } else { &self.param };
        let (row, message) = match self.problem {
            Problem::NotUtf8 => (Row::INVALID_JSON, "the body is not UTF-8".to_owned()),
            Problem::Syntax => (Row::INVALID_JSON, "the body is not valid JSON".to_owned()),
            Problem::TooDeep => {
                (Row::INVALID_JSON, "the JSON nests deeper than 128 levels".to_owned())
            }
            Problem::Missing => (Row::MISSING_FIELD, format!("{name} is required")),
            Problem::Duplicate => (Row::INVALID_VALUE, format!("{name} stands more than once")),
            Problem::Expected(what) => (Row::INVALID_VALUE, format!("{name} must be {what}")),
            Problem::Unsupported(why) => (Row::INVALID_VALUE, format!("{name}: {why}")),
        };
        let error = ApiError::new(row, message);
        if self.param.is_empty() { error } else { error.with_param(self.param.clone()) }
    }
}

/// Refuses a value of another type before it is read.
pub(super) fn typed(
    reader: &mut Reader<'_>,
    kind: Kind,
    param: &str,
    expected: &'static str,
) -> Result<(), ChatError> {
    typed_at(reader, kind, || param.to_owned(), expected)
}

/// The same where the name of the place costs something.
pub(super) fn typed_at(
    reader: &mut Reader<'_>,
    kind: Kind,
    param: impl FnOnce() -> String,
    expected: &'static str,
) -> Result<(), ChatError> {
    if reader.kind()? == kind {
        return Ok(());
    }
    Err(ChatError::at(param(), Problem::Expected(expected)))
}
