//! Clients' keys and what they have used, by the admin API on the real binary.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::admin::Administrated;
use super::client::post_to;
use super::gateway::{BINARY, FLAVOURS, Flavour, Folder};
use super::upstream::Upstream;

const HELLO: &str = r#"{"model":"gemini-2.5-flash","messages":[{"role":"user","content":"hi"}]}"#;
const UNHEARD: &str = r#"{"model":"gemini-unheard","messages":[{"role":"user","content":"hi"}]}"#;
/// A change of the store must be known everywhere after this time.
const SOON: Duration = Duration::from_secs(1);
const TWO_SHARDS: [(&str, &str); 2] =
    [("APP_RUNTIME__CORES", "0,1"), ("APP_AUTH__REQUIRE_AUTH", "true")];

fn chat(admin: &Administrated, key: &str, body: &str) -> u16 {
    admin.gateway.ask(&post_to("/v1/chat/completions", key, body)).status
}

/// Waits until the key gets this answer on each of some connections, which are on both shards;
/// how many requests were served meanwhile.
fn until(admin: &Administrated, key: &str, want: u16) -> u64 {
    let (end, mut served) = (Instant::now() + SOON, 0);
    let mut all = || {
        (0..6).all(|_| {
            let status = chat(admin, key, HELLO);
            served += u64::from(status == 200);
            status == want
        })
    };
    while !all() {
        assert!(Instant::now() < end, "not {want} after {SOON:?}");
        thread::sleep(Duration::from_millis(10));
    }
    served
}

fn secret(made: &Value) -> String {
    let secret = made["secret"].as_str().unwrap_or_else(|| panic!("no secret in {made}"));
    assert!(secret.starts_with("sk-vb-"), "{made}");
    secret.to_owned()
}

/// The usage of this query, once it tells of so many requests: they are written down in their turn.
fn usage(admin: &Administrated, query: &str, requests: u64) -> Value {
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        let told = admin.see(&format!("/usage{query}"));
        if told["requests"] == requests || Instant::now() > end {
            assert_eq!(told["requests"], requests, "{query}: {told}");
            return told;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// The exit status of `vertex-bridge audit verify`, and what it says.
fn verify(admin: &Administrated) -> (Option<i32>, String) {
    let mut command = Command::new(BINARY);
    command.args(["audit", "verify"]).env("STATE_DIRECTORY", &admin.state.0);
    let ran = command.current_dir(&admin.state.0).output().expect("it runs");
    (ran.status.code(), String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned())
}

#[test]
fn a_key_is_made_used_rotated_and_revoked_and_each_step_is_written_down() {
    for flavour in FLAVOURS {
        let upstream = Upstream::start();
        let admin = Administrated::start(flavour, &upstream, &TWO_SHARDS);
        assert_eq!(admin.see("/keys"), json!({"data": []}));
        let made = admin.ask("POST", "/keys", r#"{"name": "team-a", "models": ["gemini-*"]}"#);
        assert_eq!(made.status, 200, "{}", made.body);
        let first = secret(&made.json());
        until(&admin, &first, 200);
        let shown = admin.see("/keys/team-a");
        assert_eq!((&shown["state"], &shown["models"]), (&json!("good"), &json!(["gemini-*"])));
        assert_eq!(admin.see("/keys")["data"], json!([shown]));

        // With an overlap both secrets open, until it is over.
        let rotated = admin.ask("POST", "/keys/team-a/rotate", r#"{"overlap": "2s"}"#);
        let began = Instant::now();
        let second = secret(&rotated.json());
        assert_eq!(rotated.json()["secrets"].as_array().map(Vec::len), Some(2));
        until(&admin, &second, 200);
        assert_eq!(chat(&admin, &first, HELLO), 200, "{flavour:?}");
        thread::sleep((Duration::from_secs(2) + SOON).saturating_sub(began.elapsed()));
        assert_eq!(chat(&admin, &first, HELLO), 401, "{flavour:?}");

        // Without one the old secret ends.
        let third = secret(&admin.ask("POST", "/keys/team-a/rotate", "").json());
        until(&admin, &second, 401);
        until(&admin, &third, 200);
        let revoked = admin.ask("POST", "/keys/team-a/revoke", "");
        assert_eq!((revoked.status, &revoked.json()["state"]), (200, &json!("revoked")));
        until(&admin, &third, 401);
        for path in ["/keys/team-a/revoke", "/keys/team-a/rotate"] {
            let again = admin.ask("POST", path, "");
            assert_eq!((again.status, &again.json()["error"]["param"]), (400, &json!("name")));
        }

        let told = admin.audit();
        let refused = "refused: the key team-a is revoked";
        let want = [
            ["key.rotate", "team-a", refused],
            ["key.revoke", "team-a", refused],
            ["key.revoke", "team-a", "done"],
            ["key.rotate", "team-a", "done"],
            ["key.rotate", "team-a", "done"],
            ["key.create", "team-a", "done"],
        ];
        assert_eq!(told, want.map(|entry| entry.map(str::to_owned)), "{flavour:?}");
        let (code, text) = verify(&admin);
        assert!(code == Some(0) && text.contains("6 entries"), "{text}");
        let seen = admin.see("/audit").to_string() + &admin.see("/keys").to_string();
        let read = |name: &str| std::fs::read(admin.state.0.join(name)).unwrap_or_default();
        let kept = [read("vertex-bridge.db"), read("vertex-bridge.db-wal")].concat();
        assert!(kept.windows(6).any(|bytes| bytes == b"team-a"), "the store is somewhere else");
        for secret in [&first, &second, &third] {
            assert!(!seen.contains(secret.as_str()) && !admin.gateway.log().contains(&**secret));
            let found = kept.windows(secret.len()).any(|bytes| bytes == secret.as_bytes());
            assert!(!found, "a secret is in the store");
        }
    }
}

#[test]
fn what_is_wrong_is_named_refused_and_written_down() {
    let upstream = Upstream::start();
    let folder = Folder::new();
    let file = folder.0.join("keys.toml");
    let text = "[[key]]\nname = \"of-the-file\"\nsecret = \"sk-file-0123456789\"\n";
    std::fs::write(&file, text).expect("a file can be written");
    let more = [("VERTEX_BRIDGE_CONFIG", file.to_str().expect("text"))];
    let admin = Administrated::start(Flavour::Uring, &upstream, &more);
    assert_eq!(admin.ask("POST", "/keys", r#"{"name": "a"}"#).status, 200);
    let bad = [
        ("/keys", "{", "invalid_json", Value::Null),
        ("/keys", "{}", "missing_field", json!("name")),
        ("/keys", r#"{"name": "b", "modles": []}"#, "invalid_value", json!("modles")),
        ("/keys", r#"{"name": "b", "concurrency": 0}"#, "invalid_value", json!("concurrency")),
        ("/keys", r#"{"name": "b", "expires": "canary"}"#, "invalid_value", json!("expires")),
        ("/keys", r#"{"name": "a"}"#, "invalid_value", json!("name")),
        ("/keys", r#"{"name": "master"}"#, "invalid_value", json!("name")),
        ("/keys", r#"{"name": "of-the-file"}"#, "invalid_value", json!("name")),
        ("/keys/a/rotate", r#"{"overlap": "canary"}"#, "invalid_value", json!("overlap")),
    ];
    for (path, body, code, param) in &bad {
        let answer = admin.ask("POST", path, body);
        let error = answer.json()["error"].clone();
        assert_eq!((answer.status, &error["code"]), (400, &json!(code)), "{body}: {error}");
        assert_eq!(&error["param"], param, "{body}: {error}");
    }
    for path in ["/keys/nobody/rotate", "/keys/nobody/revoke"] {
        assert_eq!(admin.ask("POST", path, "").status, 404, "{path}");
    }
    assert_eq!(admin.ask("GET", "/keys/nobody", "").status, 404);
    for (query, param) in
        [("from=canary", "from"), ("to=2026-02-30", "to"), ("by=key,colour", "by")]
    {
        let answer = admin.ask("GET", &format!("/usage?{query}"), "");
        let error = &answer.json()["error"];
        assert_eq!((answer.status, &error["param"]), (400, &json!(param)), "{query}: {error}");
    }
    let told = admin.audit();
    assert_eq!(told.len(), 1 + bad.len() + 2, "{told:?}");
    let refused = told.iter().filter(|[_, _, result]| result.starts_with("refused: "));
    assert_eq!(refused.count(), bad.len() + 2, "{told:?}");
    assert!(told.iter().all(|entry| !entry[2].contains("canary")), "{told:?}");
    assert_eq!(admin.see("/keys")["data"].as_array().map(Vec::len), Some(1));
    let (code, text) = verify(&admin);
    assert!(code == Some(0) && text.contains("entries"), "{text}");
}

#[test]
fn usage_is_what_the_ledger_says_and_no_cost_is_not_a_cost_of_nothing() {
    let admin = Administrated::simulated(Flavour::Uring, &TWO_SHARDS);
    let make = |name: &str| {
        secret(&admin.ask("POST", "/keys", &format!("{{\"name\": \"{name}\"}}")).json())
    };
    let (dear, free) = (make("dear"), make("free"));
    let served = until(&admin, &dear, 200) + until(&admin, &free, 200);
    assert_eq!(chat(&admin, &free, UNHEARD), 200);
    let all = usage(&admin, "?by=key,model", served + 1);
    assert_eq!(all["recording"], true);
    let rows = all["rows"].as_array().expect("rows");
    let row = |key: &str, model: &str| {
        let found = rows.iter().find(|row| row["key"] == key && row["model"] == model);
        found.unwrap_or_else(|| panic!("no {key} {model} in {all}"))
    };
    assert_eq!(row("free", "gemini-unheard")["cost_usd"], Value::Null, "{all}");
    assert_eq!(row("free", "gemini-unheard")["unpriced_requests"], 1, "{all}");
    let spent = row("dear", "gemini-2.5-flash");
    assert!(spent["tokens"]["completion"].as_u64() > Some(0), "{all}");
    assert!(spent["cost_usd"].as_str().is_some_and(|cost| cost != "0"), "{all}");

    let today = admin.see("/usage?key=dear&by=day");
    let day = today["rows"][0]["day"].as_str().expect("a day").to_owned();
    assert_eq!(&today["requests"], &spent["requests"], "{today}");
    let of_today = admin.see(&format!("/usage?from={day}&to={day}&key=dear"));
    assert_eq!((&of_today["cost_usd"], &of_today["from"]), (&spent["cost_usd"], &json!(day)));
    assert_eq!(of_today["rows"], json!([]));
    assert_eq!(admin.see("/usage?to=1999-12-31")["requests"], 0);
    // The command tells the same.
    let mut command = Command::new(BINARY);
    command.args(["usage", "--by", "key,model", "--json"]).current_dir(&admin.state.0);
    let ran = command.env("STATE_DIRECTORY", &admin.state.0).output().expect("it runs");
    let mut told: Value = serde_json::from_slice(&ran.stdout).expect("JSON");
    told["recording"] = json!(true);
    assert_eq!(told, all);
}

#[test]
fn looking_makes_no_store_and_tells_that_nothing_is_recorded() {
    let upstream = Upstream::start();
    let off = [("APP_LEDGER__ENABLED", "false")];
    let admin = Administrated::start(Flavour::Uring, &upstream, &off);
    let told = admin.see("/usage?by=key");
    assert_eq!((&told["recording"], &told["rows"]), (&json!(false), &json!([])));
    assert_eq!(admin.see("/keys"), json!({"data": []}));
    assert_eq!(admin.see("/audit"), json!({"data": []}));
    assert!(!admin.state.0.join("vertex-bridge.db").exists(), "somebody has only looked");
}
