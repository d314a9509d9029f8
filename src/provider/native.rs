//! Requests that can go on as their clients wrote them, because the upstream speaks the same API.
//!
//! Where something must change all the same, a small change is made good for the rest to stay as
//! it is. Where that is not enough, there is no way here, and the request is translated: when an
//! operator's rule concerns the inside of the body, when two services of one vendor read a body
//! differently, or when the conversation was with another vendor before.

use crate::chat::{ChatError, Door, Outline};
use crate::wire::find::find;
use crate::wire::splice::Splices;

use super::anthropic::VERTEX_VERSION;
use super::dropped::Dropped;
use super::google_body::{self, Patch};
use super::openai::is_openais;
use super::order::{Order, Vendor};
use super::watch::Shape;
use super::{count, vendor};

/// What the configuration says besides the order's rules.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settings {
    /// The upstream has OpenAI's responses itself.
    pub responses: bool,
    /// System messages for Google stand where they are.
    pub inline_system: bool,
}

/// How a request goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Native<'p> {
    /// What its answer looks like.
    pub shape: Shape,
    /// What follows the upstream's own path; `None` is what follows it for a translated request.
    path: Option<&'static str>,
    change: Change<'p>,
}

/// What has to change besides the model's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change<'p> {
    Nothing,
    /// Vertex AI wants Anthropic's version where Anthropic wants the model.
    Version,
    /// It wants the version beside the model.
    VersionToo,
    /// Google has to be told a little more, or less.
    Google(Patch<'p>),
    /// OpenAI refuses what answers of other vendors have beyond its own.
    Extras,
}

impl<'p> Native<'p> {
    /// A request whose model alone may get another name.
    pub const fn at(path: &'static str, shape: Shape) -> Self {
        Self { shape, path: Some(path), change: Change::Nothing }
    }

    /// The way of a request, if there is one.
    pub fn find(
        door: Door,
        order: &Order<'p>,
        settings: Settings,
        outline: &Outline<'_>,
    ) -> Option<Self> {
        match (door, order.vendor) {
            (Door::Chat, Vendor::OpenAi) => {
                let way = Self::at("/chat/completions", Shape::OpenAiChoices);
                // Compatible services have some of these fields themselves, and want them back.
                let cuts = is_openais(order.model) && outline.may_have_extras();
                Some(if cuts { Self { change: Change::Extras, ..way } } else { way })
            }
            (Door::Completions, Vendor::OpenAi) => {
                Some(Self::at("/completions", Shape::OpenAiChoices))
            }
            (Door::Responses, Vendor::OpenAi) if settings.responses => {
                let way = Self::at("/responses", Shape::OpenAiResponse);
                (!outline.has_foreign_marks()).then_some(way)
            }
            (Door::Messages, Vendor::Anthropic) => {
                let way = Self::at("/v1/messages", Shape::Anthropic);
                (!outline.has_foreign_marks()).then_some(way)
            }
            (Door::Messages, Vendor::Claude) => {
                let way = Self { shape: Shape::Claude, path: None, change: Change::Version };
                let fits = !outline.has_foreign_marks() && !has(outline, "anthropic_version");
                fits.then_some(way)
            }
            (Door::Generate(_), Vendor::Gemini | Vendor::Vertex) => {
                let change = google(order, settings, outline)?;
                Some(Self { shape: Shape::Google, path: None, change })
            }
            _ => None,
        }
    }

    /// The way of a request of Anthropic's whose tokens are to be counted.
    pub fn find_count(order: &Order<'p>, outline: &Outline<'_>) -> Option<Self> {
        let change = match order.vendor {
            Vendor::Anthropic => Change::Nothing,
            Vendor::Claude if !has(outline, "anthropic_version") => Change::VersionToo,
            _ => return None,
        };
        let way = Self { shape: Shape::AnthropicCount, path: None, change };
        (!outline.has_foreign_marks()).then_some(way)
    }

    /// Appends what follows the upstream's own path.
    ///
    /// # Errors
    /// When the model's name cannot stand in a URL.
    pub fn target(
        &self,
        order: &Order<'_>,
        stream: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), ChatError> {
        match (self.path, self.shape) {
            (Some(path), _) => out.extend_from_slice(path.as_bytes()),
            (None, Shape::AnthropicCount) => count::target(order, out)?,
            (None, _) => vendor::target(order, stream, out)?,
        }
        Ok(())
    }

    /// What the client is told that its request went on without.
    pub fn dropped(&self, outline: &Outline<'_>) -> Dropped<'static> {
        let mut dropped = Dropped::default();
        if self.change == Change::Extras {
            let names = outline.cut_extras(&mut Splices::default());
            names.for_each(|name| dropped.push(format!("messages[].{name}").into()));
        }
        dropped
    }

    /// What must be changed in the body. With `ask_usage` it is also asked for usage.
    pub fn changes(&self, outline: &Outline<'_>, model: &str, ask_usage: bool) -> Splices {
        match self.change {
            Change::Nothing => outline.changes(model, ask_usage),
            Change::Extras => {
                let mut changes = outline.changes(model, ask_usage);
                let _names = outline.cut_extras(&mut changes);
                changes
            }
            Change::Version => {
                let mut changes = Splices::default();
                outline.replace_model("anthropic_version", VERTEX_VERSION, &mut changes);
                changes
            }
            Change::VersionToo => {
                let mut changes = outline.changes(model, false);
                let version = ["\"", VERTEX_VERSION, "\""].concat();
                outline.add_member("anthropic_version", &version, &mut changes);
                changes
            }
            Change::Google(patch) => patch.changes(outline),
        }
    }
}

fn has(outline: &Outline<'_>, text: &str) -> bool {
    find(outline.body().as_bytes(), text.as_bytes()).is_some()
}

/// What has to change in a request of Google's; `None` when it must be translated.
fn google<'p>(order: &Order<'p>, settings: Settings, outline: &Outline<'_>) -> Option<Change<'p>> {
    let schemas = ["JsonSchema", "json_schema"].into_iter().any(|word| has(outline, word));
    let rewritten = order.rules.openapi_schemas && schemas;
    if rewritten || outline.has_foreign_marks() {
        return None;
    }
    let patch = google_body::patch(order, settings.inline_system, outline)?;
    Some(if patch.is_empty() { Change::Nothing } else { Change::Google(patch) })
}

#[cfg(test)]
mod tests {
    use crate::chat::Form;
    use crate::chat::generate_out::Series;

    use super::super::order::Rules;
    use super::*;

    const ALL: Settings = Settings { responses: true, inline_system: false };
    const GENERATE: Door = Door::Generate(None);

    fn form(door: Door) -> Form {
        match door {
            Door::Chat => Form::CHAT,
            Door::Completions => Form::COMPLETIONS,
            Door::Responses => Form::RESPONSES,
            Door::Messages => Form::MESSAGES,
            Door::Generate(_) => Form::GENERATE,
        }
    }

    /// The body as it goes on, if it does.
    fn passed(door: Door, order: &Order<'_>, settings: Settings, body: &str) -> Option<String> {
        let outline = Outline::parse(body.as_bytes(), &form(door)).unwrap();
        let way = Native::find(door, order, settings, &outline)?;
        let mut out = Vec::new();
        way.changes(&outline, order.model, false).apply(body.as_bytes(), &mut out);
        Some(String::from_utf8(out).unwrap())
    }

    fn order(vendor: Vendor, model: &'static str) -> Order<'static> {
        Order { vendor, model, rules: Rules::default() }
    }

    const MESSAGE: &str = r#"{ "mod\u0065l" : "claude-x","messages":[ ],"tools":[{"type":"web_search_20250305"}],"x":1e9}"#;

    #[test]
    fn bodies_in_the_vendors_own_words_go_on() {
        let anthropic = order(Vendor::Anthropic, "claude-x");
        assert_eq!(passed(Door::Messages, &anthropic, ALL, MESSAGE).as_deref(), Some(MESSAGE));
        let renamed = passed(Door::Messages, &order(Vendor::Anthropic, "claude-y"), ALL, MESSAGE);
        assert_eq!(renamed, Some(MESSAGE.replace("claude-x", "claude-y")));
        let on_vertex = passed(Door::Messages, &order(Vendor::Claude, "claude-x@1"), ALL, MESSAGE);
        let named = MESSAGE.replace("mod\\u0065l", "anthropic_version");
        assert_eq!(on_vertex, Some(named.replace("claude-x", VERTEX_VERSION)));
        let responses = r#"{"model":"m","input":"hi","previous_response_id":"resp_1"}"#;
        let openai = order(Vendor::OpenAi, "m");
        assert_eq!(passed(Door::Responses, &openai, ALL, responses).as_deref(), Some(responses));
        assert_eq!(passed(Door::Responses, &openai, Settings::default(), responses), None);
        let contents = r#"{"contents":[{"role":"user","parts":[{"text":"hi"}]}],"tools":[{"googleSearch":{}}]}"#;
        for vendor in [Vendor::Gemini, Vendor::Vertex] {
            for door in [GENERATE, Door::Generate(Some(Series::Array))] {
                let went = passed(door, &order(vendor, "gemini-3-pro"), ALL, contents);
                assert_eq!(went.as_deref(), Some(contents));
            }
        }
        for (door, vendor) in [
            (Door::Messages, Vendor::OpenAi),
            (Door::Messages, Vendor::Gemini),
            (Door::Chat, Vendor::Anthropic),
        ] {
            assert_eq!(passed(door, &order(vendor, "m"), ALL, MESSAGE), None, "{door:?}");
        }
    }

    #[test]
    fn openai_is_spared_what_only_other_vendors_know() {
        let extra = r#","reasoning_content":"hm","tool_calls":[{"id":"c","extra_content":{}}]"#;
        let body = format!(
            r#"{{"model":"x","messages":[{{"role":"assistant","content":"a"{extra}}}],"n":1.0}}"#
        );
        let cut = r#"{"model":"gpt-5","messages":[{"role":"assistant","content":"a","tool_calls":[{"id":"c"}]}],"n":1.0}"#;
        let went = passed(Door::Chat, &order(Vendor::OpenAi, "gpt-5"), ALL, &body);
        assert_eq!(went.as_deref(), Some(cut));
        let outline = Outline::parse(body.as_bytes(), &Form::CHAT).unwrap();
        let way = Native::find(Door::Chat, &order(Vendor::OpenAi, "gpt-5"), ALL, &outline).unwrap();
        let names = way.dropped(&outline);
        let names: Vec<_> = names.names().collect();
        assert_eq!(names, ["messages[].reasoning_content", "messages[].extra_content"]);
        let elsewhere = passed(Door::Chat, &order(Vendor::OpenAi, "x"), ALL, &body);
        assert_eq!(elsewhere.as_deref(), Some(&*body));
    }

    #[test]
    fn counting_is_asked_of_the_vendor_itself() {
        let counted = |vendor| {
            let order = order(vendor, "claude-y");
            let outline = Outline::parse(MESSAGE.as_bytes(), &Form::MESSAGES).unwrap();
            let way = Native::find_count(&order, &outline)?;
            let (mut path, mut body) = (Vec::new(), Vec::new());
            way.target(&order, false, &mut path).unwrap();
            way.changes(&outline, order.model, false).apply(MESSAGE.as_bytes(), &mut body);
            Some((String::from_utf8(path).unwrap(), String::from_utf8(body).unwrap()))
        };
        let renamed = MESSAGE.replace("claude-x", "claude-y");
        let api = ("/v1/messages/count_tokens".to_owned(), renamed.clone());
        assert_eq!(counted(Vendor::Anthropic), Some(api));
        let path = "/v1/publishers/anthropic/models/count-tokens:rawPredict".to_owned();
        let version = format!(",\"anthropic_version\":\"{VERTEX_VERSION}\"}}");
        let on_vertex = renamed.strip_suffix('}').unwrap().to_owned() + &version;
        assert_eq!(counted(Vendor::Claude), Some((path, on_vertex)));
        assert_eq!(counted(Vendor::Gemini), None);
    }

    #[test]
    fn settings_are_added_where_there_are_none() {
        let settings = "[{\"category\":\"C\"}]";
        let rules = Rules { safety_settings: Some(settings), ..Rules::default() };
        let order = Order { rules, ..order(Vendor::Gemini, "gemini-2.5-flash") };
        let go = |body: &str| passed(GENERATE, &order, ALL, body).unwrap();
        let added = format!("{{\"contents\":[] ,\"safetySettings\":{settings}}}\n");
        assert_eq!(go("{\"contents\":[] }\n"), added);
        let own = r#"{"contents":[],"safety_settings":[]}"#;
        assert_eq!(go(own), own);
    }

    #[test]
    fn what_small_changes_cannot_make_good_is_translated() {
        let goes = |order: &Order<'_>, settings, body: &str| {
            passed(GENERATE, order, settings, body).is_some()
        };
        let studio = order(Vendor::Gemini, "gemini-2.5-flash");
        let vertex = order(Vendor::Vertex, "gemini-2.5-flash");
        let bare = r#"{"contents":[{"parts":[{"text":"hi"}]}]}"#;
        assert!(goes(&studio, ALL, bare) && goes(&vertex, ALL, bare));
        let one = r#"{"contents":{"parts":[{"text":"hi"}]}}"#;
        assert!(goes(&studio, ALL, one) && !goes(&vertex, ALL, one));
        let labels = r#"{"contents":[],"labels":{}}"#;
        assert!(!goes(&studio, ALL, labels) && goes(&vertex, ALL, labels));
        let tier = r#"{"contents":[],"service_tier":"flex"}"#;
        assert!(goes(&studio, ALL, tier) && !goes(&vertex, ALL, tier));
        let inline = Settings { inline_system: true, ..ALL };
        let system = r#"{"contents":[],"systemInstruction":{"parts":[]}}"#;
        assert!(goes(&studio, ALL, system) && !goes(&studio, inline, system));
        let rules = Rules { openapi_schemas: true, ..Rules::default() };
        let schema = r#"{"contents":[],"generationConfig":{"responseJsonSchema":{}}}"#;
        assert!(goes(&studio, ALL, schema) && !goes(&Order { rules, ..studio }, ALL, schema));
        let marked = r#"{"contents":[{"parts":[{"text":"","thoughtSignature":"vbridge1.at.S"}]}]}"#;
        assert!(!goes(&studio, ALL, marked));
    }

    #[test]
    fn conversations_with_other_vendors_are_translated() {
        let anthropic = order(Vendor::Anthropic, "claude-x");
        for mark in ["vbridge1.gc.S", "call_1__thought__S"] {
            let body = MESSAGE.replace("1e9", &format!("\"{mark}\""));
            assert_eq!(passed(Door::Messages, &anthropic, ALL, &body), None, "{mark}");
        }
        let versioned = MESSAGE.replace("\"x\"", "\"anthropic_version\"");
        assert_eq!(passed(Door::Messages, &order(Vendor::Claude, "c"), ALL, &versioned), None);
        let sealed = r#"{"contents":[{"role":"model","parts":[{"text":"","thought":true,"thoughtSignature":"dmJyaWRnZTEuYXQuRXFR"}]}]}"#;
        assert_eq!(passed(GENERATE, &order(Vendor::Gemini, "g"), ALL, sealed), None);
    }
}
