//! The tables of everything that may be set: keys, variables with names of their own, old
//! variables, and what this release accepts without acting on it.

use super::limits;
use super::origin::Base;
use super::value::Scalar;

/// A key and what it must hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    /// `section.name` at the top, a bare name inside a table.
    pub(super) name: &'static str,
    pub(super) shape: Shape,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Shape {
    One(Scalar),
    /// A table, or an array of tables, with these keys.
    Tables(&'static [Key]),
}

const fn one(name: &'static str, scalar: Scalar) -> Key {
    Key { name, shape: Shape::One(scalar) }
}

const fn tables(name: &'static str, keys: &'static [Key]) -> Key {
    Key { name, shape: Shape::Tables(keys) }
}

/// The words of `log.level`, most important first.
pub(super) const LEVELS: &[&str] = &["error", "warn", "info", "debug", "trace"];
/// The words of an upstream's `kind`.
pub(super) const KINDS: &[&str] = &["gemini", "vertex", "anthropic", "openai"];

/// The words of `api_version`.
const API_VERSIONS: &[&str] = &["v1", "v1beta1"];

/// Every key, in the order of the documentation.
pub(super) const KEYS: &[Key] = &[
    one("server.host", Scalar::Host),
    one("server.port", Scalar::Port),
    one("server.max_request_size", Scalar::Size(limits::REQUEST_BODY)),
    one("server.own_headers", Scalar::Flag),
    one("server.tls_cert", Scalar::Text),
    one("server.tls_key", Scalar::Text),
    one("server.tls_client_ca", Scalar::Text),
    one("server.trusted_proxies", Scalar::Networks),
    one("server.reload_on_change", Scalar::Flag),
    one("server.cors_origins", Scalar::Texts),
    one("auth.require_auth", Scalar::Flag),
    one("auth.master_key", Scalar::ClientKey),
    one("auth.admin_key", Scalar::ClientKey),
    one("admin.listen", Scalar::Address),
    one("log.level", Scalar::Choice(LEVELS)),
    one("log.format", Scalar::Choice(&["pretty", "json"])),
    one("log.exchanges", Scalar::Choice(&["all", "failures", "off"])),
    one("log.sample", Scalar::Ratio),
    one("log.exchanges_per_second", Scalar::WholeOrOff(limits::LOG_LINES)),
    one("runtime.cores", Scalar::Cores),
    one("runtime.backend", Scalar::Choice(&["native", "monoio", "glommio"])),
    one("runtime.driver", Scalar::Choice(&["auto", "io_uring", "epoll"])),
    one("vertex.api_key", Scalar::VendorKeys),
    one("vertex.credentials_file", Scalar::Account),
    one("vertex.project_id", Scalar::Project),
    one("vertex.region", Scalar::Region),
    one("vertex.api_version", Scalar::Choice(API_VERSIONS)),
    one("vertex.api_key_base_url", Scalar::Base(Base::Bare)),
    one("vertex.oauth_base_url", Scalar::Base(Base::Bare)),
    one("anthropic.api_key", Scalar::VendorKeys),
    one("anthropic.base_url", Scalar::Base(Base::Bare)),
    one("anthropic.default_max_tokens", Scalar::Whole(limits::MAX_TOKENS)),
    one("gemini.safety_settings", Scalar::SafetySettings),
    one("gemini.system_messages", Scalar::Choice(&["hoist", "inline"])),
    one("gemini.schema_mode", Scalar::Choice(&["json_schema", "openapi"])),
    one("gemini.signature_cache", Scalar::Flag),
    one("gemini.signature_in_id", Scalar::Flag),
    one("gemini.enforce_parallel", Scalar::Flag),
    one("openai.api_key", Scalar::VendorKeys),
    one("openai.base_url", Scalar::Base(Base::Versioned)),
    one("deepseek.api_key", Scalar::VendorKeys),
    one("deepseek.base_url", Scalar::Base(Base::Completed)),
    one("ollama.base_url", Scalar::Base(Base::Completed)),
    one("rate_limit.capacity", Scalar::Whole(limits::RATE)),
    one("rate_limit.refill_per_second", Scalar::Whole(limits::RATE)),
    one("budget.unknown", Scalar::Choice(&["refuse", "allow"])),
    one("budget.answer_tokens", Scalar::Whole(limits::ANSWER_TOKENS)),
    one("circuit_breaker.failure_threshold", Scalar::Whole(limits::BREAKER)),
    one("circuit_breaker.timeout_secs", Scalar::Whole(limits::SECONDS)),
    one("circuit_breaker.success_threshold", Scalar::Whole(limits::BREAKER)),
    one("compression.level", Scalar::Whole(limits::COMPRESSION_LEVEL)),
    one("compression.min_bytes", Scalar::Size(limits::COMPRESSION_BYTES)),
    one("compression.cpu_percent", Scalar::Whole(limits::COMPRESSION_CPU)),
    one("cache.enabled", Scalar::Flag),
    one("cache.default_ttl_secs", Scalar::Whole(limits::SECONDS)),
    one("cache.max_bytes", Scalar::Size(limits::CACHE_BYTES)),
    one("cache.max_entry_bytes", Scalar::Size(limits::CACHE_ENTRY)),
    one("cache.scope", Scalar::Choice(&["key", "shared"])),
    one("cache.single_flight", Scalar::Flag),
    one("timeouts.connect", Scalar::Wait(limits::CONNECT)),
    one("timeouts.tls", Scalar::Wait(limits::TLS)),
    one("timeouts.write_head", Scalar::Wait(limits::WRITE_HEAD)),
    one("timeouts.first_byte", Scalar::Wait(limits::FIRST_BYTE)),
    one("timeouts.first_token", Scalar::WaitOrOff(limits::FIRST_TOKEN)),
    one("timeouts.idle", Scalar::Wait(limits::IDLE)),
    one("timeouts.total", Scalar::WaitOrOff(limits::TOTAL)),
    one("timeouts.client_head", Scalar::Wait(limits::CLIENT_HEAD)),
    one("timeouts.slow_stream", Scalar::Whole(limits::SLOW_STREAM)),
    one("timeouts.client_body", Scalar::Wait(limits::CLIENT_BODY)),
    one("timeouts.keep_alive", Scalar::Wait(limits::KEEP_ALIVE)),
    one("timeouts.client_write_idle", Scalar::Wait(limits::CLIENT_WRITE_IDLE)),
    one("timeouts.drain", Scalar::Wait(limits::DRAIN)),
    one("timeouts.drain_notice", Scalar::WaitOrOff(limits::DRAIN_NOTICE)),
    one("limits.connections", Scalar::AutoWhole(limits::CONNECTIONS)),
    one("limits.in_flight", Scalar::AutoWhole(limits::IN_FLIGHT)),
    one("limits.upstream_concurrency", Scalar::AutoWhole(limits::UPSTREAM_CONCURRENCY)),
    one("limits.queue", Scalar::Whole(limits::QUEUE)),
    one("limits.queue_age", Scalar::Wait(limits::QUEUE_AGE)),
    one("limits.head_bytes", Scalar::Size(limits::HEAD_BYTES)),
    one("limits.fields", Scalar::Whole(limits::FIELDS)),
    one("limits.target_bytes", Scalar::Size(limits::TARGET_BYTES)),
    one("limits.upstream_body", Scalar::Size(limits::UPSTREAM_BODY)),
    one("limits.event", Scalar::Size(limits::EVENT)),
    one("retry.attempts", Scalar::Whole(limits::RETRY_ATTEMPTS)),
    one("retry.budget", Scalar::Ratio),
    one("retry.max_wait", Scalar::Wait(limits::RETRY_WAIT)),
    one("stream.early_head", Scalar::WaitOrOff(limits::EARLY_HEAD)),
    one("fallback.after", Scalar::WaitOrOff(limits::FIRST_TOKEN)),
    one("fallback.resume", Scalar::Choice(&["verify", "off"])),
    one("tls.roots", Scalar::Choice(&["bundled", "system"])),
    one("tls.extra_ca", Scalar::Text),
    one("tls.client_cert", Scalar::Text),
    one("tls.client_key", Scalar::Text),
    one("tls.allow_http", Scalar::Flag),
    one("tls.allow_link_local", Scalar::Flag),
    one("ledger.enabled", Scalar::AutoFlag),
    one("ledger.path", Scalar::Text),
    one("ledger.retention", Scalar::WaitOrOff(limits::RETENTION)),
    one("ledger.when_full", Scalar::Choice(&["serve", "refuse"])),
    one("shared.url", Scalar::VendorKeys),
    one("shared.prefix", Scalar::Name),
    one("shared.lease", Scalar::Wait(limits::LEASE)),
    one("shared.when_away", Scalar::Choice(&["serve", "refuse"])),
    one("shared.budgets", Scalar::Flag),
    one("shared.limits", Scalar::Flag),
    one("shared.keys", Scalar::Flag),
    one("shared.cache", Scalar::Flag),
    one("shared.signatures", Scalar::Flag),
    one("otel.endpoint", Scalar::Base(Base::Versioned)),
    one("otel.headers", Scalar::VendorKeys),
    one("otel.service_name", Scalar::Text),
    one("otel.resource_attributes", Scalar::Text),
    one("otel.sample", Scalar::Ratio),
    one("otel.propagate", Scalar::Choice(&["own", "all", "off"])),
    one("proxy.https", Scalar::VendorKeys),
    one("proxy.except", Scalar::Text),
    tables("upstream", UPSTREAM),
    tables("route", ROUTE),
    tables("key", CLIENT_KEY),
    tables("price", PRICE),
];

/// The keys of a table, and behind them those of the rates of tokens.
macro_rules! and_rates {
    ($($key:expr),* $(,)?) => {
        &[
            $($key,)*
            one("input", Scalar::PerMillion),
            one("cached", Scalar::PerMillion),
            one("cache_write", Scalar::PerMillion),
            one("cache_write_1h", Scalar::PerMillion),
            one("audio_input", Scalar::PerMillion),
            one("audio_cached", Scalar::PerMillion),
            one("output", Scalar::PerMillion),
            one("reasoning", Scalar::PerMillion),
            one("audio_output", Scalar::PerMillion),
            one("image_output", Scalar::PerMillion),
        ]
    };
}

const PRICE: &[Key] = and_rates![
    one("model", Scalar::Pattern),
    one("upstream", Scalar::Name),
    one("source", Scalar::Text),
    one("from", Scalar::Day),
    tables("long", LONG),
    tables("flex", TIER),
    tables("priority", TIER),
    tables("fast", TIER),
    tables("ultrafast", TIER),
];

const LONG: &[Key] = and_rates![one("over", Scalar::Whole(limits::PROMPT_TOKENS))];

const TIER: &[Key] = and_rates![one("times", Scalar::Times), tables("long", LONG)];

const UPSTREAM: &[Key] = &[
    one("name", Scalar::Name),
    one("kind", Scalar::Choice(KINDS)),
    one("base_url", Scalar::OrVariable(&Scalar::Text)),
    one("api_key", Scalar::VendorKeys),
    one("compat", Scalar::Choice(&["exact", "fixups"])),
    one("stream_usage", Scalar::Choice(&["auto", "always", "never"])),
    one("responses", Scalar::Choice(&["auto", "native", "translated"])),
    one("credentials_file", Scalar::OrVariable(&Scalar::Account)),
    one("project_id", Scalar::OrVariable(&Scalar::Project)),
    one("region", Scalar::OrVariable(&Scalar::Region)),
    one("api_version", Scalar::Choice(API_VERSIONS)),
    one("prefill", Scalar::Flag),
    one("trace_context", Scalar::Flag),
];

/// Keys of `[[upstream]]` that mean something for one kind only.
pub(super) const KIND_KEYS: &[(&str, &str)] = &[
    ("compat", "openai"),
    ("stream_usage", "openai"),
    ("responses", "openai"),
    ("credentials_file", "vertex"),
    ("project_id", "vertex"),
    ("region", "vertex"),
    ("api_version", "vertex"),
];

const ROUTE: &[Key] = &[
    one("model", Scalar::Pattern),
    tables("targets", TARGET),
    tables("fallbacks", TARGET),
    one("balance", Scalar::Choice(&["weight", "latency"])),
    one("affinity", Scalar::Name),
    one("exhausted", Scalar::Choice(&["refuse", "least_bad", "wait"])),
    one("cache", Scalar::Choice(&["auto", "on", "off"])),
];

const TARGET: &[Key] = &[
    one("upstream", Scalar::Name),
    one("model", Scalar::Model),
    one("weight", Scalar::Whole(limits::WEIGHT)),
];

const CLIENT_KEY: &[Key] = &[
    one("name", Scalar::Name),
    one("secret", Scalar::ClientKey),
    one("models", Scalar::Patterns),
    one("requests_per_minute", Scalar::Whole(limits::RATE)),
    one("tokens_per_minute", Scalar::Whole(limits::RATE)),
    one("concurrency", Scalar::Whole(limits::KEY_CONCURRENCY)),
    one("trusted", Scalar::Flag),
    one("routes", Scalar::Patterns),
    one("expires", Scalar::Moment),
    one("labels", Scalar::Labels),
    tables("budget", BUDGET),
];

const BUDGET: &[Key] = &[one("usd", Scalar::Amount), one("per", Scalar::PERIOD)];

/// Variables with a name of their own beside `APP_SECTION__NAME`. For one key, what stands
/// further up wins, as it did in `FkLLMProxy`; `APP_` stands where it is listed, else last.
pub(super) const ALIASES: &[(&str, &str)] = &[
    ("GOOGLE_API_KEY", "vertex.api_key"),
    ("GOOGLE_APPLICATION_CREDENTIALS", "vertex.credentials_file"),
    ("APP_VERTEX__PROJECT_ID", "vertex.project_id"),
    ("GOOGLE_CLOUD_PROJECT", "vertex.project_id"),
    ("ANTHROPIC_API_KEY", "anthropic.api_key"),
    ("ANTHROPIC_BASE_URL", "anthropic.base_url"),
    ("OPENAI_API_KEY", "openai.api_key"),
    ("OPENAI_BASE_URL", "openai.base_url"),
    ("DEEPSEEK_API_KEY", "deepseek.api_key"),
    ("DEEPSEEK_BASE_URL", "deepseek.base_url"),
    ("OLLAMA_BASE_URL", "ollama.base_url"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "otel.endpoint"),
    ("OTEL_EXPORTER_OTLP_HEADERS", "otel.headers"),
    ("OTEL_SERVICE_NAME", "otel.service_name"),
    ("OTEL_RESOURCE_ATTRIBUTES", "otel.resource_attributes"),
    ("HTTPS_PROXY", "proxy.https"),
    ("NO_PROXY", "proxy.except"),
];

/// Variables of `FkLLMProxy` for things that are not built (a trailing `*` covers all that begin
/// so), and what takes their place.
pub(super) const OLD_VARIABLES: &[(&str, &str)] = &[
    ("APP_OPENAI__HARVESTER_URL", "OPENAI_API_KEY and OPENAI_BASE_URL (the official API)"),
    ("APP_OPENAI__ACCESS_TOKEN_TTL_SECS", "OPENAI_API_KEY (the official API needs no tokens)"),
    ("APP_OPENAI__ARKOSE_TOKEN_TTL_SECS", "OPENAI_API_KEY (the official API needs no tokens)"),
    ("APP_OPENAI__TLS_FINGERPRINT_*", "OPENAI_API_KEY (the official API needs no disguise)"),
    ("APP_ANTHROPIC__BRIDGE_URL", "ANTHROPIC_API_KEY and ANTHROPIC_BASE_URL (the official API)"),
    ("ANTHROPIC_BRIDGE_URL", "ANTHROPIC_API_KEY and ANTHROPIC_BASE_URL (the official API)"),
    ("ANTHROPIC_CLI_PATH", "ANTHROPIC_API_KEY (the official API)"),
    ("APP_GEMINI_CLI__*", "GOOGLE_API_KEY or GOOGLE_APPLICATION_CREDENTIALS"),
    ("APP_VERTEX__BASE_URL", "APP_VERTEX__API_KEY_BASE_URL or APP_VERTEX__OAUTH_BASE_URL"),
    ("BACKEND_USER_AGENT", "nothing: the gateway names itself to every upstream"),
    ("FLAG_*", "the keys of vertex-bridge.toml"),
];

/// True when `name` is `pattern`, or begins with what stands before a trailing `*`.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |prefix| name.starts_with(prefix))
}

/// `APP_SERVER__PORT` for `server.port`; `None` for tables, which only a file can hold.
pub(super) fn variable_of(key: &Key) -> Option<String> {
    let (section, name) = key.name.split_once('.')?;
    Some(format!("APP_{}__{}", section.to_ascii_uppercase(), name.to_ascii_uppercase()))
}

/// The variables that set `key`, the one that wins first.
pub(super) fn variables_of(key: &Key) -> Vec<String> {
    let listed = ALIASES.iter().filter(|(_, of)| *of == key.name);
    let mut names: Vec<String> = listed.map(|(alias, _)| (*alias).to_owned()).collect();
    let own = variable_of(key);
    names.extend(own.filter(|own| !names.contains(own)));
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_name_only_keys_that_exist() {
        for (alias, key) in ALIASES {
            assert!(KEYS.iter().any(|known| known.name == *key), "{alias}");
        }
    }

    #[test]
    fn variables_in_their_order() {
        let of = |name: &str| variables_of(KEYS.iter().find(|key| key.name == name).unwrap());
        assert_eq!(of("server.max_request_size"), ["APP_SERVER__MAX_REQUEST_SIZE"]);
        assert_eq!(of("vertex.api_key"), ["GOOGLE_API_KEY", "APP_VERTEX__API_KEY"]);
        assert_eq!(of("vertex.project_id"), ["APP_VERTEX__PROJECT_ID", "GOOGLE_CLOUD_PROJECT"]);
        assert!(of("upstream").is_empty());
    }
}
