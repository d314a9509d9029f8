//! From settings to the one checked `Config`: defaults, and the rules between keys.

use std::net::SocketAddr;
use std::time::Duration;

use super::answers_keys;
use super::budget::Budgeting;
use super::client_keys::{admin_key, client_keys};
use super::error::ConfigError;
use super::keys::LEVELS;
use super::limits::{self, Range};
use super::listing_keys;
use super::network::Network;
use super::origin::is_loopback;
use super::pages_keys;
use super::parse::{self, Notes, Settings, Sources};
use super::price;
use super::schema::{
    Anthropic, Auth, Backend, Breaker, Config, Driver, Fallback, Gemini, Ledger, Limits, Log,
    LogFormat, LogLevel, Rate, Retry, Runtime, SchemaMode, Server, Signatures, Stream,
    SystemMessages, Timeouts,
};
use super::shared::Shared;
use super::telemetry_keys;
use super::tls_keys;
use super::tunnel::Tunnel;
use super::upstreams;
use super::value::Value;

impl Config {
    /// Checks everything that is set and fills in what is not.
    ///
    /// # Errors
    /// Every mistake that can be found, in the order file, variables, then rules between keys.
    pub fn load(sources: &Sources<'_>) -> Result<Self, Vec<ConfigError>> {
        let mut notes = Notes::default();
        let settings = parse::read(sources, &mut notes);
        let server = server(&settings, &mut notes);
        let keys = client_keys(&settings, &mut notes);
        let admin = admin_key(&keys, &settings, &mut notes);
        let auth = Auth { required: true, keys, admin, unless_stored: None };
        let admin_listen = admin_listen(&auth, &settings, &mut notes);
        let auth = check_auth(auth, &server, &settings, &mut notes);
        let mut service = upstreams::service(&settings, &mut notes);
        telemetry_keys::propagate(&settings, &mut service.upstreams);
        let otel = telemetry_keys::otel(&settings, &mut notes);
        let prices = price::prices(&settings, &service.upstreams, &mut notes);
        let tls = tls_keys::towards_upstreams(&settings, &mut notes);
        let cache = answers_keys::cache(&settings, &mut notes);
        let shared = Shared::of(&settings, &mut notes);
        let tunnel = Tunnel::of(&settings, &mut notes);
        if !notes.errors.is_empty() {
            return Err(notes.errors);
        }
        let showing = service.simulated && auth.keys.is_empty();
        Ok(Self {
            server,
            auth,
            ledger: Ledger::of(&settings, showing),
            shared,
            admin_listen,
            log: log(&settings),
            runtime: runtime(&settings),
            timeouts: timeouts(&settings),
            limits: sizes(&settings),
            rate: rate(&settings),
            budgeting: Budgeting {
                allow_unknown: settings.text("budget.unknown") == Some("allow"),
                answer_tokens: settings
                    .whole("budget.answer_tokens", limits::ANSWER_TOKENS.default),
            },
            breaker: breaker(&settings),
            retry: retry(&settings),
            fallback: Fallback {
                after: settings.wait("fallback.after", limits::FIRST_TOKEN),
                resume: settings.text("fallback.resume") != Some("off"),
            },
            stream: Stream { early_head: settings.wait("stream.early_head", limits::EARLY_HEAD) },
            compression: answers_keys::compression(&settings),
            cache,
            tls,
            tunnel,
            gemini: gemini(&settings),
            anthropic: Anthropic { default_max_tokens: default_max_tokens(&settings) },
            otel,
            accounts: service.accounts,
            upstreams: service.upstreams,
            routes: service.routes,
            prices,
            simulated: service.simulated,
            set: listing_keys::list(&settings),
            file: sources.file.map(|(path, _)| path.to_owned()),
            reload_on_change: settings.flag("server.reload_on_change", false),
            warnings: notes.warnings,
        })
    }
}

fn server(settings: &Settings, notes: &mut Notes) -> Server {
    let port = settings.whole("server.port", 4000);
    Server {
        host: settings.text("server.host").unwrap_or("127.0.0.1").to_owned(),
        port: u16::try_from(port).unwrap_or(u16::MAX),
        request_body_bytes_max: settings.count("server.max_request_size", limits::REQUEST_BODY),
        own_headers: settings.flag("server.own_headers", true),
        trusted_proxies: trusted_proxies(settings),
        pages: pages_keys::pages(settings, notes),
        tls: tls_keys::towards_clients(settings, notes),
    }
}

fn trusted_proxies(settings: &Settings) -> Vec<Network> {
    match settings.value("server.trusted_proxies") {
        Some(Value::Texts(texts)) => texts.iter().filter_map(|t| Network::parse(t)).collect(),
        _ => Vec::new(),
    }
}

/// Without a key, here or in the store, only this machine may be served, and nobody may ask for a
/// key to be checked.
fn check_auth(auth: Auth, server: &Server, settings: &Settings, notes: &mut Notes) -> Auth {
    let wanted = match settings.value("auth.require_auth") {
        Some(Value::Flag(flag)) => Some(*flag),
        _ => None,
    };
    let open = !is_loopback(&server.host);
    // A key that is set but wrong has its own error already.
    let none =
        auth.keys.is_empty() && !settings.is_set("auth.master_key") && !settings.is_set("key");
    let fix = "a key of 16 characters or more (APP_AUTH__MASTER_KEY) or one in the store \
               (vertex-bridge keys create)";
    let mut unless_stored = None;
    if none && wanted == Some(true) {
        unless_stored = Some(ConfigError {
            key: "auth.require_auth".to_owned(),
            place: settings.place_of("auth.require_auth").clone(),
            found: "true without any key".to_owned(),
            expected: fix.to_owned(),
        });
    } else if none && open {
        unless_stored = Some(ConfigError {
            key: "auth.master_key".to_owned(),
            place: settings.place_of("server.host").clone(),
            found: format!("no key, though {} is not a loopback address", server.host),
            expected: format!("{fix}, or the address 127.0.0.1 (APP_SERVER__HOST)"),
        });
    }
    if open && !auth.keys.is_empty() && wanted == Some(false) {
        notes.warnings.push(format!(
            "auth.require_auth is false: whoever reaches {} is let in without a key",
            server.host
        ));
    }
    Auth { required: wanted.unwrap_or(true), unless_stored, ..auth }
}

/// An address of its own for the administration. Only this machine may be let in without a key.
fn admin_listen(auth: &Auth, settings: &Settings, notes: &mut Notes) -> Option<SocketAddr> {
    let listen: SocketAddr = settings.text("admin.listen")?.parse().ok()?;
    if auth.admin.is_none() && !listen.ip().is_loopback() && !settings.is_set("auth.admin_key") {
        let found = format!("no admin key, though {listen} is not a loopback address");
        let fix = "an admin key of 16 characters or more (APP_AUTH__ADMIN_KEY), or 127.0.0.1";
        notes.error("auth.admin_key", settings.place_of("admin.listen"), found, fix);
    }
    Some(listen)
}

fn log(settings: &Settings) -> Log {
    let word = settings.text("log.level").unwrap_or("info");
    let level = match LEVELS.iter().position(|level| *level == word) {
        Some(0) => LogLevel::Error,
        Some(1) => LogLevel::Warn,
        Some(3 | 4) => LogLevel::Debug,
        _ => LogLevel::Info,
    };
    let is_json = settings.text("log.format") == Some("json");
    let format = if is_json { LogFormat::Json } else { LogFormat::Pretty };
    Log { level, format, exchanges: telemetry_keys::exchanges(settings) }
}

fn runtime(settings: &Settings) -> Runtime {
    Runtime {
        backend: match settings.text("runtime.backend") {
            Some("monoio") => Backend::Monoio,
            Some("glommio") => Backend::Glommio,
            _ => Backend::Native,
        },
        driver: match settings.text("runtime.driver") {
            Some("io_uring") => Driver::IoUring,
            Some("epoll") => Driver::Epoll,
            _ => Driver::Auto,
        },
        cores: match settings.value("runtime.cores") {
            Some(Value::Cores(cores)) => cores.clone(),
            _ => None,
        },
    }
}

fn timeouts(settings: &Settings) -> Timeouts {
    let wait = |key, range| settings.wait(key, range).unwrap_or(Duration::MAX);
    Timeouts {
        connect: wait("timeouts.connect", limits::CONNECT),
        tls: wait("timeouts.tls", limits::TLS),
        write_head: wait("timeouts.write_head", limits::WRITE_HEAD),
        first_byte: wait("timeouts.first_byte", limits::FIRST_BYTE),
        first_token: settings.wait("timeouts.first_token", limits::FIRST_TOKEN),
        slow_stream: match settings.value("timeouts.slow_stream") {
            Some(Value::Whole(rate)) if *rate > 0 => Some(*rate),
            _ => None,
        },
        idle: wait("timeouts.idle", limits::IDLE),
        total: settings.wait("timeouts.total", limits::TOTAL),
        client_head: wait("timeouts.client_head", limits::CLIENT_HEAD),
        client_body: wait("timeouts.client_body", limits::CLIENT_BODY),
        keep_alive: wait("timeouts.keep_alive", limits::KEEP_ALIVE),
        client_write_idle: wait("timeouts.client_write_idle", limits::CLIENT_WRITE_IDLE),
        drain: wait("timeouts.drain", limits::DRAIN),
        drain_notice: settings
            .wait("timeouts.drain_notice", limits::DRAIN_NOTICE)
            .unwrap_or(Duration::ZERO),
    }
}

fn sizes(settings: &Settings) -> Limits {
    Limits {
        connections: settings.auto("limits.connections"),
        in_flight: settings.auto("limits.in_flight"),
        upstream_concurrency: settings.auto("limits.upstream_concurrency"),
        queue: settings.auto("limits.queue"),
        queue_age: settings.wait("limits.queue_age", limits::QUEUE_AGE).unwrap_or(Duration::ZERO),
        head_bytes: settings.count("limits.head_bytes", limits::HEAD_BYTES),
        fields: settings.count("limits.fields", limits::FIELDS),
        target_bytes: settings.count("limits.target_bytes", limits::TARGET_BYTES),
        upstream_body_bytes: settings.count("limits.upstream_body", limits::UPSTREAM_BODY),
        event_bytes: settings.count("limits.event", limits::EVENT),
    }
}

fn rate(settings: &Settings) -> Rate {
    Rate {
        capacity: settings.whole("rate_limit.capacity", limits::RATE.default),
        per_second: settings.whole("rate_limit.refill_per_second", limits::REFILL_DEFAULT),
    }
}

fn breaker(settings: &Settings) -> Breaker {
    let count = |key, default| u32::try_from(settings.whole(key, default)).unwrap_or(u32::MAX);
    let seconds = settings.whole("circuit_breaker.timeout_secs", limits::SECONDS.default);
    Breaker {
        failures: count("circuit_breaker.failure_threshold", limits::BREAKER.default),
        timeout: Duration::from_secs(seconds),
        successes: count("circuit_breaker.success_threshold", limits::SUCCESSES_DEFAULT),
    }
}

fn retry(settings: &Settings) -> Retry {
    let attempts = settings.whole("retry.attempts", limits::RETRY_ATTEMPTS.default);
    Retry {
        attempts: u32::try_from(attempts).unwrap_or(0),
        budget: match settings.value("retry.budget") {
            Some(Value::Ratio(share)) => *share,
            _ => 0.2,
        },
        wait_max: settings.wait("retry.max_wait", limits::RETRY_WAIT).unwrap_or(Duration::ZERO),
    }
}

fn gemini(settings: &Settings) -> Gemini {
    Gemini {
        safety_settings: settings.text("gemini.safety_settings").map(str::to_owned),
        system_messages: match settings.text("gemini.system_messages") {
            Some("inline") => SystemMessages::Inline,
            _ => SystemMessages::Hoist,
        },
        schema_mode: match settings.text("gemini.schema_mode") {
            Some("openapi") => SchemaMode::OpenApi,
            _ => SchemaMode::JsonSchema,
        },
        signatures: Signatures {
            cache: settings.flag("gemini.signature_cache", true),
            in_id: settings.flag("gemini.signature_in_id", false),
        },
        enforce_parallel: settings.flag("gemini.enforce_parallel", false),
    }
}

fn default_max_tokens(settings: &Settings) -> Option<u64> {
    match settings.value("anthropic.default_max_tokens") {
        Some(Value::Whole(tokens)) => Some(*tokens),
        _ => None,
    }
}

impl Settings {
    pub(super) fn flag(&self, key: &str, default: bool) -> bool {
        match self.value(key) {
            Some(Value::Flag(flag)) => *flag,
            _ => default,
        }
    }

    pub(super) fn whole(&self, key: &str, default: u64) -> u64 {
        match self.value(key) {
            Some(Value::Whole(number)) => *number,
            _ => default,
        }
    }

    pub(super) fn count(&self, key: &str, range: Range) -> usize {
        usize::try_from(self.whole(key, range.default)).unwrap_or(usize::MAX)
    }

    fn auto(&self, key: &str) -> Option<usize> {
        match self.value(key) {
            Some(Value::Whole(number)) => usize::try_from(*number).ok(),
            _ => None,
        }
    }

    /// `None` is off. A default of 0 means off where off is possible.
    pub(super) fn wait(&self, key: &str, range: Range) -> Option<Duration> {
        match self.value(key) {
            Some(Value::Wait(wait)) => *wait,
            _ => (range.default > 0).then(|| Duration::from_millis(range.default)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse::FlagValue;
    use super::*;

    fn load(file: &str, variables: &[(&str, &str)]) -> Result<Config, Vec<String>> {
        load_with(file, variables, &[])
    }

    fn load_with(
        file: &str,
        variables: &[(&str, &str)],
        flags: &[FlagValue<'_>],
    ) -> Result<Config, Vec<String>> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let variables: Vec<_> = variables.iter().map(owned).collect();
        let read_file = |path: &str| match path {
            "/key" => Ok("canary-file-0123456789\n".to_owned()),
            _ => Err("No such file or directory".to_owned()),
        };
        let file = Some(("vb.toml", file));
        let sources = Sources { file, flags, variables: &variables, read_file: &read_file };
        Config::load(&sources).map_err(|all| all.iter().map(ToString::to_string).collect())
    }

    #[track_caller]
    fn errors(file: &str, variables: &[(&str, &str)]) -> Vec<String> {
        load(file, variables).expect_err("a refusal")
    }

    #[test]
    fn an_empty_configuration_has_the_documented_defaults() {
        let config = load("", &[]).expect("defaults");
        assert_eq!((&*config.server.host, config.server.port), ("127.0.0.1", 4000));
        assert_eq!(config.server.request_body_bytes_max, 10_485_760);
        assert!(config.auth.keys.is_empty() && config.simulated);
        assert_eq!((config.log.level, config.log.format), (LogLevel::Info, LogFormat::Pretty));
        let Runtime { backend, driver, cores } = config.runtime;
        assert_eq!((backend, driver, cores), (Backend::Native, Driver::Auto, None));
        let t = config.timeouts;
        let seconds = [
            (t.connect, 2),
            (t.tls, 3),
            (t.write_head, 5),
            (t.first_byte, 120),
            (t.idle, 60),
            (t.client_head, 10),
            (t.client_body, 60),
            (t.keep_alive, 75),
            (t.client_write_idle, 60),
            (t.drain, 30),
        ];
        assert!(seconds.iter().all(|(wait, want)| *wait == Duration::from_secs(*want)), "{t:?}");
        assert_eq!((t.first_token, t.total), (None, None));
        let l = config.limits;
        assert_eq!((l.connections, l.in_flight), (None, None));
        assert_eq!((l.head_bytes, l.fields, l.target_bytes), (32 << 10, 100, 8 << 10));
        assert_eq!((l.upstream_body_bytes, l.event_bytes), (32 << 20, 16 << 20));
        assert_eq!((config.retry.attempts, config.retry.wait_max), (2, Duration::from_secs(5)));
        assert!((config.retry.budget - 0.2).abs() < 1e-9);
        assert!(config.warnings.is_empty(), "{:?}", config.warnings);
        assert!(config.server.own_headers && config.stream.early_head.is_none());
        let Gemini { safety_settings, system_messages, schema_mode, signatures, enforce_parallel } =
            config.gemini;
        assert_eq!((safety_settings, system_messages), (None, SystemMessages::Hoist));
        assert_eq!((schema_mode, enforce_parallel), (SchemaMode::JsonSchema, false));
        assert!(signatures.cache && !signatures.in_id);
        assert_eq!(config.anthropic.default_max_tokens, None);
    }

    #[test]
    fn rates_and_circuits_have_the_documented_defaults() {
        let config = load("", &[]).expect("defaults");
        assert_eq!(config.rate, Rate { capacity: 100, per_second: 10 });
        let Breaker { failures, timeout, successes } = config.breaker;
        assert_eq!((failures, timeout, successes), (10, Duration::from_secs(60), 3));
    }

    #[test]
    fn options_of_the_vendors_are_read() {
        let file = "[gemini]\nsystem_messages = \"inline\"\nschema_mode = \"openapi\"\n\
                    signature_cache = false\nsignature_in_id = true\nenforce_parallel = true\n\
                    [stream]\nearly_head = \"5s\"\n[anthropic]\ndefault_max_tokens = 4096\n\
                    [server]\nown_headers = false\n";
        let settings = r#"[ {"category":"HARM_CATEGORY_HARASSMENT", "threshold":"OFF"} ]"#;
        let variables = [("APP_GEMINI__SAFETY_SETTINGS", settings)];
        let config = load(file, &variables).expect("a configuration");
        let want = r#"[{"category":"HARM_CATEGORY_HARASSMENT","threshold":"OFF"}]"#;
        assert_eq!(config.gemini.safety_settings.as_deref(), Some(want));
        assert_eq!(config.gemini.system_messages, SystemMessages::Inline);
        assert_eq!(config.gemini.schema_mode, SchemaMode::OpenApi);
        assert!(!config.gemini.signatures.cache && config.gemini.signatures.in_id);
        assert!(config.gemini.enforce_parallel && !config.server.own_headers);
        assert_eq!(config.stream.early_head, Some(Duration::from_secs(5)));
        assert_eq!(config.anthropic.default_max_tokens, Some(4096));
        for wrong in ["BLOCK_NONE", "{}", "[{}]", r#"[{"category":"a","threshold":1}]"#] {
            let found = errors("", &[("APP_GEMINI__SAFETY_SETTINGS", wrong)]);
            assert!(found[0].contains("expected a JSON array such as"), "{found:?}");
        }
    }

    #[test]
    fn flags_beat_variables_beat_the_file() {
        let file = "[log]\nlevel = \"error\"\nformat = \"json\"\n[runtime]\ncores = \"1\"\n";
        let variables = [("APP_LOG__LEVEL", "warn"), ("APP_RUNTIME__CORES", "2")];
        let flag = FlagValue { flag: "--cores", key: "runtime.cores", value: "3" };
        let config = load_with(file, &variables, &[flag]).expect("a configuration");
        assert_eq!((config.log.level, config.log.format), (LogLevel::Warn, LogFormat::Json));
        assert_eq!(config.runtime.cores, Some(vec![3]));
        let empty = load("", &[("APP_SERVER__PORT", "")]).expect("empty is not set");
        assert_eq!(empty.server.port, 4000);
    }

    #[test]
    fn mistakes_in_the_file_name_line_key_found_and_expected() {
        let wait = "expected a duration from 1ms to 3600s, such as 250ms, 30s or 5m";
        let cases = [
            (
                "# x\n[server]\nport = \"abc\"",
                "3: server.port: found \"abc\", expected a port number from 1 to 65535",
            ),
            (
                "server.port = 65536",
                "1: server.port: found 65536, expected a port number from 1 to 65535",
            ),
            ("server = 3", "1: server: found 3, expected a table"),
            (
                "[server]\nprot = 1",
                "2: server.prot: found an unknown key, expected a known key (did you \
                 mean server.port?)",
            ),
            (
                "\n[serve]\nport = 1",
                "2: serve: found an unknown key, expected a known key (did you mean \
                 server?)",
            ),
            (
                "server.upstream = 1",
                "1: server.upstream: found an unknown key, expected a known key",
            ),
            ("[timeouts]\nidle = 5", &format!("2: timeouts.idle: found 5, {wait}")),
            ("[timeouts]\nidle = \"off\"", &format!("2: timeouts.idle: found \"off\", {wait}")),
            (
                "[limits]\nhead_bytes = \"1MB\"",
                "2: limits.head_bytes: found \"1MB\", expected a size such as 10MiB or \
                 a number of bytes, from 1024 to 1048576",
            ),
            (
                "[cache]\nenabled = \"yes\"",
                "2: cache.enabled: found \"yes\", expected true or false",
            ),
            ("[retry]\nbudget = 1.5", "2: retry.budget: found 1.5, expected a number from 0 to 1"),
        ];
        for (file, want) in cases {
            assert_eq!(errors(file, &[]), [format!("vb.toml:{want}")]);
        }
    }

    #[test]
    fn mistakes_in_variables_name_variable_key_found_and_expected() {
        let cases = [
            (
                "APP_SERVER__PORT",
                "abc",
                " (server.port): found \"abc\", expected a port number from 1 to 65535",
            ),
            (
                "APP_SERVER_PORT",
                "1",
                ": found an unknown variable, expected a known variable (did you mean \
                 APP_SERVER__PORT?)",
            ),
            ("APP_NAME", "x", ": found an unknown variable, expected a known variable"),
            ("APP_UPSTREAM__NAME", "x", ": found an unknown variable, expected a known variable"),
            (
                "APP_LOG__LEVEL",
                "loud",
                " (log.level): found \"loud\", expected one of error, warn, info, debug, \
                 trace",
            ),
        ];
        for (name, value, want) in cases {
            assert_eq!(errors("", &[(name, value)]), [format!("{name}{want}")]);
        }
    }

    #[test]
    fn every_mistake_is_reported_at_once() {
        let file = "[server]\nport = 0\nhost = \"a b\"\n[limits]\nfields = true\n";
        let found = errors(file, &[("APP_TIMEOUTS__TOTAL", "1"), ("APP_X", "1")]);
        assert_eq!(found.len(), 5, "{found:#?}");
        let broken = errors("[server\nport = 1\n[log]\nlevel = = 3\n", &[]);
        assert!(broken.len() >= 2, "{broken:#?}");
        assert!(broken[0].starts_with("vb.toml:1: found "), "{broken:#?}");
        assert!(broken[0].ends_with("expected valid TOML"), "{broken:#?}");
    }

    #[test]
    fn without_a_key_only_loopback_is_served() {
        for host in ["127.0.0.1", "::1", "[::1]", "localhost"] {
            let config = load("", &[("APP_SERVER__HOST", host)]).expect(host);
            assert!(config.auth.keys.is_empty(), "{host}");
        }
        for host in ["0.0.0.0", "::", "10.0.0.1", "example.com"] {
            for asked in ["", "false"] {
                let variables = [("APP_SERVER__HOST", host), ("APP_AUTH__REQUIRE_AUTH", asked)];
                let config = load("", &variables).expect("the store may have keys");
                let want = format!(
                    "APP_SERVER__HOST (auth.master_key): found no key, though {host} is not a \
                     loopback address, expected a key of 16 characters or more \
                     (APP_AUTH__MASTER_KEY) or one in the store (vertex-bridge keys create), or \
                     the address 127.0.0.1 (APP_SERVER__HOST)"
                );
                let error = config.auth.unless_stored.expect("it has none");
                assert_eq!(error.to_string(), want);
            }
        }
        let config = load("", &[("APP_AUTH__REQUIRE_AUTH", "true")]).expect("the store may have");
        assert_eq!(
            config.auth.unless_stored.map(|error| error.to_string()).as_deref(),
            Some(
                "APP_AUTH__REQUIRE_AUTH (auth.require_auth): found true without any key, expected \
                 a key of 16 characters or more (APP_AUTH__MASTER_KEY) or one in the store \
                 (vertex-bridge keys create)"
            )
        );
    }

    #[test]
    fn a_key_is_required_unless_the_operator_says_otherwise() {
        let key = ("APP_AUTH__MASTER_KEY", "0123456789abcdef");
        for (asked, want) in [("", true), ("true", true), ("yes", true), ("false", false)] {
            let config = load("", &[key, ("APP_AUTH__REQUIRE_AUTH", asked)]).expect(asked);
            assert_eq!((config.auth.required, config.auth.keys.len()), (want, 1), "{asked}");
        }
        let open = [key, ("APP_AUTH__REQUIRE_AUTH", "false"), ("APP_SERVER__HOST", "0.0.0.0")];
        let config = load("", &open).expect("allowed, with a warning");
        assert!(config.warnings[0].contains("let in without a key"), "{:?}", config.warnings);
        let short = errors("", &[("APP_AUTH__MASTER_KEY", "0123456789abcde")]);
        assert_eq!(short.len(), 1, "{short:?}");
        assert!(short[0].contains("found a key of 15 characters, expected a key of 16"));
    }

    #[test]
    fn the_administration_is_never_open_to_others() {
        let listen = |at: &str| format!("[admin]\nlisten = \"{at}\"\n");
        let here = load(&listen("127.0.0.1:4001"), &[]).expect("only this machine");
        assert_eq!(here.admin_listen, "127.0.0.1:4001".parse().ok());
        let open = errors(&listen("0.0.0.0:4001"), &[]);
        assert_eq!(open.len(), 1, "{open:?}");
        assert!(open[0].starts_with("vb.toml:2: auth.admin_key: found no admin key"), "{open:?}");
        let key = ("APP_AUTH__ADMIN_KEY", "admin-0123456789");
        let config = load(&listen("0.0.0.0:4001"), &[key]).expect("it has a key");
        assert!(config.auth.admin.is_some() && config.auth.keys.is_empty());
    }

    #[test]
    fn proxies_are_networks() {
        let file = |list: &str| format!("[server]\ntrusted_proxies = {list}\n");
        let config = load(&file("[\"10.0.0.0/8\", \"::1\"]"), &[]).expect("two networks");
        assert_eq!(config.server.trusted_proxies.len(), 2);
        let wrong = errors(&file("[\"10.0.0.1/8\"]"), &[]);
        assert!(wrong[0].contains("such as 10.0.0.0/8 or ::1"), "{wrong:?}");
    }

    #[test]
    fn what_has_no_effect_is_said() {
        let file = "[rate_limit]\ncapacity = 7\n[cache]\nenabled = false\n[retry]\nattempts = 0\n\
                    [fallback]\nafter = \"off\"\n";
        let variables = [
            ("APP_RETRY__BUDGET", "1"),
            ("APP_OPENAI__HARVESTER_URL", "http://x"),
            ("APP_GEMINI_CLI__ENABLED", "true"),
        ];
        let config = load(file, &variables).expect("accepted");
        let want = [
            "APP_GEMINI_CLI__ENABLED has no effect; use GOOGLE_API_KEY or \
             GOOGLE_APPLICATION_CREDENTIALS",
            "APP_OPENAI__HARVESTER_URL has no effect; use OPENAI_API_KEY and OPENAI_BASE_URL (the \
             official API)",
        ];
        let mut found = config.warnings;
        found.sort();
        let mut want = want.to_vec();
        want.sort_unstable();
        assert_eq!(found, want);
    }

    #[test]
    fn secrets_never_show() {
        let file = "[auth]\nmaster_key = \"canary-master-0123456789\"\n[vertex]\n\
                    api_key = [\"canary-a\", \"file:/key\", \"env:OTHER\"]\n\
                    [[key]]\nname = \"t\"\nsecret = \"canary-team-0123456789\"\n";
        let variables = [("OTHER", "canary-env"), ("HTTPS_PROXY", "http://u:canary@proxy")];
        let config = load(file, &variables).expect("a configuration");
        assert_eq!(config.upstreams[0].keys.len(), 3);
        assert_eq!(config.upstreams[0].keys[1].expose(), "canary-file-0123456789");
        assert!(!format!("{config:?}").contains("canary"));
        let broken = [
            ("[auth]\nmaster_key = \"canary\"", ("A", "")),
            ("[auth]\nmaster_key = [\"canary-master-0123456789\"]", ("A", "")),
            ("[vertex]\napi_key = \"canary key\"", ("A", "")),
            ("[vertex]\napi_key = canary-0123456789", ("A", "")),
            ("[vertex]\napi_kye = \"canary-0123456789\"", ("A", "")),
            ("", ("ANTHROPIC_API_KEY", "canary\n")),
            ("", ("APP_AUTH__MASTERKEY", "canary-0123456789")),
            ("", ("OPENAI_BASE_URL", "https://user:canary@host/v1")),
            ("", ("HTTPS_PROXY", "https://user:canary@proxy")),
            ("", ("APP_VERTEX__API_KEY_BASE_URL", "https://host/?key=canary")),
            ("[[upstream]]\nname=\"x\"\nkind=\"openai\"\nbase_url=\"http://canary@h\"", ("A", "")),
        ];
        for (file, variable) in broken {
            let found = errors(file, &[variable]).join("\n");
            assert!(!found.contains("canary"), "{found}");
        }
    }
}
