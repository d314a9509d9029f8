//! What a seed decides of a world before it begins: its configuration, and how its clients and
//! upstreams are minded.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use vertex_bridge::base::Rng;
use vertex_bridge::config::{Config, Sources};
use vertex_bridge::rt::virt::Faults;

/// How long a client that takes nothing is kept.
pub(super) const WRITE_IDLE: Duration = Duration::from_secs(2);

/// Whose words an upstream speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Vendor {
    OpenAi,
    Gemini,
    Anthropic,
}

/// When clients ask, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    /// At any time.
    Calm,
    /// All at the same moments.
    Bursts,
    /// All want the one upstream with few places, and wait for it.
    Crowd,
}

/// A route: upstreams with their weights, and those that are asked after them.
pub(super) struct RoutePlan {
    pub(super) model: &'static str,
    pub(super) targets: Vec<(usize, u64)>,
    pub(super) fallbacks: Vec<usize>,
}

/// A client's key.
pub(super) struct KeyPlan {
    pub(super) secret: String,
    pub(super) requests_per_minute: Option<u64>,
    pub(super) tokens_per_minute: Option<u64>,
    /// The only model that it may use.
    pub(super) model: Option<&'static str>,
}

/// What holds for everybody in a world.
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) shards: usize,
    pub(super) vendors: Vec<Vendor>,
    pub(super) routes: Vec<RoutePlan>,
    pub(super) keys: Vec<KeyPlan>,
    /// The network is sound: every error has another reason.
    pub(super) strict: bool,
    /// Exchanges with one upstream at a time, of all shards.
    pub(super) places: usize,
    pub(super) queue: usize,
    pub(super) queue_age: Duration,
    /// Exchanges of one shard.
    pub(super) in_flight: usize,
    pub(super) attempts: u64,
    /// Repeats of a hundred requests.
    pub(super) budget: u64,
    /// At once, and each further second.
    pub(super) bucket: (u64, u64),
    pub(super) first_byte: Duration,
    pub(super) clients: u64,
    pub(super) exchanges: u64,
    pub(super) mood: Mood,
    /// Of a hundred answers in good weather so many are odd.
    pub(super) odd: u64,
    pub(super) begins: Duration,
    /// So long after the beginning the shards are drained, or make room for another process.
    pub(super) drains: Option<Duration>,
    pub(super) retires: bool,
    /// Failures that open a circuit, seconds until a probe, good answers that close it.
    breaker: (u64, u64, u64),
    total: Option<u64>,
}

impl Plan {
    /// The route whose one candidate shows what its queue does.
    pub(super) const SOLO: usize = 0;

    pub(super) fn new(seed: u64, exchanges: u64) -> Self {
        let rng = &mut Rng::new(seed ^ 0x5EED_0F57_0127_5000);
        let kinds = [Vendor::OpenAi, Vendor::Gemini, Vendor::Anthropic];
        let upstreams = 2 + rng.below(3);
        let vendors: Vec<Vendor> = (0..upstreams).map(|_| *pick(&kinds, rng)).collect();
        let strict = seed % 2 == 1;
        let crowd = rng.percent(12);
        let places = if crowd { 2 } else { 1 + rng.below(8) };
        let tight = !crowd && rng.percent(50);
        let bucket = if tight { (2 + rng.below(8), 1 + rng.below(10)) } else { (10_000, 10_000) };
        Self {
            seed,
            shards: count(*pick(&[1, 2, 2, 2, 3], rng)),
            routes: routes(vendors.len(), rng),
            keys: keys(rng),
            vendors,
            strict,
            places: count(places),
            queue: if crowd { 20 } else { count(rng.below(10)) },
            queue_age: Duration::from_millis(50 + rng.below(if crowd { 3000 } else { 1000 })),
            in_flight: if !crowd && rng.percent(20) { count(2 + rng.below(5)) } else { 100 },
            attempts: rng.below(4),
            budget: *pick(&[0, 0, 10, 20, 50, 100], rng),
            bucket,
            first_byte: Duration::from_millis(700 + rng.below(700)),
            clients: 4 + rng.below(12),
            exchanges,
            mood: match () {
                () if crowd => Mood::Crowd,
                () if rng.percent(40) => Mood::Bursts,
                () => Mood::Calm,
            },
            odd: *pick(&[0, 10, 40, 80], rng),
            begins: Duration::from_millis(rng.below(60_000)),
            drains: rng.percent(25).then(|| Duration::from_millis(rng.below(5000))),
            retires: rng.percent(40),
            breaker: (2 + rng.below(6), 1 + rng.below(2), 1 + rng.below(3)),
            total: (!strict && rng.percent(30)).then(|| 1000 + rng.below(3000)),
        }
    }

    pub(super) fn faults(&self) -> Faults {
        let to = (0..self.vendors.len()).map(upstream_address).collect();
        Faults { to, percent: if self.strict { 0 } else { 30 }, within_bytes: 1200 }
    }

    /// The addresses of an upstream. Where faults are, nobody listens on some.
    pub(super) fn addresses(&self, upstream: usize) -> Vec<SocketAddr> {
        let mut addresses = vec![upstream_address(upstream)];
        if !self.strict && self.seed.is_multiple_of(3) {
            addresses.push(upstream_address(upstream + 100));
        }
        addresses
    }

    /// May this upstream be asked for this route?
    pub(super) fn serves(&self, route: usize, upstream: usize) -> bool {
        let RoutePlan { targets, fallbacks, .. } = &self.routes[route];
        targets.iter().any(|(target, _)| *target == upstream) || fallbacks.contains(&upstream)
    }

    pub(super) fn config(&self) -> Config {
        let file = self.file();
        let sources = Sources {
            file: Some(("world.toml", &file)),
            flags: &[],
            variables: &[],
            read_file: &|_| Err("no files here".to_owned()),
        };
        Config::load(&sources).unwrap_or_else(|errors| panic!("seed {}: {errors:?}", self.seed))
    }

    fn file(&self) -> String {
        let (capacity, refill) = self.bucket;
        let (failures, open, successes) = self.breaker;
        let (places, queue, age) = (self.places, self.queue, self.queue_age.as_millis());
        let (attempts, budget) = (self.attempts, ratio(self.budget));
        let (first, idle) = (self.first_byte.as_millis(), WRITE_IDLE.as_millis());
        let total = self.total.map_or_else(|| "off".to_owned(), |millis| format!("{millis}ms"));
        let mut file = format!(
            "[log]\nlevel = \"error\"\n\
             [rate_limit]\ncapacity = {capacity}\nrefill_per_second = {refill}\n\
             [circuit_breaker]\nfailure_threshold = {failures}\ntimeout_secs = {open}\n\
             success_threshold = {successes}\n\
             [limits]\nupstream_concurrency = {places}\nqueue = {queue}\nqueue_age = \"{age}ms\"\n\
             [fallback]\nresume = \"off\"\n\
             [retry]\nattempts = {attempts}\nbudget = {budget}\nmax_wait = \"2s\"\n\
             [timeouts]\nconnect = \"600ms\"\nfirst_byte = \"{first}ms\"\nidle = \"700ms\"\n\
             write_head = \"2s\"\nclient_write_idle = \"{idle}ms\"\ntotal = \"{total}\"\n"
        );
        self.write_tables(&mut file).expect("text can be written");
        file
    }

    fn write_tables(&self, file: &mut String) -> std::fmt::Result {
        for (index, vendor) in self.vendors.iter().enumerate() {
            let (kind, path) = match vendor {
                Vendor::OpenAi => ("openai", "/v1"),
                Vendor::Gemini => ("gemini", ""),
                Vendor::Anthropic => ("anthropic", ""),
            };
            let address = upstream_address(index);
            writeln!(
                file,
                "[[upstream]]\nname = \"u{index}\"\nkind = \"{kind}\"\n\
                 base_url = \"http://{address}{path}\"\napi_key = \"sk-up-0123456789abcdef\""
            )?;
        }
        for RoutePlan { model, targets, fallbacks } in &self.routes {
            writeln!(file, "[[route]]\nmodel = \"{model}\"\ntargets = [")?;
            for (target, weight) in targets {
                let own = self.model(*target);
                let entry = format!("upstream = \"u{target}\", model = \"{own}\"");
                writeln!(file, "{{ {entry}, weight = {weight} }},")?;
            }
            writeln!(file, "]\nfallbacks = [")?;
            for target in fallbacks {
                let own = self.model(*target);
                writeln!(file, "{{ upstream = \"u{target}\", model = \"{own}\" }},")?;
            }
            writeln!(file, "]")?;
        }
        for (index, key) in self.keys.iter().enumerate() {
            writeln!(file, "[[key]]\nname = \"k{index}\"\nsecret = \"{}\"", key.secret)?;
            if let Some(limit) = key.requests_per_minute {
                writeln!(file, "requests_per_minute = {limit}")?;
            }
            if let Some(limit) = key.tokens_per_minute {
                writeln!(file, "tokens_per_minute = {limit}")?;
            }
            if let Some(model) = key.model {
                writeln!(file, "models = [\"{model}\"]")?;
            }
        }
        Ok(())
    }

    fn model(&self, upstream: usize) -> &'static str {
        match self.vendors[upstream] {
            Vendor::OpenAi => "gpt-4o",
            Vendor::Gemini => "gemini-2.5-flash",
            Vendor::Anthropic => "claude-sonnet-4-5",
        }
    }
}

pub(super) fn upstream_address(upstream: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8100 + u16::try_from(upstream).unwrap_or(0)))
}

pub(super) fn gateway_address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 4000))
}

/// One of several.
pub(super) fn pick<'l, T>(list: &'l [T], rng: &mut Rng) -> &'l T {
    let place = rng.below(u64::try_from(list.len()).unwrap_or(1));
    &list[usize::try_from(place).unwrap_or(0)]
}

fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(0)
}

/// Hundredths as a number that TOML takes.
fn ratio(percent: u64) -> String {
    format!("{}.{:02}", percent / 100, percent % 100)
}

/// One candidate; two by weight; one, and all others behind it.
fn routes(upstreams: usize, rng: &mut Rng) -> Vec<RoutePlan> {
    let last = upstreams - 1;
    let pair = vec![(0, 1 + rng.below(9)), (1, 1 + rng.below(9))];
    vec![
        RoutePlan { model: "solo", targets: vec![(0, 1)], fallbacks: Vec::new() },
        RoutePlan { model: "pair", targets: pair, fallbacks: (2..upstreams).collect() },
        RoutePlan { model: "chain", targets: vec![(last, 1)], fallbacks: (0..last).collect() },
    ]
}

fn keys(rng: &mut Rng) -> Vec<KeyPlan> {
    let key = |index: u64| KeyPlan {
        secret: format!("sk-client-{index}-0123456789"),
        requests_per_minute: None,
        tokens_per_minute: None,
        model: None,
    };
    vec![
        key(0),
        KeyPlan { requests_per_minute: Some(3 + rng.below(30)), ..key(1) },
        KeyPlan { tokens_per_minute: Some(200 + rng.below(2000)), ..key(2) },
        KeyPlan { model: Some("solo"), ..key(3) },
    ]
}
