//! Vertex AI with a service account: the key file, the token, and its whole life.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustls::version::{TLS12, TLS13};

use super::certificates::Authority;
use super::client::{Answer, chat, get, post};
use super::gateway::{BINARY, FLAVOURS, Flavour, Folder, Gateway};
use super::google::{EMAIL, Google, TOKEN, openssl, private_key, unix_seconds};
use super::simulator::Simulator;

/// A gateway before `google`, with its log at its most talkative.
fn before(google: &Google, flavour: Flavour, folder: &Folder) -> Gateway {
    let file = google.key_file(&folder.0);
    Gateway::start(
        flavour,
        &[
            ("GOOGLE_APPLICATION_CREDENTIALS", file.to_str().expect("a path is text")),
            ("APP_VERTEX__OAUTH_BASE_URL", &google.origin),
            ("APP_LOG__LEVEL", "debug"),
        ],
    )
}

/// Nothing that the gateway shows may hold a token, an assertion or the key.
#[track_caller]
fn nothing_leaks(gateway: &Gateway, answers: &[&Answer]) {
    let mut shown = vec![gateway.log()];
    for path in ["/metrics", "/metrics/prometheus", "/health/ready"] {
        let answer = gateway.ask(&get(path));
        shown.extend([answer.head, answer.body]);
    }
    shown.extend(answers.iter().map(|answer| format!("{}{}", answer.head, answer.body)));
    let line = private_key().lines().nth(1).expect("a key has lines");
    for text in shown {
        for secret in [TOKEN, "canary", "eyJ", line] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}

#[track_caller]
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// API requests that run, on all shards.
fn in_flight(gateway: &Gateway) -> usize {
    let page = gateway.ask(&get("/metrics/prometheus")).body;
    let lines = page.lines().filter(|line| line.starts_with("vertex_bridge_requests_in_flight{"));
    let counts =
        lines.filter_map(|line| line.rsplit(' ').next()?.split('.').next()?.parse::<usize>().ok());
    counts.sum()
}

/// The serial numbers of the tokens that Vertex AI has seen.
fn tokens_seen(google: &Google) -> Vec<String> {
    let start = format!("authorization: Bearer {TOKEN}");
    let script = google.script();
    let numbers = script.requests.iter().filter_map(|(_, shown)| shown.strip_prefix(&start));
    numbers.map(str::to_owned).collect()
}

#[test]
fn a_signed_assertion_becomes_a_token_that_requests_carry() {
    for flavour in FLAVOURS {
        let (google, folder) = (Google::start(), Folder::new());
        let gateway = before(&google, flavour, &folder);
        let whole = gateway.ask(&chat("hello", false));
        assert_eq!(whole.status, 200, "{}", whole.body);
        let streamed = gateway.ask(&chat("hello", true));
        assert!(streamed.body.ends_with("data: [DONE]\n\n"), "{}", streamed.body);
        {
            let script = google.script();
            assert!(script.wrong.is_empty(), "{:?}", script.wrong);
            let [(header, claims)] = &script.assertions[..] else { panic!("one exchange") };
            let want = serde_json::json!({"alg": "RS256", "typ": "JWT", "kid": "key-1"});
            assert_eq!(*header, want);
            assert_eq!(claims["iss"], EMAIL);
            assert_eq!(claims["scope"], "https://www.googleapis.com/auth/cloud-platform");
            assert_eq!(claims["aud"], google.token_uri.as_str());
            let begin = claims["iat"].as_u64().expect("a number");
            assert!(unix_seconds().abs_diff(begin) < 60, "{claims}");
            assert_eq!(claims["exp"], begin + 3600);
            let path = "/v1/projects/project-1/locations/us-central1/publishers/google/models/\
                        gemini-2.5-flash";
            let shown = format!("authorization: Bearer {TOKEN}1");
            let want = [
                (format!("POST {path}:generateContent HTTP/1.1"), shown.clone()),
                (format!("POST {path}:streamGenerateContent?alt=sse HTTP/1.1"), shown),
            ];
            assert_eq!(script.requests, want);
        }
        assert_eq!(gateway.ask(&get("/health/ready")).status, 200);
        let refreshes = "vertex_bridge_token_refreshes_total{provider=\"vertex\"";
        assert_eq!(gateway.metric(&format!("{refreshes},result=\"ok\"}}")), 1);
        assert_eq!(gateway.metric(&format!("{refreshes},result=\"failed\"}}")), 0);
        let expiry = gateway.metric("vertex_bridge_token_expiry_seconds{provider=\"vertex\"}");
        assert!((3500..=3599).contains(&expiry), "{expiry}");
        nothing_leaks(&gateway, &[&whole, &streamed]);
    }
}

#[test]
fn a_request_before_the_first_token_waits_for_it() {
    for flavour in FLAVOURS {
        let (google, folder) = (Google::start(), Folder::new());
        google.script().held = true;
        let gateway = before(&google, flavour, &folder);
        let ready = gateway.ask(&get("/health/ready"));
        assert_eq!(ready.status, 503);
        assert_eq!(ready.json()["upstreams"]["vertex"], "no_token");
        // This one does not wait to the end.
        let mut leaving = gateway.client();
        leaving.send(&chat("hello", false));
        let mut waiting = gateway.client();
        waiting.send(&chat("hello", false));
        eventually("both run", || in_flight(&gateway) == 2);
        drop(leaving);
        eventually("the first has left", || in_flight(&gateway) == 1);
        assert_eq!(gateway.metric("vertex_bridge_requests_cancelled_total"), 1);
        google.script().held = false;
        let answer = waiting.answer().expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.body);
        let timing = answer.field("server-timing").expect("a field").to_owned();
        assert!(!timing.contains("connect;dur=0."), "the wait is time to connect: {timing}");
        assert_eq!(tokens_seen(&google), ["1"]);
        assert_eq!(gateway.ask(&get("/health/ready")).status, 200);
    }
}

#[test]
fn a_token_is_renewed_before_it_ends_and_kept_while_renewing_fails() {
    let (google, folder) = (Google::start(), Folder::new());
    google.script().lifetime = 6;
    let gateway = before(&google, Flavour::Epoll, &folder);
    let ask = || gateway.ask(&chat("hello", false));
    // Every answer is right while tokens change.
    eventually("a second token", || {
        let answer = ask();
        assert_eq!(answer.status, 200, "{}", answer.body);
        tokens_seen(&google).ends_with(&["2".to_owned()])
    });
    google.script().failure = Some((503, r#"{"error":"canary"}"#));
    let failed = "vertex_bridge_token_refreshes_total{provider=\"vertex\",result=\"failed\"}";
    eventually("a failure", || gateway.metric(failed) > 0);
    let kept = ask();
    assert_eq!(kept.status, 200, "the old token is good until its end: {}", kept.body);
    let mut refused = ask();
    eventually("the end of the token", || {
        refused = ask();
        refused.status != 200
    });
    assert_eq!(refused.status, 502);
    assert_eq!(refused.json()["error"]["code"], "upstream_auth_error");
    assert_eq!(refused.field("x-should-retry"), Some("false"));
    let ready = gateway.ask(&get("/health/ready"));
    assert_eq!((ready.status, &ready.json()["upstreams"]["vertex"]), (503, &"no_token".into()));
    assert_eq!(gateway.metric("vertex_bridge_token_expiry_seconds{provider=\"vertex\"}"), 0);
    google.script().failure = None;
    eventually("a new token", || ask().status == 200);
    let words = "no access token: the token endpoint answered 503";
    let log = gateway.log_with(words);
    assert!(log.contains(words), "{log}");
    nothing_leaks(&gateway, &[&kept, &refused]);
}

#[test]
fn a_refused_token_is_renewed_and_the_request_sent_once_more() {
    for flavour in FLAVOURS {
        let (google, folder) = (Google::start(), Folder::new());
        google.script().refused = 1;
        let gateway = before(&google, flavour, &folder);
        let answer = gateway.ask(&chat("hello", true));
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert!(answer.body.ends_with("data: [DONE]\n\n"), "{}", answer.body);
        assert_eq!(tokens_seen(&google), ["1", "2"]);
        assert_eq!(gateway.metric("vertex_bridge_upstream_attempts_total"), 2);
        // A token that is refused a moment after it was renewed is not the cause.
        google.script().refused = 99;
        google.script().requests.clear();
        let refused = gateway.ask(&chat("hello", false));
        assert_eq!((refused.status, refused.field("x-should-retry")), (502, Some("false")));
        assert_eq!(refused.json()["error"]["code"], "upstream_auth_error");
        assert_eq!(tokens_seen(&google), ["2"]);
        assert_eq!(google.script().assertions.len(), 2);
        nothing_leaks(&gateway, &[&answer, &refused]);
    }
}

#[test]
fn without_a_token_nothing_of_the_endpoint_is_shown() {
    let (google, folder) = (Google::start(), Folder::new());
    let body = r#"{"error":"invalid_grant","error_description":"canary: no such account"}"#;
    google.script().failure = Some((400, body));
    let gateway = before(&google, Flavour::Epoll, &folder);
    let mut answer = gateway.ask(&chat("hello", false));
    assert_eq!((answer.status, answer.field("x-should-retry")), (502, Some("false")));
    assert_eq!(answer.json()["error"]["type"], "server_error");
    assert_eq!(answer.json()["error"]["code"], "upstream_auth_error");
    assert!(google.script().requests.is_empty(), "nothing was sent without a token");
    let no_token = "vertex_bridge_upstream_failures_total{reason=\"no_token\"}";
    assert_eq!(gateway.metric(no_token), 1);
    let words = "the token endpoint answered 400 invalid_grant";
    assert!(gateway.log_with(words).contains(words));
    // Answers that are no tokens to be sent.
    for body in ["canary", "{}", r#"{"access_token":"canary\r\nx: y","expires_in":9}"#] {
        google.script().failure = Some((200, body));
        let before = gateway.log().matches("holds no usable token").count();
        eventually(body, || gateway.log().matches("holds no usable token").count() > before);
        answer = gateway.ask(&chat("hello", false));
        assert_eq!(answer.status, 502, "{}", answer.body);
    }
    nothing_leaks(&gateway, &[&answer]);
}

/// A gateway before the simulator's Vertex AI, with this key file.
fn before_simulator(simulator: &Simulator, file: &Path) -> Gateway {
    let origin = format!("http://{}", simulator.address);
    Gateway::start(
        Flavour::Uring,
        &[
            ("GOOGLE_APPLICATION_CREDENTIALS", file.to_str().expect("a path is text")),
            ("APP_VERTEX__OAUTH_BASE_URL", &origin),
        ],
    )
}

#[test]
fn no_request_notices_that_tokens_of_the_simulator_end() {
    let simulator = Simulator::start(&["--token-ttl", "4s"]);
    let gateway = before_simulator(&simulator, &simulator.folder.0.join("account.json"));
    let fetched = "vertex_bridge_token_refreshes_total{provider=\"vertex\",result=\"ok\"}";
    // Four tokens, of which the first has ended meanwhile: the simulator refuses it.
    eventually("four tokens", || {
        let answer = gateway.ask(&chat("hi", false));
        assert_eq!(answer.status, 200, "{}", answer.body);
        gateway.metric(fetched) >= 4
    });
    let refused = "vertex_bridge_upstream_failures_total{reason=\"http_4xx\"}";
    assert_eq!(gateway.metric(refused), 0);
}

#[test]
fn the_simulator_gives_no_token_for_the_key_of_another() {
    let (simulator, folder) = (Simulator::start(&[]), Folder::new());
    let own = simulator.folder.0.join("account.json");
    let text = std::fs::read_to_string(own).expect("the simulator's key file");
    let mut account: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    account["private_key"] = private_key().into();
    let file = folder.0.join("account.json");
    std::fs::write(&file, account.to_string()).expect("a file can be written");
    let gateway = before_simulator(&simulator, &file);
    let answer = gateway.ask(&chat("hi", false));
    assert_eq!(answer.status, 502, "{}", answer.body);
    assert_eq!(answer.json()["error"]["code"], "upstream_auth_error");
    let words = "the token endpoint answered 400 invalid_grant";
    assert!(gateway.log_with(words).contains(words));
    assert!(!gateway.log().contains("Invalid JWT"), "the endpoint's own words stay out");
}

#[test]
fn upstreams_with_one_key_file_share_its_token() {
    let (google, folder) = (Google::start(), Folder::new());
    let (file, origin) = (google.key_file(&folder.0), &google.origin);
    let upstream = |name: &str, more: &str| {
        format!(
            "[[upstream]]\nname = \"{name}\"\nkind = \"vertex\"\nbase_url = \"{origin}\"\n{more}\n"
        )
    };
    let account = format!("credentials_file = {file:?}");
    let config = [
        upstream("near", &account),
        upstream("far", &format!("{account}\nproject_id = \"other\"\nregion = \"eu\"")),
        upstream("express", "api_key = \"canary-express\"\napi_version = \"v1beta1\""),
        "[[route]]\nmodel = \"near-*\"\ntargets = [{ upstream = \"near\", model = \"m\" }]\n"
            .into(),
        "[[route]]\nmodel = \"far-*\"\ntargets = [{ upstream = \"far\", model = \"m\" }]\n".into(),
        "[[route]]\nmodel = \"express-*\"\ntargets = [{ upstream = \"express\", model = \"m\" }]\n"
            .into(),
    ];
    let path = folder.0.join("vb.toml");
    std::fs::write(&path, config.concat()).expect("a file can be written");
    let path = path.to_str().expect("a path is text");
    let gateway = Gateway::start(Flavour::Epoll, &[("VERTEX_BRIDGE_CONFIG", path)]);
    for model in ["near-1", "far-1", "express-1"] {
        let request = String::from_utf8(chat("hello", false)).expect("text");
        let request = request.replace("gemini-2.5-flash", model);
        let length = request.split("\r\n\r\n").nth(1).expect("a body").len();
        let head = request.split("content-length").next().expect("a head");
        let body = request.split("\r\n\r\n").nth(1).expect("a body");
        let request = format!("{head}content-length: {length}\r\n\r\n{body}");
        assert_eq!(gateway.ask(request.as_bytes()).status, 200, "{model}");
    }
    let script = google.script();
    assert_eq!(script.assertions.len(), 1);
    let token = format!("authorization: Bearer {TOKEN}1");
    let key = "x-goog-api-key: canary-express".to_owned();
    let line =
        |place: &str| format!("POST {place}publishers/google/models/m:generateContent HTTP/1.1");
    assert_eq!(
        script.requests,
        [
            (line("/v1/projects/project-1/locations/us-central1/"), token.clone()),
            (line("/v1/projects/other/locations/eu/"), token),
            (line("/v1beta1/"), key),
        ]
    );
}

#[test]
fn a_token_endpoint_is_trusted_as_upstreams_are() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    for (certificate, trusted) in [
        (ours.sign("localhost"), true),
        (other.sign("localhost"), false),
        (ours.sign("elsewhere"), false),
        (ours.sign_expired("localhost"), false),
    ] {
        let google = Google::secured(certificate.server(&[&TLS13, &TLS12], None), "localhost");
        let folder = Folder::new();
        let authority = folder.0.join("ca.pem");
        std::fs::write(&authority, &ours.pem).expect("a file can be written");
        let file = google.key_file(&folder.0);
        let gateway = Gateway::start(
            Flavour::Epoll,
            &[
                ("GOOGLE_APPLICATION_CREDENTIALS", file.to_str().expect("a path is text")),
                ("APP_VERTEX__OAUTH_BASE_URL", &google.origin),
                ("APP_TLS__EXTRA_CA", authority.to_str().expect("a path is text")),
            ],
        );
        let answer = gateway.ask(&chat("hello", false));
        assert_eq!(answer.status, if trusted { 200 } else { 502 }, "{}", answer.body);
        assert_eq!(google.script().assertions.len(), usize::from(trusted));
        let doubt =
            gateway.log().contains("the token endpoint's certificate or TLS is not trusted");
        assert_eq!(doubt, !trusted, "{}", gateway.log());
    }
}

/// The keys that the vendor has seen since the last look.
fn keys_seen(google: &Google) -> Vec<String> {
    let requests = std::mem::take(&mut google.script().requests);
    let keys = requests.iter().filter_map(|(_, shown)| shown.strip_prefix("x-goog-api-key: "));
    keys.map(str::to_owned).collect()
}

#[test]
fn keys_are_tried_in_turn() {
    let (google, folder) = (Google::start(), Folder::new());
    let path = folder.0.join("vb.toml");
    let config = "[vertex]\napi_key = [\"key-1\", \"key-2\", \"key-3\"]\n\
                  [runtime]\ncores = \"0\"\n";
    std::fs::write(&path, config).expect("a file can be written");
    let gateway = Gateway::start(
        Flavour::Epoll,
        &[
            ("VERTEX_BRIDGE_CONFIG", path.to_str().expect("a path is text")),
            ("APP_VERTEX__API_KEY_BASE_URL", &google.origin),
        ],
    );
    let ask = || gateway.ask(&chat("hello", false));
    assert_eq!(ask().status, 200);
    assert_eq!(keys_seen(&google), ["key-1"]);
    google.script().bad_keys = vec![("key-1", 429), ("key-2", 403)];
    assert_eq!(ask().status, 200);
    assert_eq!(keys_seen(&google), ["key-1", "key-2", "key-3"]);
    // The one that works stays in use, also when the others would work again.
    google.script().bad_keys.clear();
    assert_eq!(ask().status, 200);
    assert_eq!(keys_seen(&google), ["key-3"]);
    google.script().bad_keys = vec![("key-1", 401), ("key-2", 429), ("key-3", 429)];
    let refused = ask();
    assert_eq!(keys_seen(&google), ["key-3", "key-1", "key-2"]);
    assert_eq!(refused.status, 429, "the last one's answer: {}", refused.body);
    // Other errors are not the key's fault.
    google.script().bad_keys = vec![("key-3", 400)];
    assert_eq!(ask().status, 400);
    assert_eq!(keys_seen(&google), ["key-3"]);
    assert_eq!(gateway.metric("vertex_bridge_upstream_failures_total{reason=\"http_429\"}"), 3);
}

#[test]
fn each_vendor_gets_its_key_in_its_own_field() {
    let google = Google::start();
    let gateway = Gateway::start(
        Flavour::Epoll,
        &[
            ("GOOGLE_API_KEY", "key-of-google"),
            ("APP_VERTEX__API_KEY_BASE_URL", &google.origin),
            ("ANTHROPIC_API_KEY", "key-of-anthropic"),
            ("ANTHROPIC_BASE_URL", &google.origin),
            ("OPENAI_API_KEY", "key-of-openai"),
            ("OPENAI_BASE_URL", &google.origin),
        ],
    );
    let openai_fields = ["authorization: Bearer key-of-openai"].as_slice();
    let google_fields = ["x-goog-api-key: key-of-google"].as_slice();
    let anthropic_fields = ["x-api-key: key-of-anthropic", "anthropic-version: 2023-06-01"];
    for (model, fields) in
        [("gemini-3", google_fields), ("claude-4", &anthropic_fields), ("gpt-4o", openai_fields)]
    {
        let body = format!(
            "{{\"model\":\"{model}\",\"messages\":[{{\"role\":\"user\",\"content\":\"hi\"}}]}}"
        );
        gateway.ask(&post(&body));
        let head = google.script().head.clone();
        for field in fields {
            assert_eq!(head.lines().filter(|line| line == field).count(), 1, "{field} in {head}");
        }
        // Neither another vendor's key nor the client's own.
        assert_eq!(head.matches("key-of-").count(), 1, "{head}");
        assert!(!head.contains("sk-vertex-bridge-dev"), "{head}");
    }
}

#[test]
fn our_own_fields_can_be_switched_off() {
    let (google, folder) = (Google::start(), Folder::new());
    let file = google.key_file(&folder.0);
    for (on, switch) in [(true, "true"), (false, "false")] {
        let gateway = Gateway::start(
            Flavour::Epoll,
            &[
                ("GOOGLE_APPLICATION_CREDENTIALS", file.to_str().expect("a path is text")),
                ("APP_VERTEX__OAUTH_BASE_URL", &google.origin),
                ("APP_SERVER__OWN_HEADERS", switch),
            ],
        );
        let body = "{\"model\":\"gemini-2.5-flash\",\"logit_bias\":{},\"messages\":\
                    [{\"role\":\"user\",\"content\":\"hello\"}]}";
        for body in [body.to_owned(), body.replacen('{', "{\"stream\":true,", 1)] {
            let answer = gateway.ask(&post(&body));
            assert_eq!(answer.status, 200, "{}", answer.body);
            for name in ["server-timing", "x-vertex-bridge-dropped"] {
                assert_eq!(answer.field(name).is_some(), on, "{name} in {}", answer.head);
            }
            assert!(answer.field("x-request-id").is_some());
        }
    }
}

#[test]
fn a_key_file_that_cannot_sign_stops_the_start() {
    let folder = Folder::new();
    let google = Google::start();
    let path = google.key_file(&folder.0);
    let good = std::fs::read_to_string(&path).expect("the file");
    let elliptic = openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    let short = openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"]);
    let quoted = |key: &str| serde_json::to_string(key).expect("JSON");
    let own = quoted(private_key());
    for (text, want) in [
        (
            good.replace(&own, &quoted(&elliptic)),
            "private_key: found a private key that is not RSA",
        ),
        (
            good.replace(&own, &quoted(&short)),
            "private_key: found a private key that is not RSA with",
        ),
        (good.replace("service_account", "authorized_user"), "whose type is authorized_user"),
        (good.replace("client_email", "mail"), "whose field client_email is missing"),
        (good.replace("PRIVATE", "PUBLIC"), "private_key: found text that is no private key"),
    ] {
        std::fs::write(&path, text).expect("a file can be written");
        let out = Command::new(BINARY)
            .arg("check")
            .current_dir(&folder.0)
            .env("GOOGLE_APPLICATION_CREDENTIALS", &path)
            .output()
            .expect("the binary runs");
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(2), "{said}");
        assert!(said.contains(want) && said.contains("account.json"), "{said}\nlacks {want}");
        assert!(!said.contains("-----BEGIN"), "{said}");
    }
}
