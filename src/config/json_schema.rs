//! The JSON Schema of `vertex-bridge.toml`, for editors and for checks before a deployment
//! (<https://json-schema.org/draft/2020-12>). It is made from the table of keys, so it knows every
//! key; rules between keys are known to `vertex-bridge check` only.

use serde_json::{Map, Value, json};

use super::keys::{KEYS, Shape};
use super::limits::Range;
use super::value::Scalar;

/// Durations as they are written: `250ms`, `30s`, `5m`, `2h`, `7d`.
const WAIT: &str = "^[0-9]+(ms|s|m|h|d)$";

/// Sizes as they are written: `64KiB`, or bytes.
const SIZE: &str = "^[0-9]+(KiB|MiB|GiB)?$";

/// The schema, ready to be written to a file.
pub fn json_schema() -> String {
    let (mut top, mut tables) = (Map::new(), Map::new());
    for key in KEYS {
        let shape = shape(key.name, key.shape, &mut tables);
        match key.name.split_once('.') {
            None => {
                top.insert(key.name.to_owned(), shape);
            }
            Some((section, name)) => {
                let section = top.entry(section).or_insert_with(|| object(Map::new()));
                if let Some(Value::Object(names)) = section.get_mut("properties") {
                    names.insert(name.to_owned(), shape);
                }
            }
        }
    }
    let mut schema = Map::new();
    schema.insert("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema"));
    schema.insert("title".to_owned(), json!("vertex-bridge.toml"));
    if let Value::Object(body) = object(top) {
        schema.extend(body);
    }
    schema.insert("$defs".to_owned(), Value::Object(tables));
    format!("{:#}\n", Value::Object(schema))
}

fn object(properties: Map<String, Value>) -> Value {
    let properties = Value::Object(properties);
    let mut object = json!({ "type": "object", "additionalProperties": false });
    object["properties"] = properties;
    object
}

/// The shape of a key. That of a table goes to `tables`, under the path to it.
fn shape(path: &str, shape: Shape, tables: &mut Map<String, Value>) -> Value {
    let keys = match shape {
        Shape::One(scalar) => return one(scalar),
        Shape::Tables(keys) => keys,
    };
    let properties = keys.iter().map(|key| {
        let inner = format!("{path}.{}", key.name);
        (key.name.to_owned(), self::shape(&inner, key.shape, tables))
    });
    let table = object(properties.collect());
    tables.insert(path.to_owned(), table);
    let table = json!({ "$ref": format!("#/$defs/{path}") });
    json!({ "anyOf": [table, { "type": "array", "items": table }] })
}

fn one(scalar: Scalar) -> Value {
    let text = json!({ "type": "string" });
    let texts = json!({ "anyOf": [text, { "type": "array", "items": text }] });
    match scalar {
        Scalar::Flag => json!({ "type": "boolean" }),
        Scalar::AutoFlag => json!({ "anyOf": [{ "type": "boolean" }, { "const": "auto" }] }),
        Scalar::Port => json!({ "type": "integer", "minimum": 1, "maximum": 65_535 }),
        Scalar::Whole(range) => whole(range),
        Scalar::AutoWhole(range) => json!({ "anyOf": [whole(range), { "const": "auto" }] }),
        Scalar::WholeOrOff(range) => json!({ "anyOf": [whole(range), { "const": "off" }] }),
        Scalar::Size(range) => {
            json!({ "anyOf": [whole(range), { "type": "string", "pattern": SIZE }] })
        }
        Scalar::Ratio => json!({ "type": "number", "minimum": 0, "maximum": 1 }),
        Scalar::Wait(_) => json!({ "type": "string", "pattern": WAIT }),
        Scalar::WaitOrOff(_) => {
            json!({ "anyOf": [{ "type": "string", "pattern": WAIT }, { "const": "off" }] })
        }
        Scalar::Choice(words) => json!({ "enum": words }),
        Scalar::Texts | Scalar::Networks | Scalar::Patterns | Scalar::VendorKeys => texts,
        Scalar::PerMillion | Scalar::Times => json!({ "type": ["number", "string"] }),
        Scalar::Labels => json!({ "type": "object", "additionalProperties": text }),
        Scalar::OrVariable(inner) => {
            json!({ "anyOf": [one(*inner), { "type": "string", "pattern": "^env:" }] })
        }
        Scalar::Text
        | Scalar::Name
        | Scalar::Model
        | Scalar::Pattern
        | Scalar::Region
        | Scalar::Project
        | Scalar::Host
        | Scalar::Address
        | Scalar::Base(_)
        | Scalar::Cores
        | Scalar::ClientKey
        | Scalar::Amount
        | Scalar::Moment
        | Scalar::Day
        | Scalar::Account
        | Scalar::SafetySettings => text,
    }
}

fn whole(range: Range) -> Value {
    json!({ "type": "integer", "minimum": range.min, "maximum": range.max })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_its_place() {
        let schema: Value = serde_json::from_str(&json_schema()).expect("JSON");
        let at = |pointer: &str| schema.pointer(pointer).cloned().unwrap_or_default();
        assert_eq!(at("/properties/server/properties/port/maximum"), json!(65_535));
        assert_eq!(at("/additionalProperties"), json!(false));
        assert_eq!(at("/properties/route/anyOf/0/$ref"), json!("#/$defs/route"));
        let targets = at("/$defs/route/properties/targets/anyOf/1/items/$ref");
        assert_eq!(targets, json!("#/$defs/route.targets"));
        assert_eq!(at("/$defs/route.targets/properties/upstream/type"), json!("string"));
        for key in KEYS {
            let pointer = key.name.replace('.', "/properties/");
            assert!(!at(&format!("/properties/{pointer}")).is_null(), "{}", key.name);
        }
    }

    #[test]
    fn the_published_schema_is_this_one() {
        let published = include_str!("../../docs/vertex-bridge.schema.json");
        assert!(published == json_schema(), "write it anew: vertex-bridge check --schema");
    }
}
