//! What tokens cost.
//!
//! Rates are pico-dollars per token, in which every price that can be configured is a whole number;
//! what an exchange costs is summed up in them and rounded once, to the nearest nano-dollar (10⁻⁹
//! USD). So a sum is off by half a nano-dollar at most, whatever the number of tokens.

use std::cmp::Reverse;

use crate::base::ascii;
use crate::base::date::{DAY_MS, days_since_1970};
use crate::config::{Config, PRICES_AS_OF, Price as Listed, Rates, Tariff, Tier};

/// Pico-dollars of a nano-dollar.
const PICOS: u128 = 1000;

/// Tokens of one exchange by kind: parts are contained in their sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// All of the prompt.
    pub prompt: u64,
    /// Of the prompt, read from a cache.
    pub cached: u64,
    /// Of the prompt, written to a cache.
    pub cache_write: u64,
    /// Of those, to stay there for an hour or more.
    pub cache_write_1h: u64,
    /// Of the prompt, audio.
    pub prompt_audio: u64,
    /// Of the audio, read from a cache.
    pub cached_audio: u64,
    /// All of the answer.
    pub completion: u64,
    /// Of the answer, reasoning.
    pub reasoning: u64,
    /// Of the answer, audio.
    pub completion_audio: u64,
    /// Of the answer, images.
    pub completion_image: u64,
}

/// All prices that are known, ordered for look-up. It does not change.
#[derive(Clone, Debug, Default)]
pub struct Book {
    /// Invariant: names in ascending order, each once.
    names: Vec<Name>,
}

/// What costs how much by its name.
#[derive(Clone, Debug)]
struct Name {
    /// A model's name, or a prefix without its `*`.
    text: String,
    /// The place of the longest other name that this one starts with.
    shorter: Option<usize>,
    /// Invariant: what goes before others stands before them.
    prices: Vec<Price>,
}

/// What a model costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// The name is the beginning of one.
    is_prefix: bool,
    upstream: Option<usize>,
    own: bool,
    /// The first moment it is asked at, in milliseconds since 1970.
    from_ms: u64,
    /// The day it is known since, as `yyyymmdd`.
    version: u32,
    standard: Tariff,
    tiers: Vec<(Tier, Tariff)>,
}

impl Book {
    /// The prices of a configuration.
    pub fn of(config: &Config) -> Self {
        let mut listed: Vec<&Listed> = config.prices.iter().collect();
        listed.sort_by_key(|price| stem(&price.model).0);
        let mut names: Vec<Name> = Vec::new();
        for price in listed {
            let (text, is_prefix) = stem(&price.model);
            if names.last().is_none_or(|name| name.text != text) {
                let shorter = longest(&names, text);
                names.push(Name { text: text.to_owned(), shorter, prices: Vec::new() });
            }
            if let Some(name) = names.last_mut() {
                name.prices.push(Price::of(price, is_prefix));
            }
        }
        for name in &mut names {
            let order = |price: &Price| (price.rank(), !price.is_prefix, price.from_ms);
            name.prices.sort_by_key(|price| Reverse(order(price)));
        }
        Self { names }
    }

    /// What a model of an upstream costs at `now_ms` (milliseconds since 1970). The operator's
    /// prices go before list prices, those for one upstream before others, longer names before
    /// shorter ones, later days before earlier ones. Does not allocate.
    pub fn find(&self, upstream: usize, model: &str, now_ms: u64) -> Option<&Price> {
        let mut best: Option<&Price> = None;
        let mut place = longest(&self.names, model);
        while let Some(name) = place.and_then(|place| self.names.get(place)) {
            let is_version = is_version(model.get(name.text.len()..).unwrap_or_default());
            let found = name.prices.iter().find(|price| {
                (price.is_prefix || is_version)
                    && price.upstream.is_none_or(|only| only == upstream)
                    && price.from_ms <= now_ms
            });
            if let Some(price) = found
                && best.is_none_or(|best| price.rank() > best.rank())
            {
                best = found;
            }
            place = name.shorter;
        }
        best
    }
}

/// The place of the longest name that a model starts with: what stands before the model in order
/// starts with it too.
fn longest(names: &[Name], model: &str) -> Option<usize> {
    let after = names.partition_point(|name| name.text.as_str() <= model);
    let mut place = after.checked_sub(1);
    while let Some(name) = place.and_then(|place| names.get(place)) {
        if model.starts_with(&name.text) {
            return place;
        }
        place = name.shorter;
    }
    None
}

/// A pattern without its `*`, and whether it had one.
fn stem(pattern: &str) -> (&str, bool) {
    pattern.strip_suffix('*').map_or((pattern, false), |prefix| (prefix, true))
}

impl Price {
    fn of(listed: &Listed, is_prefix: bool) -> Self {
        let dated = listed.own && listed.from > 0;
        Self {
            is_prefix,
            upstream: listed.upstream,
            own: listed.own,
            from_ms: start_ms(listed.from),
            version: if dated { listed.from } else { PRICES_AS_OF },
            standard: listed.standard,
            tiers: listed.tiers.clone(),
        }
    }

    fn rank(&self) -> (bool, bool) {
        (self.own, self.own && self.upstream.is_some())
    }

    /// The day that this price is known since, as `yyyymmdd`: that of the list, or the first day
    /// of an operator's own.
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// What such tokens cost in nano-dollars. None where that is not known: the tier has no price,
    /// or there is audio, an image or an answer, and the model has no price for it.
    pub fn cost(&self, tokens: &Tokens, tier: Tier) -> Option<u64> {
        if *tokens == Tokens::default() {
            return Some(0);
        }
        let rates = self.tariff(tier)?.rates_for(tokens.prompt);
        let picos = prompt(rates, tokens)?.saturating_add(completion(rates, tokens)?);
        Some(nanos(picos))
    }

    /// What a prompt of so many tokens and an answer of so many cost at most, in nano-dollars, if
    /// nothing of it is audio or an image. None where the model makes no answers.
    pub fn estimate(&self, prompt: u64, completion: u64) -> Option<u64> {
        self.cost(&Tokens { prompt, completion, ..Tokens::default() }, Tier::Standard)
    }

    /// The rates for a prompt of so many tokens.
    pub fn rates(&self, prompt: u64) -> &Rates {
        self.standard.rates_for(prompt)
    }

    fn tariff(&self, tier: Tier) -> Option<&Tariff> {
        let of = |wanted| self.tiers.iter().find(|(tier, _)| *tier == wanted).map(|(_, of)| of);
        match tier {
            Tier::Standard => Some(&self.standard),
            // OpenAI's new word for the old one.
            Tier::Fast => of(Tier::Fast).or_else(|| of(Tier::Priority)),
            other => of(other),
        }
    }
}

/// Pico-dollars of the tokens of a prompt. Parts that vendors count twice are taken once.
fn prompt(rates: &Rates, tokens: &Tokens) -> Option<u128> {
    let cached = tokens.cached.min(tokens.prompt);
    let written = tokens.cache_write.min(tokens.prompt - cached);
    let long = tokens.cache_write_1h.min(written);
    let audio_cached = tokens.cached_audio.min(tokens.prompt_audio).min(cached);
    let fresh = tokens.prompt - cached - written;
    let audio = (tokens.prompt_audio - audio_cached.min(tokens.prompt_audio)).min(fresh);
    let write = rates.cache_write.unwrap_or(rates.input);
    sum([
        (fresh - audio, Some(rates.input)),
        (cached - audio_cached, Some(rates.cached.unwrap_or(rates.input))),
        (written - long, Some(write)),
        (long, Some(rates.cache_write_1h.unwrap_or(write))),
        (audio, rates.audio_input),
        (audio_cached, rates.audio_cached.or(rates.audio_input)),
    ])
}

/// Pico-dollars of the tokens of an answer.
fn completion(rates: &Rates, tokens: &Tokens) -> Option<u128> {
    let audio = tokens.completion_audio.min(tokens.completion);
    let image = tokens.completion_image.min(tokens.completion - audio);
    let reasoning = tokens.reasoning.min(tokens.completion - audio - image);
    sum([
        (tokens.completion - audio - image - reasoning, rates.output),
        (reasoning, rates.reasoning.or(rates.output)),
        (audio, rates.audio_output),
        (image, rates.image_output),
    ])
}

/// None where some tokens have no price.
fn sum<const N: usize>(parts: [(u64, Option<u64>); N]) -> Option<u128> {
    parts.into_iter().filter(|(count, _)| *count > 0).try_fold(0, |sum: u128, (count, rate)| {
        Some(sum.saturating_add(u128::from(count) * u128::from(rate?)))
    })
}

/// The nearest nano-dollar; more than there is stays that.
fn nanos(picos: u128) -> u64 {
    u64::try_from(picos.saturating_add(PICOS / 2) / PICOS).unwrap_or(u64::MAX)
}

/// When a day `yyyymmdd` begins (UTC), in milliseconds since 1970; 0 for days before.
fn start_ms(day: u32) -> u64 {
    let (year, month, day) = (u64::from(day / 10_000), u64::from(day / 100 % 100), day % 100);
    // No day is always.
    if day == 0 { 0 } else { days_since_1970(year, month, u64::from(day)) * DAY_MS }
}

/// An amount in dollars, as [`push_usd`] writes it.
pub fn usd(nanos: u64) -> String {
    let mut out = Vec::new();
    push_usd(nanos, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// Appends an amount in dollars, exactly and without trailing zeros: `0.00003`.
pub fn push_usd(nanos: u64, out: &mut Vec<u8>) {
    ascii::push_u64(out, nanos / 1_000_000_000);
    let mut rest = nanos % 1_000_000_000;
    if rest > 0 {
        out.push(b'.');
    }
    let mut unit = 100_000_000;
    while rest > 0 {
        ascii::push_u64(out, rest / unit);
        rest %= unit;
        unit /= 10;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;

    const NOW: u64 = 1_796_083_199_999;

    fn book(file: &str) -> Book {
        let read_file = |_: &str| Err("none".to_owned());
        let file = Some(("vb.toml", file));
        let sources = Sources { file, flags: &[], variables: &[], read_file: &read_file };
        Book::of(&Config::load(&sources).expect("a configuration"))
    }

    fn rates<'b>(book: &'b Book, model: &str) -> Option<&'b Rates> {
        book.find(0, model, NOW).map(|price| price.rates(0))
    }

    #[test]
    fn a_version_is_the_same_model_and_another_word_another() {
        let book = book("");
        for (name, same) in [
            ("gpt-4o-2024-08-06", "gpt-4o"),
            ("gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
            ("claude-sonnet-4-5@20250929", "claude-sonnet-4-5"),
            ("claude-opus-4-20250514", "claude-opus-4"),
            ("claude-opus-4-1-20250805", "claude-opus-4-1"),
            ("gemini-2.5-flash-preview-09-2025", "gemini-2.5-flash"),
            ("gemini-3.1-pro-preview", "gemini-3.1-pro"),
            ("gemini-2.0-flash-001", "gemini-2.0-flash"),
            ("gemini-embedding-001", "gemini-embedding"),
        ] {
            assert!(rates(&book, name).is_some(), "{name}");
            assert_eq!(rates(&book, name), rates(&book, same), "{name}");
        }
        assert_ne!(rates(&book, "gpt-4o-2024-05-13"), rates(&book, "gpt-4o"), "a price of its own");
        for unknown in ["", "gpt-4o-audio-preview", "claude-opus-4-9", "gpt-4-32k", "gemini-2.5"] {
            assert_eq!(rates(&book, unknown), None, "{unknown}");
        }
    }

    #[test]
    fn the_operators_prices_go_first_and_the_nearest_of_them() {
        let own = |text: &str| format!("[[price]]\nmodel = {text}\n");
        let upstream = "[[upstream]]\nname = \"a\"\nkind = \"gemini\"\nbase_url = \"http://127.0.0.1:1\"\n\
                        [[upstream]]\nname = \"b\"\nkind = \"gemini\"\nbase_url = \"http://127.0.0.1:1\"\n";
        let book = book(
            &[
                upstream,
                &own("\"gemini-*\"\ninput = 9"),
                &own("\"gemini-2.5-*\"\ninput = 8.5\nupstream = \"b\""),
                &own("\"gemini-2.5-pro\"\ninput = \"7\"\noutput = 1"),
                &own("\"gemini-2.5-pro\"\ninput = \"6\"\nfrom = 2026-11-30"),
                &own("\"gemini-2.5-pro\"\ninput = \"5\"\nfrom = 2026-12-01"),
                &own("\"x*\"\ninput = 0"),
            ]
            .concat(),
        );
        let found = |upstream, model, now| {
            let price = book.find(upstream, model, now)?;
            Some((price.rates(0).input / 100_000, price.version()))
        };
        assert_eq!(found(0, "gemini-2.5-pro", NOW), Some((60, 20_261_130)));
        assert_eq!(found(0, "gemini-2.5-pro-001", NOW + 1), Some((50, 20_261_201)));
        assert_eq!(found(0, "gemini-2.5-pro", 0), Some((70, PRICES_AS_OF)));
        assert_eq!(found(1, "gemini-2.5-pro", NOW), Some((85, PRICES_AS_OF)));
        assert_eq!(found(0, "gemini-2.5-flash", NOW), Some((90, PRICES_AS_OF)));
        assert_eq!(found(0, "gpt-4o", NOW), Some((25, PRICES_AS_OF)));
        assert_eq!(found(0, "xy", NOW), Some((0, PRICES_AS_OF)), "nothing is a price too");
        assert_eq!(found(0, "y", NOW), None);
    }

    #[test]
    fn prices_that_change_do_so_on_their_day() {
        let book = book("");
        let input = |now| book.find(0, "gemini-4-argon", now).map(|price| price.rates(0).input);
        assert_eq!((input(NOW), input(NOW + 1)), (Some(2_000_000), Some(4_000_000)));
        assert_eq!((start_ms(19_700_101), start_ms(0)), (0, 0));
        assert_eq!(start_ms(20_240_229), 1_709_164_800_000);
        assert_eq!(start_ms(20_261_201), NOW + 1);
    }

    #[test]
    fn sums_are_exact_and_rounded_once() {
        let book = book("");
        let pro = book.find(0, "gemini-2.5-pro", NOW).expect("a price");
        assert_eq!(pro.estimate(200_000, 10), Some(250_100_000));
        assert_eq!(pro.estimate(200_001, 10), Some(500_152_500));
        assert_eq!(pro.estimate(u64::MAX, 1), Some(u64::MAX), "more than there is stays that");
        let nano = book.find(0, "gpt-5-nano", NOW).expect("a price");
        let cached = |cached| Tokens { prompt: cached, cached, ..Tokens::default() };
        assert_eq!(nano.cost(&cached(1), Tier::Flex), Some(3), "2.5 nano-dollars");
        assert_eq!(nano.cost(&cached(1_000_001), Tier::Flex), Some(2_500_003));
        for (nanos, text) in
            [(0, "0"), (1, "0.000000001"), (30_000, "0.00003"), (1_050_000_000, "1.05")]
        {
            let mut out = Vec::new();
            push_usd(nanos, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    #[test]
    fn what_has_no_price_is_not_free() {
        let book = book("");
        let gpt = book.find(0, "gpt-4o", NOW).expect("a price");
        let audio = Tokens { prompt: 9, prompt_audio: 5, ..Tokens::default() };
        assert_eq!(gpt.cost(&audio, Tier::Standard), None);
        let image = Tokens { prompt: 9, completion: 2, completion_image: 1, ..Tokens::default() };
        assert_eq!(gpt.cost(&image, Tier::Standard), None);
        assert_eq!(gpt.cost(&Tokens { prompt: 9, ..Tokens::default() }, Tier::Other), None);
        assert_eq!(gpt.cost(&Tokens::default(), Tier::Other), Some(0), "nothing was used");
        let vectors = book.find(0, "text-embedding-3-small", NOW).expect("a price");
        assert_eq!((vectors.estimate(1000, 0), vectors.estimate(1000, 1)), (Some(20_000), None));
    }

    #[test]
    fn parts_that_overlap_are_charged_once() {
        let book = book("");
        let price = book.find(0, "gemini-2.5-flash", NOW).expect("a price");
        // 100 tokens, of which the vendor says that 80 are audio and 60 came from a cache.
        let tokens = Tokens { prompt: 100, cached: 60, prompt_audio: 80, ..Tokens::default() };
        assert_eq!(price.cost(&tokens, Tier::Standard), Some(60 * 30 + 40 * 1000));
        let told = Tokens { cached_audio: 50, ..tokens };
        assert_eq!(
            price.cost(&told, Tier::Standard),
            Some(10 * 30 + 50 * 100 + 30 * 1000 + 10 * 300)
        );
        let too_much = Tokens { prompt: 10, cached: 20, cache_write: 30, ..Tokens::default() };
        assert_eq!(price.cost(&too_much, Tier::Standard), Some(300));
    }

    #[test]
    fn every_list_price_makes_sense() {
        let read_file = |_: &str| Err("none".to_owned());
        let sources = Sources { file: None, flags: &[], variables: &[], read_file: &read_file };
        let prices = Config::load(&sources).expect("a configuration").prices;
        assert!(prices.len() > 100, "{}", prices.len());
        for (place, price) in prices.iter().enumerate() {
            let Rates { input, cached, output, .. } = price.standard.rates;
            assert!(input > 0 && !price.own && !price.model.contains('*'), "{price:?}");
            assert!(cached.is_none_or(|cached| 0 < cached && cached <= input), "{price:?}");
            assert!(output.is_none_or(|output| output > input), "{price:?}");
            let twice = prices.iter().skip(place + 1);
            let twice =
                twice.filter(|other| (&other.model, other.from) == (&price.model, price.from));
            assert_eq!(twice.count(), 0, "{price:?}");
        }
    }

    #[test]
    fn amounts_are_exact() {
        for (nanos, want) in [
            (0, "0"),
            (1, "0.000000001"),
            (1_500_000_000, "1.5"),
            (10_000_000_000, "10"),
            (u64::MAX, "18446744073.709551615"),
        ] {
            assert_eq!(usd(nanos), want);
        }
    }
}
