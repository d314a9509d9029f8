//! What is counted of exchanges off the cores, from their records: the families that
//! OpenTelemetry's conventions for generative AI name, and the exemplars that lead from a bucket of
//! a histogram to one exchange.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::spread::{BOUNDS, Spread};

/// Combinations of labels that have series of their own: configurations have some dozens. All
/// further ones count together.
const SERIES_MAX: usize = 512;

/// The label value of those.
const OTHER: &str = "other";

/// Upper bounds, as the conventions have them.
pub(super) const TOKENS: [f64; 14] = [
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1024.0,
    4096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];
const SECONDS: [f64; 14] =
    [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
const FIRST: [f64; 16] =
    [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
const PER_TOKEN: [f64; 13] =
    [0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5];

/// What is told of one exchange that has ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Exchange<'e> {
    /// Its id.
    pub id: &'e str,
    /// Its trace; zero when there is none.
    pub trace: u128,
    /// When it ended, in milliseconds since 1970.
    pub ended_ms: u64,
    /// `gen_ai.operation.name`.
    pub operation: &'e str,
    /// `gen_ai.provider.name`; empty when nobody was asked.
    pub provider: &'e str,
    /// The pattern of its route, which stands for the model: clients cannot make a series.
    pub route: &'e str,
    /// `error.type`; empty when there was none.
    pub error: &'e str,
    /// From the first byte of the request to the last of the answer.
    pub total: Duration,
    /// From the request to the upstream to the last byte of the answer.
    pub asked: Duration,
    /// From the first byte of the request to the first of the stream.
    pub first_token: Option<Duration>,
    /// The gateway's own work.
    pub overhead: Duration,
    /// Tokens of the prompt and of the answer, as far as they are known.
    pub tokens: [u64; 2],
}

/// All exchanges that were told.
#[derive(Debug, Default)]
pub struct Seen(Mutex<Inner>);

#[derive(Clone, Debug, Default)]
struct Inner {
    exemplars: Exemplars,
    asked: Vec<Asked>,
}

/// The last exchange in each bucket.
#[derive(Clone, Debug, Default)]
pub(super) struct Exemplars {
    pub(super) total: Last,
    pub(super) first_token: Last,
    pub(super) overhead: Last,
}

/// By the place of the bucket; the last one is that of all that are longer.
pub(super) type Last = [Option<Exemplar>; BOUNDS.len() + 1];

/// One exchange, as an exemplar.
#[derive(Clone, Debug)]
pub(super) struct Exemplar {
    pub(super) id: String,
    pub(super) trace: u128,
    pub(super) seconds: f64,
    pub(super) at_ms: u64,
}

/// What was asked of one provider through one route.
#[derive(Clone, Debug)]
struct Asked {
    operation: String,
    provider: String,
    route: String,
    tokens: [Spread; 2],
    first_token: Spread,
    per_token: Spread,
    /// By the type of the error: as the upstream's client, and as the client's server.
    durations: Vec<(String, [Spread; 2])>,
}

impl Seen {
    /// Counts one exchange.
    pub fn observe(&self, exchange: &Exchange<'_>) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.exemplars.observe(exchange);
        if !exchange.provider.is_empty() {
            inner.asked(exchange).observe(exchange);
        }
    }

    /// The exemplars, and the families of the conventions with their series.
    pub(super) fn read(&self) -> (Exemplars, Vec<(&'static str, Spread)>) {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (inner.exemplars, inner.asked.iter().flat_map(Asked::spreads).collect())
    }
}

impl Exemplars {
    fn observe(&mut self, exchange: &Exchange<'_>) {
        let durations = [
            (&mut self.total, Some(exchange.total)),
            (&mut self.first_token, exchange.first_token),
            (&mut self.overhead, Some(exchange.overhead)),
        ];
        for (last, duration) in durations {
            let Some(seconds) = duration.map(|duration| duration.as_secs_f64()) else { continue };
            let place = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
            let Some(slot) = last.get_mut(place) else { continue };
            let mut id = slot.take().map_or_else(String::new, |old| old.id);
            id.clear();
            id.push_str(exchange.id);
            let at_ms = exchange.ended_ms;
            *slot = Some(Exemplar { id, trace: exchange.trace, seconds, at_ms });
        }
    }
}

impl Inner {
    /// The series of an exchange's labels.
    fn asked(&mut self, exchange: &Exchange<'_>) -> &mut Asked {
        let mut labels = (exchange.operation, exchange.provider, exchange.route);
        let mut at = self.asked.iter().position(|asked| asked.is(labels));
        if at.is_none() && self.asked.len() >= SERIES_MAX {
            labels = (OTHER, OTHER, OTHER);
            at = self.asked.iter().position(|asked| asked.is(labels));
        }
        let at = at.unwrap_or(self.asked.len());
        if at == self.asked.len() {
            self.asked.push(Asked::new(labels));
        }
        &mut self.asked[at]
    }
}

impl Asked {
    fn new((operation, provider, route): (&str, &str, &str)) -> Self {
        Self {
            operation: operation.to_owned(),
            provider: provider.to_owned(),
            route: route.to_owned(),
            tokens: [Spread::new(&TOKENS), Spread::new(&TOKENS)],
            first_token: Spread::new(&FIRST),
            per_token: Spread::new(&PER_TOKEN),
            durations: Vec::new(),
        }
    }

    fn is(&self, (operation, provider, route): (&str, &str, &str)) -> bool {
        self.operation == operation && self.provider == provider && self.route == route
    }

    fn observe(&mut self, exchange: &Exchange<'_>) {
        for (spread, count) in self.tokens.iter_mut().zip(exchange.tokens) {
            if count > 0 {
                spread.observe(real(count));
            }
        }
        if let Some(first) = exchange.first_token {
            self.first_token.observe(first.as_secs_f64());
            // The first one has come already.
            let more = exchange.tokens[1].saturating_sub(1);
            if more > 0 && exchange.error.is_empty() {
                let rest = exchange.total.saturating_sub(first).as_secs_f64();
                self.per_token.observe(rest / real(more));
            }
        }
        let at = self.durations.iter().position(|(error, _)| error == exchange.error);
        let at = at.unwrap_or(self.durations.len());
        if at == self.durations.len() {
            let both = [Spread::new(&SECONDS), Spread::new(&SECONDS)];
            self.durations.push((exchange.error.to_owned(), both));
        }
        let [asked, total] = &mut self.durations[at].1;
        asked.observe(exchange.asked.as_secs_f64());
        total.observe(exchange.total.as_secs_f64());
    }

    fn spreads(&self) -> Vec<(&'static str, Spread)> {
        let labels = [
            ("gen_ai_operation_name", &*self.operation),
            ("gen_ai_provider_name", &*self.provider),
            ("gen_ai_request_model", &*self.route),
        ];
        let with = |name, value| [&labels[..], &[(name, value)]].concat();
        let mut spreads = Vec::new();
        for (spread, kind) in self.tokens.iter().zip(["input", "output"]) {
            let labels = with("gen_ai_token_type", kind);
            spreads.push(("gen_ai_client_token_usage", spread.labelled(&labels)));
        }
        for (error, both) in &self.durations {
            let labels = with("error_type", error);
            let families = [
                "gen_ai_client_operation_duration_seconds",
                "gen_ai_server_request_duration_seconds",
            ];
            for (family, spread) in families.into_iter().zip(both) {
                spreads.push((family, spread.labelled(&labels)));
            }
        }
        let first = self.first_token.labelled(&labels);
        spreads.push(("gen_ai_server_time_to_first_token_seconds", first));
        let per_token = self.per_token.labelled(&labels);
        spreads.push(("gen_ai_server_time_per_output_token_seconds", per_token));
        spreads.retain(|(_, spread)| spread.count() > 0);
        spreads
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of tokens stay below 2^53")]
fn real(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange() -> Exchange<'static> {
        Exchange {
            id: "req_1",
            operation: "chat",
            provider: "openai",
            route: "fast",
            total: Duration::from_millis(300),
            asked: Duration::from_millis(250),
            first_token: Some(Duration::from_millis(100)),
            overhead: Duration::from_micros(90),
            tokens: [20, 11],
            ..Exchange::default()
        }
    }

    fn of<'s>(all: &'s [(&'static str, Spread)], family: &str) -> Vec<&'s Spread> {
        all.iter().filter(|(name, _)| *name == family).map(|(_, spread)| spread).collect()
    }

    #[test]
    fn an_exchange_is_in_every_family_that_has_it() {
        let seen = Seen::default();
        seen.observe(&exchange());
        seen.observe(&Exchange {
            error: "bad_gateway",
            first_token: None,
            tokens: [0, 0],
            ..exchange()
        });
        seen.observe(&Exchange { provider: "", ..exchange() });
        let (exemplars, all) = seen.read();
        let tokens = of(&all, "gen_ai_client_token_usage");
        assert_eq!(tokens.iter().map(|spread| spread.sum).collect::<Vec<_>>(), [20.0, 11.0]);
        assert_eq!(tokens[0].labels[3], ("gen_ai_token_type", "input".to_owned()));
        assert_eq!(tokens[0].buckets[3], (64.0, 1));
        let durations = of(&all, "gen_ai_server_request_duration_seconds");
        assert_eq!(durations.len(), 2);
        assert_eq!(durations[1].labels[3], ("error_type", "bad_gateway".to_owned()));
        let per_token = of(&all, "gen_ai_server_time_per_output_token_seconds");
        assert!((per_token[0].sum - 0.02).abs() < 1e-9, "200 ms for ten tokens");
        let total: Vec<&Exemplar> = exemplars.total.iter().flatten().collect();
        assert_eq!(total.len(), 1);
        assert!((total[0].seconds - 0.3).abs() < 1e-9 && total[0].id == "req_1");
    }

    #[test]
    fn series_are_bounded() {
        let seen = Seen::default();
        for number in 0..SERIES_MAX + 9 {
            seen.observe(&Exchange { route: &number.to_string(), ..exchange() });
        }
        let (_, all) = seen.read();
        let first = of(&all, "gen_ai_server_time_to_first_token_seconds");
        assert_eq!(first.len(), SERIES_MAX + 1);
        assert_eq!(first.iter().map(|spread| spread.count()).max(), Some(9));
    }
}
