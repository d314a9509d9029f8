//! The settings of `LiteLLM`'s library, router and server.

use super::connection::{Word, reference};
use super::note::Notes;
use super::quote::quoted;
use super::yaml::{Data, Entry, Node};

/// The sections that are read here; what a later one says stands above an earlier one.
pub(super) const SECTIONS: [&str; 3] = ["litellm_settings", "router_settings", "general_settings"];

/// What is known of them.
#[derive(Debug, Default)]
pub(super) struct Settings {
    /// Our keys.
    pub(super) keys: Vec<Setting>,
    /// Faster upstreams are preferred.
    pub(super) by_latency: bool,
    pub(super) fallbacks: Vec<Chain>,
    /// What is asked when a prompt is too long.
    pub(super) longer: Vec<Chain>,
    /// What is asked after a model that has no fallbacks of its own.
    pub(super) defaults: Option<Chain>,
    /// Other names of models: each with one of `model_list`.
    pub(super) aliases: Vec<Chain>,
}

/// One key of our configuration.
#[derive(Debug)]
pub(super) struct Setting {
    pub(super) section: &'static str,
    pub(super) key: &'static str,
    /// In TOML.
    pub(super) value: String,
    /// Where it comes from.
    pub(super) path: String,
}

/// A model and what takes its place.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    pub(super) from: String,
    pub(super) to: Vec<String>,
    pub(super) line: usize,
    pub(super) path: String,
}

/// How a number or a flag of theirs becomes one of ours.
#[derive(Clone, Copy)]
enum How {
    /// A whole number of at most so many.
    Count(u32),
    /// The number of failures that are allowed; ours is that of those that are not.
    Allowed,
    /// A duration in seconds of at most so many.
    Seconds(u32),
    WholeSeconds,
    MebiBytes,
    /// What stands for true.
    Word(&'static str),
    Flag,
    Secret(&'static str),
}

/// Their keys, in any section, with ours.
const KEYS: &[(&str, &str, &str, How)] = &[
    ("num_retries", "retry", "attempts", How::Count(10)),
    ("request_timeout", "timeouts", "total", How::Seconds(86_400)),
    ("timeout", "timeouts", "total", How::Seconds(86_400)),
    ("stream_timeout", "timeouts", "first_token", How::Seconds(3600)),
    ("allowed_fails", "circuit_breaker", "failure_threshold", How::Allowed),
    ("cooldown_time", "circuit_breaker", "timeout_secs", How::WholeSeconds),
    ("json_logs", "log", "format", How::Word("json")),
    ("set_verbose", "log", "level", How::Word("debug")),
    ("cache", "cache", "enabled", How::Flag),
    ("master_key", "auth", "master_key", How::Secret("LITELLM_MASTER_KEY")),
    ("max_request_size_mb", "server", "max_request_size", How::MebiBytes),
    ("global_max_parallel_requests", "limits", "in_flight", How::Count(1_000_000)),
];

impl Settings {
    pub(super) fn read(&mut self, section: &str, node: &Node, notes: &mut Notes) {
        for entry in node.entries().iter().filter(|entry| !entry.value.is_empty()) {
            let path = format!("{section}.{}", entry.key);
            let known = KEYS.iter().find(|(theirs, ..)| *theirs == entry.key);
            if let Some((_, ours, key, how)) = known {
                let setting = (*ours, *key, *how);
                self.carry(setting, &entry.value, path, notes);
            } else if !self.read_models(entry, &path, notes) {
                tell(entry, &path, notes);
            }
        }
    }

    /// What is said of models: fallbacks, other names, how one is chosen.
    fn read_models(&mut self, entry: &Entry, path: &str, notes: &mut Notes) -> bool {
        let node = &entry.value;
        match entry.key.as_str() {
            "fallbacks" => self.fallbacks = chains(node, path, notes),
            "context_window_fallbacks" => self.longer = chains(node, path, notes),
            "default_fallbacks" => {
                let to = node.items().iter().filter_map(Node::text).map(str::to_owned).collect();
                let (from, path) = (String::new(), path.to_owned());
                self.defaults = Some(Chain { from, to, line: node.line, path });
            }
            "model_group_alias" => self.aliases = aliases(node, path, notes),
            "cache_params" => self.cache(node, path, notes),
            "routing_strategy" => match node.text() {
                Some("simple-shuffle") => {}
                Some("latency-based-routing" | "least-busy") => self.by_latency = true,
                _ => notes.add(node, path, "targets are drawn by their weights"),
            },
            _ => return false,
        }
        true
    }

    fn cache(&mut self, node: &Node, path: &str, notes: &mut Notes) {
        for entry in node.entries().iter().filter(|entry| !entry.value.is_empty()) {
            let path = format!("{path}.{}", entry.key);
            match (entry.key.as_str(), entry.value.text()) {
                ("type", Some("local" | "in-memory")) => {}
                ("ttl", Some(_)) => {
                    let setting = ("cache", "default_ttl_secs", How::WholeSeconds);
                    self.carry(setting, &entry.value, path, notes);
                }
                ("type", _) => notes.add(&entry.value, &path, "answers are kept in memory only"),
                _ => notes.add(&entry.value, &path, "the cache is in memory and has no such key"),
            }
        }
    }

    /// Sets one of our keys.
    fn carry(
        &mut self,
        (section, key, how): (&'static str, &'static str, How),
        node: &Node,
        path: String,
        notes: &mut Notes,
    ) {
        let value = match how.value(node) {
            Ok(Some(value)) => value,
            // Off is our default.
            Ok(None) => return,
            Err(why) => return notes.add(node, &path, why),
        };
        if let (How::Secret(variable), Some(Word::Literal(text))) =
            (how, node.text().map(reference))
        {
            let long = if text.chars().count() < 16 {
                "; ours need 16 characters or more, so it must be a new one"
            } else {
                ""
            };
            let why = format!("the key is not written down again: set {variable} to it{long}");
            notes.add(node, &path, why);
        }
        self.keys.retain(|setting| (setting.section, setting.key) != (section, key));
        self.keys.push(Setting { section, key, value, path });
    }
}

impl How {
    /// The value in TOML; none for what is off, the error says why there is none.
    fn value(self, node: &Node) -> Result<Option<String>, String> {
        let number = || node.number().ok_or_else(|| "is no number".to_owned());
        let flag = || node.flag().ok_or_else(|| "is neither true nor false".to_owned());
        let whole = |number: f64| format!("{:.0}", number.ceil());
        let most = |most: u32| format!("must be from 1 to {most} here");
        Ok(Some(match self {
            Self::Count(limit) => whole(number()?.min(f64::from(limit))),
            Self::Allowed => whole((number()? + 1.0).min(1e9)),
            Self::WholeSeconds => {
                let seconds = number()?.ceil();
                let fits = (1.0..=3.1e7).contains(&seconds);
                fits.then(|| whole(seconds)).ok_or_else(|| most(31_000_000))?
            }
            Self::Seconds(limit) => {
                let seconds = number()?;
                if !(0.001..=f64::from(limit)).contains(&seconds) {
                    return Err(format!("must be from 1 ms to {limit} s here"));
                }
                if seconds.fract() > 0.0 {
                    format!("\"{}ms\"", whole(seconds * 1000.0))
                } else {
                    format!("\"{}s\"", whole(seconds))
                }
            }
            Self::MebiBytes => {
                let size = number()?.ceil();
                let fits = (1.0..=256.0).contains(&size);
                fits.then(|| format!("\"{}MiB\"", whole(size))).ok_or_else(|| most(256))?
            }
            Self::Word(word) => return Ok(flag()?.then(|| format!("\"{word}\""))),
            Self::Flag => return Ok(flag()?.then(|| "true".to_owned())),
            Self::Secret(variable) => match node.text().map(reference) {
                Some(Word::Variable(name)) => quoted(&format!("env:{name}")),
                _ => format!("\"env:{variable}\""),
            },
        }))
    }
}

/// `[{a: [b, c]}, {d: [e]}]`, or the same as one table.
fn chains(node: &Node, path: &str, notes: &mut Notes) -> Vec<Chain> {
    let tables = if node.items().is_empty() { std::slice::from_ref(node) } else { node.items() };
    let entries = tables.iter().flat_map(Node::entries);
    let chain = |entry: &Entry| {
        let path = format!("{path}.{}", entry.key);
        let one = std::slice::from_ref(&entry.value);
        let items = if entry.value.items().is_empty() { one } else { entry.value.items() };
        let mut to = Vec::new();
        for item in items {
            match item.text().or_else(|| item.get("model").and_then(Node::text)) {
                Some(name) => to.push(name.to_owned()),
                None => notes.add(item, &path, "names no model"),
            }
            if !item.entries().is_empty() {
                notes.add(
                    item,
                    &path,
                    "the request is asked again as it stands: only the model is another",
                );
            }
        }
        Chain { from: entry.key.clone(), to, line: entry.value.line, path }
    };
    entries.map(chain).collect()
}

/// `{a: b}`, or `{a: {model: b, hidden: true}}`.
fn aliases(node: &Node, path: &str, notes: &mut Notes) -> Vec<Chain> {
    let mut found = Vec::new();
    for entry in node.entries() {
        let path = format!("{path}.{}", entry.key);
        let model = entry.value.text().or_else(|| entry.value.get("model").and_then(Node::text));
        let Some(model) = model else {
            notes.add(&entry.value, &path, "names no model");
            continue;
        };
        if entry.value.get("hidden").and_then(Node::flag) == Some(true) {
            notes.add(&entry.value, &path, "every route is listed in /v1/models: none is hidden");
        }
        let (from, to) = (entry.key.clone(), vec![model.to_owned()]);
        found.push(Chain { from, to, line: entry.value.line, path });
    }
    found
}

/// Why a whole section has no counterpart.
pub(super) fn section_without(section: &str) -> &'static str {
    match section {
        "guardrails" | "policies" | "policy_attachments" => {
            "prompts and answers are not looked at: there are no guardrails"
        }
        "mcp_servers" | "mcp_tools" => "MCP servers are not served",
        "search_tools" | "sandbox_tools" | "vector_store_registry" => "no tools are run",
        "files_settings" | "finetune_settings" | "batch_settings" => {
            "files, batches and fine tuning are not served"
        }
        "credential_list" => "name the variable at each model",
        _ => "has no counterpart",
    }
}

/// Says why a setting is not carried over.
fn tell(entry: &Entry, path: &str, notes: &mut Notes) {
    let node = &entry.value;
    // Off is what we do.
    if node.flag() == Some(false) {
        return;
    }
    let key = entry.key.as_str();
    let why = match key {
        // What a vendor does not know is left out and named in every case; Prometheus is there.
        "drop_params" => return,
        "callbacks" | "success_callback" | "failure_callback" | "service_callback" => {
            return tell_callbacks(node, path, notes);
        }
        "content_policy_fallbacks" => "a refusal for its content is never asked elsewhere",
        "retry_policy" | "allowed_fails_policy" | "model_group_retry_policy" => {
            "what a failure means is decided by its kind: see When an upstream fails in \
             configuration.md"
        }
        "enable_pre_call_checks" => "a prompt that is too long is met by the next candidate",
        "enable_tag_filtering" | "tag_filtering_match_any" => "routes do not look at tags",
        "database_url" | "store_model_in_db" | "database_connection_pool_limit" => {
            "there is no database: keys, teams and models in it must be made again (vertex-bridge \
             keys create, [[key]], [[route]])"
        }
        "custom_auth" | "enable_jwt_auth" | "litellm_jwtauth" => "clients show keys",
        "alerting" | "alerting_threshold" | "alert_types" | "alerting_args" => {
            "alerts are made of the metrics, see metrics.md"
        }
        "background_health_checks" | "health_check_interval" => {
            "upstreams are judged by the requests that they answer"
        }
        "pass_through_endpoints" => "other paths than those of api.md are not served",
        "max_budget" | "budget_duration" | "max_end_user_budget" | "max_user_budget" => {
            "budgets belong to keys: [[key]] budget"
        }
        "default_team_settings" | "default_internal_user_params" => "there are no teams",
        "require_auth_for_metrics_endpoint" => return,
        "callback_settings" => "there are no callbacks",
        "model_alias_map" => "give the alias a route of its own",
        _ if key.starts_with("redis") || key.contains("redis") => {
            "what several gateways share is set in [shared]"
        }
        _ => "has no counterpart",
    };
    notes.add(node, path, why);
}

fn tell_callbacks(node: &Node, path: &str, notes: &mut Notes) {
    let one = std::slice::from_ref(node);
    let items = if let Data::List(items) = &node.data { items } else { one };
    for item in items {
        let why = match item.text() {
            // Always there, at /metrics/prometheus.
            Some("prometheus") => continue,
            Some("otel" | "opentelemetry" | "arize" | "langfuse_otel") => {
                "traces go out by OTLP where OTEL_EXPORTER_OTLP_ENDPOINT says"
            }
            _ => "there are no callbacks: requests are kept in the ledger, traces go out by OTLP",
        };
        notes.add(item, path, format!("{}: {why}", item.text().unwrap_or("?")));
    }
}
