//! Google's `Schema`, a form of `OpenAPI`'s, as a JSON Schema
//! (<https://ai.google.dev/api/caching#Schema>).

use crate::wire::json::{self, JsonError, JsonText, Kind, Reader};

/// Rewrites a schema: names of types in lower case, `nullable` as a type of its own, counts that
/// Google spells as strings as numbers. What JSON Schema does not know is left out.
///
/// # Errors
/// When it is not a schema at all.
pub(super) fn convert(schema: &str) -> Result<String, JsonError> {
    let mut out = Vec::with_capacity(schema.len());
    object(&mut Reader::new(schema), &mut out)?;
    // Pieces of one text, and ASCII.
    Ok(String::from_utf8(out).unwrap_or_default())
}

/// The depth was checked with the whole body.
fn object(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), JsonError> {
    let (nullable, typed) = nullable(&mut reader.clone())?;
    if nullable && !typed {
        out.extend_from_slice(b"{\"anyOf\":[");
        members(reader, false, out)?;
        out.extend_from_slice(b",{\"type\":\"null\"}]}");
        return Ok(());
    }
    members(reader, nullable, out)
}

/// `nullable` says that null is one of its types.
fn members(reader: &mut Reader<'_>, nullable: bool, out: &mut Vec<u8>) -> Result<(), JsonError> {
    out.push(b'{');
    let mut first = true;
    reader.object(|reader, key| {
        let name = super::generate_names::camel(key);
        let name = match name.as_ref() {
            "nullable" | "example" | "propertyOrdering" => return reader.skip(),
            "ref" => "$ref",
            "defs" => "$defs",
            other => other,
        };
        if !std::mem::replace(&mut first, false) {
            out.push(b',');
        }
        json::push_string(out, name);
        out.push(b':');
        match (name, reader.kind()?) {
            ("type", Kind::String) => push_type(reader.string()?, nullable, out),
            ("properties" | "$defs", Kind::Object) => schemas(reader, out)?,
            ("anyOf" | "oneOf" | "allOf" | "prefixItems", Kind::Array) => list(reader, out)?,
            ("items" | "additionalProperties", Kind::Object) => object(reader, out)?,
            (count, Kind::String) if is_count(count) => {
                let text = reader.string()?;
                let whole =
                    !text.is_empty() && text.raw().bytes().all(|byte| byte.is_ascii_digit());
                out.extend_from_slice(if whole { text.raw().as_bytes() } else { b"0" });
            }
            ("enum", Kind::Array) if nullable => nullable_enum(reader, out)?,
            _ => out.extend_from_slice(reader.raw()?.as_bytes()),
        }
        Ok(())
    })?;
    out.push(b'}');
    Ok(())
}

fn is_count(name: &str) -> bool {
    ["minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"]
        .contains(&name)
}

/// May it be null, and does it have a type?
fn nullable(reader: &mut Reader<'_>) -> Result<(bool, bool), JsonError> {
    let (mut nullable, mut typed) = (false, false);
    if reader.kind()? != Kind::Object {
        return Err(JsonError::Type);
    }
    reader.object(|reader, key| match (key.raw(), reader.kind()?) {
        ("nullable", Kind::Bool) => reader.boolean().map(|told| nullable = told),
        (name, kind) => {
            typed |= name == "type" && kind == Kind::String;
            reader.skip()
        }
    })?;
    Ok((nullable, typed))
}

fn push_type(name: JsonText<'_>, nullable: bool, out: &mut Vec<u8>) {
    let open: &[u8] = if nullable { b"[\"" } else { b"\"" };
    out.extend_from_slice(open);
    out.extend(name.raw().bytes().map(|byte| byte.to_ascii_lowercase()));
    out.extend_from_slice(if nullable { b"\",\"null\"]" } else { b"\"" });
}

/// What may be null must be allowed to be.
fn nullable_enum(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), JsonError> {
    out.push(b'[');
    reader.array(|reader, _index| {
        out.extend_from_slice(reader.raw()?.as_bytes());
        out.push(b',');
        Ok::<(), JsonError>(())
    })?;
    out.extend_from_slice(b"null]");
    Ok(())
}

/// An object of schemas by any name.
fn schemas(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), JsonError> {
    out.push(b'{');
    let mut first = true;
    reader.object(|reader, key| {
        if !std::mem::replace(&mut first, false) {
            out.push(b',');
        }
        out.push(b'"');
        out.extend_from_slice(key.raw().as_bytes());
        out.extend_from_slice(b"\":");
        object(reader, out)
    })?;
    out.push(b'}');
    Ok(())
}

fn list(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), JsonError> {
    out.push(b'[');
    reader.array(|reader, index| {
        if index > 0 {
            out.push(b',');
        }
        object(reader, out)
    })?;
    out.push(b']');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn googles_words_become_json_schemas() {
        let schema = r##"{"type":"OBJECT","description":"the TYPE","properties":{
            "type":{"type":"STRING","nullable":true,"enum":["a","B"]},
            "nullable":{"type":"ARRAY","items":{"type":"INTEGER","format":"int32"},"min_items":"1"},
            "c":{"any_of":[{"type":"NUMBER","maximum":1.50},{"ref":"#/$defs/x","nullable":true}],
            "nullable":true}},
            "required":["type"],"propertyOrdering":["type"],"defs":{"x":{"type":"BOOLEAN"}}}"##;
        let expected = concat!(
            r#"{"type":"object","description":"the TYPE","properties":{"#,
            r#""type":{"type":["string","null"],"enum":["a","B",null]},"#,
            r#""nullable":{"type":"array","items":{"type":"integer","format":"int32"},"minItems":1},"#,
            r##""c":{"anyOf":[{"anyOf":[{"type":"number","maximum":1.50},"##,
            r##"{"anyOf":[{"$ref":"#/$defs/x"},{"type":"null"}]}]},{"type":"null"}]}},"##,
            r#""required":["type"],"$defs":{"x":{"type":"boolean"}}}"#
        );
        assert_eq!(convert(schema).unwrap(), expected);
        assert!(convert("[]").is_err() && convert(r#"{"items":{"properties":{"a":1}}}"#).is_err());
    }
}
