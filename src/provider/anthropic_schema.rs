//! A JSON Schema in the subset that Anthropic's structured outputs know
//! (<https://docs.claude.com/en/docs/build-with-claude/structured-outputs>): objects must be
//! closed, and bounds are refused. All else stays byte for byte: vendors cache by prefix.

use crate::wire::json::{JsonError, Kind, Reader};

/// Keywords that are refused wherever they stand in a schema.
const REFUSED: [&str; 14] = [
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minContains",
    "maxContains",
    "minProperties",
    "maxProperties",
];

/// Appends `schema`, which is sound JSON, and calls `left_out` once for every keyword that had to
/// go.
///
/// # Errors
/// When the schema is no JSON.
pub(super) fn push(
    schema: &str,
    out: &mut Vec<u8>,
    mut left_out: impl FnMut(&'static str),
) -> Result<(), JsonError> {
    let mut rewriting = Rewriting { schema, copied: 0, out, refused: [false; REFUSED.len()] };
    let mut reader = Reader::new(schema);
    rewriting.schema(&mut reader)?;
    reader.end()?;
    rewriting.copy(schema.len());
    let found = rewriting.refused.iter().zip(REFUSED).filter(|(refused, _)| **refused);
    found.for_each(|(_, keyword)| left_out(keyword));
    Ok(())
}

/// Copies a schema from front to back, with gaps and additions.
struct Rewriting<'s, 'o> {
    schema: &'s str,
    /// So much of it has been copied or skipped.
    copied: usize,
    out: &'o mut Vec<u8>,
    refused: [bool; REFUSED.len()],
}

/// What is known of one object while its members are read.
#[expect(clippy::struct_excessive_bools, reason = "each is one fact of the members so far")]
#[derive(Default)]
struct Members {
    /// The end of the last member.
    end: usize,
    /// A member stays.
    kept: bool,
    /// A member goes, and none before it stays.
    gap: bool,
    /// It is the schema of an object.
    object: bool,
    /// It says what becomes of further properties.
    closed: bool,
}

impl<'s> Rewriting<'s, '_> {
    /// One schema. The recursion is bounded by the reader's depth.
    fn schema(&mut self, reader: &mut Reader<'s>) -> Result<(), JsonError> {
        // A schema may also be `true` or `false`.
        if reader.kind()? != Kind::Object {
            return reader.skip();
        }
        let open = reader.offset() + 1;
        let mut members = Members { end: open, ..Members::default() };
        reader.object(|reader, key| {
            let value = reader.offset();
            let keyword = key.unescape();
            if let Some(index) = refused(&keyword, reader) {
                if let Some(refused) = self.refused.get_mut(index) {
                    *refused = true;
                }
                reader.skip()?;
                if members.kept {
                    self.leave_out(members.end, reader.offset());
                }
                members.gap |= !members.kept;
            } else {
                if members.gap && !members.kept {
                    // The comma before this member goes with the members before it.
                    self.leave_out(open, value);
                    self.out.push(b'"');
                    self.out.extend_from_slice(key.raw().as_bytes());
                    self.out.extend_from_slice(b"\":");
                }
                members.kept = true;
                self.value(&keyword, reader, &mut members)?;
            }
            members.end = reader.offset();
            Ok::<(), JsonError>(())
        })?;
        if members.gap && !members.kept {
            self.leave_out(open, members.end);
        }
        if members.object && !members.closed {
            self.copy(members.end);
            let comma: &[u8] = if members.kept { b"," } else { b"" };
            self.out.extend_from_slice(comma);
            self.out.extend_from_slice(b"\"additionalProperties\":false");
        }
        Ok(())
    }

    /// The value of a keyword that stays.
    fn value(
        &mut self,
        keyword: &str,
        reader: &mut Reader<'s>,
        members: &mut Members,
    ) -> Result<(), JsonError> {
        match (keyword, reader.kind()?) {
            ("type", Kind::String) => members.object |= reader.string()?.raw() == "object",
            ("type", Kind::Array) => reader.array(|reader, _index| {
                if reader.kind()? != Kind::String {
                    return reader.skip();
                }
                members.object |= reader.string()?.raw() == "object";
                Ok(())
            })?,
            // Names of the client's own, each with a schema.
            ("properties" | "patternProperties" | "dependentSchemas", Kind::Object) => {
                members.object = true;
                reader.object(|reader, _name| self.schema(reader))?;
            }
            ("$defs" | "definitions", Kind::Object) => {
                reader.object(|reader, _name| self.schema(reader))?;
            }
            ("anyOf" | "oneOf" | "allOf" | "prefixItems" | "items", Kind::Array) => {
                reader.array(|reader, _index| self.schema(reader))?;
            }
            ("items" | "contains", _) => self.schema(reader)?,
            ("additionalProperties", _) => {
                members.closed = true;
                self.schema(reader)?;
            }
            // `enum`, `const`, `default`, `required`, `description`: data, not schemas.
            _ => reader.skip()?,
        }
        Ok(())
    }

    fn leave_out(&mut self, from: usize, to: usize) {
        self.copy(from);
        self.copied = to;
    }

    fn copy(&mut self, to: usize) {
        let text = self.schema.as_bytes().get(self.copied..to).unwrap_or_default();
        self.out.extend_from_slice(text);
        self.copied = to;
    }
}

/// The place of a keyword among the refused ones, if its value is refused too.
fn refused(keyword: &str, reader: &Reader<'_>) -> Option<usize> {
    let index = REFUSED.iter().position(|refused| *refused == keyword)?;
    // An array may be asked to have something in it.
    let fine = keyword == "minItems" && reader.clone().unsigned().is_ok_and(|least| least < 2);
    (!fine).then_some(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pushed(schema: &str) -> (String, Vec<&'static str>) {
        let (mut out, mut left_out) = (b"x".to_vec(), Vec::new());
        push(schema, &mut out, |keyword| left_out.push(keyword)).unwrap();
        let text = String::from_utf8(out).unwrap().split_off(1);
        serde_json::from_str::<serde::de::IgnoredAny>(&text).unwrap();
        (text, left_out)
    }

    #[test]
    fn what_is_fine_stays_byte_for_byte() {
        for schema in [
            "{}",
            "{ }",
            r#"{ "type" : "string", "pattern": "^\u0061", "format":"date" }"#,
            r#"{"type":"object","properties":{ "minimum" :{"type":"integer"},"maxLength": true },"additionalProperties":false}"#,
            r#"{"enum":[{"minimum":1}],"const":{"type":"object"},"default":{"maxItems":3}}"#,
            r##"{"type":"array","minItems":1,"items":{"$ref":"#/$defs/a"},"$defs":{"a":{"type":["string","null"]}}}"##,
            r#"{"type":"object","properties":{},"additionalProperties":{"type":"string"}}"#,
        ] {
            assert_eq!(pushed(schema), (schema.to_owned(), vec![]));
        }
    }

    #[test]
    fn objects_are_closed() {
        for (schema, expected) in [
            (r#"{"type":"object"}"#, r#"{"type":"object","additionalProperties":false}"#),
            (r#"{"properties":{} }"#, r#"{"properties":{},"additionalProperties":false }"#),
            (
                r#"{"type":["object","null"],"properties":{"a":{"type":"object"},"b":{"anyOf":[{"type":"object"},{"type":"null"}]}}}"#,
                r#"{"type":["object","null"],"properties":{"a":{"type":"object","additionalProperties":false},"b":{"anyOf":[{"type":"object","additionalProperties":false},{"type":"null"}]}},"additionalProperties":false}"#,
            ),
            (
                r##"{"$ref":"#/$defs/n","$defs":{"n":{"type":"object","properties":{"next":{"$ref":"#/$defs/n"}}}}}"##,
                r##"{"$ref":"#/$defs/n","$defs":{"n":{"type":"object","properties":{"next":{"$ref":"#/$defs/n"}},"additionalProperties":false}}}"##,
            ),
        ] {
            assert_eq!(pushed(schema), (expected.to_owned(), vec![]));
        }
    }

    #[test]
    fn refused_keywords_leave_no_hole() {
        let cases: [(&str, &str, &[&str]); 9] = [
            (r#"{"minimum":1}"#, "{}", &["minimum"]),
            (r#"{ "minimum" : 1 , "maximum" : 2 }"#, "{ }", &["minimum", "maximum"]),
            (r#"{"minimum":1,"type":"integer"}"#, r#"{"type":"integer"}"#, &["minimum"]),
            (r#"{"type":"integer", "minimum":1 }"#, r#"{"type":"integer" }"#, &["minimum"]),
            (
                r#"{"minimum":1,"maximum":5,"type":"integer","multipleOf":2,"title":"t"}"#,
                r#"{"type":"integer","title":"t"}"#,
                &["minimum", "maximum", "multipleOf"],
            ),
            (r#"{"maxLength":1.0e400,"type":"object"}"#, CLOSED, &["maxLength"]),
            (r#"{"type":"object","minProperties":1}"#, CLOSED, &["minProperties"]),
            (
                r#"{"minItems":2,"items":{"maxLength":9,"minLength":1}}"#,
                r#"{"items":{}}"#,
                &["minLength", "maxLength", "minItems"],
            ),
            (r#"{"min\u0049tems":"x","a":1}"#, r#"{"a":1}"#, &["minItems"]),
        ];
        for (schema, expected, left_out) in cases {
            assert_eq!(pushed(schema), (expected.to_owned(), left_out.to_vec()), "{schema}");
        }
    }

    const CLOSED: &str = r#"{"type":"object","additionalProperties":false}"#;

    #[test]
    fn nesting_has_its_bound() {
        let deep = |depth: usize| {
            let open = r#"{"items":"#.repeat(depth);
            format!("{open}true{}", "}".repeat(depth))
        };
        assert_eq!(pushed(&deep(128)).0, deep(128));
        assert!(push(&deep(129), &mut Vec::new(), |_| {}).is_err());
    }
}
