//! What a client reads from OpenAI's stream and from OpenAI's whole answer, so that the two can be
//! compared. Texts stay in their JSON spelling.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

/// What one choice said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) content: String,
    pub(crate) reasoning: String,
    pub(crate) refusal: String,
    pub(crate) calls: Vec<Call>,
    pub(crate) thoughts: Vec<String>,
    pub(crate) images: Vec<String>,
    pub(crate) audio: Option<String>,
    pub(crate) logprobs: Vec<String>,
    pub(crate) extra: Option<String>,
    pub(crate) finish: Option<String>,
}

/// A call of a tool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) arguments: String,
    pub(crate) extra: Option<String>,
}

/// An answer as a client puts it together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Id, creation time and model, the same in every chunk.
    pub(crate) head: Option<[String; 3]>,
    pub(crate) choices: BTreeMap<u32, Said>,
    pub(crate) usage: Option<String>,
    pub(crate) tier: Option<String>,
    pub(crate) done: bool,
    pub(crate) error: bool,
}

type Raw<'j> = Option<&'j RawValue>;

#[derive(Debug, Deserialize)]
struct Body<'j> {
    #[serde(borrow)]
    id: &'j RawValue,
    object: &'j str,
    #[serde(borrow)]
    created: &'j RawValue,
    #[serde(borrow)]
    model: &'j RawValue,
    #[serde(borrow)]
    choices: Vec<Choice<'j>>,
    #[serde(borrow, default)]
    usage: Raw<'j>,
    #[serde(borrow, default)]
    service_tier: Raw<'j>,
}

#[derive(Debug, Deserialize)]
struct Choice<'j> {
    index: u32,
    #[serde(borrow, alias = "message")]
    delta: Delta<'j>,
    #[serde(borrow, default)]
    logprobs: Option<Logprobs<'j>>,
    finish_reason: Option<&'j str>,
}

#[derive(Debug, Deserialize)]
struct Logprobs<'j> {
    #[serde(borrow)]
    content: Vec<&'j RawValue>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Delta<'j> {
    role: Option<&'j str>,
    #[serde(borrow)]
    content: Raw<'j>,
    #[serde(borrow)]
    reasoning_content: Raw<'j>,
    #[serde(borrow)]
    refusal: Raw<'j>,
    #[serde(borrow, default)]
    tool_calls: Vec<ToolCall<'j>>,
    #[serde(borrow, default)]
    thinking_blocks: Vec<&'j RawValue>,
    #[serde(borrow, default)]
    images: Vec<&'j RawValue>,
    #[serde(borrow)]
    audio: Raw<'j>,
    #[serde(borrow)]
    extra_content: Raw<'j>,
}

#[derive(Debug, Deserialize)]
struct ToolCall<'j> {
    index: Option<usize>,
    #[serde(borrow)]
    id: Raw<'j>,
    #[serde(borrow)]
    function: Function<'j>,
    #[serde(borrow)]
    extra_content: Raw<'j>,
}

#[derive(Debug, Deserialize)]
struct Function<'j> {
    #[serde(borrow)]
    name: Raw<'j>,
    #[serde(borrow)]
    arguments: Raw<'j>,
}

/// Reads a stream of OpenAI's; panics where a strict client would stumble.
pub(crate) fn stream(bytes: &[u8]) -> Heard {
    let text = std::str::from_utf8(bytes).expect("a stream is text");
    assert!(text.is_empty() || text.ends_with("\n\n"), "the last event is whole: {text}");
    let mut heard = Heard::default();
    for event in text.split_terminator("\n\n") {
        assert!(!heard.done && !heard.error, "nothing follows the end: {event}");
        let data = event.strip_prefix("data: ").expect("a data line");
        assert!(!data.contains('\n'), "one line per event: {data}");
        if data == "[DONE]" {
            heard.done = true;
        } else if data.starts_with("{\"error\":") {
            heard.error = super::exact_json::is_json(data.as_bytes());
            assert!(heard.error, "{data}");
        } else {
            heard.chunk(data);
        }
    }
    heard
}

/// Reads the events of any API; panics where one is not JSON in one line.
pub(crate) fn events(bytes: &[u8]) {
    let text = std::str::from_utf8(bytes).expect("a stream is text");
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with("event: ")) {
        let data = line.strip_prefix("data: ").unwrap_or_else(|| panic!("no data line: {line}"));
        assert!(data == "[DONE]" || super::exact_json::is_json(data.as_bytes()), "{data}");
    }
}

/// Reads a whole answer of OpenAI's.
pub(crate) fn whole(bytes: &[u8]) -> Heard {
    let text = std::str::from_utf8(bytes).expect("an answer is text");
    let body: Body<'_> = serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"));
    assert_eq!(body.object, "chat.completion");
    let mut heard = Heard { done: true, ..Heard::default() };
    heard.head(&body);
    for (position, choice) in (0..).zip(&body.choices) {
        assert_eq!(choice.index, position, "{text}");
        assert_eq!(choice.delta.role, Some("assistant"), "{text}");
        assert!(choice.finish_reason.is_some(), "{text}");
        heard.choices.entry(position).or_default().take(choice);
    }
    heard.usage = body.usage.map(spelling);
    heard
}

impl Heard {
    fn head(&mut self, body: &Body<'_>) {
        let head = [body.id, body.created, body.model].map(spelling);
        assert!(head[0].len() > 2 && head[2].len() > 2, "id and model are named: {head:?}");
        let known = self.head.get_or_insert_with(|| head.clone());
        assert_eq!(*known, head, "one head in all chunks");
        if let Some(tier) = body.service_tier {
            self.tier = Some(spelling(tier));
        }
    }

    fn chunk(&mut self, data: &str) {
        let body: Body<'_> = serde_json::from_str(data).unwrap_or_else(|e| panic!("{e}: {data}"));
        assert_eq!(body.object, "chat.completion.chunk");
        self.head(&body);
        assert!(self.usage.is_none(), "the usage comes last: {data}");
        if let Some(usage) = body.usage {
            assert!(body.choices.is_empty(), "the usage stands alone: {data}");
            self.usage = Some(spelling(usage));
        }
        for choice in &body.choices {
            let new = !self.choices.contains_key(&choice.index);
            let role = choice.delta.role;
            assert_eq!(role, new.then_some("assistant"), "the role comes once, first: {data}");
            self.choices.entry(choice.index).or_default().take(choice);
        }
    }
}

impl Said {
    fn take(&mut self, choice: &Choice<'_>) {
        let delta = &choice.delta;
        assert!(self.finish.is_none(), "nothing follows the finish: {choice:?}");
        self.finish = choice.finish_reason.map(str::to_owned);
        for (place, piece) in [
            (&mut self.content, delta.content),
            (&mut self.reasoning, delta.reasoning_content),
            (&mut self.refusal, delta.refusal),
        ] {
            place.push_str(piece.map(inside).unwrap_or_default());
        }
        let all = |list: &[&RawValue]| list.iter().map(|one| spelling(one)).collect::<Vec<_>>();
        self.thoughts.extend(all(&delta.thinking_blocks));
        self.images.extend(all(&delta.images));
        self.logprobs.extend(all(choice.logprobs.as_ref().map_or(&[], |some| &some.content)));
        self.audio = delta.audio.map(spelling).or_else(|| self.audio.take());
        self.extra = delta.extra_content.map(spelling).or_else(|| self.extra.take());
        for (position, piece) in delta.tool_calls.iter().enumerate() {
            self.call(piece.index.unwrap_or(position), piece);
        }
    }

    fn call(&mut self, index: usize, piece: &ToolCall<'_>) {
        let new = index == self.calls.len();
        if new {
            self.calls.push(Call::default());
        }
        let call = self.calls.get_mut(index).expect("calls are counted from 0");
        assert_eq!(piece.id.is_some(), new, "the id comes once, first: {piece:?}");
        assert_eq!(piece.function.name.is_some(), new, "and the name: {piece:?}");
        if let (Some(id), Some(name)) = (piece.id, piece.function.name) {
            (call.id, call.name) = (inside(id).to_owned(), inside(name).to_owned());
            assert!(!call.id.is_empty(), "{piece:?}");
        }
        call.extra = piece.extra_content.map(spelling).or_else(|| call.extra.take());
        call.arguments.push_str(piece.function.arguments.map(inside).unwrap_or_default());
    }
}

fn spelling(raw: &RawValue) -> String {
    raw.get().to_owned()
}

/// The inside of a string.
fn inside(raw: &RawValue) -> &str {
    let text = raw.get().strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    text.unwrap_or_else(|| panic!("{raw} is no string"))
}
