//! What tokens cost: the vendors' list prices of this release, and the operator's own.
//!
//! Both are written in the same words, as `[[price]]` tables; those of this release are
//! `prices.toml` beside this file.

use super::error::quote;
use super::parse::{self, Notes, Settings, Sources, unknown_name};
use super::schema::Upstream;
use super::tariff::{Price, Rates, Tariff, Tier};
use super::value::Value;

/// The list prices, with the source of each.
const TABLE: &str = include_str!("prices.toml");

/// The day of the list prices, as `yyyymmdd`.
pub const PRICES_AS_OF: u32 = 20_261_130;

/// The times of a rate that are one.
const ONE: u64 = 1000;

impl Rates {
    /// Everything but `input` with its key.
    fn others(&mut self) -> [(&'static str, &mut Option<u64>); 9] {
        [
            ("cached", &mut self.cached),
            ("cache_write", &mut self.cache_write),
            ("cache_write_1h", &mut self.cache_write_1h),
            ("audio_input", &mut self.audio_input),
            ("audio_cached", &mut self.audio_cached),
            ("output", &mut self.output),
            ("reasoning", &mut self.reasoning),
            ("audio_output", &mut self.audio_output),
            ("image_output", &mut self.image_output),
        ]
    }

    /// Takes over what a table says.
    fn set(&mut self, table: &Settings) {
        self.input = rate(table, "input").unwrap_or(self.input);
        for (key, place) in self.others() {
            *place = rate(table, key).or(*place);
        }
    }

    /// So many thousandths of all of them; none where that is less than can be written.
    fn times(mut self, times: u64) -> Option<Self> {
        let scaled = |rate: u64| {
            let scaled = rate.checked_mul(times)?;
            scaled.is_multiple_of(ONE).then_some(scaled / ONE)
        };
        self.input = scaled(self.input)?;
        for (_, place) in self.others() {
            *place = match *place {
                Some(rate) => Some(scaled(rate)?),
                None => None,
            };
        }
        Some(self)
    }
}

/// The operator's prices, then those of this release.
pub(super) fn prices(settings: &Settings, upstreams: &[Upstream], notes: &mut Notes) -> Vec<Price> {
    let own = settings.tables("price").iter();
    let mut all: Vec<Price> =
        own.filter_map(|table| Price::read(table, upstreams, notes)).collect();
    all.iter_mut().for_each(|price| price.own = true);
    all.extend(list_prices(notes));
    all
}

/// The prices of this release.
fn list_prices(notes: &mut Notes) -> Vec<Price> {
    let nothing = |_: &str| Err("nothing is read for a price".to_owned());
    let file = Some(("prices.toml", TABLE));
    let sources = Sources { file, flags: &[], variables: &[], read_file: &nothing };
    let settings = parse::read(&sources, notes);
    settings.tables("price").iter().filter_map(|table| Price::read(table, &[], notes)).collect()
}

impl Price {
    fn read(table: &Settings, upstreams: &[Upstream], notes: &mut Notes) -> Option<Self> {
        let model = table.required(("price", "model"), "a model, or a prefix ending in *", notes);
        if !table.is_set("input") {
            let expected = "US dollars for a million tokens, such as \"0.30\"";
            notes.error("price.input", &table.place, "nothing", expected);
        }
        let upstream = match table.text("upstream") {
            Some(name) => Some(upstream(name, table, upstreams, notes)?),
            None => None,
        };
        let mut standard = Tariff::default();
        standard.rates.set(table);
        if let [long, ..] = table.tables("long") {
            standard.set_long(long, notes);
        }
        let mut tiers = Vec::new();
        for (tier, key) in Tier::TABLES {
            if let [tariff, ..] = table.tables(key) {
                tiers.push((tier, standard.tier((key, tariff), notes)?));
            }
        }
        let from = u32::try_from(whole(table, "from").unwrap_or(0)).unwrap_or(0);
        Some(Self { model: model?.to_owned(), upstream, own: false, from, standard, tiers })
    }
}

impl Tariff {
    /// The rates for a prompt of so many tokens.
    pub const fn rates_for(&self, prompt: u64) -> &Rates {
        match &self.long {
            Some((most, long)) if prompt > *most => long,
            _ => &self.rates,
        }
    }

    /// Takes over what a table says of long prompts; what it does not say stays.
    fn set_long(&mut self, table: &Settings, notes: &mut Notes) {
        let (over, mut rates) = self.long.unwrap_or((0, self.rates));
        rates.set(table);
        let over = whole(table, "over").unwrap_or(over);
        if over == 0 && !table.is_refused("over") {
            let expected = "the most tokens of a prompt that is not long";
            notes.error("price.long.over", &table.place, "nothing", expected);
        }
        self.long = Some((over, rates));
    }

    /// What a tier costs where this is the standard: so many times as much, but for what its table
    /// says itself.
    fn tier(self, (key, table): (&str, &Settings), notes: &mut Notes) -> Option<Self> {
        let times = whole(table, "times").unwrap_or(ONE);
        let long = match self.long {
            Some((over, rates)) => rates.times(times).map(|rates| Some((over, rates))),
            None => Some(None),
        };
        let (Some(rates), Some(long)) = (self.rates.times(times), long) else {
            let expected = "what gives whole millionths of a dollar for a million tokens";
            let found = quote(&times.to_string());
            notes.error(
                &format!("price.{key}.times"),
                table.place_of("times"),
                format!("{found} thousandths"),
                expected,
            );
            return None;
        };
        let mut tariff = Self { rates, long };
        tariff.rates.set(table);
        if let [long, ..] = table.tables("long") {
            tariff.set_long(long, notes);
        }
        Some(tariff)
    }
}

/// The upstream that a price is for.
fn upstream(
    name: &str,
    table: &Settings,
    upstreams: &[Upstream],
    notes: &mut Notes,
) -> Option<usize> {
    let found = upstreams.iter().position(|upstream| upstream.name == name);
    if found.is_none() {
        let names: Vec<&str> = upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
        let (found, expected) = unknown_name(name, &names);
        notes.error("price.upstream", table.place_of("upstream"), found, expected);
    }
    found
}

fn rate(table: &Settings, key: &str) -> Option<u64> {
    whole(table, key)
}

fn whole(table: &Settings, key: &str) -> Option<u64> {
    match table.value(key) {
        Some(Value::Whole(number)) => Some(*number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    fn load(file: &str) -> Result<Config, Vec<String>> {
        let nothing = |_: &str| Err("none".to_owned());
        let file = Some(("vb.toml", file));
        let sources = Sources { file, flags: &[], variables: &[], read_file: &nothing };
        Config::load(&sources).map_err(|all| all.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn tiers_and_long_prompts_begin_with_the_standard() {
        let file = "[[price]]\nmodel = \"m\"\ninput = \"2\"\ncached = 0.2\noutput = 10\n\
                    long = { over = 1000, input = 4 }\n\
                    flex = { times = 0.5, cached = \"0.2\", long = { output = 7.5 } }\n\
                    fast = { input = 9 }\n";
        let prices = load(file).expect("a configuration").prices;
        let price = prices.first().expect("a price");
        let rates = |input, cached, output| Rates {
            input,
            cached: Some(cached),
            output: Some(output),
            ..Rates::default()
        };
        assert!(price.own && price.model == "m" && price.from == 0);
        let standard = Tariff {
            rates: rates(2_000_000, 200_000, 10_000_000),
            long: Some((1000, rates(4_000_000, 200_000, 10_000_000))),
        };
        assert_eq!(price.standard, standard);
        let flex = Tariff {
            rates: rates(1_000_000, 200_000, 5_000_000),
            long: Some((1000, rates(2_000_000, 100_000, 7_500_000))),
        };
        let fast = Tariff { rates: rates(9_000_000, 200_000, 10_000_000), ..standard };
        assert_eq!(price.tiers, [(Tier::Flex, flex), (Tier::Fast, fast)]);
    }

    #[test]
    fn mistakes_name_line_key_found_and_expected() {
        let usd = "expected US dollars for a million tokens, such as \"0.30\"";
        let upstream = "[[upstream]]\nname = \"near\"\nkind = \"openai\"\n\
                        base_url = \"http://127.0.0.1:1/v1\"\n[[price]]\nmodel = \"m\"\n";
        for (text, want) in [
            ("", format!("5: price.input: found nothing, {usd}")),
            ("input = -1", format!("7: price.input: found -1, {usd}, with at most 6 decimals")),
            ("input = \"1,5\"", format!("7: price.input: found \"1,5\", {usd}, with at most 6 decimals")),
            ("input = 1e3", format!("7: price.input: found 1e3, {usd}, with at most 6 decimals")),
            (
                "input = 0.0000001",
                format!("7: price.input: found 0.0000001, {usd}, with at most 6 decimals"),
            ),
            (
                "input = 1\nupstream = \"neat\"",
                "8: price.upstream: found \"neat\", expected the name of an upstream (did you mean \
                 near?)"
                    .to_owned(),
            ),
            (
                "input = 1\nfrom = \"2026-02-29\"",
                "8: price.from: found \"2026-02-29\", expected a day such as \"2026-12-01\"".to_owned(),
            ),
            (
                "input = 1\nlong = { input = 2 }",
                "8: price.long.over: found nothing, expected the most tokens of a prompt that is not \
                 long"
                    .to_owned(),
            ),
            (
                "input = 0.000001\nflex = { times = 0.5 }",
                "8: price.flex.times: found \"500\" thousandths, expected what gives whole millionths \
                 of a dollar for a million tokens"
                    .to_owned(),
            ),
            (
                "input = 1\ninpt = 1",
                "8: price.inpt: found an unknown key, expected a known key (did you mean input?)"
                    .to_owned(),
            ),
        ] {
            let found = load(&format!("{upstream}{text}")).expect_err(text);
            assert_eq!(found, [format!("vb.toml:{want}")], "{text}");
        }
    }
}
