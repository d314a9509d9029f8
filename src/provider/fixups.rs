//! Repairs of answers of services that call themselves compatible with OpenAI, where official
//! clients would stumble over them. Only what is wrong is replaced; all other bytes stay.
//!
//! What is repaired: empty ids of answers and calls, numbers of calls that are missing or do not
//! count from 0, `stop` where tools are called, completion tokens without the reasoning, and the
//! role, which belongs into the first delta and into no other.

use crate::base::{Rng, ascii};
use crate::wire::json::{JsonError, JsonText, Kind, Reader};
use crate::wire::splice::Splices;

use super::call_id;
use super::openai_numbers::{Label, Numbers};

/// No vendor gives more answers to one request.
const CHOICES_MAX: usize = 128;

/// What is known of one choice.
#[derive(Debug, Default)]
struct Choice {
    has_role: bool,
    calls: Numbers,
}

/// Repairs one answer.
#[derive(Debug)]
pub(super) struct Fixups {
    /// Stands in where the vendor has an empty id; replaced by the vendor's own when it comes.
    id: String,
    choices: Vec<Choice>,
    rng: Rng,
    splices: Splices,
}

/// One value and where it stands.
type At<T> = (T, std::ops::Range<usize>);

impl Fixups {
    /// For one answer; `seed` decides the ids that are made.
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let mut id = b"chatcmpl-".to_vec();
        ascii::push_hex(&mut id, rng.bits());
        ascii::push_hex(&mut id, rng.bits());
        let id = String::from_utf8(id).unwrap_or_default();
        Self { id, choices: Vec::new(), rng, splices: Splices::default() }
    }

    /// What has to change in one JSON text, a chunk or a whole answer. It is an object that has
    /// been checked.
    pub(super) fn look(&mut self, text: &str) -> Result<&Splices, JsonError> {
        self.splices.clear();
        let mut reader = Reader::new(text);
        reader.object(|reader, key| {
            let kind = reader.kind()?;
            match (key.raw(), kind) {
                ("id", Kind::String) => self.answer_id(reader),
                ("choices", Kind::Array) => {
                    reader.array(|reader, place| self.choice(text, reader, place))
                }
                ("usage", Kind::Object) => self.usage(reader),
                _ => reader.skip(),
            }
        })?;
        Ok(&self.splices)
    }

    fn answer_id(&mut self, reader: &mut Reader<'_>) -> Result<(), JsonError> {
        let (id, at) = string(reader)?;
        if id.is_empty() {
            self.splices.replace(at, format!("\"{}\"", self.id).as_bytes());
        } else {
            id.raw().clone_into(&mut self.id);
        }
        Ok(())
    }

    /// Some leave reasoning out of the completion, but not out of the total.
    fn usage(&mut self, reader: &mut Reader<'_>) -> Result<(), JsonError> {
        let (mut prompt, mut completion, mut total) = (None, None, None);
        reader.object(|reader, key| {
            let place = match (key.raw(), reader.kind()?) {
                ("prompt_tokens", Kind::Number) => &mut prompt,
                ("completion_tokens", Kind::Number) => &mut completion,
                ("total_tokens", Kind::Number) => &mut total,
                _ => return reader.skip(),
            };
            let from = reader.offset();
            let number = reader.number()?.parse::<u64>().ok();
            *place = number.map(|number| (number, from..reader.offset()));
            Ok(())
        })?;
        let (Some((prompt, _)), Some((completion, at)), Some((total, _))) =
            (prompt, completion, total)
        else {
            return Ok(());
        };
        let rest = total.saturating_sub(prompt);
        if completion < rest {
            let mut digits = Vec::with_capacity(20);
            ascii::push_u64(&mut digits, rest);
            self.splices.replace(at, &digits);
        }
        Ok(())
    }

    fn choice(
        &mut self,
        text: &str,
        reader: &mut Reader<'_>,
        place: usize,
    ) -> Result<(), JsonError> {
        if reader.kind()? != Kind::Object {
            return reader.skip();
        }
        let index = own_index(&mut reader.clone())?.unwrap_or(place);
        if index >= CHOICES_MAX {
            return reader.skip();
        }
        while self.choices.len() <= index {
            self.choices.push(Choice::default());
        }
        let mut finish: Option<At<JsonText<'_>>> = None;
        let Self { choices, rng, splices, .. } = self;
        let Some(choice) = choices.get_mut(index) else { return reader.skip() };
        reader.object(|reader, key| {
            let kind = reader.kind()?;
            match (key.raw(), kind) {
                ("delta", Kind::Object) => {
                    let mut repair = Repair { text, choice, rng, splices, whole: false };
                    repair.role(&mut reader.clone())?;
                    repair.message(reader)
                }
                ("message", Kind::Object) => {
                    Repair { text, choice, rng, splices, whole: true }.message(reader)
                }
                ("finish_reason", Kind::String) => {
                    finish = Some(string(reader)?);
                    Ok(())
                }
                _ => reader.skip(),
            }
        })?;
        if let Some((reason, at)) = finish
            && reason.raw() == "stop"
            && !choice.calls.is_empty()
        {
            splices.replace(at, b"\"tool_calls\"");
        }
        Ok(())
    }
}

/// Repairs one message or one piece of it.
struct Repair<'r> {
    text: &'r str,
    choice: &'r mut Choice,
    rng: &'r mut Rng,
    splices: &'r mut Splices,
    whole: bool,
}

impl Repair<'_> {
    /// The role comes with the first delta, and never again: clients put the pieces together.
    fn role(&mut self, reader: &mut Reader<'_>) -> Result<(), JsonError> {
        let inside = reader.offset() + 1;
        let first = !std::mem::replace(&mut self.choice.has_role, true);
        let (mut empty, mut said) = (true, false);
        reader.object(|reader, key| {
            empty = false;
            let kind = reader.kind()?;
            if key.raw() != "role" || !matches!(kind, Kind::String | Kind::Null) {
                return reader.skip();
            }
            let from = reader.offset();
            let nothing =
                if kind == Kind::Null { reader.null()? } else { reader.string()?.is_empty() };
            let at = from..reader.offset();
            match (first, nothing) {
                (true, true) => self.splices.replace(at, b"\"assistant\""),
                (false, false) => self.remove(at),
                _ => {}
            }
            said = true;
            Ok(())
        })?;
        if first && !said {
            let role: &[u8] =
                if empty { b"\"role\":\"assistant\"" } else { b"\"role\":\"assistant\"," };
            self.splices.replace(inside..inside, role);
        }
        Ok(())
    }

    /// Removes the member whose value stands `at`, with one of the commas around it.
    fn remove(&mut self, at: std::ops::Range<usize>) {
        let before = self.text.get(..at.start).unwrap_or_default();
        let Some(key) = before.rfind("\"role\"") else { return };
        let behind = self.text.get(at.end..).unwrap_or_default();
        let rest = behind.trim_start();
        let space = behind.len() - rest.len();
        let before_key = before.get(..key).unwrap_or_default().trim_end();
        let range = if rest.starts_with(',') {
            key..at.end + space + 1
        } else if before_key.ends_with(',') {
            before_key.len() - 1..at.end
        } else {
            key..at.end
        };
        self.splices.replace(range, b"");
    }

    fn message(&mut self, reader: &mut Reader<'_>) -> Result<(), JsonError> {
        reader.object(|reader, key| match (key.raw(), reader.kind()?) {
            ("tool_calls", Kind::Array) => reader.array(|reader, _place| self.call(reader)),
            _ => reader.skip(),
        })
    }

    fn call(&mut self, reader: &mut Reader<'_>) -> Result<(), JsonError> {
        if reader.kind()? != Kind::Object {
            return reader.skip();
        }
        let inside = reader.offset() + 1;
        let mut label = Label::default();
        let (mut number_at, mut id_at, mut empty) = (None, None, true);
        reader.object(|reader, key| {
            empty = false;
            let kind = reader.kind()?;
            let from = reader.offset();
            match (key.raw(), kind) {
                ("index", _) => {
                    label.number = reader.raw()?.parse().ok();
                    number_at = Some(from..reader.offset());
                }
                ("id", Kind::String) => {
                    label.id = Some(reader.string()?).filter(|id| !id.is_empty());
                    id_at = Some(from..reader.offset());
                }
                ("id", Kind::Null) => {
                    reader.null()?;
                    id_at = Some(from..reader.offset());
                }
                ("function", Kind::Object) => reader.object(|reader, key| {
                    if key.raw() == "name" && reader.kind()? == Kind::String {
                        label.named |= !reader.string()?.is_empty();
                        return Ok(());
                    }
                    reader.skip()
                })?,
                _ => reader.skip()?,
            }
            Ok(())
        })?;
        let Some((at, new)) = self.choice.calls.place(label) else { return Ok(()) };
        if !self.whole {
            self.number((label.number, at), (number_at, inside), empty);
        }
        if new && label.id.is_none() {
            let made = call_id::random(self.rng);
            let id = made.text().raw();
            match id_at {
                Some(at) => self.splices.replace(at, format!("\"{id}\"").as_bytes()),
                None => self.insert(inside, &format!("\"id\":\"{id}\""), empty),
            }
        }
        Ok(())
    }

    fn number(
        &mut self,
        (theirs, ours): (Option<u64>, usize),
        (number_at, inside): (Option<std::ops::Range<usize>>, usize),
        empty: bool,
    ) {
        let ours = u64::try_from(ours).unwrap_or(u64::MAX);
        match number_at {
            _ if theirs == Some(ours) => {}
            Some(at) => self.splices.replace(at, ours.to_string().as_bytes()),
            None => self.insert(inside, &format!("\"index\":{ours}"), empty),
        }
    }

    /// Inserts a member at the start of an object.
    fn insert(&mut self, inside: usize, member: &str, empty: bool) {
        let comma = if empty { "" } else { "," };
        self.splices.replace(inside..inside, format!("{member}{comma}").as_bytes());
    }
}

/// The `index` of a choice.
fn own_index(reader: &mut Reader<'_>) -> Result<Option<usize>, JsonError> {
    let mut index = None;
    reader.object(|reader, key| {
        if key.raw() == "index" && reader.kind()? == Kind::Number {
            index = reader.number()?.parse().ok();
            return Ok(());
        }
        reader.skip()
    })?;
    Ok(index)
}

fn string<'b>(reader: &mut Reader<'b>) -> Result<At<JsonText<'b>>, JsonError> {
    let from = reader.offset();
    let text = reader.string()?;
    Ok((text, from..reader.offset()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repaired(fixups: &mut Fixups, text: &str) -> String {
        let mut out = Vec::new();
        fixups.look(text).unwrap().apply(text.as_bytes(), &mut out);
        serde_json::from_slice::<serde::de::IgnoredAny>(&out).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// Repairs texts of one answer; ids that are made are shown as `ID`.
    fn run(texts: &[&str]) -> Vec<String> {
        let mut fixups = Fixups::new(7);
        let mask = |text: String| {
            let mut parts = text.split("call_");
            let mut masked = parts.next().unwrap_or_default().to_owned();
            for part in parts {
                let end = part.find('"').unwrap_or(part.len());
                masked.push_str(if end == 22 { "ID" } else { part.get(..end).unwrap() });
                masked.push_str(part.get(end..).unwrap());
            }
            masked
        };
        texts.iter().map(|text| mask(repaired(&mut fixups, text))).collect()
    }

    fn delta(inside: &str) -> String {
        format!(r#"{{"choices":[{{"index":0,"delta":{inside},"finish_reason":null}}]}}"#)
    }

    #[test]
    fn sound_answers_stay_as_they_are() {
        let chunks = [
            delta(r#"{"role":"assistant","content":""}"#),
            delta(r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":""}}]}"#),
            delta(r#"{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}"#),
            delta(r#"{"tool_calls":[{"index":1,"id":"b","function":{"name":"f","arguments":"{}"}}]}"#),
            r#"{"id":"x","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#.to_owned(),
            r#"{"id":"x","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}"#.to_owned(),
            r#"{"choices":7,"usage":null,"id":1}"#.to_owned(),
        ];
        let texts: Vec<&str> = chunks.iter().map(String::as_str).collect();
        assert_eq!(run(&texts), texts);
    }

    #[test]
    fn calls_are_numbered_from_zero_and_have_ids() {
        let role = delta(r#"{"role":"assistant"}"#);
        let call = |inside: &str| delta(&format!(r#"{{"tool_calls":[{inside}]}}"#));
        let f = r#""function":{"name":"f","arguments":""}"#;
        let more = r#""function":{"arguments":"{}"}"#;
        for (given, expected) in [
            (format!(r#"{{"index":1,"id":"a",{f}}}"#), format!(r#"{{"index":0,"id":"a",{f}}}"#)),
            (format!(r#"{{"index":1,{more}}}"#), format!(r#"{{"index":0,{more}}}"#)),
            (format!(r#"{{"id":"b",{f}}}"#), format!(r#"{{"index":1,"id":"b",{f}}}"#)),
            (format!("{{ {more} }}"), format!(r#"{{"index":1, {more} }}"#)),
            (format!(r#"{{"index":null,"id":"",{f}}}"#), format!(r#"{{"index":2,"id":"ID",{f}}}"#)),
            (format!(r#"{{"id":"",{more}}}"#), format!(r#"{{"index":2,"id":"",{more}}}"#)),
            (format!("{{{f}}}"), format!(r#"{{"index":3,"id":"ID",{f}}}"#)),
        ]
        .iter()
        .scan(Fixups::new(7), |fixups, (given, expected)| {
            repaired(fixups, &role);
            let found = repaired(fixups, &call(given));
            Some((found, call(expected)))
        }) {
            let plain = |text: &str| {
                let at = text.find("\"call_");
                at.map_or_else(
                    || text.to_owned(),
                    |at| {
                        let (head, tail) = text.split_at(at);
                        format!("{head}\"ID{}", tail.get(28..).unwrap())
                    },
                )
            };
            assert_eq!(plain(&given), expected);
        }
    }

    #[test]
    fn the_role_comes_once_and_first() {
        for (given, expected) in [
            (
                [r#"{"content":"a"}"#, r#"{"role":"assistant","content":"b"}"#],
                [r#"{"role":"assistant","content":"a"}"#, r#"{"content":"b"}"#],
            ),
            (
                [r#"{}"#, r#"{"content":"b" , "role": "assistant" }"#],
                [r#"{"role":"assistant"}"#, r#"{"content":"b"  }"#],
            ),
            (
                [r#"{"role":null,"content":"a"}"#, r#"{ "role" :"assistant"}"#],
                [r#"{"role":"assistant","content":"a"}"#, r#"{ }"#],
            ),
            (
                [r#"{"role":"assistant"}"#, r#"{"role":"","content":"b"}"#],
                [r#"{"role":"assistant"}"#, r#"{"role":"","content":"b"}"#],
            ),
        ] {
            let (given, expected) = (given.map(delta), expected.map(delta));
            assert_eq!(run(&[&given[0], &given[1]]), expected);
        }
    }

    #[test]
    fn reasons_usage_and_ids() {
        let message = r#"{"role":"assistant","tool_calls":[{"id":"","type":"function","function":{"name":"f"}}]}"#;
        let whole = format!(
            r#"{{"id":"","choices":[{{"finish_reason": "stop","message":{message}}}],"usage":{{"total_tokens":109,"completion_tokens":12 ,"prompt_tokens":35}}}}"#
        );
        let mut fixups = Fixups::new(7);
        let found = repaired(&mut fixups, &whole);
        let expected = r#""finish_reason": "tool_calls","message""#;
        assert!(found.contains(expected), "{found}");
        assert!(found.contains(r#""completion_tokens":74 ,"#), "{found}");
        assert!(found.contains(r#"{"id":"chatcmpl-"#) && found.contains(r#"{"id":"call_"#));
        // One answer has one id.
        let chunk = r#"{"id":"","choices":[]}"#;
        let made = |text: &str| text.split('"').nth(3).unwrap().to_owned();
        assert_eq!(made(&repaired(&mut fixups, chunk)), made(&found));
        let own = r#"{"id":"x","choices":[]}"#;
        assert_eq!(repaired(&mut fixups, own), own);
        assert_eq!(made(&repaired(&mut fixups, chunk)), "x");
        let text = r#"{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}]}"#;
        assert_eq!(run(&[text]), [text]);
    }
}
