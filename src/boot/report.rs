//! What `check` prints: what would run, for people and for programs. Secrets show as `***`.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use crate::config::limits::worst_case;
use crate::config::{
    Config, ConfigError, Gemini, Kind, LogFormat, Place, Roots, ServiceAccount, Target, Timeouts,
    TlsPair, Upstream,
};

use crate::policy::Keyring;

use super::machine::Machine;

/// The report in lines for people.
pub fn text(config: &Config, keys: &Keyring, machine: &Machine) -> String {
    let mut page = Page(format!("vertex-bridge {}\n", env!("CARGO_PKG_VERSION")));
    let capacity = config.limits.capacity(machine.room());
    page.row("listen", &listen(config));
    if let Some(listen) = config.admin_listen {
        page.row("listen admin", &listen.to_string());
    }
    page.row("clients", &clients(config, keys));
    for key in keys.holders() {
        let models = if key.models.is_empty() { "all".to_owned() } else { key.models.join(" ") };
        let closed = if key.secrets.is_empty() { " (revoked)" } else { "" };
        page.row("  key", &format!("{} = ***, models: {models}{closed}", key.name));
    }
    page.row("admin key", admin_key(config, keys));
    let log = format!("{} ({})", config.log.level.as_str(), log_format(config));
    page.row("log", &log);
    let runtime = &config.runtime;
    let cores: Vec<String> = cores(config, machine).iter().map(ToString::to_string).collect();
    let (backend, driver) = (runtime.backend.as_str(), runtime.driver.as_str());
    page.row("runtime", &format!("{backend}, driver {driver}, cores {}", cores.join(",")));
    for (name, wait) in waits(&config.timeouts) {
        page.row(
            &format!("timeout {name}"),
            &wait.map_or_else(|| "off".to_owned(), |w| format!("{w:?}")),
        );
    }
    let auto = |set: Option<usize>| if set.is_none() { " (auto)" } else { "" };
    let (connections, in_flight) = (auto(config.limits.connections), auto(config.limits.in_flight));
    page.row("limit connections", &format!("{}{connections}", capacity.connections));
    page.row("limit in_flight", &format!("{}{in_flight}", capacity.in_flight));
    page.row("limit fields", &config.limits.fields.to_string());
    for (name, bytes) in sizes(config) {
        page.row(&format!("limit {name}"), &size(u64::try_from(bytes).unwrap_or(u64::MAX)));
    }
    let most = worst_case(config, capacity);
    let has = size(machine.memory_bytes);
    let most = format!("{} if every exchange filled every limit; {has} to use", size(most));
    page.row("memory worst case", &most);
    for (name, value) in options(config) {
        page.row(name, &word(&value));
    }
    security(config, &mut page);
    service(config, &mut page);
    for listed in &config.set {
        let from = origin_of(&listed.place);
        page.row("set", &format!("{} = {} ({from})", listed.key, listed.shown));
    }
    page.0
}

/// Where something was set.
fn origin_of(place: &Place) -> String {
    match place {
        Place::File { path, line } => format!("{path}:{line}"),
        Place::Variable(name) | Place::Flag(name) => name.clone(),
        Place::Nowhere => "by default".to_owned(),
    }
}

fn security(config: &Config, page: &mut Page) {
    if let Some(tls) = &config.server.tls {
        let asked = tls.client_ca.as_ref().map_or_else(
            || "clients are asked for none".to_owned(),
            |ca| format!("clients must show one of {}", ca.path),
        );
        let (cert, key) = (&tls.pair.cert.path, &tls.pair.key.path);
        page.row("tls clients", &format!("certificate {cert}, key {key}, {asked}"));
    }
    let mut trust = roots(config).to_owned();
    if let Some(extra) = &config.tls.extra_ca {
        trust.extend([" authorities and those of ", &extra.path]);
    } else {
        trust.push_str(" authorities");
    }
    if let Some(pair) = &config.tls.client {
        trust.extend([", our certificate ", &pair.cert.path, ", key ", &pair.key.path]);
    }
    page.row("tls upstreams", &trust);
}

fn roots(config: &Config) -> &'static str {
    match config.tls.roots {
        Roots::Bundled => "bundled",
        Roots::System(_) => "system",
    }
}

fn security_json(config: &Config) -> Value {
    let pair = |pair: &TlsPair| json!({"cert": pair.cert.path, "key": pair.key.path});
    json!({
        "clients": config.server.tls.as_ref().map(|tls| json!({
            "cert": tls.pair.cert.path, "key": tls.pair.key.path,
            "client_ca": tls.client_ca.as_ref().map(|file| &file.path),
        })),
        "upstreams": {
            "roots": roots(config),
            "extra_ca": config.tls.extra_ca.as_ref().map(|file| &file.path),
            "client": config.tls.client.as_ref().map(pair),
        },
    })
}

fn service(config: &Config, page: &mut Page) {
    for upstream in &config.upstreams {
        let kind = upstream.kind.as_str();
        let place = if config.simulated {
            "the embedded simulator: no credentials were found".to_owned()
        } else {
            format!("{} {}", upstream.origin.url(), more(config, upstream))
        };
        page.row("upstream", &format!("{} ({kind}) {place}", upstream.name));
    }
    for route in config.routes.as_slice() {
        let targets = names(config, &route.targets).join(" ");
        let fallbacks = names(config, &route.fallbacks).join(" ");
        let note = if fallbacks.is_empty() { String::new() } else { format!(", else {fallbacks}") };
        page.row("route", &format!("{} -> {targets}{note}", route.pattern));
    }
    for warning in &config.warnings {
        page.row("warning", warning);
    }
}

/// Credentials, and what only some kinds have.
fn more(config: &Config, upstream: &Upstream) -> String {
    let mut more = match account(config, upstream) {
        Some(account) => format!("account: {}, key ***", account.client_email),
        None => format!("keys: {}", none_if_empty(&vec!["***"; upstream.keys.len()].join(" "))),
    };
    if let Some(place) = &upstream.vertex {
        let project = place.project.as_ref().map_or_else(
            || "express mode".to_owned(),
            |project| format!("project: {}, location: {}", project.id, project.location),
        );
        more.extend([", ", &project, ", API ", place.api_version.as_str()]);
    }
    if upstream.kind == Kind::OpenAi {
        let (compat, usage) = (upstream.compat.as_str(), upstream.stream_usage.as_str());
        let responses = upstream.responses.as_str();
        more.extend([", compat: ", compat, ", usage: ", usage, ", responses: ", responses]);
    }
    more
}

fn account<'c>(config: &'c Config, upstream: &Upstream) -> Option<&'c ServiceAccount> {
    config.accounts.get(upstream.account?)
}

fn upstream_json(config: &Config, upstream: &Upstream) -> Value {
    let url = (!config.simulated).then(|| upstream.origin.url());
    let mut object = json!({
        "name": upstream.name, "kind": upstream.kind.as_str(), "base_url": url,
        "keys": upstream.keys.len(),
        "account": account(config, upstream).map(|account| &account.client_email),
    });
    if let Some(place) = &upstream.vertex {
        let project = place.project.as_ref();
        object["vertex"] = json!({
            "express": project.is_none(), "project": project.map(|project| &project.id),
            "location": project.map(|project| &project.location),
            "api_version": place.api_version.as_str(),
        });
    }
    if upstream.kind == Kind::OpenAi {
        object["compat"] = json!(upstream.compat.as_str());
        object["stream_usage"] = json!(upstream.stream_usage.as_str());
        object["responses"] = json!(upstream.responses.as_str());
    }
    object
}

/// What all upstreams of a vendor, or all answers, have in common.
fn options(config: &Config) -> [(&'static str, Value); 15] {
    let Gemini { safety_settings, system_messages, schema_mode, signatures, enforce_parallel } =
        &config.gemini;
    let millis = |wait: Duration| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    [
        ("own_headers", json!(config.server.own_headers)),
        ("proxy", json!(config.tunnel.as_ref().map(|tunnel| &tunnel.at.authority))),
        ("cors_origins", json!(config.server.pages.origins())),
        ("early_head_ms", json!(config.stream.early_head.map(millis))),
        ("cache", cache(config)),
        ("compression level", json!(config.compression.level)),
        ("gemini safety_settings", json!(safety_settings)),
        ("gemini system_messages", json!(system_messages.as_str())),
        ("gemini schema_mode", json!(schema_mode.as_str())),
        ("gemini signature_cache", json!(signatures.cache)),
        ("gemini signature_in_id", json!(signatures.in_id)),
        ("gemini enforce_parallel", json!(enforce_parallel)),
        ("anthropic max_tokens", json!(config.anthropic.default_max_tokens)),
        ("otel endpoint", json!(config.otel.export.as_ref().map(|to| to.endpoint.url()))),
        ("otel sample", json!(config.otel.sample)),
    ]
}

/// The response cache in a word.
fn cache(config: &Config) -> Value {
    let Some(cache) = &config.cache else { return Value::Null };
    let scope = if cache.shared { "all keys" } else { "each key" };
    let (size, ttl) = (cache.bytes_max >> 10, cache.ttl.as_secs());
    json!(format!("{size} KiB, {ttl} s, for {scope}"))
}

/// An option in a word.
fn word(value: &Value) -> String {
    match value {
        Value::Null => "off".to_owned(),
        Value::Bool(on) => if *on { "on" } else { "off" }.to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The report as one JSON object and a line end.
pub fn json(config: &Config, keys: &Keyring, machine: &Machine) -> String {
    format!("{}\n", value(config, keys, machine))
}

/// The report as JSON.
pub fn value(config: &Config, keys: &Keyring, machine: &Machine) -> Value {
    let capacity = config.limits.capacity(machine.room());
    let millis = |wait: Option<Duration>| wait.map(|wait| u64::try_from(wait.as_millis()).ok());
    let timeouts: serde_json::Map<String, Value> = waits(&config.timeouts)
        .into_iter()
        .map(|(name, wait)| (name.to_owned(), json!(millis(wait))))
        .collect();
    let mut limits: serde_json::Map<String, Value> =
        sizes(config).into_iter().map(|(name, bytes)| (name.to_owned(), json!(bytes))).collect();
    limits.insert("connections".to_owned(), json!(capacity.connections));
    limits.insert("in_flight".to_owned(), json!(capacity.in_flight));
    limits.insert("fields".to_owned(), json!(config.limits.fields));
    let shown = keys.holders().iter().map(|key| json!({"name": key.name, "models": key.models}));
    let upstreams = config.upstreams.iter().map(|upstream| upstream_json(config, upstream));
    let routes = config.routes.as_slice().iter().map(|route| {
        json!({
            "model": route.pattern,
            "targets": names(config, &route.targets),
            "fallbacks": names(config, &route.fallbacks),
        })
    });
    let set = config.set.iter().map(|listed| {
        json!({"key": listed.key, "value": listed.shown, "from": origin_of(&listed.place)})
    });
    let options: serde_json::Map<String, Value> =
        options(config).into_iter().map(|(name, value)| (name.replace(' ', "."), value)).collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "listen": listen(config),
        "admin_listen": config.admin_listen,
        "simulated": config.simulated,
        "auth": {
            "development": keys.holders().is_empty(),
            "required": config.auth.required && !keys.holders().is_empty(),
            "admin": config.auth.admin.is_some(),
            "keys": shown.collect::<Vec<_>>(),
        },
        "log": {"level": config.log.level.as_str(), "format": log_format(config)},
        "runtime": {
            "backend": config.runtime.backend.as_str(),
            "driver": config.runtime.driver.as_str(),
            "cores": cores(config, machine),
        },
        "timeouts_ms": timeouts,
        "limits": limits,
        "options": options,
        "memory": {
            "worst_case_bytes": worst_case(config, capacity),
            "usable_bytes": machine.memory_bytes,
        },
        "tls": security_json(config),
        "upstreams": upstreams.collect::<Vec<_>>(),
        "routes": routes.collect::<Vec<_>>(),
        "set": set.collect::<Vec<_>>(),
        "warnings": config.warnings,
    })
}

/// One line for each mistake.
pub fn errors_text(errors: &[ConfigError]) -> String {
    errors.iter().fold(String::new(), |all, error| all + &error.to_string() + "\n")
}

/// The mistakes as one JSON object and a line end.
pub fn errors_json(errors: &[ConfigError]) -> String {
    let errors = errors.iter().map(|error| {
        let (place, line) = match &error.place {
            Place::File { path, line } => (Some(path), Some(line)),
            Place::Variable(name) | Place::Flag(name) => (Some(name), None),
            Place::Nowhere => (None, None),
        };
        json!({
            "key": error.key, "place": place, "line": line, "found": error.found,
            "expected": error.expected, "message": error.to_string(),
        })
    });
    format!("{}\n", json!({"errors": errors.collect::<Vec<_>>()}))
}

/// Lines of a name and a value in two columns.
struct Page(String);

impl Page {
    fn row(&mut self, name: &str, value: &str) {
        let written = writeln!(self.0, "{name:<26}{value}");
        debug_assert!(written.is_ok(), "memory takes everything");
    }
}

fn listen(config: &Config) -> String {
    let (host, port) = (&config.server.host, config.server.port);
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn clients(config: &Config, keys: &Keyring) -> String {
    let count = keys.holders().len();
    if count == 0 {
        return "development key or none, from this machine only".to_owned();
    }
    let none = if config.auth.required { "" } else { ", or none" };
    let stored = match count - config.auth.keys.len() {
        0 => String::new(),
        stored => format!(" ({stored} of them in the store)"),
    };
    format!("{count} configured {}{stored}{none}", if count == 1 { "key" } else { "keys" })
}

fn admin_key(config: &Config, keys: &Keyring) -> &'static str {
    match (&config.auth.admin, keys.holders().is_empty()) {
        (Some(_), _) => "***",
        (None, true) => "the development key, from this machine only",
        (None, false) => "none: nobody may administrate",
    }
}

fn log_format(config: &Config) -> &'static str {
    match config.log.format {
        LogFormat::Pretty => "pretty",
        LogFormat::Json => "json",
    }
}

fn cores(config: &Config, machine: &Machine) -> Vec<usize> {
    config.runtime.cores.clone().unwrap_or_else(|| machine.cores.clone())
}

fn waits(timeouts: &Timeouts) -> [(&'static str, Option<Duration>); 12] {
    [
        ("connect", Some(timeouts.connect)),
        ("tls", Some(timeouts.tls)),
        ("write_head", Some(timeouts.write_head)),
        ("first_byte", Some(timeouts.first_byte)),
        ("first_token", timeouts.first_token),
        ("idle", Some(timeouts.idle)),
        ("total", timeouts.total),
        ("client_head", Some(timeouts.client_head)),
        ("client_body", Some(timeouts.client_body)),
        ("keep_alive", Some(timeouts.keep_alive)),
        ("client_write_idle", Some(timeouts.client_write_idle)),
        ("drain", Some(timeouts.drain)),
    ]
}

fn sizes(config: &Config) -> [(&'static str, usize); 5] {
    [
        ("max_request_size", config.server.request_body_bytes_max),
        ("head_bytes", config.limits.head_bytes),
        ("target_bytes", config.limits.target_bytes),
        ("upstream_body", config.limits.upstream_body_bytes),
        ("event", config.limits.event_bytes),
    ]
}

/// The candidates as `UPSTREAM/MODEL`; `*` is what the client said.
pub(super) fn names(config: &Config, targets: &[Target]) -> Vec<String> {
    let name = |target: &Target| {
        let upstream = config.upstreams.get(target.upstream)?;
        let model = target.model.as_deref().unwrap_or("*");
        Some(format!("{}/{model}", upstream.name))
    };
    targets.iter().filter_map(name).collect()
}

fn none_if_empty(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}

/// Bytes in the largest unit that leaves no less than one, with one decimal.
fn size(bytes: u64) -> String {
    for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if bytes >> shift > 0 {
            let tenth = ((bytes >> (shift - 10)) & 1023) * 10 / 1024;
            let part = if tenth == 0 { String::new() } else { format!(".{tenth}") };
            return format!("{}{part} {unit}", bytes >> shift);
        }
    }
    format!("{bytes} B")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Sources;
    use crate::policy::Holder;

    fn load(file: &str) -> Result<Config, Vec<ConfigError>> {
        let read_file = |path: &str| match path {
            "/sa.json" => Ok(r#"{"type":"service_account","client_email":"a@b","project_id":"p",
                "private_key":"-----BEGIN canary"}"#
                .to_owned()),
            _ => Err("no such file".to_owned()),
        };
        let file = Some(("vb.toml", file));
        Config::load(&Sources { file, flags: &[], variables: &[], read_file: &read_file })
    }

    fn keys(config: &Config) -> Keyring {
        Keyring::new(Holder::of(&config.auth.keys), &config.auth, 0)
    }

    fn machine() -> Machine {
        Machine { cores: vec![0, 1], descriptors: 1_048_576, memory_bytes: 4 << 30 }
    }

    const FILE: &str = r#"
        [server]
        host = "::"
        tls_cert = "/c.pem"
        tls_key = "/c.key"
        tls_client_ca = "/m.pem"
        [tls]
        roots = "system"
        extra_ca = "/ca.pem"
        [auth]
        master_key = "canary-master-0123"
        [vertex]
        api_key = ["canary-google-1", "canary-google-2"]
        [anthropic]
        api_key = "canary-anthropic"
        [[route]]
        model = "fast"
        targets = [ { upstream = "google", model = "gemini-2.5-flash" } ]
        [[key]]
        name = "team-a"
        secret = "canary-team-012345"
        models = ["fast"]
    "#;

    #[test]
    fn the_text_says_what_runs_and_masks_secrets() {
        let config = load(FILE).expect("a configuration");
        let text = text(&config, &keys(&config), &machine());
        assert!(!text.contains("canary"), "{text}");
        for part in [
            "listen                    [::]:4000\n",
            "clients                   2 configured keys\n",
            "key                     team-a = ***, models: fast\n",
            "runtime                   native, driver auto, cores 0,1\n",
            "timeout first_token       off\n",
            "timeout idle              60s\n",
            "limit connections         32768 (auto)\n",
            "limit head_bytes          32 KiB\n",
            "gemini system_messages    hoist\n",
            "gemini signature_cache    on\n",
            "early_head_ms             off\n",
            "tls upstreams             system authorities and those of /ca.pem\n",
            "tls clients               certificate /c.pem, key /c.key, clients must show one of /m.pem\n",
            "memory worst case         673 GiB if every exchange filled every limit; 4 GiB to",
            "google (gemini) https://generativelanguage.googleapis.com keys: *** ***\n",
            "anthropic (anthropic) https://api.anthropic.com keys: ***\n",
            "route                     fast -> google/gemini-2.5-flash\n",
            "route                     gemini-* -> google/*\n",
            "route                     claude-* -> anthropic/*\n",
        ] {
            assert!(text.contains(part), "{text}\nlacks {part:?}");
        }
    }

    #[test]
    fn the_json_says_the_same_and_masks_secrets() {
        let config = load(FILE).expect("a configuration");
        let text = json(&config, &keys(&config), &machine());
        assert!(!text.contains("canary"), "{text}");
        let value: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value["listen"], "[::]:4000");
        assert_eq!(value["auth"]["required"], true);
        assert_eq!(value["tls"]["clients"]["client_ca"], "/m.pem");
        assert_eq!(value["tls"]["upstreams"]["roots"], "system");
        assert_eq!(value["auth"]["keys"][1]["name"], "team-a");
        assert_eq!(value["timeouts_ms"]["idle"], 60_000);
        assert_eq!(value["timeouts_ms"]["total"], Value::Null);
        assert_eq!(value["limits"]["in_flight"], 4096);
        assert_eq!(value["options"]["gemini.schema_mode"], "json_schema");
        assert_eq!(value["options"]["early_head_ms"], Value::Null);
        assert_eq!(value["upstreams"][0]["keys"], 2);
        assert_eq!(value["upstreams"][1]["base_url"], "https://api.anthropic.com");
        assert_eq!(value["routes"][0]["targets"][0], "google/gemini-2.5-flash");
    }

    #[test]
    fn accounts_and_what_a_kind_has_are_shown() {
        let file = "[vertex]\ncredentials_file = \"/sa.json\"\nregion = \"eu\"\n\
                    [openai]\napi_key = \"canary\"\n";
        let config = load(file).expect("a configuration");
        let text = text(&config, &keys(&config), &machine());
        for part in [
            "account: a@b, key ***, project: p, location: eu, API v1\n",
            "/v1 keys: ***, compat: exact, usage: auto, responses: native\n",
        ] {
            assert!(text.contains(part) && !text.contains("canary"), "{text}\nlacks {part:?}");
        }
        let value: Value =
            serde_json::from_str(&json(&config, &keys(&config), &machine())).expect("JSON");
        assert_eq!(value["upstreams"][0]["account"], "a@b");
        assert_eq!(value["upstreams"][0]["vertex"]["location"], "eu");
        assert_eq!(value["upstreams"][1]["responses"], "native");
    }

    #[test]
    fn without_credentials_it_says_simulator() {
        let config = load("").expect("defaults");
        let text = text(&config, &keys(&config), &machine());
        assert!(text.contains("google (gemini) the embedded simulator"), "{text}");
        assert!(text.contains("development key or none"), "{text}");
    }

    #[test]
    fn errors_come_one_a_line_or_as_json() {
        let errors = load("[server]\nport = 0\nhost = 5\n").expect_err("mistakes");
        assert_eq!(errors_text(&errors).lines().count(), 2);
        let value: Value = serde_json::from_str(&errors_json(&errors)).expect("JSON");
        assert_eq!(value["errors"].as_array().map(Vec::len), Some(2));
        assert!(value["errors"][0]["line"].is_u64() && value["errors"][0]["place"] == "vb.toml");
    }

    #[test]
    fn sizes_are_short() {
        for (bytes, want) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (10 << 20, "10 MiB"),
            (5 << 30, "5 GiB"),
        ] {
            assert_eq!(size(bytes), want);
        }
    }
}
