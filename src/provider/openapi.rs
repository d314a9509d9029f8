//! JSON Schema to the subset of `OpenAPI` that old models of Google's know
//! (<https://ai.google.dev/api/caching#Schema>). Only where the operator asks for it: newer models
//! take JSON Schema as it is, and this loses what the subset cannot say.

use std::cell::Cell;

use crate::chat::problem::{ChatError, Problem};
use crate::wire::json::{JsonError, JsonText, Kind, Reader};

use super::put::{name, quoted};

/// Deeper schemas refer to themselves.
const DEPTH_MAX: usize = 128;

/// References that name each other can make a small schema a large one.
const BYTES_MAX: usize = 1 << 20;

/// Bytes that are looked at before a schema counts as too large: references are looked for anew
/// each time, and no request may keep a core busy for long.
const WORK_MAX: usize = 16 << 20;

/// Keywords that are copied as they are.
const COPIED: [&str; 13] = [
    "description",
    "title",
    "nullable",
    "default",
    "minLength",
    "maxLength",
    "pattern",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "propertyOrdering",
    "required",
];

/// What a conversion can fail for.
enum Fault {
    /// The schema is not one, or refers to what is not there.
    Broken,
    /// It is too deep or too large.
    Endless,
}

impl From<JsonError> for Fault {
    fn from(error: JsonError) -> Self {
        if error == JsonError::Depth { Self::Endless } else { Self::Broken }
    }
}

/// Appends `schema` in the subset. `param` names it in errors.
pub(super) fn convert(schema: &str, param: &str, out: &mut Vec<u8>) -> Result<(), ChatError> {
    let start = out.len();
    let converter = Converter { root: schema, start, work: Cell::new(0) };
    converter.schema(schema, 0, out).map_err(|fault| {
        let what = match fault {
            Fault::Broken => "a JSON Schema whose references are all in it",
            Fault::Endless => "a JSON Schema that does not refer to itself, for this model",
        };
        ChatError::at(param, Problem::Expected(what))
    })
}

struct Converter<'s> {
    root: &'s str,
    /// Where the output begins.
    start: usize,
    work: Cell<usize>,
}

/// A schema with its references and `allOf` resolved.
#[derive(Debug, Default)]
struct Flat<'s> {
    /// Keyword and value; the first one of a name stands.
    words: Vec<(&'s str, &'s str)>,
    properties: Vec<(JsonText<'s>, &'s str)>,
    required: Vec<JsonText<'s>>,
    /// The members of `anyOf` or `oneOf`.
    choices: Vec<&'s str>,
    nullable: bool,
}

impl<'s> Converter<'s> {
    fn schema(&self, schema: &'s str, depth: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
        let mut flat = Flat::default();
        self.flatten(schema, depth, &mut flat)?;
        // `anyOf` of one type and null is that type, which may be null.
        if let [only] = flat.choices.as_slice() {
            let only = *only;
            flat.choices.clear();
            self.flatten(only, depth + 1, &mut flat)?;
        }
        if out.len() - self.start > BYTES_MAX {
            return Err(Fault::Endless);
        }
        out.push(b'{');
        self.types(&flat, out)?;
        for (word, value) in flat.words.iter().filter(|(word, _)| COPIED.contains(word)) {
            if !matches!(*word, "required" | "nullable") {
                name(word.as_bytes(), out);
                out.extend_from_slice(value.as_bytes());
            }
        }
        if flat.nullable {
            name(b"nullable", out);
            out.extend_from_slice(b"true");
        }
        enumeration(&flat, out)?;
        if let Some((_, items)) = flat.words.iter().find(|(word, _)| *word == "items") {
            name(b"items", out);
            self.schema(items, depth + 1, out)?;
        }
        self.members(&flat, depth, out)?;
        out.push(b'}');
        Ok(())
    }

    fn members(&self, flat: &Flat<'s>, depth: usize, out: &mut Vec<u8>) -> Result<(), Fault> {
        for (index, (property, schema)) in flat.properties.iter().enumerate() {
            if index == 0 {
                name(b"properties", out);
            }
            out.push(if index == 0 { b'{' } else { b',' });
            quoted(*property, out);
            out.push(b':');
            self.schema(schema, depth + 1, out)?;
        }
        if !flat.properties.is_empty() {
            out.push(b'}');
        }
        for (index, required) in flat.required.iter().enumerate() {
            if index == 0 {
                name(b"required", out);
            }
            out.push(if index == 0 { b'[' } else { b',' });
            quoted(*required, out);
        }
        if !flat.required.is_empty() {
            out.push(b']');
        }
        for (index, choice) in flat.choices.iter().enumerate() {
            if index == 0 {
                name(b"anyOf", out);
            }
            out.push(if index == 0 { b'[' } else { b',' });
            self.schema(choice, depth + 1, out)?;
        }
        if !flat.choices.is_empty() {
            out.push(b']');
        }
        Ok(())
    }

    /// One type stays a type; several become choices.
    fn types(&self, flat: &Flat<'s>, out: &mut Vec<u8>) -> Result<(), Fault> {
        let Some((_, value)) = flat.words.iter().find(|(word, _)| *word == "type") else {
            return Ok(());
        };
        let mut reader = Reader::new(value);
        if reader.kind()? == Kind::String {
            name(b"type", out);
            out.extend_from_slice(value.as_bytes());
            return Ok(());
        }
        let mut types = Vec::new();
        reader.array(|reader, _index| {
            let one = reader.string()?;
            if one.raw() != "null" {
                types.push(one);
            }
            Ok::<(), JsonError>(())
        })?;
        match types.as_slice() {
            // What may be chosen says more than that it has one of these types.
            _ if !flat.choices.is_empty() => {}
            [] => {}
            [one] => {
                name(b"type", out);
                quoted(*one, out);
            }
            several => {
                name(b"anyOf", out);
                for (index, one) in several.iter().enumerate() {
                    out.extend_from_slice(if index == 0 { b"[{" } else { b",{" });
                    name(b"type", out);
                    quoted(*one, out);
                    out.push(b'}');
                }
                out.push(b']');
            }
        }
        Ok(())
    }

    /// Gathers what a schema says, through its references and its `allOf`.
    fn flatten(&self, schema: &'s str, depth: usize, flat: &mut Flat<'s>) -> Result<(), Fault> {
        if depth > DEPTH_MAX {
            return Err(Fault::Endless);
        }
        self.look_at(schema)?;
        let mut reader = Reader::new(schema);
        if reader.kind()? == Kind::Bool {
            return Ok(());
        }
        let mut target = None;
        reader.object(|reader, key| {
            match (key.raw(), reader.kind()?) {
                ("$ref", Kind::String) => {
                    target = Some(self.resolve(&reader.string()?.unescape())?);
                }
                ("allOf", Kind::Array) => reader.array(|reader, _index| {
                    let part = reader.raw()?;
                    self.flatten(part, depth + 1, flat)
                })?,
                ("anyOf" | "oneOf", Kind::Array) => reader.array(|reader, _index| {
                    let choice = reader.raw()?;
                    if is_null_type(choice)? {
                        flat.nullable = true;
                    } else {
                        flat.choices.push(choice);
                    }
                    Ok::<(), Fault>(())
                })?,
                ("properties", Kind::Object) => reader.object(|reader, property| {
                    let schema = reader.raw()?;
                    if !flat.properties.iter().any(|(known, _)| *known == property) {
                        flat.properties.push((property, schema));
                    }
                    Ok::<(), Fault>(())
                })?,
                ("required", Kind::Array) => reader.array(|reader, _index| {
                    let property = reader.string()?;
                    if !flat.required.contains(&property) {
                        flat.required.push(property);
                    }
                    Ok::<(), Fault>(())
                })?,
                (word, _) => {
                    let value = reader.raw()?;
                    flat.nullable |= word == "nullable" && value == "true";
                    flat.nullable |= word == "type" && value.contains("\"null\"");
                    flat.nullable |= word == "enum" && has_null(value)?;
                    if !flat.words.iter().any(|(known, _)| *known == word) {
                        flat.words.push((word, value));
                    }
                }
            }
            Ok::<(), Fault>(())
        })?;
        // What is said beside a reference goes before what it refers to.
        target.map_or(Ok(()), |target| self.flatten(target, depth + 1, flat))
    }

    fn look_at(&self, json: &str) -> Result<(), Fault> {
        self.work.set(self.work.get() + json.len());
        if self.work.get() > WORK_MAX { Err(Fault::Endless) } else { Ok(()) }
    }

    /// The schema at a reference into this document (RFC 6901).
    fn resolve(&self, reference: &str) -> Result<&'s str, Fault> {
        let pointer = reference.strip_prefix('#').ok_or(Fault::Broken)?;
        let mut found = self.root;
        for step in pointer.split('/').skip(1) {
            let step = step.replace("~1", "/").replace("~0", "~");
            self.look_at(found)?;
            let (mut reader, mut next) = (Reader::new(found), None);
            match reader.kind()? {
                Kind::Object => reader.object(|reader, key| {
                    let value = reader.raw()?;
                    if key.unescape() == step {
                        next = Some(value);
                    }
                    Ok::<(), JsonError>(())
                })?,
                Kind::Array => reader.array(|reader, index| {
                    let value = reader.raw()?;
                    if step.parse() == Ok(index) {
                        next = Some(value);
                    }
                    Ok::<(), JsonError>(())
                })?,
                _ => {}
            }
            found = next.ok_or(Fault::Broken)?;
        }
        Ok(found)
    }
}

/// `enum` and `const`, of strings only, and the formats that Google knows.
fn enumeration(flat: &Flat<'_>, out: &mut Vec<u8>) -> Result<(), Fault> {
    let word =
        |wanted: &str| flat.words.iter().find(|(word, _)| *word == wanted).map(|(_, value)| *value);
    if let Some(format) =
        word("format").filter(|value| matches!(*value, "\"enum\"" | "\"date-time\""))
    {
        name(b"format", out);
        out.extend_from_slice(format.as_bytes());
    }
    if let Some(values) = word("enum") {
        let (mut strings, mut others) = (Vec::new(), false);
        let mut reader = Reader::new(values);
        if reader.kind()? != Kind::Array {
            return Err(Fault::Broken);
        }
        reader.array(|reader, _index| match reader.kind()? {
            Kind::String => reader.raw().map(|text| strings.push(text)),
            // That it may be null stands elsewhere.
            Kind::Null => reader.skip(),
            _ => {
                others = true;
                reader.skip()
            }
        })?;
        if !others && !strings.is_empty() {
            name(b"enum", out);
            out.push(b'[');
            out.extend_from_slice(strings.join(",").as_bytes());
            out.push(b']');
        }
    } else if let Some(value) = word("const").filter(|value| value.starts_with('"')) {
        name(b"enum", out);
        out.push(b'[');
        out.extend_from_slice(value.as_bytes());
        out.push(b']');
    }
    Ok(())
}

/// Is null one of the values of this array?
fn has_null(values: &str) -> Result<bool, JsonError> {
    let mut reader = Reader::new(values);
    let mut found = false;
    if reader.kind()? == Kind::Array {
        reader.array(|reader, _index| {
            found |= reader.kind()? == Kind::Null;
            reader.skip()
        })?;
    }
    Ok(found)
}

fn is_null_type(schema: &str) -> Result<bool, JsonError> {
    let mut reader = Reader::new(schema);
    if reader.kind()? != Kind::Object {
        return Ok(false);
    }
    let mut is_null = false;
    reader.object(|reader, key| {
        if key.raw() == "type" && reader.kind()? == Kind::String {
            is_null = reader.string()?.raw() == "null";
            return Ok(());
        }
        reader.skip()
    })?;
    Ok(is_null)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(schema: &str) -> Result<String, ChatError> {
        let mut out = Vec::new();
        convert(schema, "response_format", &mut out)?;
        let text = String::from_utf8(out).unwrap();
        serde_json::from_str::<serde::de::IgnoredAny>(&text).unwrap();
        Ok(text)
    }

    #[test]
    fn the_subset_is_what_is_left() {
        for (schema, expected) in [
            (r#"{"type":"string","minLength":01e1,"x":1}"#, None),
            (
                r#"{"type":"string","minLength":1e1,"x":1}"#,
                Some(r#"{"type":"string","minLength":1e1}"#),
            ),
            (
                r#"{"type":["string","null"],"description":"d","examples":[1]}"#,
                Some(r#"{"type":"string","description":"d","nullable":true}"#),
            ),
            (
                r#"{"type":["string","integer"]}"#,
                Some(r#"{"anyOf":[{"type":"string"},{"type":"integer"}]}"#),
            ),
            (r#"{"const":"a"}"#, Some(r#"{"enum":["a"]}"#)),
            (
                r#"{"type":["string","null"],"enum":["x", "y",null]}"#,
                Some(r#"{"type":"string","nullable":true,"enum":["x","y"]}"#),
            ),
            (
                r#"{"type":["string","number"],"anyOf":[{"type":"string"},{"minimum":1}]}"#,
                Some(r#"{"anyOf":[{"type":"string"},{"minimum":1}]}"#),
            ),
            (
                r##"{"properties":{"a":{"$ref":"#/$defs/A","description":"here"}},"$defs":{"A":{"type":"string","description":"there"}}}"##,
                Some(r#"{"properties":{"a":{"type":"string","description":"here"}}}"#),
            ),
            (r#"{"enum":[1,2],"type":"integer"}"#, Some(r#"{"type":"integer"}"#)),
            (
                r#"{"anyOf":[{"type":"integer","maximum":9007199254740993},{"type":"null"}]}"#,
                Some(r#"{"type":"integer","maximum":9007199254740993,"nullable":true}"#),
            ),
            (
                r##"{"type":"object","properties":{"a":{"$ref":"#/$defs/A"}},"required":["a"],"additionalProperties":false,"$defs":{"A":{"type":"array","items":{"oneOf":[{"type":"string"},{"type":"number"}]}}}}"##,
                Some(
                    r#"{"type":"object","properties":{"a":{"type":"array","items":{"anyOf":[{"type":"string"},{"type":"number"}]}}},"required":["a"]}"#,
                ),
            ),
            (
                r#"{"allOf":[{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]},{"properties":{"b":{"format":"date-time"},"c":{"format":"email"}},"required":["b","a"]}]}"#,
                Some(
                    r#"{"type":"object","properties":{"a":{"type":"string"},"b":{"format":"date-time"},"c":{}},"required":["a","b"]}"#,
                ),
            ),
        ] {
            assert_eq!(converted(schema).ok().as_deref(), expected, "{schema}");
        }
    }

    #[test]
    fn schemas_without_end_are_refused() {
        let itself = r##"{"type":"object","properties":{"next":{"$ref":"#"}}}"##;
        assert!(converted(itself).is_err());
        let missing = r##"{"$ref":"#/$defs/none"}"##;
        assert!(converted(missing).is_err());
        assert!(converted(r#"{"$ref":"https://elsewhere/x"}"#).is_err());
        let level = |n: usize| {
            format!(
                r##""l{n}":{{"properties":{{"a":{{"$ref":"#/$defs/l{0}"}},"b":{{"$ref":"#/$defs/l{0}"}}}}}}"##,
                n + 1
            )
        };
        let defs: Vec<String> = (0..40).map(level).collect();
        let bomb = format!(
            r##"{{"$ref":"#/$defs/l0","$defs":{{{},"l40":{{"type":"string"}}}}}}"##,
            defs.join(",")
        );
        assert!(converted(&bomb).is_err());
    }
}
