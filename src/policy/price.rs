//! What tokens cost: the vendors' list prices, for estimates.
//!
//! All amounts are whole nano-dollars (10⁻⁹ USD), in which every list price per token is a whole
//! number, so sums are exact. Sources, as they stood on [`AS_OF`]:
//! <https://ai.google.dev/gemini-api/docs/pricing>,
//! <https://platform.claude.com/docs/en/about-claude/pricing>,
//! <https://platform.openai.com/docs/pricing>.

/// The day of the table.
pub const AS_OF: &str = "2026-07-04";

/// Prices of one model, in nano-dollars per token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Price {
    /// The model, without the date or the number of a version.
    pub model: &'static str,
    /// For prompts of any length, or up to the limit of `long`.
    pub rates: Rates,
    /// The most tokens of a prompt that `rates` are for, and the rates of longer ones.
    pub long: Option<(u64, Rates)>,
}

/// Nano-dollars per token, standard tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rates {
    /// Tokens of a prompt: text and images.
    pub input: u64,
    /// Those that were read from a cache.
    pub cached: u64,
    /// Generated tokens, reasoning too.
    pub output: u64,
}

impl Price {
    /// The price of a model, if it is known. A version behind its name (`-2024-08-06`, `@20250929`,
    /// `-001`, `-preview-09-2025`, `-latest`) changes nothing; another word is another model.
    pub fn of(model: &str) -> Option<&'static Self> {
        let fits = |price: &&Self| model.strip_prefix(price.model).is_some_and(is_version);
        TABLE.iter().filter(fits).max_by_key(|price| price.model.len())
    }

    /// The rates for a prompt of so many tokens.
    pub fn rates(&self, prompt: u64) -> Rates {
        match self.long {
            Some((most, long)) if prompt > most => long,
            _ => self.rates,
        }
    }
}

impl Rates {
    /// Nano-dollars for so many uncached tokens of a prompt and generated tokens.
    pub const fn cost(&self, prompt: u64, completion: u64) -> u64 {
        let input = prompt.saturating_mul(self.input);
        input.saturating_add(completion.saturating_mul(self.output))
    }
}

/// Is this what may follow a model's name without naming another one?
fn is_version(rest: &str) -> bool {
    let Some(rest) = rest.strip_prefix(['-', '@']) else { return rest.is_empty() };
    let mut words = rest.split('-');
    let digits = |word: &str, least: usize| {
        word.len() >= least && word.bytes().all(|byte| byte.is_ascii_digit())
    };
    // One or two digits alone are a model of their own: claude-opus-4 and claude-opus-4-1.
    let first = words
        .next()
        .is_some_and(|word| matches!(word, "preview" | "latest" | "exp") || digits(word, 3));
    first && words.all(|word| digits(word, 2))
}

const fn flat(model: &'static str, input: u64, cached: u64, output: u64) -> Price {
    Price { model, rates: Rates { input, cached, output }, long: None }
}

const fn stepped(model: &'static str, rates: Rates, long: Rates) -> Price {
    Price { model, rates, long: Some((200_000, long)) }
}

const fn rates(input: u64, cached: u64, output: u64) -> Rates {
    Rates { input, cached, output }
}

/// A thousand here is one dollar for a million tokens.
const TABLE: [Price; 40] = [
    stepped("gemini-3.1-pro", rates(2_000, 200, 12_000), rates(4_000, 400, 18_000)),
    stepped("gemini-3-pro", rates(2_000, 200, 12_000), rates(4_000, 400, 18_000)),
    flat("gemini-3-flash", 500, 50, 3_000),
    flat("gemini-3.1-flash-lite", 250, 25, 1_500),
    stepped("gemini-2.5-pro", rates(1_250, 125, 10_000), rates(2_500, 250, 15_000)),
    flat("gemini-2.5-flash", 300, 30, 2_500),
    flat("gemini-2.5-flash-lite", 100, 10, 400),
    flat("gemini-2.0-flash", 100, 25, 400),
    flat("gemini-2.0-flash-lite", 75, 75, 300),
    flat("gemini-embedding", 150, 150, 0),
    flat("claude-opus-4-6", 5_000, 500, 25_000),
    flat("claude-opus-4-5", 5_000, 500, 25_000),
    flat("claude-opus-4-1", 15_000, 1_500, 75_000),
    flat("claude-opus-4", 15_000, 1_500, 75_000),
    flat("claude-sonnet-4-6", 3_000, 300, 15_000),
    stepped("claude-sonnet-4-5", rates(3_000, 300, 15_000), rates(6_000, 600, 22_500)),
    stepped("claude-sonnet-4", rates(3_000, 300, 15_000), rates(6_000, 600, 22_500)),
    flat("claude-3-7-sonnet", 3_000, 300, 15_000),
    flat("claude-haiku-4-5", 1_000, 100, 5_000),
    flat("claude-3-5-haiku", 800, 80, 4_000),
    flat("gpt-5.2", 1_750, 175, 14_000),
    flat("gpt-5.1", 1_250, 125, 10_000),
    flat("gpt-5", 1_250, 125, 10_000),
    flat("gpt-5-mini", 250, 25, 2_000),
    flat("gpt-5-nano", 50, 5, 400),
    flat("gpt-4.1", 2_000, 500, 8_000),
    flat("gpt-4.1-mini", 400, 100, 1_600),
    flat("gpt-4.1-nano", 100, 25, 400),
    flat("gpt-4o", 2_500, 1_250, 10_000),
    flat("gpt-4o-mini", 150, 75, 600),
    flat("o1", 15_000, 7_500, 60_000),
    flat("o3", 2_000, 500, 8_000),
    flat("o3-mini", 1_100, 550, 4_400),
    flat("o3-pro", 20_000, 20_000, 80_000),
    flat("o4-mini", 1_100, 275, 4_400),
    flat("gpt-4-turbo", 10_000, 10_000, 30_000),
    flat("gpt-3.5-turbo", 500, 500, 1_500),
    flat("text-embedding-3-small", 20, 20, 0),
    flat("text-embedding-3-large", 130, 130, 0),
    flat("text-embedding-ada-002", 100, 100, 0),
];

/// Appends an amount in dollars, exactly and without trailing zeros: `0.00003`.
pub fn push_usd(nanos: u64, out: &mut Vec<u8>) {
    crate::base::ascii::push_u64(out, nanos / 1_000_000_000);
    let mut rest = nanos % 1_000_000_000;
    if rest > 0 {
        out.push(b'.');
    }
    let mut unit = 100_000_000;
    while rest > 0 {
        crate::base::ascii::push_u64(out, rest / unit);
        rest %= unit;
        unit /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(name: &str) -> Option<&'static str> {
        Price::of(name).map(|price| price.model)
    }

    #[test]
    fn a_version_is_the_same_model_and_another_word_another() {
        for (name, found) in [
            ("gpt-4o", "gpt-4o"),
            ("gpt-4o-2024-08-06", "gpt-4o"),
            ("gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
            ("claude-sonnet-4-5@20250929", "claude-sonnet-4-5"),
            ("claude-opus-4-20250514", "claude-opus-4"),
            ("claude-opus-4-1-20250805", "claude-opus-4-1"),
            ("gemini-2.5-flash-preview-09-2025", "gemini-2.5-flash"),
            ("gemini-3-pro-preview", "gemini-3-pro"),
            ("gemini-2.0-flash-001", "gemini-2.0-flash"),
            ("gemini-embedding-001", "gemini-embedding"),
        ] {
            assert_eq!(model(name), Some(found), "{name}");
        }
        for unknown in ["", "gpt-4o-audio-preview", "claude-opus-4-9", "gpt-4", "gemini-2.5-flashy"]
        {
            assert_eq!(model(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn long_prompts_have_their_own_rates_and_sums_are_exact() {
        let pro = Price::of("gemini-2.5-pro").unwrap();
        assert_eq!(pro.rates(200_000).cost(200_000, 10), 250_100_000);
        assert_eq!(pro.rates(200_001).cost(200_001, 10), 500_152_500);
        assert_eq!(pro.rates.cost(u64::MAX, 1), u64::MAX, "more than there is stays that");
        for (nanos, text) in
            [(0, "0"), (1, "0.000000001"), (30_000, "0.00003"), (1_050_000_000, "1.05")]
        {
            let mut out = Vec::new();
            push_usd(nanos, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    #[test]
    fn no_model_stands_twice_and_none_is_free() {
        for (place, price) in TABLE.iter().enumerate() {
            assert!(price.rates.input > 0 && price.rates.cached <= price.rates.input, "{price:?}");
            assert!(TABLE.iter().skip(place + 1).all(|other| other.model != price.model));
        }
    }
}
