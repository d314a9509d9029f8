//! From the model that a client names to the route that serves it.
//!
//! A pattern is a whole name, or a prefix followed by `*`. A whole name beats every prefix, a
//! longer prefix beats a shorter one, and `*` alone takes what is left.

/// What one pattern leads to.
#[derive(Clone, Debug)]
pub struct Route {
    /// A model name, or a prefix ending in `*`.
    pub pattern: String,
    /// Never empty. Indexes are valid for `Config::upstreams`.
    pub targets: Vec<Target>,
    /// Tried in this order when no target answers.
    pub fallbacks: Vec<Target>,
    /// How the first target is found.
    pub balance: Balance,
    /// The header field, in lower case, whose value keeps a session at one target.
    pub affinity: Option<String>,
    /// What happens when every candidate is left alone or has enough to do.
    pub exhausted: Exhausted,
    /// All of its requests may be answered from the cache, or none; `None` leaves it to them.
    pub cache: Option<bool>,
}

/// How the first of several targets is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balance {
    /// By their weights alone.
    Weight,
    /// Of two that the weights have drawn, the one that promises to be faster.
    Latency,
}

/// What happens to a request that no candidate of its route takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exhausted {
    /// It is refused.
    Refuse,
    /// The candidate that is to be left alone for the shortest time is asked all the same.
    LeastBad,
    /// It waits for one, as long as the queue keeps anybody.
    Wait,
}

impl Route {
    /// All candidates: the targets, then the fallbacks.
    pub fn candidates(&self) -> impl Iterator<Item = &Target> {
        self.targets.iter().chain(&self.fallbacks)
    }

    /// Is there more than one candidate?
    pub const fn has_more(&self) -> bool {
        self.targets.len() + self.fallbacks.len() > 1
    }

    /// A route that only leads somewhere.
    pub fn plain(pattern: String, targets: Vec<Target>) -> Self {
        Self {
            pattern,
            targets,
            fallbacks: Vec::new(),
            balance: Balance::Weight,
            affinity: None,
            exhausted: Exhausted::Refuse,
            cache: None,
        }
    }
}

/// A model of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Index into `Config::upstreams`.
    pub upstream: usize,
    /// The name to ask for; `None` passes the client's own on.
    pub model: Option<String>,
    /// Share of this target among the route's, from 1.
    pub weight: u32,
}

/// All routes, ordered for look-up.
#[derive(Clone, Debug, Default)]
pub struct RouteTable {
    routes: Vec<Route>,
    /// Invariant: whole names in ascending order, each with its index in `routes`.
    names: Vec<(String, usize)>,
    /// Invariant: prefixes (without `*`) in ascending order.
    prefixes: Vec<Prefix>,
    /// The fields that routes keep sessions by, each once.
    affinities: Vec<String>,
}

#[derive(Clone, Debug)]
struct Prefix {
    text: String,
    route: usize,
    /// The longest other prefix that this one starts with.
    shorter: Option<usize>,
}

/// What SDKs and other gateways put before a model's name.
const VENDOR_PREFIXES: [&str; 8] = [
    "gemini/",
    "google/",
    "models/",
    "vertex_ai/",
    "anthropic/",
    "openai/",
    "deepseek/",
    "ollama/",
];

impl RouteTable {
    /// Orders `routes`. Patterns are unique: the caller has checked.
    pub(super) fn new(routes: Vec<Route>) -> Self {
        let mut affinities: Vec<String> =
            routes.iter().filter_map(|route| route.affinity.clone()).collect();
        affinities.sort_unstable();
        affinities.dedup();
        let mut table = Self { routes, names: Vec::new(), prefixes: Vec::new(), affinities };
        for (route, Route { pattern, .. }) in table.routes.iter().enumerate() {
            match pattern.strip_suffix('*') {
                None => table.names.push((pattern.clone(), route)),
                Some(text) => {
                    table.prefixes.push(Prefix { text: text.to_owned(), route, shorter: None });
                }
            }
        }
        table.names.sort_unstable();
        table.prefixes.sort_unstable_by(|a, b| a.text.cmp(&b.text));
        for at in 1..table.prefixes.len() {
            let (before, from) = table.prefixes.split_at_mut(at);
            if let Some(prefix) = from.first_mut() {
                prefix.shorter = climb(before, at.checked_sub(1), &prefix.text);
            }
        }
        table
    }

    /// The header fields that routes keep sessions by.
    pub fn affinities(&self) -> &[String] {
        &self.affinities
    }

    /// The routes in the order of the configuration.
    pub fn as_slice(&self) -> &[Route] {
        &self.routes
    }

    /// The index of the route that serves `model`.
    pub(super) fn find(&self, model: &str) -> Option<usize> {
        let bare = without_vendor(model);
        let whole = self.find_name(model).or_else(|| self.find_name(bare));
        whole.or_else(|| {
            let written = self.find_prefix(model);
            // `*` alone would also take `google/gemini-x`, which `gemini-*` is meant for.
            let narrow = written.filter(|prefix| !prefix.text.is_empty());
            narrow.or_else(|| self.find_prefix(bare)).map(|prefix| prefix.route)
        })
    }

    fn find_name(&self, model: &str) -> Option<usize> {
        let at = self.names.binary_search_by(|(name, _)| name.as_str().cmp(model)).ok()?;
        self.names.get(at).map(|(_, route)| *route)
    }

    fn find_prefix(&self, model: &str) -> Option<&Prefix> {
        let past = self.prefixes.partition_point(|prefix| prefix.text.as_str() <= model);
        self.prefixes.get(climb(&self.prefixes, past.checked_sub(1), model)?)
    }
}

/// The longest of `prefixes` that `text` starts with, looked for from the last one that sorts
/// before it: whatever sorts between a prefix of `text` and `text` starts with that prefix too,
/// so the answer is on the chain of ever shorter prefixes.
fn climb(prefixes: &[Prefix], from: Option<usize>, text: &str) -> Option<usize> {
    let mut at = from;
    while let Some(prefix) = at.and_then(|index| prefixes.get(index)) {
        if text.starts_with(&prefix.text) {
            return at;
        }
        at = prefix.shorter;
    }
    None
}

fn without_vendor(model: &str) -> &str {
    VENDOR_PREFIXES.iter().find_map(|prefix| model.strip_prefix(prefix)).unwrap_or(model)
}

/// True when `patterns` is empty or one of them covers `model`.
pub fn covers(patterns: &[String], model: &str) -> bool {
    let fits = |pattern: &String| {
        pattern.strip_suffix('*').map_or(pattern == model, |prefix| model.starts_with(prefix))
    };
    patterns.is_empty() || patterns.iter().any(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(patterns: &[&str]) -> RouteTable {
        let route = |pattern: &&str| Route::plain((*pattern).to_owned(), Vec::new());
        RouteTable::new(patterns.iter().map(route).collect())
    }

    #[test]
    fn names_beat_prefixes_and_longer_prefixes_shorter_ones() {
        let patterns = ["g*", "gemini-*", "gemini-2.5-*", "gemini-2.5-flash", "*", "o1*", "o1"];
        let found = |model: &str| table(&patterns).find(model).map(|at| patterns[at]);
        let cases = [
            ("gemini-2.5-flash", Some("gemini-2.5-flash")),
            ("gemini-2.5-flash-lite", Some("gemini-2.5-*")),
            ("gemini-2.0", Some("gemini-*")),
            ("gemini-3", Some("gemini-*")),
            ("gemini", Some("g*")),
            ("gz", Some("g*")),
            ("o1", Some("o1")),
            ("o10", Some("o1*")),
            ("", Some("*")),
            ("zebra", Some("*")),
            ("é", Some("*")),
            ("google/gemini-3", Some("g*")),
            ("models/gemini-2.5-flash", Some("gemini-2.5-flash")),
            ("vertex_ai/gemini-3", Some("gemini-*")),
        ];
        for (model, want) in cases {
            assert_eq!(found(model), want, "{model}");
        }
        assert_eq!(table(&["a*", "b"]).find("c"), None);
        assert_eq!(table(&[]).find("c"), None);
    }

    #[test]
    fn look_up_agrees_with_a_plain_scan() {
        let mut rng = crate::base::Rng::new(11);
        let mut word = |most: u64| -> String {
            (0..rng.below(most)).map(|_| if rng.percent(50) { 'a' } else { 'b' }).collect()
        };
        for _ in 0..2000 {
            let mut prefixes: Vec<String> = (0..6).map(|_| word(6) + "*").collect();
            prefixes.sort();
            prefixes.dedup();
            let names: Vec<&str> = prefixes.iter().map(String::as_str).collect();
            let model = word(8);
            let fits = prefixes.iter().filter(|p| model.starts_with(p.trim_end_matches('*')));
            let want = fits.max_by_key(|p| p.len());
            let found = table(&names).find(&model).map(|at| &prefixes[at]);
            assert_eq!(found, want, "{model} in {prefixes:?}");
        }
    }

    #[test]
    fn patterns_of_a_key() {
        let patterns = ["fast".to_owned(), "gemini-*".to_owned()];
        for (model, want) in [("fast", true), ("faster", false), ("gemini-x", true), ("g", false)] {
            assert_eq!(covers(&patterns, model), want, "{model}");
        }
        assert!(covers(&[], "anything"));
    }
}
