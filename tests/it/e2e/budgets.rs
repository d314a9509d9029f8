//! Budgets of keys: exact over all shards, settled by what was used, and known after a restart.

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use super::client::{Answer, Client, post_to};
use super::gateway::{BINARY, FLAVOURS, Flavour, Folder, Gateway};
use super::upstream::{Seen, Upstream};

const KEY: &str = "sk-budget-0123456789abcdef";
const MASTER: &str = "sk-master-0123456789abcdef";
/// What an answer of the upstream costs: 2 tokens of a prompt, 2 of a cache and 8 of an answer.
const ANSWER_NANOS: u64 = 2 * 300 + 2 * 30 + 8 * 2_500;

/// A request whose answer may have so many tokens.
fn request(question: &str, tokens: u64) -> Vec<u8> {
    ask_model("gemini-2.5-flash", question, tokens)
}

fn ask_model(model: &str, question: &str, tokens: u64) -> Vec<u8> {
    let body = format!(
        "{{\"model\":\"{model}\",\"max_tokens\":{tokens},\"messages\":[{{\"role\":\"user\",\
         \"content\":\"{question}\"}}]}}"
    );
    post_to("/v1/chat/completions", KEY, &body)
}

/// A gateway before this upstream whose key has this budget, with its ledger in the folder.
fn gateway(flavour: Flavour, folder: &Path, upstream: &Upstream, budget: &str) -> Gateway {
    let text = format!(
        "[auth]\nmaster_key = \"{MASTER}\"\n[retry]\nattempts = 0\n[rate_limit]\n\
         capacity = 100000\n[circuit_breaker]\nfailure_threshold = 100000\n\
         [ledger]\nenabled = true\npath = \"{}\"\n\
         [[upstream]]\nname = \"google\"\nkind = \"gemini\"\napi_key = \"k\"\n\
         base_url = \"http://{}\"\n\
         [[route]]\nmodel = \"*\"\ntargets = [{{ upstream = \"google\" }}]\n\
         [[key]]\nname = \"k\"\nsecret = \"{KEY}\"\n{budget}\n",
        folder.display(),
        upstream.address,
    );
    Gateway::written(flavour, &text, "0,1")
}

/// How often two shards are asked a thousand times at once, with each executor.
const ROUNDS: u64 = 50;

/// What the gateway counts: a line of its metrics, up to the number.
fn counted(gateway: &Gateway, line: &str) -> u64 {
    let get = format!(
        "GET /metrics/prometheus HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {MASTER}\r\n\r\n"
    );
    let page = gateway.ask(get.as_bytes()).body;
    let value = page.lines().find_map(|found| found.strip_prefix(line));
    let whole = value.and_then(|value| value.split('.').next()?.parse().ok());
    whole.unwrap_or_else(|| panic!("no {line} in {page}"))
}

fn refusals(gateway: &Gateway) -> u64 {
    counted(gateway, "vertex_bridge_limited_total{limit=\"budget\"} ")
}

fn running(gateway: &Gateway) -> u64 {
    let shards = [0, 1].map(|shard| {
        counted(gateway, &format!("vertex_bridge_requests_in_flight{{shard=\"{shard}\"}} "))
    });
    shards.iter().sum()
}

fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !reached() {
        assert!(Instant::now() < end, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn of_a_thousand_requests_at_once_ten_are_admitted_where_the_budget_is_for_ten() {
    for flavour in FLAVOURS {
        let (folder, upstream) = (Folder::new(), Upstream::start());
        // A million tokens of an answer are 2.5 USD.
        let budget = "budget = { usd = \"27.4\", per = \"month\" }";
        let gateway = gateway(flavour, &folder.0, &upstream, budget);
        let silent = request("silent", 1_000_000);
        for round in 1..=ROUNDS {
            let clients: Vec<Client> = thread::scope(|scope| {
                let some = || {
                    let mut clients: Vec<Client> =
                        (0..125).map(|_| Client::connect(gateway.address)).collect();
                    clients.iter_mut().for_each(|client| client.send(&silent));
                    clients
                };
                let threads: [_; 8] = std::array::from_fn(|_| scope.spawn(some));
                threads.into_iter().flat_map(|thread| thread.join().expect("it ends")).collect()
            });
            until("990 are refused", || refusals(&gateway) == 990 * round);
            thread::sleep(Duration::from_millis(20));
            let seen = upstream.seen.try_iter();
            let asked = seen.filter(|seen| matches!(seen, Seen::Request(..))).count();
            let found = (clients.len(), asked, refusals(&gateway), running(&gateway));
            assert_eq!(found, (1000, 10, 990 * round, 10), "{flavour:?}, round {round}");
            // Whoever leaves is charged for what may have been made, which is little.
            drop(clients);
            until("all have ended", || running(&gateway) == 0);
        }
        assert_eq!(gateway.ask(&request("hi", 1_000_000)).status, 200, "there is room again");
    }
}

/// Asks until the budget is spent: how many were served, and the refusal.
fn exhaust(gateway: &Gateway, request: &[u8]) -> (u64, Answer) {
    let mut served = 0;
    loop {
        let answer = gateway.ask(request);
        match answer.status {
            200 => served += 1,
            429 => return (served, answer),
            other => panic!("{other}: {}", answer.body),
        }
        assert!(served < 1000, "the budget holds nobody");
    }
}

fn cost_usd(folder: &Path) -> String {
    let mut command = Command::new(BINARY);
    command.env("STATE_DIRECTORY", folder).current_dir(folder);
    let output = command.args(["usage", "--key", "k", "--json"]).output().expect("it runs");
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    value["cost_usd"].as_str().expect("an amount").to_owned()
}

#[test]
fn what_was_spent_is_what_was_used_and_a_restart_does_not_forget_it() {
    let (folder, upstream) = (Folder::new(), Upstream::start());
    let budget =
        "budget = [{ usd = \"0.0005\", per = \"month\" }, { usd = \"1\", per = \"total\" }]";
    let hello = request("hi", 8);
    let spent = {
        let mut gateway = gateway(Flavour::Uring, &folder.0, &upstream, budget);
        let (served, refused) = exhaust(&gateway, &hello);
        // Each costs what its answer did, and the next is let in while that may cost fits.
        let left = 500_000 - served * ANSWER_NANOS;
        assert!((20..=24).contains(&served) && left < 40_000, "{served}");
        let error = &refused.json()["error"];
        assert_eq!(
            (&error["type"], &error["code"]),
            (&"insufficient_quota".into(), &"insufficient_quota".into())
        );
        let message = error["message"].as_str().expect("a message");
        for says in ["budget of 0.0005 USD per month until 20", "USD are spent or reserved"] {
            assert!(message.contains(says), "{message}");
        }
        assert_eq!(refused.field("x-should-retry"), Some("false"));
        assert!(refused.field("retry-after").is_some());
        gateway.signal("TERM");
        assert!(gateway.wait(20).is_some_and(|status| status.success()));
        let usd = format!("0.{:09}", served * ANSWER_NANOS);
        usd.trim_end_matches('0').to_owned()
    };
    assert_eq!(cost_usd(&folder.0), spent);
    let gateway = gateway(Flavour::Uring, &folder.0, &upstream, budget);
    let (served, refused) = exhaust(&gateway, &hello);
    assert_eq!(served, 0);
    assert!(refused.body.contains(&format!("{spent} USD are spent")), "{}", refused.body);
    // A smaller one still fits.
    let small = gateway.ask(&request("hi", 1));
    assert!([200, 429].contains(&small.status));
}

#[test]
fn a_budget_that_is_spent_for_good_does_not_say_when_to_come_again() {
    let (folder, upstream) = (Folder::new(), Upstream::start());
    let budget = "budget = { usd = \"0.0001\", per = \"total\" }";
    let gateway = gateway(Flavour::Epoll, &folder.0, &upstream, budget);
    let (_, refused) = exhaust(&gateway, &request("hi", 8));
    assert!(refused.body.contains("in total"), "{}", refused.body);
    assert_eq!(
        (refused.field("x-should-retry"), refused.field("retry-after")),
        (Some("false"), None)
    );
}

#[test]
fn what_has_no_price_is_refused_unless_the_operator_says_otherwise() {
    let upstream = Upstream::start();
    for (more, want) in [("", 403), ("[budget]\nunknown = \"allow\"", 200)] {
        let folder = Folder::new();
        let budget = format!("budget = {{ usd = \"1\", per = \"day\" }}\n{more}");
        let gateway = gateway(Flavour::Uring, &folder.0, &upstream, &budget);
        let answer = gateway.ask(&ask_model("unheard-of", "hi", 8));
        assert_eq!(answer.status, want, "{}", answer.body);
        if want == 403 {
            assert!(answer.body.contains("`unheard-of` at google is not known"), "{}", answer.body);
        }
    }
}

#[test]
fn what_fails_costs_nothing() {
    let (folder, upstream) = (Folder::new(), Upstream::start());
    let budget = "budget = { usd = \"0.0002\", per = \"day\" }";
    let gateway = gateway(Flavour::Uring, &folder.0, &upstream, budget);
    for _ in 0..50 {
        assert_eq!(gateway.ask(&request("status:503", 8)).status, 503);
    }
    assert_eq!(gateway.ask(&request("hi", 8)).status, 200);
}
