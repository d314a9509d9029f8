//! One spelling for JSON texts that mean the same: no white space, the members of every object in
//! the order of their names. Numbers and strings keep their spelling.

use std::ops::Range;

use smallvec::SmallVec;

use super::json::{JsonError, Kind, Reader};

/// Room for the members that are open at once in the usual request.
const MEMBERS: usize = 16;

/// Where one member of an object stands in what was written.
#[derive(Clone, Debug)]
struct Member {
    /// Its name, with the quotes.
    name: Range<usize>,
    /// Where its value ends.
    end: usize,
}

/// What is written, and what is needed meanwhile.
struct Writer<'o> {
    out: &'o mut Vec<u8>,
    /// The members of all objects that are open.
    members: SmallVec<[Member; MEMBERS]>,
    /// Room to put members in order.
    scratch: Vec<u8>,
}

/// Appends an object in its canonical spelling. Its fields come as they are spelt: the insides of
/// their names, and their values.
///
/// # Errors
/// A value that is not JSON.
pub fn push_object(fields: &mut [(&str, &str)], out: &mut Vec<u8>) -> Result<(), JsonError> {
    // Of two with one name the first stays the first.
    fields.sort_by_key(|(name, _)| *name);
    let mut writer = Writer { out, members: SmallVec::new(), scratch: Vec::new() };
    writer.out.push(b'{');
    for (place, (name, value)) in fields.iter().enumerate() {
        if place > 0 {
            writer.out.push(b',');
        }
        writer.name(name);
        if value.starts_with(['{', '[']) {
            let mut reader = Reader::new(value);
            writer.value(&mut reader)?;
            reader.end()?;
        } else {
            writer.out.extend_from_slice(value.as_bytes());
        }
    }
    writer.out.push(b'}');
    Ok(())
}

impl Writer<'_> {
    /// Nesting is bounded by the reader.
    fn value(&mut self, reader: &mut Reader<'_>) -> Result<(), JsonError> {
        match reader.kind()? {
            Kind::Object => self.object(reader),
            Kind::Array => self.array(reader),
            _ => {
                self.out.extend_from_slice(reader.raw()?.as_bytes());
                Ok(())
            }
        }
    }

    fn array(&mut self, reader: &mut Reader<'_>) -> Result<(), JsonError> {
        self.out.push(b'[');
        let mut first = true;
        reader.array(|reader, _at| {
            if !std::mem::take(&mut first) {
                self.out.push(b',');
            }
            self.value(reader)
        })?;
        self.out.push(b']');
        Ok(())
    }

    fn name(&mut self, name: &str) {
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    fn object(&mut self, reader: &mut Reader<'_>) -> Result<(), JsonError> {
        self.out.push(b'{');
        let (start, mark) = (self.out.len(), self.members.len());
        reader.object(|reader, name| {
            if self.members.len() > mark {
                self.out.push(b',');
            }
            let from = self.out.len();
            self.name(name.raw());
            let name = from..self.out.len() - 1;
            self.members.push(Member { name, end: from });
            let place = self.members.len() - 1;
            self.value(reader)?;
            let end = self.out.len();
            if let Some(member) = self.members.get_mut(place) {
                member.end = end;
            }
            Ok(())
        })?;
        self.put_in_order(start, mark);
        self.members.truncate(mark);
        self.out.push(b'}');
        Ok(())
    }

    /// Puts the members behind `mark`, which were written from `start` on, in order. Of two with
    /// one name the first stays the first.
    fn put_in_order(&mut self, start: usize, mark: usize) {
        let Self { out, members, scratch } = self;
        let members = members.get_mut(mark..).unwrap_or_default();
        let name = |member: &Member| out.get(member.name.clone()).unwrap_or_default();
        if members.is_sorted_by_key(name) {
            return;
        }
        members.sort_by(|one, other| name(one).cmp(name(other)));
        scratch.clear();
        scratch.reserve(out.len() - start);
        for member in members.iter() {
            if !scratch.is_empty() {
                scratch.push(b',');
            }
            let written = out.get(member.name.start..member.end).unwrap_or_default();
            scratch.extend_from_slice(written);
        }
        out.truncate(start);
        out.extend_from_slice(scratch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(json: &str) -> String {
        let mut out = Vec::new();
        push_object(&mut [("x", json)], &mut out).expect("JSON");
        let text = String::from_utf8(out).expect("text");
        text.strip_prefix("{\"x\":").and_then(|rest| rest.strip_suffix('}')).unwrap().to_owned()
    }

    #[test]
    fn order_and_white_space_do_not_matter() {
        let cases = [
            ("{}", "{}"),
            ("{ \"a\" : 1 }", r#"{"a":1}"#),
            (r#"{"b":1,"a":[ ]}"#, r#"{"a":[],"b":1}"#),
            (
                "{\"m\":[{\"role\":\"u\",\"content\":\"x  y\"},\n{\"z\":{\"b\":{},\"a\":2}}],\"a\":null}",
                r#"{"a":null,"m":[{"content":"x  y","role":"u"},{"z":{"a":2,"b":{}}}]}"#,
            ),
            (r#"{"ab":1,"a":2,"a!":3}"#, r#"{"a!":3,"a":2,"ab":1}"#),
            ("[3, 1, 2]", "[3,1,2]"),
        ];
        for (json, expected) in cases {
            assert_eq!(canonical(json), expected);
            assert_eq!(canonical(expected), expected, "what is canonical stays");
        }
    }

    #[test]
    fn what_could_mean_something_else_stays_apart() {
        let texts = [
            r#"{"a":1}"#,
            r#"{"a":1.0}"#,
            r#"{"a":"1"}"#,
            r#"{"a":[1]}"#,
            r#"{"a":1,"b":1}"#,
            r#"{"a":1,"a":2}"#,
            r#"{"a":2,"a":1}"#,
            r#"{"a":{"b":1}}"#,
            r#"{"a":{"b":1,"user":2}}"#,
            r#"{"a":"b","c":"d"}"#,
            r#"{"a":"b\",\"c\":\"d"}"#,
        ];
        for (place, one) in texts.iter().enumerate() {
            for other in &texts[..place] {
                assert_ne!(canonical(one), canonical(other));
            }
        }
    }

    #[test]
    fn fields_are_put_in_order_too() {
        let mut out = Vec::new();
        let mut fields = [("b", "[ 1 ]"), ("a", "\"x\""), ("b", "2"), ("a!", "null")];
        assert_eq!(push_object(&mut fields, &mut out), Ok(()));
        assert_eq!(String::from_utf8(out).unwrap(), r#"{"a":"x","a!":null,"b":[1],"b":2}"#);
        for broken in ["[1", "{\"a\":}", "[] []"] {
            assert!(push_object(&mut [("a", broken)], &mut Vec::new()).is_err());
        }
    }

    #[test]
    fn any_order_of_the_members_gives_the_same() {
        let mut rng = crate::base::Rng::new(3);
        let mut members: Vec<String> =
            (0..40).map(|at| format!("\"k{at}\":{{\"z\":{at},\"a\":[{at}]}}")).collect();
        let expected = canonical(&format!("{{{}}}", members.join(",")));
        for _ in 0..50 {
            for at in (1..members.len()).rev() {
                let other = rng.below(u64::try_from(at + 1).unwrap());
                members.swap(at, usize::try_from(other).unwrap());
            }
            assert_eq!(canonical(&format!("{{ {} }}", members.join(" , "))), expected);
        }
    }
}
