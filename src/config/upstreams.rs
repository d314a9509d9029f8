//! Who answers and who may ask: `[[upstream]]`, `[[route]]` and `[[key]]` tables, and the
//! upstreams and routes that credentials in the environment make.

use std::collections::{BTreeMap, BTreeSet};

use super::error::Place;
use super::model::{Route, RouteTable, Target};
use super::origin::{Base, Origin, is_loopback};
use super::parse::{Notes, Settings, unknown_name};
use super::schema::{ClientKey, DEVELOPMENT_KEY, Kind, Upstream};
use super::secret::Secret;
use super::value::{Scalar, Value};

/// What the gateway serves.
pub(super) struct Service {
    pub(super) upstreams: Vec<Upstream>,
    pub(super) routes: RouteTable,
    pub(super) simulated: bool,
}

/// An upstream that credentials make, with the keys that describe it.
struct Known {
    name: &'static str,
    kind: Kind,
    /// The key that makes it exist.
    credential: &'static str,
    base_url: &'static str,
    /// The vendor's own origin; empty when it has none.
    vendor_url: &'static str,
    patterns: &'static [&'static str],
}

const GOOGLE_URL: &str = "https://generativelanguage.googleapis.com";
const ANTHROPIC_URL: &str = "https://api.anthropic.com";
const OPENAI_URL: &str = "https://api.openai.com/v1";

/// In the order in which they take a pattern: with both of Google's credentials the API key wins.
const KNOWN: &[Known] = &[
    Known {
        name: "google",
        kind: Kind::Gemini,
        credential: "vertex.api_key",
        base_url: "vertex.api_key_base_url",
        vendor_url: GOOGLE_URL,
        patterns: &["gemini-*"],
    },
    Known {
        name: "vertex",
        kind: Kind::Vertex,
        credential: "vertex.credentials_file",
        base_url: "vertex.oauth_base_url",
        vendor_url: "",
        patterns: &["gemini-*"],
    },
    Known {
        name: "anthropic",
        kind: Kind::Anthropic,
        credential: "anthropic.api_key",
        base_url: "anthropic.base_url",
        vendor_url: ANTHROPIC_URL,
        patterns: &["claude-*"],
    },
    Known {
        name: "openai",
        kind: Kind::OpenAi,
        credential: "openai.api_key",
        base_url: "openai.base_url",
        vendor_url: OPENAI_URL,
        patterns: &["gpt-*", "o1*", "o3*", "o4*", "chatgpt-*", "text-embedding-*"],
    },
    Known {
        name: "deepseek",
        kind: Kind::OpenAi,
        credential: "deepseek.api_key",
        base_url: "deepseek.base_url",
        vendor_url: "https://api.deepseek.com/v1",
        patterns: &["deepseek-*"],
    },
    Known {
        name: "ollama",
        kind: Kind::OpenAi,
        credential: "ollama.base_url",
        base_url: "ollama.base_url",
        vendor_url: "",
        patterns: &["ollama/*"],
    },
];

/// Upstreams and routes. Those of vendors that are not served yet keep their place among the
/// upstreams, get a warning and no routes.
pub(super) fn service(settings: &Settings, notes: &mut Notes) -> Service {
    let allow_http = matches!(settings.value("tls.allow_http"), Some(Value::Flag(true)));
    let mut upstreams = Vec::new();
    for table in settings.tables("upstream") {
        if let Some(upstream) = configured_upstream(table, &upstreams, notes) {
            let place = table.place_of("base_url");
            check_plaintext(&upstream.origin, ("upstream.base_url", place), allow_http, notes);
            upstreams.push(upstream);
        }
    }
    let mut built_in = Vec::new();
    for known in KNOWN {
        let Some(index) = credential_made(known, settings, &mut upstreams, notes) else { continue };
        let place = settings.place_of(known.base_url);
        if let Some(upstream) = upstreams.get(index).filter(|_| settings.is_set(known.base_url)) {
            check_plaintext(&upstream.origin, (known.base_url, place), allow_http, notes);
        }
        built_in.push((index, known.patterns));
    }
    let credentials = KNOWN.iter().any(|known| settings.is_set(known.credential));
    let simulated = !credentials && !settings.is_set("upstream");
    if simulated {
        upstreams.push(simulator());
        built_in.push((0, &["gemini-*"]));
    }
    for upstream in upstreams.iter().filter(|upstream| !upstream.kind.is_served()) {
        let Upstream { name, kind, .. } = upstream;
        notes.warnings.push(format!(
            "upstream {name} (kind {}) is not served in this release: its models do not exist",
            kind.as_str()
        ));
    }
    let routes = RouteTable::new(routes(settings, &upstreams, &built_in, notes));
    Service { upstreams, routes, simulated }
}

/// The stand-in until [`super::Config::simulate_at`] knows the address.
fn simulator() -> Upstream {
    let origin = Origin::local(([127, 0, 0, 1], 0).into());
    let keys = vec![Secret::new("simulated".to_owned())];
    Upstream { name: "google".to_owned(), kind: Kind::Gemini, origin, keys }
}

/// The index of the upstream of a vendor whose credential is set. One of the file with the same
/// name takes its place, with everything that the file says.
fn credential_made(
    known: &Known,
    settings: &Settings,
    upstreams: &mut Vec<Upstream>,
    notes: &mut Notes,
) -> Option<usize> {
    if !settings.is_set(known.credential) {
        if settings.is_set(known.base_url) {
            let (url, credential) = (known.base_url, known.credential);
            notes.warnings.push(format!("{url} has no effect without {credential}"));
        }
        return None;
    }
    let same_name = upstreams.iter().position(|upstream| upstream.name == known.name);
    if let Some(index) = same_name {
        return upstreams.get(index).filter(|upstream| upstream.kind == known.kind).map(|_| index);
    }
    let origin = match settings.value(known.base_url) {
        Some(Value::Base(origin)) => origin.clone(),
        _ if known.kind == Kind::Vertex => vertex_origin(settings.text("vertex.region"))?,
        _ => Origin::parse(known.vendor_url, Base::Versioned).ok()?,
    };
    let keys = secrets(settings, known.credential);
    upstreams.push(Upstream { name: known.name.to_owned(), kind: known.kind, origin, keys });
    Some(upstreams.len() - 1)
}

/// Vertex AI answers per region; `global` and the multi-regions have hosts of their own shape
/// (<https://cloud.google.com/vertex-ai/generative-ai/docs/learn/locations>).
fn vertex_origin(region: Option<&str>) -> Option<Origin> {
    let url = match region.unwrap_or("us-central1") {
        "global" => "https://aiplatform.googleapis.com".to_owned(),
        multi @ ("us" | "eu") => format!("https://aiplatform.{multi}.rep.googleapis.com"),
        region => format!("https://{region}-aiplatform.googleapis.com"),
    };
    Origin::parse(&url, Base::Bare).ok()
}

fn configured_upstream(
    table: &Settings,
    known: &[Upstream],
    notes: &mut Notes,
) -> Option<Upstream> {
    let name = table.required(("upstream", "name"), &Scalar::Name.expected(), notes);
    let kinds = Scalar::Choice(super::keys::KINDS).expected();
    let kind = table.required(("upstream", "kind"), &kinds, notes);
    let (name, kind) = (name?, kind?);
    if known.iter().any(|upstream| upstream.name == name) {
        let found = format!("{name:?} a second time");
        notes.error("upstream.name", table.place_of("name"), found, "a name of its own");
    }
    let (kind, base, vendor_url) = match kind {
        "gemini" => (Kind::Gemini, Base::Bare, GOOGLE_URL),
        "vertex" => (Kind::Vertex, Base::Bare, ""),
        "anthropic" => (Kind::Anthropic, Base::Bare, ANTHROPIC_URL),
        _ => (Kind::OpenAi, Base::Versioned, OPENAI_URL),
    };
    let keys = secrets(table, "api_key");
    let origin = match table.text("base_url") {
        Some(url) => match Origin::parse(url, base) {
            Ok(origin) => Some(origin),
            Err(found) => {
                let expected = Scalar::Base(base).expected();
                notes.error("upstream.base_url", table.place_of("base_url"), found, expected);
                None
            }
        },
        None if table.is_set("base_url") => None,
        None if kind == Kind::Vertex => vertex_origin(table.text("region")),
        None => {
            // The vendors' own services answer nobody without a key.
            if !table.is_set("api_key") {
                let expected = "a key, or the base_url of a service that needs none";
                notes.error("upstream.api_key", &table.place, "nothing", expected);
            }
            Origin::parse(vendor_url, Base::Versioned).ok()
        }
    };
    Some(Upstream { name: name.to_owned(), kind, origin: origin?, keys })
}

fn secrets(settings: &Settings, key: &str) -> Vec<Secret> {
    match settings.value(key) {
        Some(Value::Secrets(secrets)) => secrets.clone(),
        _ => Vec::new(),
    }
}

/// Keys and prompts cross a network encrypted, unless the operator says that the network is safe.
fn check_plaintext(
    origin: &Origin,
    (key, place): (&str, &Place),
    allow_http: bool,
    notes: &mut Notes,
) {
    if !origin.tls && !allow_http && !is_loopback(&origin.host) {
        let found = format!("http:// to {}", origin.host);
        let expected = "https://, a loopback address, or tls.allow_http = true";
        notes.error(key, place, found, expected);
    }
}

/// Routes of the file first; a built-in pattern comes only where the file has not taken it.
fn routes(
    settings: &Settings,
    upstreams: &[Upstream],
    built_in: &[(usize, &[&str])],
    notes: &mut Notes,
) -> Vec<Route> {
    let mut routes: Vec<Route> = Vec::new();
    let mut taken = BTreeSet::new();
    for table in settings.tables("route") {
        let Some(pattern) = table.required(("route", "model"), &Scalar::Pattern.expected(), notes)
        else {
            continue;
        };
        if !taken.insert(pattern) {
            let found = format!("{pattern:?} a second time");
            notes.error("route.model", table.place_of("model"), found, "a pattern of its own");
        }
        if table.tables("targets").is_empty() && !table.is_refused("targets") {
            let found = if table.is_set("targets") { "an empty list" } else { "nothing" };
            let expected = "a list such as [ { upstream = \"google\" } ]";
            notes.error("route.targets", table.place_of("targets"), found, expected);
        }
        let targets = targets(table, "targets", upstreams, notes);
        let fallbacks = self::targets(table, "fallbacks", upstreams, notes);
        routes.push(Route { pattern: pattern.to_owned(), targets, fallbacks });
    }
    for (index, patterns) in built_in {
        let served = upstreams.get(*index).is_some_and(|upstream| upstream.kind.is_served());
        // The first vendor in the list keeps a pattern, also when it is not served yet.
        for pattern in patterns.iter().filter(|pattern| taken.insert(pattern) && served) {
            let targets = vec![Target { upstream: *index, model: None, weight: 1 }];
            let pattern = (*pattern).to_owned();
            routes.push(Route { pattern, targets, fallbacks: Vec::new() });
        }
    }
    routes.retain(|route| !route.targets.is_empty());
    routes
}

/// The targets of a route that are served.
fn targets(
    route: &Settings,
    list: &'static str,
    upstreams: &[Upstream],
    notes: &mut Notes,
) -> Vec<Target> {
    let section = format!("route.{list}");
    let mut targets = Vec::new();
    for table in route.tables(list) {
        let Some(name) = table.required((&section, "upstream"), "the name of an upstream", notes)
        else {
            continue;
        };
        let Some(upstream) = upstreams.iter().position(|upstream| upstream.name == name) else {
            let known: Vec<&str> =
                upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
            let (found, expected) = unknown_name(name, &known);
            let key = format!("{section}.upstream");
            notes.error(&key, table.place_of("upstream"), found, expected);
            continue;
        };
        let weight = match table.value("weight") {
            Some(Value::Whole(weight)) => u32::try_from(*weight).unwrap_or(1),
            _ => 1,
        };
        if upstreams.get(upstream).is_some_and(|upstream| upstream.kind.is_served()) {
            targets.push(Target {
                upstream,
                model: table.text("model").map(str::to_owned),
                weight,
            });
        }
    }
    targets
}

/// The master key and those of `[[key]]` tables.
pub(super) fn client_keys(settings: &Settings, notes: &mut Notes) -> Vec<ClientKey> {
    let mut keys: Vec<ClientKey> = Vec::new();
    if let Some(secret) = secrets(settings, "auth.master_key").pop() {
        keys.push(ClientKey { name: "master".to_owned(), secret, models: Vec::new() });
    }
    let mut names = BTreeSet::from(["master"]);
    for table in settings.tables("key") {
        let name = table.required(("key", "name"), &Scalar::Name.expected(), notes);
        if !table.is_set("secret") {
            notes.error("key.secret", &table.place, "nothing", Scalar::ClientKey.expected());
        }
        let (Some(name), Some(secret)) = (name, secrets(table, "secret").pop()) else { continue };
        if !names.insert(name) {
            let found = format!("{name:?} a second time");
            notes.error("key.name", table.place_of("name"), found, "a name of its own");
        }
        let models = match table.value("models") {
            Some(Value::Texts(models)) => models.clone(),
            _ => Vec::new(),
        };
        keys.push(ClientKey { name: name.to_owned(), secret, models });
    }
    check_secrets(&keys, settings, notes);
    keys
}

fn check_secrets(keys: &[ClientKey], settings: &Settings, notes: &mut Notes) {
    let mut seen = BTreeMap::new();
    for key in keys {
        if let Some(first) = seen.insert(key.secret.expose(), &key.name) {
            let found = format!("one secret for the keys {first:?} and {:?}", key.name);
            notes.error("key.secret", settings.place_of("key"), found, "a secret for each key");
        }
        if key.secret.expose() == DEVELOPMENT_KEY {
            let name = &key.name;
            notes
                .warnings
                .push(format!("the key {name} is the development key: everybody knows it"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse::Sources;
    use super::super::schema::Config;

    fn load(file: &str, variables: &[(&str, &str)]) -> Result<Config, Vec<String>> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let variables: Vec<_> = variables.iter().map(owned).collect();
        let read_file = |_: &str| Err("no files here".to_owned());
        let file = Some(("vb.toml", file));
        let sources = Sources { file, flags: &[], variables: &variables, read_file: &read_file };
        Config::load(&sources).map_err(|all| all.iter().map(ToString::to_string).collect())
    }

    fn patterns(config: &Config) -> Vec<&str> {
        config.routes.as_slice().iter().map(|route| route.pattern.as_str()).collect()
    }

    #[test]
    fn nothing_configured_means_the_simulator() {
        let mut config = load("", &[("APP_VERTEX__REGION", "global")]).expect("a configuration");
        assert!(config.simulated);
        assert_eq!(patterns(&config), ["gemini-*"]);
        config.simulate_at("127.0.0.1:4100".parse().unwrap());
        assert_eq!(config.upstreams[0].origin.url(), "http://127.0.0.1:4100");
        assert_eq!(config.upstreams[0].name, "google");
    }

    #[test]
    fn a_google_key_makes_an_upstream_and_its_route() {
        let variables = [
            ("GOOGLE_API_KEY", "AIza-plain"),
            ("APP_VERTEX__API_KEY", "AIza-app"),
            ("APP_VERTEX__API_KEY_BASE_URL", "http://127.0.0.1:9/v1beta/"),
        ];
        let config = load("", &variables).expect("a configuration");
        assert!(!config.simulated && config.warnings.is_empty(), "{:?}", config.warnings);
        assert_eq!(config.upstreams[0].keys[0].expose(), "AIza-plain");
        assert_eq!(config.upstreams[0].origin.url(), "http://127.0.0.1:9");
        let route = config.route("models/gemini-3").expect("a route");
        let target = &config.routes.as_slice()[route].targets[0];
        assert_eq!(config.upstream_model(target, "models/gemini-3"), "gemini-3");
        let plain = load("", &[("APP_VERTEX__API_KEY", "AIza-app")]).expect("a configuration");
        assert_eq!(plain.upstreams[0].origin.url(), super::GOOGLE_URL);
    }

    #[test]
    fn vendors_that_are_not_served_keep_their_place_but_have_no_routes() {
        let variables = [
            ("GOOGLE_APPLICATION_CREDENTIALS", "/sa.json"),
            ("APP_VERTEX__REGION", "eu"),
            ("ANTHROPIC_API_KEY", "a"),
            ("OPENAI_API_KEY", "b"),
            ("DEEPSEEK_API_KEY", "c"),
            ("OLLAMA_BASE_URL", "http://localhost:11434"),
        ];
        let config = load("", &variables).expect("a configuration");
        let urls: Vec<(&str, String)> =
            config.upstreams.iter().map(|u| (u.name.as_str(), u.origin.url())).collect();
        let want = [
            ("vertex", "https://aiplatform.eu.rep.googleapis.com"),
            ("anthropic", "https://api.anthropic.com"),
            ("openai", "https://api.openai.com/v1"),
            ("deepseek", "https://api.deepseek.com/v1"),
            ("ollama", "http://localhost:11434/v1"),
        ];
        assert_eq!(urls, want.map(|(name, url)| (name, url.to_owned())));
        assert!(!config.simulated && patterns(&config).is_empty());
        assert_eq!(config.warnings.len(), 5, "{:?}", config.warnings);
        assert_eq!(config.route("gemini-3"), None);
    }

    #[test]
    fn the_file_takes_names_and_patterns_before_the_environment() {
        let file = r#"
            [[upstream]]
            name = "google"
            kind = "gemini"
            base_url = "http://127.0.0.1:1"
            api_key = ["one", "two"]
            [[upstream]]
            name = "spare"
            kind = "gemini"
            api_key = "three"
            [[route]]
            model = "gemini-*"
            targets = [ { upstream = "spare" } ]
            [[route]]
            model = "fast"
            targets = [
                { upstream = "spare", model = "gemini-2.5-flash", weight = 80 },
                { upstream = "google", model = "gemini-3" },
            ]
            fallbacks = [ { upstream = "google" } ]
        "#;
        let config = load(file, &[("GOOGLE_API_KEY", "env")]).expect("a configuration");
        assert_eq!(config.upstreams.len(), 2);
        assert_eq!(config.upstreams[0].keys.len(), 2);
        assert_eq!(patterns(&config), ["gemini-*", "fast"]);
        let fast = &config.routes.as_slice()[config.route("fast").expect("a route")];
        assert_eq!((fast.targets.len(), fast.fallbacks.len()), (2, 1));
        assert_eq!((fast.targets[0].upstream, fast.targets[0].weight), (1, 80));
        assert_eq!(config.upstream_model(&fast.targets[1], "fast"), "gemini-3");
        let no_effect = |what: &str| config.warnings.iter().any(|w| w.contains(what));
        assert!(no_effect("route.targets.weight") && no_effect("route.fallbacks"));
        assert_eq!(config.warnings.len(), 2, "{:?}", config.warnings);
    }

    #[track_caller]
    fn refused(file: &str, want: &str) {
        let found = load(file, &[]).expect_err(want);
        assert!(found.len() == 1 && found[0].starts_with(want), "{found:#?}\nwant {want}");
    }

    #[test]
    fn mistakes_in_upstreams_name_their_line() {
        for (rest, want) in [
            ("kind = \"gemini\"\napi_key = \"k\"", "1: upstream.name: found nothing"),
            ("name = \"a b\"\nkind = \"gemini\"", "2: upstream.name: found \"a b\""),
            (
                "name = \"a\"\nkind = \"bard\"",
                "3: upstream.kind: found \"bard\", expected one of g",
            ),
            ("name = \"a\"\nkind = \"gemini\"", "1: upstream.api_key: found nothing"),
        ] {
            refused(&format!("[[upstream]]\n{rest}"), &format!("vb.toml:{want}"));
        }
        for (rest, want) in [
            ("api_kye = \"k\"\nbase_url = \"https://x\"", "api_kye: found an unknown key"),
            ("base_url = \"x\"", "base_url: found a URL without http"),
            ("base_url = 3", "base_url: found 3, expected text"),
            ("base_url = \"http://x\"", "base_url: found http:// to x, expected https://"),
        ] {
            let file = format!("[[upstream]]\nname = \"a\"\nkind = \"gemini\"\n{rest}");
            refused(&file, &format!("vb.toml:4: upstream.{want}"));
        }
    }

    #[test]
    fn mistakes_in_routes_name_their_line() {
        let start = "[[upstream]]\nname = \"local\"\nkind = \"gemini\"\napi_key = \"k\"\n";
        refused(&start.repeat(2), "vb.toml:6: upstream.name: found \"local\" a second time");
        let right = "[[route]]\nmodel = \"x\"\ntargets = [ { upstream = \"local\" } ]\n";
        let twice = format!("{start}{right}{right}");
        refused(&twice, "vb.toml:9: route.model: found \"x\" a second time");
        for (targets, want) in [
            ("", "5: route.targets: found nothing"),
            ("targets = []", "7: route.targets: found an empty list"),
            ("targets = [ 3 ]", "7: route.targets: found 3, expected a table"),
            ("targets = [ { model = \"m\" } ]", "7: route.targets.upstream: found nothing"),
            (
                "targets = [ { upstream = \"locl\" } ]",
                "7: route.targets.upstream: found \"locl\", expected the name of an upstream (did \
                 you mean local?)",
            ),
        ] {
            let file = format!("{start}[[route]]\nmodel = \"x\"\n{targets}");
            refused(&file, &format!("vb.toml:{want}"));
        }
    }

    #[test]
    fn mistakes_in_keys_name_their_line() {
        for (rest, want) in [
            ("name = \"a\"", "1: key.secret: found nothing"),
            ("name = \"a\"\nsecret = \"env:GONE\"", "3: key.secret: found \"env:GONE\", which is"),
            (
                "name = \"a\"\nsecret = \"file:/x\"",
                "3: key.secret: found \"file:/x\", which cannot",
            ),
            ("name = \"master\"\nsecret = \"0123456789abcdef\"", "2: key.name: found \"master\" a"),
        ] {
            refused(&format!("[[key]]\n{rest}"), &format!("vb.toml:{want}"));
        }
        refused("key = 3", "vb.toml:1: key: found 3, expected a table");
    }

    #[test]
    fn plain_http_stays_on_this_machine_unless_allowed() {
        let url = ("OLLAMA_BASE_URL", "http://gpu:11434");
        let found = load("", &[url]).expect_err("a refusal");
        assert!(found[0].starts_with("OLLAMA_BASE_URL (ollama.base_url): found http:// to gpu"));
        assert!(load("", &[url, ("APP_TLS__ALLOW_HTTP", "true")]).is_ok());
    }

    #[test]
    fn client_keys_come_from_the_master_key_and_the_tables() {
        let file = "[[key]]\nname = \"team\"\nsecret = \"0123456789abcdef\"\n\
                    models = [\"fast\", \"gemini-*\"]\nrequests_per_minute = 5\n\
                    budget = { usd = \"25.00\", per = \"month\" }\n";
        let master = ("APP_AUTH__MASTER_KEY", "sk-vertex-bridge-dev");
        let config = load(file, &[master]).expect("a configuration");
        let names: Vec<&str> = config.auth.keys.iter().map(|key| key.name.as_str()).collect();
        assert_eq!(names, ["master", "team"]);
        assert_eq!(config.auth.keys[1].models, ["fast", "gemini-*"]);
        assert!(config.auth.required);
        assert_eq!(config.warnings.len(), 3, "{:?}", config.warnings);
        let twice = load(file, &[("APP_AUTH__MASTER_KEY", "0123456789abcdef")]);
        assert!(twice.expect_err("a refusal")[0].contains("one secret for the keys"));
    }

    #[test]
    fn base_urls_without_a_credential_are_pointed_out() {
        let config = load("", &[("OPENAI_BASE_URL", "http://localhost:1/v1")]).expect("simulated");
        assert!(config.simulated);
        assert_eq!(config.warnings, ["openai.base_url has no effect without openai.api_key"]);
    }
}
