//! Takes members out of JSON objects of which everything else stays byte for byte.

use super::json::{JsonError, Reader};
use super::splice::Splices;

/// Reads the object that comes next in `body`, and cuts the members that `doomed` names, with one
/// comma each. The others are read by `keep`, which may cut inside of them.
///
/// # Errors
/// When the object is broken, or `keep` fails.
pub fn members(
    reader: &mut Reader<'_>,
    body: &str,
    changes: &mut Splices,
    doomed: &dyn Fn(&str) -> bool,
    keep: &mut dyn FnMut(&mut Reader<'_>, &str, &mut Splices) -> Result<(), JsonError>,
) -> Result<(), JsonError> {
    reader.kind()?;
    let open = reader.offset() + 1;
    // Where the member before ends, and whether one stays.
    let (mut last, mut stays) = (open, false);
    reader.object(|reader, key| {
        let name = key.unescape();
        if doomed(&name) {
            reader.skip()?;
            changes.replace(last..reader.offset(), b"");
        } else {
            if !stays && last > open {
                let comma = body.get(last..).and_then(|rest| rest.find(','));
                changes.replace(last..comma.map_or(last, |comma| last + comma + 1), b"");
            }
            stays = true;
            keep(reader, &name, changes)?;
        }
        last = reader.offset();
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_keeps_its_spelling() {
        let gone = r#""x":"a,\"b","y" : [ {"x":1} ]"#;
        for (with, expected) in [
            (format!(r#"{{{gone},"a":1 }}"#), r#"{"a":1 }"#),
            (format!(r#" {{ {gone} , "a":1.0}}"#), r#" { "a":1.0}"#),
            (format!(r#"{{"a":1, {gone} }}"#), r#"{"a":1 }"#),
            (format!(r#"{{"a":1e9,{gone},"b":[ 2]}}"#), r#"{"a":1e9,"b":[ 2]}"#),
            (format!(r#"{{"y":1,"a":{{}},{gone}}}"#), r#"{"a":{}}"#),
            (format!("{{{gone}}}"), "{}"),
            (r#"{"a":{"x":1}}"#.to_owned(), r#"{"a":{"x":1}}"#),
            ("{ }".to_owned(), "{ }"),
        ] {
            let (mut changes, mut out) = (Splices::default(), Vec::new());
            let doomed = |name: &str| name == "x" || name == "y";
            let mut keep = |reader: &mut Reader<'_>, _: &str, _: &mut Splices| reader.skip();
            members(&mut Reader::new(&with), &with, &mut changes, &doomed, &mut keep).unwrap();
            changes.apply(with.as_bytes(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{with}");
        }
    }
}
