//! Sixteen ways in which a model fails, and what a client gets of it: the real binary with one
//! configuration, all scenarios at the same time, each with an upstream of its own.
//!
//! `scripts/verify/failover` runs this alone and keeps its table.

mod cases;
mod checks;
mod client;
mod report;
mod rules;
mod upstream;

use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use super::client::Client;
use super::gateway::{Flavour, Gateway};
use cases::{CASES, Case, OK};
use report::Row;
use rules::{Attempt, Seen, TEXT};
use upstream::Upstream;

/// What the comparison with others gives everybody (two repeats, 30 s of patience, one fallback),
/// and what an operator who knows this gateway adds for models that fail so.
const SETTINGS: &str = r#"
[retry]
attempts = 2

[timeouts]
first_byte = "30s"
idle = "30s"
first_token = "10s"

[fallback]
after = "5s"
resume = "verify"

[circuit_breaker]
failure_threshold = 5
timeout_secs = 10
"#;

/// After a scenario a healthy request may take so long.
const ALIVE: Duration = Duration::from_secs(10);

fn configuration(ok: SocketAddr, upstreams: &[Upstream]) -> String {
    let mut text = format!("{SETTINGS}{}", upstream_table(OK, ok, false));
    text.push_str(&route_table(OK, OK, None));
    for (case, upstream) in CASES.iter().zip(upstreams) {
        let Case { model, fallback, prefill, .. } = *case;
        let behind = format!("{model}-behind");
        text.push_str(&upstream_table(model, upstream.address, false));
        text.push_str(&upstream_table(&behind, upstream.address, prefill));
        text.push_str(&route_table(model, model, Some((&behind, fallback))));
    }
    text
}

fn upstream_table(name: &str, address: SocketAddr, prefill: bool) -> String {
    let prefill = if prefill { "prefill = true\n" } else { "" };
    format!(
        "\n[[upstream]]\nname = \"{name}\"\nkind = \"openai\"\n\
         base_url = \"http://{address}/v1\"\n{prefill}"
    )
}

fn route_table(model: &str, upstream: &str, fallback: Option<(&str, &str)>) -> String {
    let mut text = format!(
        "\n[[route]]\nmodel = \"{model}\"\n\
         targets = [{{ upstream = \"{upstream}\", model = \"{model}\" }}]\n"
    );
    if let Some((upstream, model)) = fallback {
        let fallback = format!("{{ upstream = \"{upstream}\", model = \"{model}\" }}");
        writeln!(text, "fallbacks = [{fallback}]").expect("a string takes all");
    }
    text
}

/// Plays one scenario.
fn play(case: &Case, upstream: &Upstream, gateway: SocketAddr) -> Row {
    let begin = Instant::now();
    upstream.begin(begin);
    let got = (0..case.count).map(|number| {
        thread::sleep((case.every * number).saturating_sub(begin.elapsed()));
        client::ask(gateway, case.model, (begin, case.limit))
    });
    let got = got.collect();
    let alive = is_alive(gateway);
    let attempts = upstream.arrivals().into_iter().map(|arrival| Attempt {
        at: arrival.at.saturating_duration_since(begin),
        at_primary: arrival.model == case.model,
        said: arrival.said,
    });
    let seen = Seen { attempts: attempts.collect(), got, fallback: case.fallback, alive };
    let (verdict, reason) = rules::judge(&case.rules, &seen);
    Row { case: *case, verdict, reason, seen }
}

/// Is a healthy request served, whole and in time?
fn is_alive(gateway: SocketAddr) -> bool {
    let began = Instant::now();
    let mut client = Client::connect(gateway);
    client.stream.set_read_timeout(Some(ALIVE)).expect("a timeout can be set");
    client.send(&client::question(OK, false));
    let answer = client.answer();
    let whole = answer
        .filter(|answer| answer.status == 200)
        .is_some_and(|answer| answer.json()["choices"][0]["message"]["content"] == TEXT);
    whole && began.elapsed() <= ALIVE
}

#[test]
fn sixteen_failures_and_what_the_client_gets() {
    let ok = Upstream::start();
    let upstreams: Vec<Upstream> = CASES.iter().map(|_| Upstream::start()).collect();
    let text = configuration(ok.address, &upstreams);
    let gateway = Gateway::written(Flavour::Uring, &text, "0,1");
    let address = gateway.address;
    let rows: Vec<Row> = thread::scope(|scope| {
        let start = |place: usize| {
            let upstream = &upstreams[place];
            scope.spawn(move || play(&CASES[place], upstream, address))
        };
        let playing: [_; CASES.len()] = std::array::from_fn(start);
        playing.into_iter().map(|played| played.join().expect("it ends")).collect()
    });
    let (table, (passed, all)) = (report::table(&rows), report::passed(&rows));
    if let Ok(path) = std::env::var("FAILOVER_TABLE") {
        fs::write(path, format!("**{passed} of {all}** passed.\n\n{table}"))
            .expect("it is written");
    }
    let got: Vec<_> = rows.iter().map(|row| (row.case.model, &row.seen.got)).collect();
    assert_eq!(
        (passed, all),
        (16, 16),
        "\n{table}\nof the client:\n{got:#?}\nlog:\n{}",
        gateway.log()
    );
    assert_eq!(gateway.metric("vertex_bridge_bugs_total"), 0);
}
