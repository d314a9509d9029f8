//! Who answers: `[[upstream]]` and `[[route]]` tables, and the upstreams and routes that
//! credentials in the environment make.

use std::collections::BTreeSet;

use super::account::ServiceAccount;
use super::error::Place;
use super::keys::{KIND_KEYS, KINDS};
use super::model::{Balance, Exhausted, Route, RouteTable, Target};
use super::origin::{Base, Origin, is_link_local, is_loopback};
use super::parse::{Notes, Settings, unknown_name};
use super::schema::{Compat, Kind, StreamUsage, Upstream};
use super::secret::Secret;
use super::value::{Scalar, Value};
use super::vendors::{self, KNOWN, Known, VertexWords};

/// What the gateway serves.
#[derive(Default)]
pub(super) struct Service {
    pub(super) accounts: Vec<ServiceAccount>,
    pub(super) upstreams: Vec<Upstream>,
    pub(super) routes: RouteTable,
    pub(super) simulated: bool,
}

/// Upstreams and routes.
pub(super) fn service(settings: &Settings, notes: &mut Notes) -> Service {
    let allowed = Allowed {
        http: settings.flag("tls.allow_http", false),
        link_local: settings.flag("tls.allow_link_local", false),
    };
    let mut service = Service::default();
    for table in settings.tables("upstream") {
        if let Some(upstream) = service.configured(table, notes) {
            let place = table.place_of("base_url");
            check_place(&upstream.origin, ("upstream.base_url", place), allowed, notes);
            service.upstreams.push(upstream);
        }
    }
    let mut built_in = Vec::new();
    for known in KNOWN {
        let Some(index) = service.credential_made(known, settings, notes) else { continue };
        let place = settings.place_of(known.base_url);
        let upstream = service.upstreams.get(index);
        if let Some(upstream) = upstream.filter(|_| settings.is_set(known.base_url)) {
            check_place(&upstream.origin, (known.base_url, place), allowed, notes);
        }
        built_in.push((index, known.patterns));
    }
    let credentials = KNOWN.iter().any(|known| settings.is_set(known.credential));
    service.simulated = !credentials && !settings.is_set("upstream");
    if service.simulated {
        for (upstream, patterns) in vendors::simulated() {
            built_in.push((service.upstreams.len(), patterns));
            service.upstreams.push(upstream);
        }
    }
    let routes = routes(settings, &service.upstreams, &built_in, notes);
    service.routes = RouteTable::new(routes);
    service
}

impl Service {
    /// The index of the upstream of a vendor whose credential is set. One of the file with the
    /// same name takes its place, with everything that the file says.
    fn credential_made(
        &mut self,
        known: &Known,
        settings: &Settings,
        notes: &mut Notes,
    ) -> Option<usize> {
        if !settings.is_set(known.credential) {
            if settings.is_set(known.base_url) {
                let (url, credential) = (known.base_url, known.credential);
                notes.warnings.push(format!("{url} has no effect without {credential}"));
            }
            return None;
        }
        let same_name = self.upstreams.iter().position(|upstream| upstream.name == known.name);
        if let Some(index) = same_name {
            let upstream = self.upstreams.get(index);
            return upstream.filter(|upstream| upstream.kind == known.kind).map(|_| index);
        }
        let base_url = match settings.value(known.base_url) {
            Some(Value::Base(origin)) => Some(origin.clone()),
            _ => None,
        };
        let upstream = if known.kind == Kind::Vertex {
            self.vertex_of_environment(known, base_url, settings, notes)?
        } else {
            let vendor = || Origin::parse(known.vendor_url, Base::Versioned).ok();
            let mut upstream = Upstream::bare(known.name, known.kind, base_url.or_else(vendor)?);
            upstream.keys = secrets(settings, known.credential);
            upstream
        };
        self.upstreams.push(upstream);
        Some(self.upstreams.len() - 1)
    }

    fn vertex_of_environment(
        &mut self,
        known: &Known,
        base_url: Option<Origin>,
        settings: &Settings,
        notes: &mut Notes,
    ) -> Option<Upstream> {
        let words = VertexWords {
            project: settings.text("vertex.project_id"),
            region: settings.text("vertex.region"),
            api_version: settings.text("vertex.api_version"),
            account: account(settings, known.credential),
            express: false,
        };
        let origin = base_url.or_else(|| words.origin())?;
        let mut upstream = Upstream::bare(known.name, known.kind, origin);
        upstream.account = words.account.map(|account| self.account(account));
        upstream.vertex = words.place();
        // A wrong file or project has its own error already.
        let wrong =
            settings.is_refused(known.credential) || settings.is_refused("vertex.project_id");
        if upstream.vertex.is_none() && !wrong {
            let place = settings.place_of(known.credential);
            notes.error("vertex.project_id", place, "nothing", NO_PROJECT);
        }
        Some(upstream)
    }

    /// The index of `account`: one file has one token, however many upstreams use it.
    fn account(&mut self, account: &ServiceAccount) -> usize {
        let known = self.accounts.iter().position(|known| known.path == account.path);
        known.unwrap_or_else(|| {
            self.accounts.push(account.clone());
            self.accounts.len() - 1
        })
    }

    fn configured(&mut self, table: &Settings, notes: &mut Notes) -> Option<Upstream> {
        let name = table.required(("upstream", "name"), &Scalar::Name.expected(), notes);
        let kinds = Scalar::Choice(KINDS).expected();
        let kind = table.required(("upstream", "kind"), &kinds, notes);
        let (name, word) = (name?, kind?);
        if self.upstreams.iter().any(|upstream| upstream.name == name) {
            let found = format!("{name:?} a second time");
            notes.error("upstream.name", table.place_of("name"), found, "a name of its own");
        }
        for (key, kind) in KIND_KEYS.iter().filter(|(key, kind)| *kind != word && table.is_set(key))
        {
            let found = format!("a key of kind {kind} at an upstream of kind {word}");
            notes.error(&format!("upstream.{key}"), table.place_of(key), found, "no value");
        }
        let (kind, base, vendor_url) = vendors::of_kind(word);
        let words = vertex_words(table);
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
            None if kind == Kind::Vertex => words.origin(),
            None => Origin::parse(vendor_url, Base::Versioned).ok(),
        };
        check_credentials(table, kind, notes);
        let mut upstream = Upstream::bare(name, kind, origin?);
        upstream.keys = secrets(table, "api_key");
        if kind == Kind::Vertex {
            upstream.account = words.account.map(|account| self.account(account));
            upstream.vertex = words.place();
            let without = !table.is_set("credentials_file") && !table.is_set("base_url");
            let wrong = table.is_refused("credentials_file") || table.is_refused("project_id");
            let wrong = wrong || without;
            // What is wrong or missing has its own error already.
            if upstream.vertex.is_none() && !wrong {
                notes.error("upstream.project_id", &table.place, "nothing", NO_PROJECT);
            }
        }
        if table.text("compat") == Some("fixups") {
            upstream.compat = Compat::Fixups;
        }
        upstream.stream_usage = match table.text("stream_usage") {
            Some("always") => StreamUsage::Always,
            Some("never") => StreamUsage::Never,
            _ => StreamUsage::Auto,
        };
        let responses = table.text("responses").unwrap_or("auto");
        upstream.responses = vendors::responses(responses, &upstream.origin);
        upstream.prefill = table.flag("prefill", upstream.prefill);
        Some(upstream)
    }
}

/// Expected where a project is missing.
const NO_PROJECT: &str = "a project id of Google Cloud, as the key file names none";

fn vertex_words(table: &Settings) -> VertexWords<'_> {
    VertexWords {
        project: table.text("project_id"),
        region: table.text("region"),
        api_version: table.text("api_version"),
        account: account(table, "credentials_file"),
        express: table.is_set("api_key"),
    }
}

/// A vendor's own service answers nobody without a credential, and takes one kind of it.
fn check_credentials(table: &Settings, kind: Kind, notes: &mut Notes) {
    let is_vertex = kind == Kind::Vertex;
    if is_vertex && table.is_set("api_key") {
        // Express mode: the key itself belongs to a project.
        for key in ["credentials_file", "project_id", "region"] {
            if table.is_set(key) {
                let found = format!("{key} beside api_key");
                let expected = "only api_key (express mode), or credentials_file without api_key";
                notes.error(&format!("upstream.{key}"), table.place_of(key), found, expected);
            }
        }
        return;
    }
    let credential = if is_vertex { "credentials_file" } else { "api_key" };
    if !table.is_set(credential) && !table.is_set("base_url") {
        let expected = if is_vertex {
            "a service account's key file, an api_key (express mode), or the base_url of a \
             service that needs neither"
        } else {
            "a key, or the base_url of a service that needs none"
        };
        notes.error(&format!("upstream.{credential}"), &table.place, "nothing", expected);
    }
}

fn account<'s>(settings: &'s Settings, key: &str) -> Option<&'s ServiceAccount> {
    match settings.value(key) {
        Some(Value::Account(account)) => Some(account),
        _ => None,
    }
}

/// The secrets that a key has.
pub(super) fn secrets(settings: &Settings, key: &str) -> Vec<Secret> {
    match settings.value(key) {
        Some(Value::Secrets(secrets)) => secrets.clone(),
        _ => Vec::new(),
    }
}

/// What the operator says is safe here.
#[derive(Clone, Copy)]
struct Allowed {
    http: bool,
    link_local: bool,
}

/// Keys and prompts cross a network encrypted, and go nowhere where machines keep credentials of
/// their own, unless the operator says that it is safe.
fn check_place(origin: &Origin, (key, place): (&str, &Place), allowed: Allowed, notes: &mut Notes) {
    if !origin.tls && !allowed.http && !is_loopback(&origin.host) {
        let found = format!("http:// to {}", origin.host);
        let expected = "https://, a loopback address, or tls.allow_http = true";
        notes.error(key, place, found, expected);
    }
    if !allowed.link_local && origin.host.parse().is_ok_and(is_link_local) {
        let found = format!("{}, a link-local address", origin.host);
        let expected = "another address, or tls.allow_link_local = true";
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
        routes.push(Route {
            pattern: pattern.to_owned(),
            targets,
            fallbacks,
            balance: match table.text("balance") {
                Some("latency") => Balance::Latency,
                _ => Balance::Weight,
            },
            affinity: table.text("affinity").map(str::to_ascii_lowercase),
            exhausted: match table.text("exhausted") {
                Some("least_bad") => Exhausted::LeastBad,
                Some("wait") => Exhausted::Wait,
                _ => Exhausted::Refuse,
            },
            cache: match table.text("cache") {
                Some("on") => Some(true),
                Some("off") => Some(false),
                _ => None,
            },
        });
    }
    for (index, patterns) in built_in {
        // The first vendor in the list keeps a pattern.
        for pattern in patterns.iter().filter(|pattern| taken.insert(pattern)) {
            let targets = vec![Target { upstream: *index, model: None, weight: 1 }];
            let pattern = (*pattern).to_owned();
            routes.push(Route::plain(pattern, targets));
        }
    }
    routes.retain(|route| !route.targets.is_empty());
    routes
}

/// The targets of a route, or its fallbacks.
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
        targets.push(Target { upstream, model: table.text("model").map(str::to_owned), weight });
    }
    targets
}

#[cfg(test)]
mod tests {
    use super::super::parse::Sources;
    use super::super::schema::{Compat, Config, Responses, StreamUsage};
    use super::super::vendors::GOOGLE_URL;

    const ACCOUNT: &str = r#"{"type": "service_account", "project_id": "project-of-file",
        "client_email": "bridge@p.iam.gserviceaccount.com", "private_key": "-----BEGIN canary"}"#;

    fn load(file: &str, variables: &[(&str, &str)]) -> Result<Config, Vec<String>> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let variables: Vec<_> = variables.iter().map(owned).collect();
        let read_file = |path: &str| match path {
            "/sa.json" => Ok(ACCOUNT.to_owned()),
            "/old.json" => Ok(ACCOUNT.replace("service_account", "authorized_user")),
            "/bare.json" => Ok(ACCOUNT.replace("project_id", "unused")),
            _ => Err("no such file".to_owned()),
        };
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
        assert_eq!(patterns(&config)[..3], ["gemini-*", "claude-*", "gpt-*"]);
        config.simulate_at("127.0.0.1:4100".parse().unwrap());
        let at: Vec<_> = config.upstreams.iter().map(|u| (&*u.name, u.origin.url())).collect();
        let want = [
            ("google", "http://127.0.0.1:4100".to_owned()),
            ("anthropic", "http://127.0.0.1:4100".to_owned()),
            ("openai", "http://127.0.0.1:4100/v1".to_owned()),
        ];
        assert_eq!(at, want);
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
        assert_eq!(plain.upstreams[0].origin.url(), GOOGLE_URL);
    }

    #[test]
    fn every_credential_makes_its_upstream_and_routes() {
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
        assert!(!config.simulated && config.warnings.is_empty(), "{:?}", config.warnings);
        for (model, upstream) in [
            ("gemini-3", 0),
            ("google/gemini-3", 0),
            ("claude-haiku-4-5", 1),
            ("gpt-5", 2),
            ("o3-mini", 2),
            ("text-embedding-3-small", 2),
            ("deepseek-chat", 3),
            ("ollama/llama3", 4),
        ] {
            let route = config.route(model).unwrap_or_else(|| panic!("no route for {model}"));
            let target = &config.routes.as_slice()[route].targets[0];
            assert_eq!(target.upstream, upstream, "{model}");
        }
        assert_eq!(config.upstreams[2].responses, Responses::Native);
        assert_eq!(config.upstreams[4].responses, Responses::Translated);
    }

    fn project(config: &Config, upstream: usize) -> (&str, &str) {
        let place = config.upstreams[upstream].vertex.as_ref().expect("on Vertex AI");
        let project = place.project.as_ref().expect("a project");
        (&project.id, &project.location)
    }

    #[test]
    fn the_project_comes_from_variables_or_the_key_file() {
        let file = ("GOOGLE_APPLICATION_CREDENTIALS", "/sa.json");
        let cloud = ("GOOGLE_CLOUD_PROJECT", "cloud");
        let app = ("APP_VERTEX__PROJECT_ID", "app");
        let config = load("", &[file]).expect("a configuration");
        assert_eq!(project(&config, 0), ("project-of-file", "us-central1"));
        assert_eq!(config.accounts[0].client_email, "bridge@p.iam.gserviceaccount.com");
        assert!(!format!("{config:?}").contains("canary"));
        let more = [file, cloud, ("APP_VERTEX__REGION", "global")];
        assert_eq!(project(&load("", &more).expect("one"), 0), ("cloud", "global"));
        assert_eq!(project(&load("", &[file, cloud, app]).expect("one"), 0).0, "app");
        let bare = ("GOOGLE_APPLICATION_CREDENTIALS", "/bare.json");
        assert_eq!(project(&load("", &[bare, cloud]).expect("one"), 0).0, "cloud");
        let missing = load("", &[bare]).expect_err("a refusal");
        assert!(missing[0].contains("(vertex.project_id): found nothing"), "{missing:?}");
        assert_eq!(missing.len(), 1, "{missing:?}");
    }

    #[test]
    fn key_files_are_read_and_checked_at_the_start() {
        for (path, want) in [
            ("/gone.json", "\"/gone.json\", which cannot be read: no such file"),
            ("/old.json", "\"/old.json\", whose type is authorized_user, not service_account"),
        ] {
            let found = load("", &[("GOOGLE_APPLICATION_CREDENTIALS", path)]).expect_err(path);
            let start = "GOOGLE_APPLICATION_CREDENTIALS (vertex.credentials_file): found ";
            assert!(found[0].starts_with(&format!("{start}{want}")), "{found:?}");
            assert_eq!(found.len(), 1, "{found:?}");
        }
    }

    #[test]
    fn several_upstreams_share_an_account_and_each_has_its_place() {
        let file = r#"
            [[upstream]]
            name = "us"
            kind = "vertex"
            credentials_file = "/sa.json"
            region = "us"
            [[upstream]]
            name = "tests"
            kind = "vertex"
            credentials_file = "/sa.json"
            project_id = "other"
            api_version = "v1beta1"
            base_url = "http://127.0.0.1:1"
            [[upstream]]
            name = "express"
            kind = "vertex"
            api_key = "k"
            [[upstream]]
            name = "vllm"
            kind = "openai"
            base_url = "http://127.0.0.1:2/v1"
            compat = "fixups"
            stream_usage = "never"
            responses = "native"
        "#;
        let config = load(file, &[]).expect("a configuration");
        assert_eq!((config.accounts.len(), config.upstreams[1].account), (1, Some(0)));
        assert_eq!(project(&config, 0), ("project-of-file", "us"));
        assert_eq!(config.upstreams[0].origin.host, "aiplatform.us.rep.googleapis.com");
        assert_eq!(project(&config, 1).0, "other");
        let express = &config.upstreams[2];
        let place = express.vertex.as_ref().expect("on Vertex AI");
        assert_eq!((&place.project, express.keys.len(), express.account), (&None, 1, None));
        assert_eq!(express.origin.host, "aiplatform.googleapis.com");
        let vllm = &config.upstreams[3];
        assert_eq!((vllm.compat, vllm.stream_usage), (Compat::Fixups, StreamUsage::Never));
        assert_eq!(vllm.responses, Responses::Native);
    }

    #[test]
    fn keys_that_do_not_fit_the_kind_or_each_other_are_refused() {
        let vertex = "[[upstream]]\nname = \"v\"\nkind = \"vertex\"\n";
        let account = format!("{vertex}credentials_file = \"/sa.json\"\n");
        for (start, rest, want) in [
            (&*account, "compat = \"exact\"", "5: upstream.compat: found a key of kind openai at"),
            (&account, "api_key = \"k\"", "4: upstream.credentials_file: found credentials_file b"),
            (&account, "api_version = \"v2\"", "5: upstream.api_version: found \"v2\", expected o"),
            (vertex, "", "1: upstream.credentials_file: found nothing, expected a service account"),
            (
                vertex,
                "base_url = \"https://x\"",
                "1: upstream.project_id: found nothing, expected a project id",
            ),
            (vertex, "credentials_file = 3", "4: upstream.credentials_file: found 3, expected the"),
        ] {
            refused(&format!("{start}{rest}"), &format!("vb.toml:{want}"));
        }
        let other = "[[upstream]]\nname = \"o\"\nkind = \"openai\"\napi_key = \"k\"\n";
        refused(
            &format!("{other}region = \"us\""),
            "vb.toml:5: upstream.region: found a key of kind vertex at an upstream of kind openai",
        );
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
        assert!(config.warnings.is_empty(), "{:?}", config.warnings);
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
    fn base_urls_without_a_credential_are_pointed_out() {
        let config = load("", &[("OPENAI_BASE_URL", "http://localhost:1/v1")]).expect("simulated");
        assert!(config.simulated);
        assert_eq!(config.warnings, ["openai.base_url has no effect without openai.api_key"]);
    }
}
