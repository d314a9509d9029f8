//! JSON that satisfies a schema: arguments of calls and structured answers.
//!
//! Values are chosen to be hard on whatever carries them: integers beyond 2^53, text with quotes,
//! backslashes and letters beyond ASCII. A `pattern` is not solved.

use super::json::{Json, put, quote};

/// Beyond this depth only what is required is filled in; a schema may be recursive.
const DEPTH_FULL: u32 = 4;

/// A schema that requires itself has no finite value.
const DEPTH_MAX: u32 = 24;

/// More items are not made, whatever the schema asks for.
const ITEMS_MAX: u32 = 16;

/// The smallest integer that a double cannot hold.
const BIG: i64 = 9_007_199_254_740_993;

/// JSON text for `schema`; `salt` makes two samples of one schema differ.
pub(super) fn sample(schema: &Json<'_>, salt: u32) -> String {
    let mut out = String::new();
    Maker { root: schema, salt }.value(schema, "value", 0, &mut out);
    out
}

struct Maker<'s> {
    root: &'s Json<'s>,
    salt: u32,
}

impl Maker<'_> {
    fn value(&self, schema: &Json<'_>, name: &str, depth: u32, out: &mut String) {
        if depth > DEPTH_MAX {
            return out.push_str("null");
        }
        if let Some(target) = schema.member("$ref").or_else(|| schema.member("ref")) {
            let target = target.as_text().and_then(|pointer| self.resolve(pointer));
            return match target {
                Some(target) => self.value(target, name, depth + 1, out),
                None => out.push_str("null"),
            };
        }
        if let Some(only) = schema.member("const") {
            return out.push_str(&only.compact());
        }
        let values = schema.member("enum").and_then(Json::as_list).unwrap_or_default();
        let place = usize::try_from(self.salt).unwrap_or(0).checked_rem(values.len());
        if let Some(chosen) = place.and_then(|place| values.get(place)) {
            return out.push_str(&chosen.compact());
        }
        for choice in ["anyOf", "oneOf"] {
            if let Some(branches) = schema.member(choice).and_then(Json::as_list) {
                return self.branch(branches, name, depth, out);
            }
        }
        match type_of(schema) {
            "object" => self.object(schema, depth, out),
            "array" => self.array(schema, name, depth, out),
            "integer" => put!(out, "{}", self.integer(schema)),
            "number" => out.push_str(&self.number(schema)),
            "boolean" => out.push_str(if self.salt.is_multiple_of(2) { "true" } else { "false" }),
            "null" => out.push_str("null"),
            _ => out.push_str(&quote(&self.text(schema, name))),
        }
    }

    /// `#/$defs/x` and the like, from the root.
    fn resolve(&self, pointer: &str) -> Option<&Json<'_>> {
        let path = pointer.strip_prefix('#')?;
        path.split('/').skip(1).try_fold(self.root, |place, step| {
            let step = step.replace("~1", "/").replace("~0", "~");
            match place {
                Json::List(values) => values.get(step.parse::<usize>().ok()?),
                other => other.member(&step),
            }
        })
    }

    /// The first branch that is more than null; deep down the first that needs no depth.
    fn branch(&self, branches: &[Json<'_>], name: &str, depth: u32, out: &mut String) {
        let rich = |branch: &&Json<'_>| type_of(branch) != "null";
        let flat = |branch: &&Json<'_>| {
            branch.member("$ref").is_none() && !matches!(type_of(branch), "object" | "array")
        };
        let chosen = if depth > DEPTH_FULL { branches.iter().find(flat) } else { None };
        let chosen = chosen.or_else(|| branches.iter().find(rich)).or_else(|| branches.first());
        match chosen {
            Some(branch) => self.value(branch, name, depth + 1, out),
            None => out.push_str("null"),
        }
    }

    fn object(&self, schema: &Json<'_>, depth: u32, out: &mut String) {
        let mut parts = vec![schema];
        let also = schema.member("allOf").and_then(Json::as_list).unwrap_or_default();
        parts.extend(also.iter().filter_map(|part| match part.member("$ref") {
            Some(pointer) => pointer.as_text().and_then(|pointer| self.resolve(pointer)),
            None => Some(part),
        }));
        let required = |name: &str| {
            let lists = parts.iter().filter_map(|part| part.member("required")?.as_list());
            lists.flatten().any(|known| known.as_text() == Some(name))
        };
        let mut filled: Vec<&str> = Vec::new();
        out.push('{');
        for part in &parts {
            let properties = part.member("properties").and_then(Json::as_map).unwrap_or_default();
            for (name, property) in properties {
                let wanted = depth < DEPTH_FULL || required(name);
                if !wanted || filled.contains(&name.as_ref()) {
                    continue;
                }
                put!(out, "{}{}:", if filled.is_empty() { "" } else { "," }, quote(name));
                self.value(property, name, depth + 1, out);
                filled.push(name);
            }
        }
        let free = schema.member("additionalProperties").filter(|free| free.as_map().is_some());
        if let Some(free) = free.filter(|_| filled.is_empty() && depth < DEPTH_FULL) {
            out.push_str("\"key\":");
            self.value(free, "key", depth + 1, out);
        }
        out.push('}');
    }

    fn array(&self, schema: &Json<'_>, name: &str, depth: u32, out: &mut String) {
        let fixed = schema.member("prefixItems").and_then(Json::as_list).unwrap_or_default();
        let fewest = count_of(schema, "minItems").unwrap_or(0);
        let wanted = if depth < DEPTH_FULL { fewest.max(1) } else { fewest };
        let most = count_of(schema, "maxItems").unwrap_or(ITEMS_MAX);
        let items = schema.member("items").filter(|items| items.as_map().is_some());
        out.push('[');
        let mut made = 0;
        for item in fixed {
            out.push_str(if made > 0 { "," } else { "" });
            self.value(item, name, depth + 1, out);
            made += 1;
        }
        let open = items.is_some() || (fixed.is_empty() && schema.member("items").is_none());
        let anything = Json::Map(Vec::new());
        while open && made < wanted.min(most).min(ITEMS_MAX) {
            out.push_str(if made > 0 { "," } else { "" });
            // Items may have to differ from each other.
            let next = Maker { root: self.root, salt: self.salt.wrapping_add(made) };
            next.value(items.unwrap_or(&anything), name, depth + 1, out);
            made += 1;
        }
        out.push(']');
    }

    fn integer(&self, schema: &Json<'_>) -> i64 {
        let least = bound(schema, "minimum", "exclusiveMinimum", 1);
        let most = bound(schema, "maximum", "exclusiveMaximum", -1);
        let small = schema.member("format").and_then(Json::as_text) == Some("int32");
        let widest = if small { i64::from(i32::MAX) } else { i64::MAX };
        let most = most.unwrap_or(widest);
        let least = least.unwrap_or(i64::MIN);
        let value = BIG.saturating_add(i64::from(self.salt)).min(most).max(least);
        let step = schema.member("multipleOf").and_then(whole).filter(|step| *step > 0);
        step.map_or(value, |step| {
            let below = value.saturating_sub(value.rem_euclid(step));
            if below < least { below.saturating_add(step) } else { below }
        })
    }

    fn number(&self, schema: &Json<'_>) -> String {
        let limit = |name: &str| schema.member(name).and_then(Json::as_number);
        if schema.member("multipleOf").and_then(whole).is_some() {
            return self.integer(schema).to_string();
        }
        let least = limit("minimum").or_else(|| limit("exclusiveMinimum").map(|value| value + 0.5));
        let most = limit("maximum").or_else(|| limit("exclusiveMaximum").map(|value| value - 0.5));
        let value = 0.25 + f64::from(self.salt);
        let value = least.map_or(value, |least| value.max(least));
        let value = most.map_or(value, |most| value.min(most));
        format!("{value:?}")
    }

    fn text(&self, schema: &Json<'_>, name: &str) -> String {
        let salt = self.salt;
        let format = schema.member("format").and_then(Json::as_text).unwrap_or_default();
        match format {
            "date-time" => format!("2026-11-25T10:30:{:02}Z", salt % 60),
            "date" => format!("2026-11-{:02}", salt % 28 + 1),
            "time" => format!("10:30:{:02}Z", salt % 60),
            "duration" => format!("PT{salt}S"),
            "email" => format!("someone{salt}@example.com"),
            "uri" | "url" => format!("https://example.com/{salt}"),
            "hostname" => format!("host{salt}.example.com"),
            "ipv4" => format!("192.0.2.{}", salt % 255),
            "ipv6" => format!("2001:db8::{salt:x}"),
            "uuid" => format!("00000000-0000-4000-8000-{salt:012x}"),
            _ => {
                let mut text = format!("{name} {salt} \"Zürich\" \\ \u{1f642}");
                let fewest = count_of(schema, "minLength").unwrap_or(0).min(4096);
                while u32::try_from(text.chars().count()).unwrap_or(u32::MAX) < fewest {
                    text.push('x');
                }
                let most = count_of(schema, "maxLength").unwrap_or(u32::MAX);
                text.chars().take(usize::try_from(most).unwrap_or(usize::MAX)).collect()
            }
        }
    }
}

/// The type that a schema asks for, in lower case; Google writes it in upper case.
fn type_of<'s>(schema: &'s Json<'_>) -> &'s str {
    const KNOWN: [&str; 7] = ["object", "array", "string", "integer", "number", "boolean", "null"];
    let known = |text: &str| KNOWN.iter().find(|known| known.eq_ignore_ascii_case(text)).copied();
    let named = match schema.member("type") {
        Some(Json::Text(name)) => known(name),
        Some(Json::List(names)) => {
            let mut names = names.iter().filter_map(|name| known(name.as_text()?));
            names.clone().find(|name| *name != "null").or_else(|| names.next())
        }
        _ => None,
    };
    let has = |names: &[&str]| names.iter().any(|name| schema.member(name).is_some());
    named.unwrap_or_else(|| {
        if has(&["properties", "additionalProperties", "allOf"]) {
            "object"
        } else if has(&["items", "prefixItems"]) {
            "array"
        } else {
            "string"
        }
    })
}

fn count_of(schema: &Json<'_>, name: &str) -> Option<u32> {
    // Google writes 64-bit numbers as strings.
    match schema.member(name)? {
        Json::Text(text) => text.parse().ok(),
        Json::Plain(text) => text.parse().ok(),
        Json::List(_) | Json::Map(_) => None,
    }
}

fn bound(schema: &Json<'_>, closed: &str, open: &str, inward: i64) -> Option<i64> {
    let closed = schema.member(closed).and_then(whole);
    closed.or_else(|| schema.member(open).and_then(whole).map(|value| value + inward))
}

/// A number without a fraction.
fn whole(number: &Json<'_>) -> Option<i64> {
    let Json::Plain(text) = number else { return None };
    text.parse().ok().or_else(|| text.strip_suffix(".0")?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(schema: &str) -> String {
        let schema = Json::parse(schema).expect(schema);
        let text = sample(&schema, 1);
        assert!(Json::parse(&text).is_some(), "{text}");
        text
    }

    #[test]
    fn every_kind_of_value_is_made() {
        for (schema, expected) in [
            (r#"{"type":"integer"}"#, "9007199254740994"),
            (r#"{"type":"INTEGER","format":"int32"}"#, "2147483647"),
            (r#"{"type":"integer","minimum":1,"maximum":10}"#, "10"),
            (r#"{"type":"integer","exclusiveMaximum":10,"multipleOf":4}"#, "8"),
            (r#"{"type":"integer","minimum":5,"maximum":9,"multipleOf":7}"#, "7"),
            (r#"{"type":"number"}"#, "1.25"),
            (r#"{"type":"number","maximum":1}"#, "1.0"),
            (r#"{"type":"number","exclusiveMinimum":3}"#, "3.5"),
            (r#"{"type":"boolean"}"#, "false"),
            (r#"{"type":"null"}"#, "null"),
            (r#"{"type":["null","boolean"]}"#, "false"),
            (r#"{"enum":["a",{"b":1.50}]}"#, r#"{"b":1.50}"#),
            (r#"{"const":7}"#, "7"),
            (r#"{"type":"string","maxLength":3}"#, r#""val""#),
            (r#"{"type":"string","format":"date"}"#, r#""2026-11-02""#),
            (r#"{"anyOf":[{"type":"null"},{"type":"boolean"}]}"#, "false"),
            (r#"{"type":"array","items":{"type":"boolean"},"minItems":"2"}"#, "[false,true]"),
            (r#"{"type":"array","prefixItems":[{"const":1},{"const":2}],"items":false}"#, "[1,2]"),
            (r#"{"type":"array","maxItems":0}"#, "[]"),
            (r#"{"type":"object"}"#, "{}"),
            (r#"{"additionalProperties":{"const":1}}"#, r#"{"key":1}"#),
            (r#"{"properties":{"z":{"const":1},"a":{"const":2}}}"#, r#"{"z":1,"a":2}"#),
            (
                r##"{"allOf":[{"$ref":"#/$defs/x"},{"properties":{"b":{"const":2}}}],"$defs":{"x":{"properties":{"a":{"const":1}}}}}"##,
                r#"{"a":1,"b":2}"#,
            ),
        ] {
            assert_eq!(made(schema), expected, "{schema}");
        }
        let text = made(r#"{"type":"string","minLength":40}"#);
        assert!(text.contains("\\\"Zürich\\\"") && text.chars().count() > 40, "{text}");
    }

    #[test]
    fn recursion_ends_where_the_schema_lets_it() {
        let tree = r##"{"type":"object","properties":{"name":{"type":"string"},"children":{"type":"array","items":{"$ref":"#"}}},"required":["name"]}"##;
        let text = made(tree);
        assert!(text.matches("children").count() <= 4, "{text}");
        let list = r##"{"$ref":"#/$defs/n","$defs":{"n":{"properties":{"next":{"anyOf":[{"$ref":"#/$defs/n"},{"type":"null"}]}},"required":["next"]}}}"##;
        let text = made(list);
        assert!(text.contains("null") && text.len() < 200, "{text}");
        assert!(made(r##"{"$ref":"#"}"##).contains("null"));
        assert_eq!(made(r##"{"$ref":"#/nowhere"}"##), "null");
        assert_eq!(sample(&Json::Plain("true"), 0).as_bytes()[0], b'"');
    }
}
