//! Reads `otel.*`, and which exchanges are logged.

use std::net::IpAddr;

use super::limits;
use super::origin::is_loopback;
use super::parse::{Notes, Settings};
use super::schema::Upstream;
use super::secret::Secret;
use super::telemetry::{Exchanges, Export, Otel};
use super::value::Value;

/// Reads `otel.*`.
pub(super) fn otel(settings: &Settings, notes: &mut Notes) -> Otel {
    let sample = ratio(settings, "otel.sample", limits::TRACE_SHARE);
    let headers = headers(settings, notes);
    let resource = match settings.value("otel.resource_attributes") {
        Some(Value::Text(text)) => pairs(text),
        _ => Some(Vec::new()),
    };
    if resource.is_none() {
        let place = settings.place_of("otel.resource_attributes");
        let expected = "name=value, with commas between several, %-encoded where needed";
        notes.error("otel.resource_attributes", place, "something else", expected);
    }
    let Some(Value::Base(endpoint)) = settings.value("otel.endpoint") else {
        return Otel { sample: None, export: None };
    };
    let open = !endpoint.tls && !is_own(&endpoint.host);
    if open && !headers.is_empty() && !settings.flag("tls.allow_http", false) {
        let found = format!("http:// to {} with otel.headers", endpoint.host);
        let expected = "https://, an address of this network, or tls.allow_http = true";
        notes.error("otel.endpoint", settings.place_of("otel.endpoint"), found, expected);
    }
    let service_name = settings.text("otel.service_name").unwrap_or("vertex-bridge").to_owned();
    let resource = resource.unwrap_or_default();
    Otel {
        sample: Some(sample),
        export: Some(Export { endpoint: endpoint.clone(), headers, service_name, resource }),
    }
}

/// Reads which exchanges are logged.
pub(super) fn exchanges(settings: &Settings) -> Exchanges {
    let word = settings.text("log.exchanges").unwrap_or("all");
    let share = if word == "all" { ratio(settings, "log.sample", 1.0) } else { 0.0 };
    let per_second = match settings.value("log.exchanges_per_second") {
        Some(Value::Auto) => None,
        Some(Value::Whole(most)) => Some(*most),
        _ => Some(limits::LOG_LINES.default),
    };
    Exchanges { failures: word != "off", share, per_second }
}

/// Which upstreams are told of traces: those of the own network, unless something else is said. A
/// vendor has no use for them, and would see which requests belong together.
pub(super) fn propagate(settings: &Settings, upstreams: &mut [Upstream]) {
    for upstream in upstreams {
        let told = match settings.text("otel.propagate") {
            Some("all") => true,
            Some("off") => false,
            _ => is_own(&upstream.origin.host),
        };
        let mut tables = settings.tables("upstream").iter();
        let own = tables.find(|table| table.text("name") == Some(&upstream.name));
        let own = own.map(|table| table.flag("trace_context", told));
        upstream.trace_context = own.unwrap_or(told);
    }
}

/// Is this a host that only the own network has?
fn is_own(host: &str) -> bool {
    const OWN: [&str; 7] =
        [".local", ".internal", ".lan", ".svc", ".cluster.local", ".home.arpa", ".localhost"];
    let name = host.strip_suffix('.').unwrap_or(host);
    match name.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V4(known)) => known.is_private() || known.is_loopback() || known.is_link_local(),
        Ok(IpAddr::V6(known)) => {
            known.is_loopback() || known.is_unique_local() || known.is_unicast_link_local()
        }
        Err(_) => {
            is_loopback(name) || !name.contains('.') || OWN.iter().any(|end| name.ends_with(end))
        }
    }
}

fn headers(settings: &Settings, notes: &mut Notes) -> Vec<(String, Secret)> {
    let Some(Value::Secrets(texts)) = settings.value("otel.headers") else { return Vec::new() };
    let mut headers = Vec::new();
    let is_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    let is_value = |value: &str| value.bytes().all(|b| (b' '..=b'~').contains(&b));
    for text in texts {
        let fit = |pairs: &Vec<(String, String)>| {
            pairs.iter().all(|(name, value)| is_name(name) && is_value(value))
        };
        let Some(pairs) = pairs(text.expose()).filter(fit) else {
            let place = settings.place_of("otel.headers");
            let expected = "name=value, with commas between several, %-encoded where needed";
            notes.error("otel.headers", place, "something else", expected);
            return Vec::new();
        };
        let named =
            |(name, value): (String, String)| (name.to_ascii_lowercase(), Secret::new(value));
        headers.extend(pairs.into_iter().map(named));
    }
    headers
}

/// `name=value,name=value`, as W3C Baggage has it; none when it is not.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let members = text.split(',').map(str::trim).filter(|member| !member.is_empty());
    let pair = |member: &str| {
        let (name, value) = member.split_once('=')?;
        let (name, value) = (decoded(name.trim())?, decoded(value.trim())?);
        (!name.is_empty() && !value.contains(char::is_control)).then_some((name, value))
    };
    members.map(pair).collect()
}

/// Takes the %-encoding off.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let hex = |byte: Option<u8>| char::from(byte?).to_digit(16);
        bytes.push(match byte {
            b'%' => u8::try_from(hex(rest.next())? << 4 | hex(rest.next())?).ok()?,
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

fn ratio(settings: &Settings, key: &str, default: f64) -> f64 {
    match settings.value(key) {
        Some(Value::Ratio(share)) => *share,
        _ => default,
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse::Sources;
    use super::super::schema::Config;
    use super::*;
    use crate::base::Sampling;

    fn load(file: &str, variables: &[(&str, &str)]) -> Result<Config, Vec<String>> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let variables: Vec<_> = variables.iter().map(owned).collect();
        let read_file = |_: &str| Err("no files here".to_owned());
        let file = Some(("vb.toml", file));
        let sources = Sources { file, flags: &[], variables: &variables, read_file: &read_file };
        Config::load(&sources).map_err(|all| all.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn without_an_endpoint_nothing_is_recorded() {
        let config = load("[otel]\nsample = 1.0\n", &[]).expect("a configuration");
        assert!(config.otel.export.is_none() && config.otel.sampling() == Sampling::OFF);
        let every = Exchanges { failures: true, share: 1.0, per_second: Some(100) };
        assert_eq!(config.log.exchanges, every);
    }

    #[test]
    fn the_variables_of_opentelemetry_work() {
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/prefix/"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "API-Key=canary%20one,x=2"),
            ("OTEL_SERVICE_NAME", "bridge"),
            ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=prod, a=%C3%A9"),
        ];
        let config = load("", &variables).expect("a configuration");
        let export = config.otel.export.clone().expect("an endpoint");
        assert_eq!(export.endpoint.url(), "http://collector:4318/prefix");
        assert_eq!(export.headers[0].0, "api-key");
        assert_eq!(export.headers[0].1.expose(), "canary one");
        assert_eq!(export.service_name, "bridge");
        assert_eq!(export.resource[1], ("a".to_owned(), "é".to_owned()));
        assert!(!format!("{config:?}").contains("canary"));
        assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    }

    #[test]
    fn mistakes_are_named_and_no_secret_is_repeated() {
        for (file, want) in [
            ("endpoint = \"collector:4318\"", "vb.toml:2: otel.endpoint"),
            ("endpoint = \"http://h:1\"\nheaders = \"canary\"", "vb.toml:3: otel.headers"),
            ("endpoint = \"http://h:1\"\nheaders = \"a=canary%0a\"", "vb.toml:3: otel.headers"),
            ("endpoint = \"http://a.example\"\nheaders = \"a=canary\"", "vb.toml:2: otel.endpoint"),
            ("sample = 1.5", "vb.toml:2: otel.sample"),
            ("resource_attributes = \"x\"", "vb.toml:2: otel.resource_attributes"),
            ("propagate = \"some\"", "vb.toml:2: otel.propagate"),
        ] {
            let errors = load(&format!("[otel]\n{file}\n"), &[]).expect_err(file);
            assert!(errors[0].starts_with(want), "{errors:?}");
            assert!(!errors.concat().contains("canary"), "{errors:?}");
        }
    }

    #[test]
    fn only_upstreams_of_the_own_network_are_told_unless_it_is_said() {
        let near = "[[upstream]]\nname = \"near\"\nkind = \"openai\"\n\
                    base_url = \"http://10.1.2.3:1/v1\"\n";
        let far = "[[upstream]]\nname = \"far\"\nkind = \"openai\"\n\
                   base_url = \"https://api.example.com/v1\"\n";
        let told = |head: &str, tail: &str| {
            let file = format!("[tls]\nallow_http = true\n{head}{near}{far}{tail}");
            let config = load(&file, &[]).expect("a configuration");
            config.upstreams.iter().map(|upstream| upstream.trace_context).collect::<Vec<_>>()
        };
        assert_eq!(told("", ""), [true, false]);
        assert_eq!(told("[otel]\npropagate = \"all\"\n", ""), [true, true]);
        assert_eq!(told("[otel]\npropagate = \"off\"\n", "trace_context = true\n"), [false, true]);
        for own in ["127.0.0.1", "::1", "192.168.0.9", "fd00::1", "vllm", "a.svc.cluster.local"] {
            assert!(is_own(own), "{own}");
        }
        for other in ["8.8.8.8", "2001:db8::1", "api.openai.com", "local.example"] {
            assert!(!is_own(other), "{other}");
        }
    }

    #[test]
    fn which_exchanges_are_logged() {
        let of = |text: &str| {
            load(&format!("[log]\n{text}\n"), &[]).expect("a configuration").log.exchanges
        };
        let failures = Exchanges { failures: true, share: 0.0, per_second: Some(100) };
        assert_eq!(of("exchanges = \"failures\"\nsample = 0.5"), failures);
        assert!(!of("exchanges = \"off\"").failures);
        let some = Exchanges { failures: true, share: 0.25, per_second: None };
        assert_eq!(of("sample = 0.25\nexchanges_per_second = \"off\""), some);
    }
}
