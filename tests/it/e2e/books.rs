//! The commands `usage` and `ledger` on a store that was made by hand.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vertex_bridge::journal::{Ending, Record};
use vertex_bridge::store::Ledger;

use super::client::post;
use super::gateway::{BINARY, Flavour, Folder, Gateway};

const HELLO: &str = r#"{"model":"gemini-2.5-flash","messages":[{"role":"user","content":"hi"}]}"#;

/// 2026-11-01T00:00:00Z.
const NOVEMBER_MS: u64 = 1_793_491_200_000;
const DAY_MS: u64 = 86_400_000;

/// Two days of two keys; an answer without a price, and an admission whose process died.
fn fill(folder: &Path) {
    let record = Record {
        started_ms: NOVEMBER_MS + 1,
        written_ms: NOVEMBER_MS + 900,
        prompt: 1_000,
        cached: 400,
        completion: 100,
        cost_nanos: 442_000,
        priced: true,
        prices: 20_260_704,
        status: 200,
        attempts: 1,
        ending: Ending::Answered,
        id: "req_first",
        key: "team-a",
        route: "gemini-*",
        upstream_name: "google",
        model: "gemini-2.5-flash",
        ..Record::default()
    };
    let second = Record { started_ms: NOVEMBER_MS + DAY_MS, id: "req_second", ..record };
    let unpriced =
        Record { key: "team-b", model: "unheard-of", priced: false, id: "req_third", ..second };
    let open = Record {
        ending: Ending::Open,
        priced: false,
        reserved_nanos: 5_000_000,
        id: "req_open",
        ..record
    };
    let mut ledger = Ledger::open(&folder.join("vertex-bridge.db")).expect("a ledger");
    let batch = [(1, record), (2, second), (3, unpriced), (4, open)];
    ledger.append(7, &batch).expect("stored");
}

/// Exit status, standard output, standard error.
fn run(folder: &Path, words: &str) -> (Option<i32>, String, String) {
    let mut command = Command::new(BINARY);
    command.args(words.split_whitespace()).current_dir(folder).env_clear();
    let output = command.env("STATE_DIRECTORY", folder).output().expect("the binary starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[track_caller]
fn told(folder: &Path, words: &str) -> String {
    let (code, told, wrong) = run(folder, words);
    assert_eq!((code, wrong.as_str()), (Some(0), ""), "{words}: {told}");
    told
}

#[track_caller]
fn json_of(folder: &Path, words: &str) -> Value {
    serde_json::from_str(&told(folder, words)).expect("JSON")
}

#[test]
fn usage_says_what_was_used_and_what_is_not_known() {
    let folder = Folder::new();
    fill(&folder.0);
    let all = json_of(&folder.0, "usage --json");
    assert_eq!((&all["requests"], &all["cost_usd"]), (&json!(4), &json!("0.005884")));
    assert_eq!((&all["tokens"]["prompt"], &all["tokens"]["cached"]), (&json!(4000), &json!(1600)));
    let counts = ["unpriced_requests", "estimated_requests", "open_requests"];
    assert_eq!(counts.map(|name| all[name].as_i64()), [Some(1); 3]);
    let rows = json_of(&folder.0, "usage --by key,day --from 2026-11-02 --to 2026-11-02 --json");
    let first = json!({"key": "team-a", "day": "2026-11-02", "cost_usd": "0.000442"});
    for (name, want) in first.as_object().expect("an object") {
        assert_eq!(&rows["rows"][0][name], want, "{rows}");
    }
    assert_eq!(
        (&rows["rows"][1]["key"], &rows["rows"][1]["cost_usd"]),
        (&json!("team-b"), &Value::Null)
    );
    let table = told(&folder.0, "usage --by key");
    for part in
        ["team-b         1", "unknown", "0.005884~", "+ without 1 request", "without an end"]
    {
        assert!(table.contains(part), "{table}\nlacks {part:?}");
    }
    let csv = told(&folder.0, "usage --key team-b --by model --csv");
    assert!(csv.lines().nth(1).is_some_and(|line| line.starts_with("unheard-of,1,1000,")), "{csv}");
    let lines = told(&folder.0, "usage export --json");
    assert_eq!(lines.lines().count(), 4);
    let one = json_of(&folder.0, "usage export --json --id req_open");
    assert_eq!((&one["ending"], &one["estimated"]), (&json!("open"), &json!(true)));
    let csv = told(&folder.0, "usage export --from 2026-11-02");
    assert!(csv.starts_with("kind,id,started,key,") && csv.lines().count() == 3, "{csv}");
    let (code, _, wrong) = run(&folder.0, "usage --from yesterday");
    assert!(code == Some(2) && wrong.contains("such as 2026-07-01"), "{wrong}");
}

#[test]
fn the_ledger_is_corrected_copied_and_checked() {
    let folder = Folder::new();
    fill(&folder.0);
    let adjusted = told(&folder.0, "ledger adjust --key team-b --usd -0.5 --reason refund");
    assert_eq!(adjusted, "team-b: -0.5 USD on top\n");
    let (code, _, wrong) = run(&folder.0, "ledger adjust --key nobody --usd 1 --reason slip");
    assert!(code == Some(1) && wrong.contains("no exchange of a key \"nobody\""), "{wrong}");
    let dry = json_of(&folder.0, "ledger reprice --to 2026-11-01 --dry-run --json");
    assert_eq!((&dry["exchanges"], &dry["dry_run"]), (&json!(1), &json!(true)));
    let done = json_of(&folder.0, "ledger reprice --to 2026-11-01 --json");
    assert_eq!(
        (&done["changed"], &done["corrected_usd"]),
        (&dry["changed"], &dry["corrected_usd"])
    );
    assert_eq!(json_of(&folder.0, "ledger reprice --to 2026-11-01 --json")["changed"], 0);
    told(&folder.0, "ledger backup copy.db");
    let (code, _, wrong) = run(&folder.0, "ledger backup copy.db");
    assert!(code == Some(1) && wrong.contains("there already"), "{wrong}");
    for words in ["ledger verify", "ledger verify copy.db"] {
        let text = told(&folder.0, words);
        let want = "4 exchanges, 1 of them without an end;";
        assert!(text.contains(want) && text.ends_with("the books are right\n"), "{text}");
    }
    assert!(told(&folder.0, "ledger migrate").contains("schema"), "it is up to date");
}

#[test]
fn without_a_store_the_commands_say_where_they_looked() {
    let folder = Folder::new();
    for words in ["usage", "ledger verify", "ledger backup x", "ledger migrate"] {
        let (code, told, wrong) = run(&folder.0, words);
        assert_eq!((code, told.as_str()), (Some(1), ""), "{words}");
        let file = folder.0.join("vertex-bridge.db");
        assert!(wrong.contains(file.to_str().expect("text")), "{words}: {wrong}");
        assert!(!file.exists(), "{words} makes none");
    }
    std::fs::write(folder.0.join("vertex-bridge.db"), "no database").expect("a file");
    let (code, _, wrong) = run(&folder.0, "usage");
    assert!(code == Some(1) && wrong.contains("not a database"), "{wrong}");
}

/// Somebody else holds the store's file: nothing can be written, as on a full disk.
#[test]
fn what_the_ledger_cannot_be_told_of_is_refused_where_that_is_wanted() {
    let folder = Folder::new();
    let path = folder.0.to_str().expect("text");
    let variables = [("APP_LEDGER__PATH", path), ("APP_LEDGER__WHEN_FULL", "refuse")];
    let gateway = Gateway::start(Flavour::Uring, &variables);
    let until = |status: u16, seconds: u64| {
        let end = Instant::now() + Duration::from_secs(seconds);
        loop {
            let answer = gateway.ask(&post(HELLO));
            if answer.status == status {
                return answer;
            }
            assert!(Instant::now() < end, "{}: {}", answer.status, answer.body);
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    until(200, 1);
    let store = rusqlite::Connection::open(folder.0.join("vertex-bridge.db")).expect("it opens");
    store.execute_batch("BEGIN IMMEDIATE").expect("nobody else writes");
    let refused = until(503, 40);
    assert!(refused.body.contains("the ledger cannot be written"), "{}", refused.body);
    assert!(gateway.log_with("requests are refused").contains("requests are refused"));
    store.execute_batch("ROLLBACK").expect("it ends");
    until(200, 20);
    assert!(gateway.log_with("is written again").contains("is written again"));
    assert!(!gateway.log().contains("panicked"), "{}", gateway.log());
    let usage = json_of(&folder.0, "ledger verify --json");
    assert_eq!(usage["problems"], json!([]), "{usage}");
}
