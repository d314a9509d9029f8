//! What an exchange uses of its upstreams, and what that costs.
//!
//! What the vendor has counted is charged as counted. An answer that the client did not wait for,
//! or that broke off, may have been counted in part only or not at all: the rest is estimated from
//! the bytes that were relayed. An attempt of which the client has got nothing costs nothing.

use crate::chat::{Event, Usage};
use crate::config::Tier;
use crate::policy::price::{Price, Tokens, push_usd};

use super::limits::estimate;

/// The name of the field, or of the trailer, that tells what an answer costs.
pub(super) const COST_FIELD: &str = "x-vertex-bridge-cost-usd";

/// What an exchange cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Charge {
    pub(super) usage: Usage,
    pub(super) tier: Tier,
    /// Nano-dollars; none when that is not known.
    pub(super) nanos: Option<u64>,
    /// The day of the prices, as `yyyymmdd`; zero when none was known.
    pub(super) prices: u32,
    /// Are some of the tokens estimates of ours?
    pub(super) estimated: bool,
}

/// What became of an answer, as far as its price is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Got {
    /// The client has all of it.
    Whole,
    /// It broke off while the client listened.
    Part,
    /// The client has left, perhaps before anything came.
    Left,
    /// The client has nothing of it.
    Nothing,
}

/// What has been used so far.
#[derive(Debug, Default)]
pub(super) struct Account<'s> {
    price: Option<&'s Price>,
    /// What the vendor has counted so far.
    usage: Option<Usage>,
    tier: Tier,
    /// Bytes of the answer's text that no count stands for yet.
    said: u64,
    /// Bytes of the request's body.
    pub(super) body_bytes: usize,
    /// How far the attempt has come.
    stage: Stage,
    /// What answers cost that broke off and that others went on with.
    before: Option<Charge>,
}

/// How far an attempt has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    #[default]
    Nothing,
    /// The upstream has the request.
    Sent,
    /// It has begun to answer.
    Answers,
    /// Its answer has ended.
    Ended,
}

impl<'s> Account<'s> {
    /// An upstream is about to be asked. What the one before has told the client stays on the bill.
    pub(super) fn ask(&mut self, price: Option<&'s Price>) {
        if self.stage >= Stage::Answers {
            self.before = Some(self.charge(Got::Part));
        }
        self.forget();
        self.price = price;
    }

    /// Nothing of the attempt is charged.
    pub(super) fn forget(&mut self) {
        (self.usage, self.tier, self.said) = (None, Tier::Standard, 0);
        self.stage = Stage::Nothing;
    }

    /// The upstream gets the request.
    pub(super) fn sent(&mut self) {
        self.stage = Stage::Sent;
    }

    /// The upstream has begun to answer.
    pub(super) fn answers(&mut self) {
        self.stage = self.stage.max(Stage::Answers);
    }

    /// Does it answer?
    pub(super) fn has_answer(&self) -> bool {
        self.stage >= Stage::Answers
    }

    /// Is what the answer costs known as soon as it is counted?
    pub(super) const fn has_price(&self) -> bool {
        self.price.is_some()
    }

    /// Nothing is charged for what was asked.
    pub(super) fn is_free(&mut self) {
        self.usage = Some(Usage::default());
    }

    /// So many bytes of text were relayed that no event told of.
    pub(super) const fn relayed(&mut self, bytes: u64) {
        self.said = self.said.saturating_add(bytes);
    }

    /// Notes what an event tells; `find` knows what the model costs that it names.
    pub(super) fn on_event(
        &mut self,
        event: &Event<'_>,
        find: impl FnOnce(&str) -> Option<&'s Price>,
    ) {
        match event {
            Event::Text { text, .. }
            | Event::Reasoning { text, .. }
            | Event::Arguments { piece: text, .. }
            | Event::Refusal { text, .. } => self.relayed(length(text.raw())),
            Event::Call { arguments: Some(arguments), .. } => self.relayed(length(arguments)),
            Event::Usage(usage) | Event::Counted(usage) => self.usage = Some(*usage),
            Event::Tier(tier) => self.tier = Tier::of(tier.raw()),
            Event::Finish { .. } => self.stage = self.stage.max(Stage::Ended),
            // The name that was asked for may be one of the operator's own.
            Event::Start { model: Some(model), .. } if self.price.is_none() => {
                self.price = find(model.raw());
            }
            _ => {}
        }
    }

    /// What is charged.
    pub(super) fn charge(&self, got: Got) -> Charge {
        let (usage, estimated) = self.usage(got);
        let tokens = tokens(&usage);
        let nanos = match self.price {
            Some(price) => price.cost(&tokens, self.tier),
            None => (usage == Usage::default()).then_some(0),
        };
        let prices = nanos.and(self.price).map_or(0, Price::version);
        let charge = Charge { usage, tier: self.tier, nanos, prices, estimated };
        self.before.map_or(charge, |before| before.and(&charge))
    }

    /// The tokens, and whether they are estimates.
    fn usage(&self, got: Got) -> (Usage, bool) {
        let least = match got {
            Got::Nothing => return (self.usage.unwrap_or_default(), false),
            Got::Whole | Got::Part => Stage::Answers,
            Got::Left => Stage::Sent,
        };
        if self.stage < least {
            return (self.usage.unwrap_or_default(), false);
        }
        let said = estimate(usize::try_from(self.said).unwrap_or(usize::MAX));
        match self.usage {
            Some(usage) if got == Got::Whole || self.stage == Stage::Ended => (usage, false),
            // Vendors that count as they go have not counted the last words yet, and no prompt has
            // no tokens.
            counted => {
                let usage = counted.unwrap_or_default();
                let prompt =
                    if usage.prompt == 0 { estimate(self.body_bytes) } else { usage.prompt };
                (Usage { prompt, completion: usage.completion.max(said), ..usage }, true)
            }
        }
    }
}

impl Charge {
    /// Both together.
    fn and(&self, other: &Self) -> Self {
        let nanos = self.nanos.zip(other.nanos).map(|(one, other)| one.saturating_add(other));
        Self {
            usage: self.usage.plus(&other.usage),
            tier: other.tier,
            nanos,
            prices: nanos.map_or(0, |_| self.prices.max(other.prices)),
            estimated: self.estimated || other.estimated,
        }
    }

    /// Appends the field that tells the cost, if it is known.
    pub(super) fn push_field(&self, out: &mut Vec<u8>) {
        let Some(nanos) = self.nanos else { return };
        out.extend_from_slice(COST_FIELD.as_bytes());
        out.extend_from_slice(b": ");
        push_usd(nanos, out);
        out.extend_from_slice(b"\r\n");
    }
}

fn length(text: &str) -> u64 {
    u64::try_from(text.len()).unwrap_or(u64::MAX)
}

/// The same tokens for the prices.
const fn tokens(usage: &Usage) -> Tokens {
    Tokens {
        prompt: usage.prompt,
        cached: usage.cached,
        cache_write: usage.cache_write,
        cache_write_1h: usage.cache_write_1h,
        prompt_audio: usage.prompt_audio,
        cached_audio: usage.cached_audio,
        completion: usage.completion,
        reasoning: usage.reasoning,
        completion_audio: usage.completion_audio,
        completion_image: usage.completion_image,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_that_was_counted_as_nothing_is_estimated_when_the_answer_breaks_off() {
        let mut account = Account { body_bytes: 400, ..Account::default() };
        account.answers();
        for (counted, prompt) in [(None, 100), (Some(0), 100), (Some(7), 7)] {
            account.usage = counted.map(|prompt| Usage { prompt, ..Usage::default() });
            let charge = account.charge(Got::Part);
            assert_eq!((charge.usage.prompt, charge.estimated), (prompt, true), "{counted:?}");
        }
    }
}
