//! The admin API on the real binary: who is let in, what is seen, what is changed, what is written
//! down. Every answer is compared with `docs/openapi-admin.json`.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::{Answer, chat, get};
use super::gateway::{BINARY, FLAVOURS, Flavour, Folder, Gateway, free_port};
use super::upstream::Upstream;

pub(super) const ADMIN: &str = "sk-admin-0123456789";
const CLIENT: &str = "sk-client-0123456789";

/// A request with a key to a path below `/admin/v1`.
fn ask(method: &str, path: &str, key: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "{method} /admin/v1{path} HTTP/1.1\r\nhost: gateway.example\r\ncontent-length: {length}\r\n\
         authorization: Bearer {key}\r\n\r\n{body}"
    )
    .into_bytes()
}

fn document() -> Value {
    serde_json::from_str(include_str!("../../../docs/openapi-admin.json")).expect("JSON")
}

/// Is `value` what `schema` says? Knows the words that the document uses.
fn check(document: &Value, schema: &Value, value: &Value, at: &str) {
    if let Some(path) = schema["$ref"].as_str() {
        let target = document.pointer(path.trim_start_matches('#')).expect("a schema");
        return check(document, target, value, at);
    }
    let types = match &schema["type"] {
        Value::Array(types) => types.clone(),
        one => vec![one.clone()],
    };
    let fits = types.iter().any(|kind| match kind.as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_u64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        Some("null") => value.is_null(),
        other => panic!("{at}: type {other:?}"),
    });
    assert!(fits, "{at}: {value} is none of {types:?}");
    if let Some(words) = schema["enum"].as_array() {
        assert!(words.contains(value), "{at}: {value}");
    }
    for item in value.as_array().into_iter().flatten() {
        check(document, &schema["items"], item, &format!("{at}[]"));
    }
    let Some(members) = value.as_object() else { return };
    for name in schema["required"].as_array().into_iter().flatten() {
        assert!(members.contains_key(name.as_str().expect("a name")), "{at}: no {name}");
    }
    for (name, member) in members {
        let known = schema["properties"].get(name).or_else(|| schema.get("additionalProperties"));
        match known {
            None => {}
            Some(Value::Bool(false)) => panic!("{at}: {name} is not described"),
            Some(schema) => check(document, schema, member, &format!("{at}.{name}")),
        }
    }
}

/// A gateway with an admin key, a client's key and a folder of its own for what it keeps.
pub(super) struct Administrated {
    pub(super) gateway: Gateway,
    pub(super) state: Folder,
}

impl Administrated {
    pub(super) fn start(flavour: Flavour, upstream: &Upstream, more: &[(&str, &str)]) -> Self {
        Self::with(more, |variables| Gateway::before(flavour, upstream.address, variables))
    }

    /// In front of its embedded simulator.
    pub(super) fn simulated(flavour: Flavour, more: &[(&str, &str)]) -> Self {
        Self::with(more, |variables| Gateway::start(flavour, variables))
    }

    fn with(more: &[(&str, &str)], start: impl FnOnce(&[(&str, &str)]) -> Gateway) -> Self {
        let state = Folder::new();
        let mut variables = vec![
            ("APP_AUTH__ADMIN_KEY", ADMIN),
            ("APP_AUTH__MASTER_KEY", CLIENT),
            ("APP_AUTH__REQUIRE_AUTH", "false"),
            ("STATE_DIRECTORY", state.0.to_str().expect("text")),
        ];
        variables.extend(more);
        Self { gateway: start(&variables), state }
    }

    /// Asks, and compares the answer with the document.
    pub(super) fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        let answer = self.gateway.ask(&ask(method, path, ADMIN, body));
        let document = document();
        let bare = path.split('?').next().unwrap_or_default();
        let described = document["paths"].as_object().expect("paths").iter().find(|(known, _)| {
            let (before, rest) = known.split_once('{').unwrap_or((known, ""));
            let behind = rest.split_once('}').map(|(_, behind)| behind);
            let path = format!("/admin/v1{bare}");
            match behind {
                None => path == before,
                Some(behind) => path
                    .strip_prefix(before)
                    .and_then(|rest| rest.strip_suffix(behind))
                    .is_some_and(|part| !part.contains('/')),
            }
        });
        let (_, methods) = described.unwrap_or_else(|| panic!("{path} is not described"));
        let operation = &methods[method.to_lowercase()];
        let responses = &operation["responses"][answer.status.to_string()];
        assert!(responses.is_object(), "{method} {path}: {answer:?} is not described");
        let schema = &responses["content"]["application/json"]["schema"];
        check(&document, schema, &answer.json(), &format!("{method} {path}"));
        assert_eq!(answer.field("cache-control"), Some("no-store"), "{path}: {answer:?}");
        answer
    }

    pub(super) fn see(&self, path: &str) -> Value {
        let answer = self.ask("GET", path, "");
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.json()
    }

    /// Ended exchanges, once there are so many: another thread tells of them.
    fn recent(&self, path: &str, count: usize) -> Vec<Value> {
        let end = Instant::now() + Duration::from_secs(5);
        loop {
            let found = self.see(path)["data"].as_array().expect("a list").clone();
            if found.len() >= count || Instant::now() > end {
                assert_eq!(found.len(), count, "{path}: {found:?}");
                return found;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The last entries of the audit log, as action, subject and result.
    pub(super) fn audit(&self) -> Vec<[String; 3]> {
        let entries = self.see("/audit")["data"].as_array().expect("a list").clone();
        let text = |entry: &Value, name: &str| entry[name].as_str().expect("text").to_owned();
        let told = |entry| ["action", "subject", "result"].map(|name| text(entry, name));
        entries.iter().map(told).collect()
    }
}

#[test]
fn every_page_is_as_the_document_says() {
    for flavour in FLAVOURS {
        let upstream = Upstream::start();
        let admin = Administrated::start(flavour, &upstream, &[]);
        for stream in [false, true] {
            assert_eq!(admin.gateway.ask(&chat_with_key(stream)).status, 200);
        }
        for page in [
            "/state",
            "/figures",
            "/shards",
            "/upstreams",
            "/breakers",
            "/pools",
            "/exchanges",
            "/recent?limit=5&q=x",
            "/audit",
            "/keys",
            "/usage",
            "/usage?by=key,model,day,route,upstream",
            "/log-level",
            "/openapi.json",
        ] {
            admin.see(page);
        }
        let ended = admin.recent("/recent?status=200&upstream=google", 2);
        for one in &ended {
            assert_eq!((&one["key"], &one["ending"]), (&json!("master"), &json!("answered")));
            assert_eq!(
                (&one["tokens"]["prompt"], &one["tokens"]["completion"]),
                (&json!(4), &json!(8))
            );
            let us = &one["phases_us"];
            assert!(us["total"].as_u64() >= us["upstream"].as_u64(), "{us}");
        }
        // Two shards do not end in turn.
        assert_ne!(ended[0]["stream"], ended[1]["stream"]);
        assert_eq!(admin.recent(&format!("/recent?after={}", ended[1]["number"]), 1).len(), 1);
        admin.recent("/recent?key=master", 2);
        admin.recent("/recent?key=somebody-else", 0);
        let state = admin.see("/state").to_string();
        assert!(!state.contains(CLIENT) && !state.contains(ADMIN), "secrets: {state}");
        assert!(!state.contains("AIzaSyD-end-to-end"), "secrets: {state}");
        // What is told here is what the metrics tell.
        let metric = admin.gateway.ask(&with_key(&get("/metrics/prometheus"), ADMIN)).body;
        let figures = admin.see("/figures");
        assert_eq!(figures["requests"], 2, "{metric}");
        assert!(metric.contains("\nrequests_total 2\n"), "{metric}");
        let shards = figures["shards"].as_array().expect("shards");
        assert!(shards.iter().all(|shard| shard["busy_us"].as_u64() > Some(0)), "{shards:?}");
        let count = &figures["times_us"]["duration"]["count"];
        assert_eq!(count, 2);
        assert_eq!(admin.see("/openapi.json"), document());
    }
}

fn chat_with_key(stream: bool) -> Vec<u8> {
    with_key(&chat("hi", stream), CLIENT)
}

/// The same request with another key.
fn with_key(request: &[u8], key: &str) -> Vec<u8> {
    let text = String::from_utf8(without_key(request)).expect("text");
    text.replacen("\r\n", &format!("\r\nauthorization: Bearer {key}\r\n"), 1).into_bytes()
}

#[test]
fn only_the_admin_key_opens_the_administration() {
    let upstream = Upstream::start();
    let admin = Administrated::start(Flavour::Uring, &upstream, &[]);
    let status = |request: Vec<u8>| admin.gateway.ask(&request).status;
    assert_eq!(status(ask("GET", "/state", CLIENT, "")), 401);
    assert_eq!(status(ask("GET", "/state", "sk-vertex-bridge-dev", "")), 401);
    assert_eq!(status(get("/admin/v1/state")), 401);
    assert_eq!(status(get(&format!("/admin/v1/state?key={ADMIN}"))), 401);
    assert_eq!(status(with_key(&chat("hi", false), ADMIN)), 401, "it is no client's key");
    assert_eq!(status(ask("GET", "/nothing", ADMIN, "")), 404);
    let wrong = admin.gateway.ask(&ask("DELETE", "/state", ADMIN, ""));
    assert_eq!((wrong.status, wrong.field("allow")), (405, Some("get")));
    assert_eq!(status(ask("PUT", "/log-level", ADMIN, &"x".repeat(70_000))), 413);
    let broken = admin.ask("PUT", "/log-level", "{");
    assert_eq!((broken.status, &broken.json()["error"]["code"]), (400, &json!("invalid_json")));
    let unknown = admin.ask("PUT", "/log-level", "{\"level\":\"loud\"}");
    assert_eq!((unknown.status, &unknown.json()["error"]["param"]), (400, &json!("level")));

    // Without one, a configured client's key closes it to everybody.
    let variables = [("APP_AUTH__MASTER_KEY", CLIENT)];
    let closed = Gateway::before(Flavour::Uring, upstream.address, &variables);
    let answer = closed.ask(&ask("GET", "/state", CLIENT, ""));
    assert_eq!(answer.status, 403, "{}", answer.body);

    // In development the key that everybody knows does, for what is meant for this machine.
    let open = Gateway::before(Flavour::Uring, upstream.address, &[]);
    let local = |host: &str| {
        let text = "GET /admin/v1/state HTTP/1.1\r\nhost: HOST\r\n\
                    authorization: Bearer sk-vertex-bridge-dev\r\n\r\n";
        open.ask(text.replace("HOST", host).as_bytes()).status
    };
    assert_eq!((local("127.0.0.1:4000"), local("rebound.example")), (200, 401));
    assert_eq!(open.ask(&get("/admin/v1/state")).status, 401, "a key must be sent");
}

#[test]
fn what_is_for_operators_moves_to_its_own_address() {
    for flavour in FLAVOURS {
        let upstream = Upstream::start();
        let listen = format!("127.0.0.1:{}", free_port());
        let more = [("APP_ADMIN__LISTEN", listen.as_str())];
        let mut admin = Administrated::start(flavour, &upstream, &more);
        for path in ["/admin/v1/state", "/dashboard", "/metrics", "/metrics/prometheus"] {
            let refused = admin.gateway.ask(&with_key(&get(path), ADMIN));
            assert_eq!(refused.status, 404, "{flavour:?} {path}");
        }
        assert_eq!(admin.gateway.ask(&chat_with_key(false)).status, 200);
        admin.gateway.address = listen.parse().expect("an address");
        for path in ["/admin/v1/state", "/dashboard", "/metrics", "/health", "/health/ready"] {
            let answer = admin.gateway.ask(&with_key(&get(path), ADMIN));
            assert_eq!(answer.status, 200, "{flavour:?} {path}: {}", answer.body);
        }
        let metrics = with_key(&get("/metrics/prometheus"), CLIENT);
        assert_eq!(admin.gateway.ask(&metrics).status, 200, "a client's key still shows them");
        assert_eq!(admin.gateway.ask(&chat_with_key(false)).status, 404, "{flavour:?}");
    }
}

#[test]
fn a_circuit_is_held_open_and_closed_again() {
    let upstream = Upstream::start();
    let admin = Administrated::start(Flavour::Uring, &upstream, &[("APP_RUNTIME__CORES", "0,1")]);
    let put = |name: &str, state: &str| {
        admin.ask("PUT", &format!("/breakers/{name}"), &format!("{{\"state\":\"{state}\"}}"))
    };
    let opened = put("google", "open").json();
    assert_eq!(opened, json!({"upstream": "google", "state": "open", "shards": ["open", "open"]}));
    let refused = admin.gateway.ask(&chat_with_key(false));
    assert_eq!(
        (refused.status, &refused.json()["error"]["code"]),
        (503, &json!("upstream_unavailable"))
    );
    let wait = refused.field("retry-after").expect("a time").parse::<u64>().expect("seconds");
    assert!((1..=60).contains(&wait), "{wait}");
    assert_eq!(admin.see("/upstreams")["data"][0]["status"], "circuit_open");
    assert_eq!(put("google", "closed").json()["state"], "closed");
    assert_eq!(admin.gateway.ask(&chat_with_key(false)).status, 200);
    assert_eq!(put("google", "reset").json()["state"], "closed");
    assert_eq!(put("nobody", "open").status, 404);
    assert_eq!(put("google", "ajar").status, 400);
    let told = admin.audit();
    let seen: Vec<_> = told.iter().map(|[action, subject, _]| (&**action, &**subject)).collect();
    let want = [
        ("breaker", "google"),
        ("breaker.open", ""),
        ("breaker.reset", "google"),
        ("breaker.closed", "google"),
        ("breaker.open", "google"),
    ];
    assert_eq!(seen, want);
}

#[test]
fn one_exchange_is_cancelled_and_no_other() {
    for flavour in FLAVOURS {
        let upstream = Upstream::start();
        let admin = Administrated::start(flavour, &upstream, &[]);
        let named = |id: &str| {
            let text = String::from_utf8(with_key(&chat("stall", true), CLIENT)).expect("text");
            text.replacen("\r\n", &format!("\r\nx-request-id: {id}\r\n"), 1).into_bytes()
        };
        let mut clients = ["keep-1", "stop-1"].map(|id| {
            let mut client = admin.gateway.client();
            client.send(&named(id));
            let asked = upstream.seen.recv_timeout(Duration::from_secs(10));
            assert!(asked.is_ok(), "{flavour:?}: the request went upstream");
            client
        });
        let running = admin.see("/exchanges")["data"].as_array().expect("a list").clone();
        let mut ids: Vec<_> = running.iter().map(|one| one["id"].as_str().expect("text")).collect();
        ids.sort_unstable();
        assert_eq!(ids, ["keep-1", "stop-1"], "{flavour:?}");
        assert!(running.iter().all(|one| one["key"] == "master"), "{running:?}");
        assert!(running.iter().all(|one| one["upstream"] == "google"), "{running:?}");
        let answer = admin.ask("DELETE", "/exchanges/stop-1", "");
        assert_eq!(answer.json(), json!({"id": "stop-1", "cancelled": 1}), "{flavour:?}");
        assert!(clients[1].is_closed() || clients[1].answer().is_none(), "{flavour:?}");
        assert_eq!(admin.ask("DELETE", "/exchanges/stop-1", "").status, 404, "it has ended");
        assert_eq!(admin.ask("DELETE", "/exchanges/%20", "").status, 404);
        let end = Instant::now() + Duration::from_secs(5);
        while admin.see("/figures")["cancelled"] != 1 && Instant::now() < end {
            thread::sleep(Duration::from_millis(10));
        }
        let figures = admin.see("/figures");
        assert_eq!((&figures["cancelled"], &figures["in_flight"]), (&json!(1), &json!(1)));
        let ended = admin.recent("/recent?q=stop-1", 1)[0].clone();
        assert_eq!((&ended["status"], &ended["ending"]), (&json!(499), &json!("client_cancelled")));
        let told = &admin.audit()[2];
        assert_eq!(told, &["exchange.cancel", "stop-1", "done"].map(str::to_owned));
        drop(clients);
    }
}

#[test]
fn the_log_level_changes_while_it_runs() {
    let upstream = Upstream::start();
    let admin = Administrated::start(Flavour::Uring, &upstream, &[]);
    assert_eq!(admin.see("/log-level"), json!({"level": "info"}));
    assert_eq!(admin.gateway.ask(&chat_with_key(false)).status, 200);
    assert!(!admin.gateway.log().contains(" exchange "), "{}", admin.gateway.log());
    let set = admin.ask("PUT", "/log-level", "{\"level\":\"debug\"}");
    assert_eq!(set.json(), json!({"level": "debug"}));
    assert_eq!(admin.gateway.ask(&chat_with_key(false)).status, 200);
    assert!(admin.gateway.log_with(" exchange ").contains(" exchange "));
}

#[test]
fn a_trusted_proxy_tells_who_changes_something() {
    let upstream = Upstream::start();
    for (trusted, from) in [("127.0.0.0/8", "198.51.100.7"), ("10.0.0.0/8", "127.0.0.1")] {
        let more = [("APP_SERVER__TRUSTED_PROXIES", trusted)];
        let admin = Administrated::start(Flavour::Uring, &upstream, &more);
        let request = ask("PUT", "/log-level", ADMIN, "{\"level\":\"warn\"}");
        let request = String::from_utf8(request).expect("text");
        let told = "\r\nX-Forwarded-For: 192.0.2.1\r\nx-forwarded-for: 198.51.100.7\r\n";
        let answer = admin.gateway.ask(request.replacen("\r\n", told, 1).as_bytes());
        assert_eq!(answer.status, 200);
        assert_eq!(admin.see("/audit")["data"][0]["from"], json!(from), "{trusted}");
    }
}

#[test]
fn changes_are_chained_and_the_command_line_verifies_them() {
    let upstream = Upstream::start();
    let mut admin = Administrated::start(Flavour::Uring, &upstream, &[]);
    for level in ["warn", "info"] {
        admin.ask("PUT", "/log-level", &format!("{{\"level\":\"{level}\"}}"));
    }
    let entry = admin.see("/audit")["data"][0].clone();
    assert_eq!((&entry["number"], &entry["from"]), (&json!(2), &json!("127.0.0.1")));
    let who = entry["who"].as_str().expect("a fingerprint");
    assert!(who.len() == 8 && !ADMIN.contains(who), "{who}");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(BINARY);
        command.args(arguments).env("STATE_DIRECTORY", &admin.state.0).current_dir(&admin.state.0);
        let ran = command.output().expect("it runs");
        (ran.status.code(), String::from_utf8(ran.stdout).expect("text"))
    };
    let (code, text) = run(&["audit", "verify"]);
    let hash = entry["hash"].as_str().expect("a hash");
    assert!(code == Some(0) && text.contains("2 entries") && text.contains(hash), "{text}");
    let (code, text) = run(&["audit", "list", "--json"]);
    let listed: Value = serde_json::from_str(&text).expect("JSON");
    assert!(code == Some(0) && listed["rows"][0] == entry, "{text}");
    let (_, text) = run(&["audit", "list", "--limit", "1"]);
    assert!(
        text.contains("log_level") && text.contains(who) && text.lines().count() == 2,
        "{text}"
    );

    // A drain is the last that is heard, and what runs is finished.
    let drained = admin.ask("POST", "/drain", "");
    assert_eq!(drained.json(), json!({"status": "draining"}));
    let status = admin.gateway.wait(15).expect("it ends");
    assert_eq!(status.code(), Some(0), "{}", admin.gateway.log());
    let script = "import sqlite3,sys\nd=sqlite3.connect(sys.argv[1])\n\
                  d.execute('drop trigger audit_is_never_changed')\n\
                  d.execute(\"update audit set text=replace(text,'warn','none') where number=1\")\n\
                  d.commit()";
    let store = admin.state.0.join("vertex-bridge.db");
    let forged = Command::new("python3").args(["-c", script]).arg(store).status();
    assert!(forged.expect("python3 runs").success());
    let (code, text) = {
        let mut command = Command::new(BINARY);
        command.args(["audit", "verify"]).env("STATE_DIRECTORY", &admin.state.0);
        let ran = command.output().expect("it runs");
        (ran.status.code(), String::from_utf8(ran.stderr).expect("text"))
    };
    assert!(code == Some(1) && text.contains("entry 1"), "{code:?} {text}");
}

#[test]
fn nothing_is_changed_that_cannot_be_written_down() {
    let upstream = Upstream::start();
    let file = Folder::new();
    let state = file.0.join("file");
    std::fs::write(&state, "not a folder").expect("a file can be written");
    let variables =
        [("APP_AUTH__ADMIN_KEY", ADMIN), ("STATE_DIRECTORY", state.to_str().expect("text"))];
    let gateway = Gateway::before(Flavour::Uring, upstream.address, &variables);
    let answer = gateway.ask(&ask("PUT", "/log-level", ADMIN, "{\"level\":\"debug\"}"));
    assert_eq!(
        (answer.status, &answer.json()["error"]["code"]),
        (503, &json!("store_unavailable"))
    );
    let level = gateway.ask(&ask("GET", "/log-level", ADMIN, "")).json();
    assert_eq!(level, json!({"level": "info"}));
}

#[test]
fn the_dashboard_may_do_nothing_but_ask_us() {
    let upstream = Upstream::start();
    let gateway = Gateway::before(Flavour::Uring, upstream.address, &[]);
    let page = gateway.ask(&get("/dashboard"));
    assert_eq!((page.status, page.field("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.field("content-security-policy").expect("a policy");
    for rule in ["default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'"] {
        assert!(policy.contains(rule), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert!(!page.body.contains("sk-vertex-bridge-dev") || page.body.contains("placeholder"));
}
#[test]
fn bodies_are_seen_when_an_operator_asks_for_it_and_never_a_key() {
    const STORED: &str = "sk-vb-0123456789abcdef0123456789abcdef";
    for flavour in FLAVOURS {
        let upstream = Upstream::start();
        let admin = Administrated::start(flavour, &upstream, &[]);
        let send = |text: &str, stream| {
            assert_eq!(admin.gateway.ask(&with_key(&chat(text, stream), CLIENT)).status, 200);
        };
        send("before", false);
        assert_eq!(admin.see("/capture"), json!({"key": null, "data": []}));
        let wrong = admin.ask("PUT", "/capture", r#"{"key":"master","exchanges":101}"#);
        assert_eq!((wrong.status, &wrong.json()["error"]["param"]), (400, &json!("exchanges")));
        let asked = r#"{"key":"master","exchanges":3,"bytes":400}"#;
        assert_eq!(admin.ask("PUT", "/capture", asked).status, 200);
        // Nobody's key is not the one that is watched.
        assert_eq!(admin.gateway.ask(&without_key(&chat("of nobody", false))).status, 200);
        let keys = format!("{CLIENT} {ADMIN}\\n{STORED} AIzaSyD-end-to-end.");
        send(&keys, false);
        send(&keys, true);
        send(&"long ".repeat(400), false);
        send("too many", false);
        let seen = admin.see("/capture");
        assert_eq!((&seen["key"], &seen["exchanges_left"]), (&json!("master"), &json!(0)));
        let data = seen["data"].as_array().expect("a list");
        let text = |at: usize, side: &str| data[at][side]["text"].as_str().expect("text");
        let mut requests: Vec<_> = (0..data.len()).map(|at| text(at, "request")).collect();
        requests.sort_unstable();
        assert_eq!(requests.len(), 3, "{flavour:?}: {seen}");
        let masked = requests.iter().filter(|text| text.contains("*** ***\\n*** ***.\"")).count();
        assert_eq!(masked, 2, "{flavour:?}: {requests:?}");
        let long = data.iter().find(|one| one["request"]["whole"] == false).expect("a long one");
        let kept = long["request"]["text"].as_str().expect("text").len();
        assert!(kept <= 400 && long["request"]["bytes"].as_u64() > Some(2000), "{long}");
        let answers: Vec<_> = (0..3).map(|at| text(at, "answer")).collect();
        assert!(answers.iter().all(|text| text.starts_with("HTTP/1.1 200 OK\r\n")), "{seen}");
        assert!(answers.iter().any(|text| text.contains("text/event-stream")), "{seen}");
        let all = seen.to_string();
        for secret in [CLIENT, ADMIN, STORED, "AIzaSyD-end-to-end", "of nobody", "before"] {
            assert!(!all.contains(secret), "{flavour:?}: {secret}");
        }
        assert_eq!(admin.ask("DELETE", "/capture", "").json(), json!({"key": null}));
        assert_eq!(admin.see("/capture"), json!({"key": null, "data": []}));
        let mut told: Vec<_> = admin.audit().into_iter().map(|[action, ..]| action).collect();
        told.reverse();
        let want = ["read", "start", "start", "read", "stop", "read"];
        let want = want.map(|what| format!("capture.{what}"));
        assert_eq!(told, want, "{flavour:?}");
    }
}

fn without_key(request: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(request.to_vec()).expect("text");
    let lines = text.split("\r\n").filter(|line| !line.starts_with("authorization:"));
    lines.collect::<Vec<_>>().join("\r\n").into_bytes()
}
