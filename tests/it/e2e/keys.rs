//! Keys of the store: made, rotated and revoked while the gateway runs.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::client::{Client, Stop, post_to};
use super::gateway::{BINARY, FLAVOURS, Flavour, Folder, Gateway};

const HELLO: &str = r#"{"model":"gemini-2.5-flash","messages":[{"role":"user","content":"hi"}]}"#;
const DEVELOPMENT: &str = "sk-vertex-bridge-dev";
/// A change of the store must be known everywhere after this time.
const SOON: Duration = Duration::from_secs(1);

/// Runs `vertex-bridge keys` against the store in a folder.
fn keys(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    command.env("APP_LEDGER__PATH", folder).current_dir(folder).arg("keys").args(arguments);
    command.output().expect("the command runs")
}

/// The same, which must work: what it prints.
fn keys_well(folder: &Path, arguments: &[&str]) -> String {
    let output = keys(folder, arguments);
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {complaint}");
    String::from_utf8(output.stdout).expect("text").trim_end().to_owned()
}

fn json(folder: &Path, arguments: &[&str]) -> Value {
    let text = keys_well(folder, &[arguments, &["--json"]].concat());
    serde_json::from_str(&text).expect("JSON")
}

fn gateway(flavour: Flavour, folder: &Path, more: &[(&str, &str)]) -> Gateway {
    let path = folder.to_str().expect("text");
    let own = [("APP_LEDGER__PATH", path), ("APP_RUNTIME__CORES", "0,1")];
    Gateway::start(flavour, &[&own, more].concat())
}

fn status(gateway: &Gateway, key: &str) -> u16 {
    gateway.ask(&post_to("/v1/chat/completions", key, HELLO)).status
}

/// Waits until the key gets this answer on each of some connections, which are on both shards.
fn until(gateway: &Gateway, key: &str, want: u16) {
    let end = Instant::now() + SOON;
    let all = || (0..6).all(|_| status(gateway, key) == want);
    while !all() {
        assert!(Instant::now() < end, "not {want} after {SOON:?}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_key_works_as_soon_as_it_is_made_and_no_longer_than_it_is_good() {
    for flavour in FLAVOURS {
        let folder = Folder::new();
        let gateway = gateway(flavour, &folder.0, &[]);
        assert_eq!(status(&gateway, DEVELOPMENT), 200);
        // The first key ends the time of the one that everybody knows.
        let secret = keys_well(&folder.0, &["create", "--name", "a"]);
        until(&gateway, &secret, 200);
        until(&gateway, DEVELOPMENT, 401);
        let other = keys_well(&folder.0, &["create", "--name", "b", "--model", "gemini-*"]);
        until(&gateway, &other, 200);
        let gpt = HELLO.replace("gemini-2.5-flash", "gpt-5");
        let refused = gateway.ask(&post_to("/v1/chat/completions", &other, &gpt));
        assert_eq!(refused.status, 403, "{}", refused.body);
        assert_eq!(refused.json()["error"]["code"], "permission_denied");
        let routes = ["create", "--name", "c", "--route", "gpt-*"];
        let third = keys_well(&folder.0, &routes);
        until(&gateway, &third, 403);
        assert_eq!(gateway.ask(&post_to("/v1/chat/completions", &third, &gpt)).status, 200);
        keys_well(&folder.0, &["revoke", "a"]);
        until(&gateway, &secret, 401);
        keys_well(&folder.0, &["revoke", "b"]);
        keys_well(&folder.0, &["revoke", "c"]);
        until(&gateway, &third, 401);
        assert_eq!(status(&gateway, DEVELOPMENT), 401, "{flavour:?}: revoked is not forgotten");
        for secret in [&secret, &other, &third] {
            assert!(!gateway.log().contains(secret.as_str()));
        }
    }
}

#[test]
fn a_key_ends_at_its_time_without_a_change_of_the_store() {
    let folder = Folder::new();
    let end = std::time::SystemTime::now() + Duration::from_secs(3);
    let end = end.duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    let end = vertex_bridge::base::date::rfc3339(end);
    let secret = keys_well(&folder.0, &["create", "--name", "a", "--expires", &end]);
    let gateway = gateway(Flavour::Uring, &folder.0, &[]);
    assert_eq!(status(&gateway, &secret), 200);
    thread::sleep(Duration::from_secs(3));
    assert_eq!(status(&gateway, &secret), 401);
    assert_eq!(json(&folder.0, &["show", "a"])["state"], "expired");
}

#[test]
fn under_load_no_request_is_accepted_a_second_after_the_revocation() {
    for flavour in FLAVOURS {
        let folder = Folder::new();
        let secret = keys_well(&folder.0, &["create", "--name", "a"]);
        let gateway = gateway(flavour, &folder.0, &[]);
        let request = post_to("/v1/chat/completions", &secret, HELLO);
        let stop = AtomicBool::new(false);
        // When each client's last request was sent that was accepted.
        let load = || {
            let mut client = Client::connect(gateway.address);
            let (mut last, mut accepted, mut refused) = (Instant::now(), 0, 0);
            while !stop.load(Ordering::Relaxed) {
                let sent = Instant::now();
                client.send(&request);
                match client.answer().expect("an answer").status {
                    200 => (last, accepted) = (sent, accepted + 1),
                    401 => refused += 1,
                    other => panic!("{other}"),
                }
            }
            (last, accepted, refused)
        };
        thread::scope(|scope| {
            let told = Stop(&stop);
            let clients: [_; 8] = std::array::from_fn(|_| scope.spawn(load));
            thread::sleep(Duration::from_millis(500));
            keys_well(&folder.0, &["revoke", "a"]);
            let revoked = Instant::now();
            thread::sleep(Duration::from_secs(2));
            drop(told);
            for client in clients {
                let (last, accepted, refused) = client.join().expect("it ends");
                assert!(accepted > 0 && refused > 0, "{accepted} and {refused}");
                let late = last.saturating_duration_since(revoked);
                assert!(late < SOON, "{flavour:?}: accepted {late:?} after the revocation");
            }
        });
    }
}

#[test]
fn a_rotation_under_load_loses_no_request() {
    let folder = Folder::new();
    let first = keys_well(&folder.0, &["create", "--name", "a"]);
    let gateway = gateway(Flavour::Uring, &folder.0, &[]);
    let stop = AtomicBool::new(false);
    let secret = std::sync::Mutex::new(first.clone());
    let load = || {
        let mut client = Client::connect(gateway.address);
        let mut served = 0;
        while !stop.load(Ordering::Relaxed) {
            let key = secret.lock().expect("no panic").clone();
            client.send(&post_to("/v1/chat/completions", &key, HELLO));
            let answer = client.answer().expect("an answer");
            assert_eq!(answer.status, 200, "{}", answer.body);
            served += 1;
            // Every key has a bucket, which as many as the machine could ask would empty.
            thread::sleep(Duration::from_millis(1));
        }
        served
    };
    let last = thread::scope(|scope| {
        let told = Stop(&stop);
        let clients: [_; 8] = std::array::from_fn(|_| scope.spawn(load));
        for _ in 0..5 {
            let next = keys_well(&folder.0, &["rotate", "a", "--overlap", "2s"]);
            // Those who have it may use it when every shard knows it.
            thread::sleep(SOON);
            *secret.lock().expect("no panic") = next;
        }
        drop(told);
        for client in clients {
            assert!(client.join().expect("every request was served") > 10);
        }
        secret.lock().expect("no panic").clone()
    });
    thread::sleep(Duration::from_secs(2));
    assert_eq!((status(&gateway, &first), status(&gateway, &last)), (401, 200));
}

#[test]
fn keys_in_the_store_alone_are_enough_for_every_address() {
    let folder = Folder::new();
    let path = folder.0.to_str().expect("text");
    let everywhere = [("APP_SERVER__HOST", "0.0.0.0"), ("APP_LEDGER__PATH", path)];
    let check = || {
        let mut command = Command::new(BINARY);
        command.envs(everywhere).current_dir(&folder.0).arg("check");
        let output = command.output().expect("it runs");
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).expect("text"))
    };
    let (code, text) = check();
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("auth.master_key") && text.contains("keys create"), "{text}");
    let secret = keys_well(&folder.0, &["create", "--name", "a"]);
    let (code, text) = check();
    assert!(code == Some(0) && text.contains("1 of them in the store"), "{text}");
    let gateway = gateway(Flavour::Uring, &folder.0, &everywhere);
    assert_eq!((status(&gateway, &secret), status(&gateway, DEVELOPMENT)), (200, 401));
}

#[test]
fn a_name_is_the_files_or_the_stores() {
    let folder = Folder::new();
    keys_well(&folder.0, &["create", "--name", "a"]);
    let file = folder.0.join("vertex-bridge.toml");
    std::fs::write(&file, "[[key]]\nname = \"a\"\nsecret = \"0123456789abcdef\"\n")
        .expect("it can");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(BINARY);
        command.env("APP_LEDGER__PATH", &folder.0).current_dir(&folder.0).args(arguments);
        let output = command.output().expect("it runs");
        (output.status.code(), String::from_utf8(output.stderr).expect("text"))
    };
    for arguments in [&["check"][..], &["serve"]] {
        let (code, text) = run(arguments);
        assert_eq!(code, Some(2), "{text}");
        assert!(text.contains("key.name: found \"a\""), "{text}");
    }
    std::fs::write(&file, "[[key]]\nname = \"b\"\nsecret = \"0123456789abcdef\"\n")
        .expect("it can");
    let (code, text) = run(&["keys", "create", "--name", "b"]);
    assert!(code == Some(2) && text.contains("has a key named b"), "{text}");
}

#[test]
fn the_commands_say_what_there_is_and_what_is_wrong() {
    let folder = Folder::new();
    let full = [
        "create",
        "--name",
        "team-a",
        "--model",
        "gemini-*",
        "--model",
        "fast",
        "--route",
        "*",
        "--requests-per-minute",
        "600",
        "--tokens-per-minute",
        "100000",
        "--concurrency",
        "5",
        "--budget",
        "25.00/month",
        "--budget",
        "1.5/day",
        "--expires",
        "2099-01-01",
        "--label",
        "owner=Ms. K",
    ];
    let made = json(&folder.0, &full);
    let secret = made["secret"].as_str().expect("the secret").to_owned();
    assert!(secret.len() == 49 && secret.starts_with("sk-vb-"), "{}", secret.len());
    let shown = json(&folder.0, &["show", "team-a"]);
    assert_eq!(
        (&shown["state"], &shown["expires"]),
        (&"good".into(), &"2099-01-01T00:00:00Z".into())
    );
    let budgets = serde_json::json!([{"usd": "1.5", "per": "day"}, {"usd": "25", "per": "month"}]);
    assert_eq!(shown["budgets"], budgets);
    assert_eq!(shown["labels"]["owner"], "Ms. K");
    assert_eq!(json(&folder.0, &["list"])["keys"][0], shown);
    for text in [keys_well(&folder.0, &["list"]), keys_well(&folder.0, &["show", "team-a"])] {
        assert!(text.contains("25/month") && !text.contains(&secret), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
    for (arguments, code, want) in [
        (&["create", "--name", "team-a"][..], 1, "exists or has existed"),
        (&["rotate", "nobody"], 1, "no key in the store is named nobody"),
        (&["revoke", "nobody"], 1, "no key in the store is named nobody"),
        (&["create", "--name", "a b"], 2, "expected a name"),
        (&["create", "--name", "master"], 2, "other than master"),
        (&["create", "--name", "x", "--model", "a*b"], 2, "prefix ending in *"),
        (&["create", "--name", "x", "--budget", "5"], 2, "25.00/month"),
        (&["create", "--name", "x", "--budget", "5/day", "--budget", "6/day"], 2, "one period"),
        (&["create", "--name", "x", "--expires", "soon"], 2, "expected a date"),
        (&["create", "--name", "x", "--label", "owner"], 2, "NAME=TEXT"),
        (&["create", "--name", "x", "--concurrency", "0"], 2, "0 is not in 1.."),
        (&["create"], 2, "--name"),
    ] {
        let output = keys(&folder.0, arguments);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(code) && text.contains(want), "{arguments:?}: {text}");
    }
    assert_eq!(json(&folder.0, &["revoke", "team-a"])["state"], "revoked");
    let nowhere = keys(&Folder::new().0, &["list"]);
    assert_eq!(nowhere.status.code(), Some(1));
}
