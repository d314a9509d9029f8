//! What has to change in a request of Google's own API so that Google takes it
//! (<https://ai.google.dev/api/generate-content>). Both spellings of a name are known.

use smallvec::SmallVec;

use crate::chat::Outline;
use crate::wire::cut;
use crate::wire::json::{self, JsonError, Kind, Reader};
use crate::wire::splice::Splices;

use super::gemini::generation;
use super::gemini_tools::NO_SIGNATURE;
use super::order::{Order, Vendor};

/// Which small changes make it good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one change")]
pub(super) struct Patch<'p> {
    /// The operator's settings, for clients that send none.
    safety: Option<&'p str>,
    /// Words of nobody are the user's; Vertex AI wants to be told.
    roles: bool,
    /// Calls that another model made get the mark that Gemini 3 takes instead of its own.
    signatures: bool,
    /// The path names the model.
    model: bool,
}

/// Places in a body, each right behind the brace of an object.
type Places = SmallVec<[usize; 4]>;

/// What a body has at its top.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is one field")]
struct Top {
    contents: Contents,
    safety: bool,
    tier: bool,
    labels: bool,
    system: bool,
    model: bool,
}

/// What the conversation lacks.
#[derive(Debug, Default)]
struct Contents {
    /// It is a list of objects.
    list: bool,
    /// Contents without a role.
    bare: Places,
    /// The first calls, without a signature, of what the model said since the user last spoke.
    unsigned: Places,
}

/// What has to change; `None` when it is more than this can do.
pub(super) fn patch<'p>(
    order: &Order<'p>,
    inline_system: bool,
    outline: &Outline<'_>,
) -> Option<Patch<'p>> {
    let signed = generation(order.model) >= 3;
    let top = read(outline.body(), signed).ok()?;
    let on_vertex = order.vendor == Vendor::Vertex;
    // Each service has a field that only the other one refuses.
    let foreign = if on_vertex { top.tier } else { top.labels };
    let inline = inline_system && top.system;
    if foreign || inline || on_vertex && !top.contents.list {
        return None;
    }
    Some(Patch {
        safety: order.rules.safety_settings.filter(|_| !top.safety),
        roles: on_vertex && !top.contents.bare.is_empty(),
        signatures: !top.contents.unsigned.is_empty(),
        model: top.model,
    })
}

impl Patch<'_> {
    /// Is there nothing to change?
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The changes of the body that [`patch`] has seen.
    pub(super) fn changes(&self, outline: &Outline<'_>) -> Splices {
        let (body, mut changes) = (outline.body(), Splices::default());
        if let Some(settings) = self.safety {
            outline.add_member("safetySettings", settings, &mut changes);
        }
        if self.roles || self.signatures {
            let contents = read(body, self.signatures).unwrap_or_default().contents;
            let mut insert = |places: &Places, name: &[u8], value: &str| {
                let mut member = name.to_vec();
                json::push_string(&mut member, value);
                member.push(b',');
                places.iter().for_each(|at| changes.replace(*at..*at, &member));
            };
            if self.roles {
                insert(&contents.bare, b"\"role\":", "user");
            }
            insert(&contents.unsigned, b"\"thoughtSignature\":", NO_SIGNATURE);
        }
        if self.model {
            let doomed = |name: &str| name == "model";
            let mut keep = |reader: &mut Reader<'_>, _: &str, _: &mut Splices| reader.skip();
            // It was read before: nothing in it is broken.
            let _cut = cut::members(&mut Reader::new(body), body, &mut changes, &doomed, &mut keep);
        }
        changes
    }
}

/// `signed`: calls need a signature.
fn read(body: &str, signed: bool) -> Result<Top, JsonError> {
    let mut top = Top::default();
    Reader::new(body).object(|reader, key| {
        match key.unescape().as_ref() {
            "contents" => {
                top.contents = contents(reader, signed)?;
                return Ok(());
            }
            "safetySettings" | "safety_settings" => top.safety = true,
            "serviceTier" | "service_tier" => top.tier = true,
            "labels" => top.labels = true,
            "systemInstruction" | "system_instruction" => top.system = true,
            "model" => top.model = true,
            _ => {}
        }
        reader.skip()
    })?;
    Ok(top)
}

fn contents(reader: &mut Reader<'_>, signed: bool) -> Result<Contents, JsonError> {
    let mut found = Contents::default();
    if reader.kind()? != Kind::Array {
        reader.skip()?;
        return Ok(found);
    }
    found.list = true;
    reader.array(|reader, _index| {
        if reader.kind()? != Kind::Object {
            found.list = false;
            return reader.skip();
        }
        let at = reader.offset() + 1;
        let (mut role, mut parts, mut bare) = (None, Parts::default(), None);
        reader.object(|reader, key| {
            let name = key.unescape();
            bare = Some(bare.unwrap_or(true) && name != "role");
            match (name.as_ref(), reader.kind()?) {
                ("role", Kind::String) => role = Some(reader.string()?),
                ("parts", _) if signed => parts = Parts::read(reader)?,
                _ => reader.skip()?,
            }
            Ok::<(), JsonError>(())
        })?;
        if bare == Some(true) {
            found.bare.push(at);
        }
        if role.is_some_and(|role| role.unescape() == "model") {
            found.unsigned.extend(parts.unsigned);
        } else if parts.speaks {
            found.unsigned.clear();
        }
        Ok::<(), JsonError>(())
    })?;
    Ok(found)
}

/// The parts of one content.
#[derive(Debug, Default)]
struct Parts {
    /// Something is said, and not only what tools answered.
    speaks: bool,
    called: bool,
    /// The first call, when it has no signature.
    unsigned: Option<usize>,
}

impl Parts {
    fn read(reader: &mut Reader<'_>) -> Result<Self, JsonError> {
        let mut parts = Self::default();
        if reader.kind()? == Kind::Object {
            parts.part(reader)?;
        } else {
            reader.array(|reader, _index| match reader.kind()? {
                Kind::Object => parts.part(reader),
                _ => reader.skip(),
            })?;
        }
        Ok(parts)
    }

    fn part(&mut self, reader: &mut Reader<'_>) -> Result<(), JsonError> {
        let at = reader.offset() + 1;
        let (mut call, mut response, mut signature) = (false, false, false);
        reader.object(|reader, key| {
            match key.unescape().as_ref() {
                "functionCall" | "function_call" => call = true,
                "functionResponse" | "function_response" => response = true,
                "thoughtSignature" | "thought_signature" => {
                    signature = reader.kind()? == Kind::String;
                }
                _ => {}
            }
            reader.skip()
        })?;
        if call && !self.called && !signature {
            self.unsigned = Some(at);
        }
        self.called |= call;
        self.speaks |= !response;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::chat::Form;

    use super::super::order::Rules;
    use super::*;

    fn order(vendor: Vendor, model: &'static str) -> Order<'static> {
        Order { vendor, model, rules: Rules::default() }
    }

    fn goes_on(order: &Order<'_>, body: &str) -> Option<String> {
        let outline = Outline::parse(body.as_bytes(), &Form::GENERATE).unwrap();
        let patch = patch(order, false, &outline)?;
        let mut out = Vec::new();
        patch.changes(&outline).apply(body.as_bytes(), &mut out);
        assert_eq!(patch.is_empty(), out == body.as_bytes());
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn words_of_nobody_are_the_users() {
        let bare = r#"{"contents":[{"parts":[{"text":"hi"}]},{"role":"model","parts":[]}, { "parts":[]},{}]}"#;
        let told = r#"{"contents":[{"role":"user","parts":[{"text":"hi"}]},{"role":"model","parts":[]}, {"role":"user", "parts":[]},{}]}"#;
        let [studio, vertex] =
            [Vendor::Gemini, Vendor::Vertex].map(|vendor| order(vendor, "gemini-2.5-flash"));
        assert_eq!(goes_on(&studio, bare).as_deref(), Some(bare));
        assert_eq!(goes_on(&vertex, bare).as_deref(), Some(told));
        let one = r#"{"contents":{"parts":[{"text":"hi"}]}}"#;
        assert_eq!(goes_on(&studio, one).as_deref(), Some(one));
        assert_eq!(goes_on(&vertex, one), None);
    }

    #[test]
    fn the_path_names_the_model() {
        let with = r#"{"model":"models/x", "contents":[],"labels" : {"a":"b"}}"#;
        let without = r#"{ "contents":[],"labels" : {"a":"b"}}"#;
        let vertex = order(Vendor::Vertex, "gemini-2.5-flash");
        assert_eq!(goes_on(&vertex, with).as_deref(), Some(without));
        assert_eq!(goes_on(&order(Vendor::Gemini, "gemini-2.5-flash"), with), None);
    }

    #[test]
    fn first_calls_since_the_user_spoke_are_signed() {
        let hi = r#"{"role":"user","parts":[{"text":"hi"}]}"#;
        let call = r#"{"functionCall":{"name":"f"}}"#;
        let signed = r#"{"thoughtSignature":"S","functionCall":{"name":"f"}}"#;
        let marked = r#"{"thoughtSignature":"skip_thought_signature_validator","functionCall":{"name":"f"}}"#;
        let model = |parts: &str| format!(r#"{{"role":"model","parts":[{parts}]}}"#);
        let result = r#"{"parts":[{"functionResponse":{"name":"f"}}]}"#;
        for (list, expected) in [
            (
                format!("{hi},{},{result}", model(&format!("{call},{call}"))),
                format!("{hi},{},{result}", model(&format!("{marked},{call}"))),
            ),
            (
                format!("{},{result},{hi},{},{result}", model(call), model(signed)),
                format!("{},{result},{hi},{},{result}", model(call), model(signed)),
            ),
            (
                format!("{hi},{},{result},{},{result}", model(signed), model(call)),
                format!("{hi},{},{result},{},{result}", model(signed), model(marked)),
            ),
            (
                format!(r#"{hi},{{"role":"model","parts":{call}}}"#),
                format!(r#"{hi},{{"role":"model","parts":{marked}}}"#),
            ),
        ] {
            let body = format!(r#"{{"contents":[{list}],"tools":[{{"googleSearch":{{}}}}]}}"#);
            let expected = body.replace(&list, &expected);
            let third = goes_on(&order(Vendor::Gemini, "gemini-3-pro"), &body);
            assert_eq!(third.as_deref(), Some(&*expected));
            let second = goes_on(&order(Vendor::Gemini, "gemini-2.5-pro"), &body);
            assert_eq!(second.as_deref(), Some(&*body));
        }
    }
}
