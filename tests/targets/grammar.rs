//! The order in which events may come, and what their texts must be.

use vertex_bridge::chat::{Event, FinishReason};
use vertex_bridge::wire::json::JsonText;

use super::exact_json::{depth, is_json};

/// What a choice has said.
#[derive(Clone, Debug, Default)]
struct Choice {
    /// Of each call: do its arguments come in pieces?
    calls: Vec<bool>,
    finished: bool,
}

/// Follows one answer and panics at the first event out of order.
#[derive(Debug, Default)]
pub(super) struct Grammar {
    started: bool,
    counted: bool,
    choices: Vec<Choice>,
}

impl Grammar {
    /// Takes the next event.
    pub(super) fn on_event(&mut self, event: &Event<'_>) {
        let first = matches!(event, Event::Start { .. });
        assert_eq!(first, !self.started, "the start comes first and once: {event:?}");
        assert!(!self.counted, "the counts come last: {event:?}");
        match event {
            Event::Start { id, model, .. } => {
                self.started = true;
                for name in [id, model].into_iter().flatten() {
                    assert!(!name.is_empty(), "a name is not empty: {event:?}");
                    text(*name);
                }
            }
            Event::Text { choice, text: said }
            | Event::Reasoning { choice, text: said }
            | Event::Refusal { choice, text: said }
            | Event::Signature { choice, data: said }
            | Event::Redacted { choice, data: said } => {
                self.choice(*choice);
                text(*said);
            }
            Event::Thought { choice, text: said, signature } => {
                self.choice(*choice);
                [*said, *signature].into_iter().for_each(text);
            }
            Event::Media { choice, mime, data, .. } => {
                self.choice(*choice);
                [*mime, *data].into_iter().for_each(text);
            }
            Event::Open { choice } => {
                self.choice(*choice);
            }
            Event::Call { .. } => self.call(event),
            Event::Arguments { choice, call, piece } => {
                let call = usize::try_from(*call).expect("a small number");
                let pieces = self.choice(*choice).calls.get(call);
                assert_eq!(pieces, Some(&true), "pieces follow their call: {event:?}");
                text(*piece);
            }
            Event::Logprobs { choice, content } => {
                self.choice(*choice);
                assert!(!content.is_empty() && is_json(format!("[{content}]").as_bytes()));
            }
            Event::Tier(tier) => text(*tier),
            Event::Counted(_) => {}
            Event::Finish { choice, reason, sequence } => {
                let called = !self.choice(*choice).calls.is_empty();
                let of_calls = *reason == FinishReason::ToolCalls;
                assert!(called || !of_calls, "there are calls to wait for: {event:?}");
                sequence.iter().copied().for_each(text);
                self.choice(*choice).finished = true;
            }
            Event::Usage(_) => self.counted = true,
        }
    }

    /// The answer is whole.
    pub(super) fn end(&self) {
        assert!(self.started, "an answer begins");
        let finished = self.choices.iter().filter(|choice| choice.finished).count();
        assert!(finished > 0, "a whole answer has an end");
    }

    fn call(&mut self, event: &Event<'_>) {
        let Event::Call { choice, call, id, name, arguments, signature } = event else { return };
        let calls = &mut self.choice(*choice).calls;
        assert_eq!(Ok(calls.len()), usize::try_from(*call), "calls are counted: {event:?}");
        calls.push(arguments.is_none());
        assert!(!id.is_empty(), "a call can be answered: {event:?}");
        [*id, *name].into_iter().chain(*signature).for_each(text);
        if let Some(arguments) = arguments {
            let object = arguments.trim_start().starts_with('{');
            assert!(object && is_json(arguments.as_bytes()), "{event:?}");
            assert!(depth(arguments) <= 130, "{event:?}");
        }
    }

    fn choice(&mut self, choice: u32) -> &mut Choice {
        let index = usize::try_from(choice).expect("a small number");
        assert!(index < 128, "choice {choice}");
        if self.choices.len() <= index {
            self.choices.resize(index + 1, Choice::default());
        }
        let state = &mut self.choices[index];
        assert!(!state.finished, "nothing follows the end of choice {choice}");
        state
    }
}

/// A text can stand in a JSON string as it is.
fn text(text: JsonText<'_>) {
    assert!(is_json(format!("\"{}\"", text.raw()).as_bytes()), "{text:?} is no spelling");
}
