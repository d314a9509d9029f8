//! What every chunk of a stream begins with: ids, the model, the time. It is read once, and then
//! recognised, since it is half of what a chunk with a few words holds.

use crate::wire::json::{JsonError, JsonText, Reader};

/// Longer beginnings are read each time.
const HEAD_BYTES_MAX: usize = 1024;

/// The beginning of the chunk before: an object's text up to the end of a member.
#[derive(Debug, Default)]
pub(super) struct Head(String);

impl Head {
    /// Reads a chunk's object. What it has in common with the chunk before is not read again, up to
    /// the first member whose name is `news`. With `keep` it is remembered for the next chunk:
    /// whatever its members tell has been told.
    pub(super) fn object<'b, E: From<JsonError>>(
        &mut self,
        reader: &mut Reader<'b>,
        keep: bool,
        news: fn(&str) -> bool,
        mut member: impl FnMut(&mut Reader<'b>, JsonText<'b>) -> Result<(), E>,
    ) -> Result<(), E> {
        if !self.0.is_empty() && reader.skip_known(&self.0) {
            return reader.rest_of_object(member);
        }
        reader.kind()?;
        let from = reader.offset();
        let (mut old, mut head) = (keep, "");
        reader.object(|reader, key| {
            old &= !news(key.raw());
            member(reader, key)?;
            let so_far = reader.since(from);
            // A number could go on in the next chunk.
            if old && so_far.len() <= HEAD_BYTES_MAX && so_far.ends_with(['"', ']', '}']) {
                head = so_far;
            }
            Ok::<(), E>(())
        })?;
        head.clone_into(&mut self.0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys that are read of each text, and how often they could be read.
    fn read(texts: &[&str]) -> Vec<Result<String, JsonError>> {
        let mut head = Head::default();
        let read = |text: &&str| {
            let (mut reader, mut keys) = (Reader::new(text), String::new());
            head.object(
                &mut reader,
                true,
                |name| name == "new",
                |reader, key| {
                    keys += key.raw();
                    reader.skip()
                },
            )?;
            reader.end().map(|()| keys)
        };
        texts.iter().map(read).collect()
    }

    #[test]
    fn what_is_known_is_not_read_again() {
        let texts = [
            r#" {"a":"x","b":1,"c":{},"d":2,"new":3,"e":""}"#,
            r#"{"a":"x","b":1,"c":{},"d":25,"f":4}"#,
            r#"{"a":"x","b":1,"c":{} }  "#,
            r#"{"a":"x","b":12,"c":{},"new":5}"#,
            r#"{"a":"x","b":12,"c":{},"new":6}"#,
            r#"{"new":7,"a":"x"}"#,
            r#"{"new":8,"a":"x"}"#,
        ];
        let keys = ["abcdnewe", "df", "", "abcnew", "new", "newa", "newa"];
        assert_eq!(read(&texts), keys.map(|keys| Ok(keys.to_owned())));
    }

    #[test]
    fn what_follows_is_checked() {
        let known = r#"{"a":"x","new":1}"#;
        for broken in [
            r#"{"a":"x""#,
            r#"{"a":"x",}"#,
            r#"{"a":"x" "b":1}"#,
            r#"{"a":"x"]"#,
            r#"{"a":"x","b":1}}"#,
            r#"{"a":"x"x}"#,
        ] {
            assert_eq!(read(&[known, broken])[1], Err(JsonError::Syntax), "{broken}");
        }
        let deep = |depth: usize| {
            format!(r#"{{"a":"x","b":{}0{}}}"#, "[".repeat(depth), "]".repeat(depth))
        };
        assert_eq!(read(&[known, &deep(127)])[1], Ok("b".to_owned()));
        assert_eq!(read(&[known, &deep(128)])[1], Err(JsonError::Depth));
    }
}
