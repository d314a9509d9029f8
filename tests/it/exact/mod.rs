//! The byte-exact path: what a client sends arrives as it was sent, and so does what comes back,
//! however it is spelt and wherever it is cut.
//!
//! Bodies and streams are made at random (`write`) and go through the whole shard on the virtual
//! network (`virt`) and through the binary on real sockets (`sockets`). `PROP_SEED=N` makes others;
//! a failure names the seed of its case.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::format_push_string,
    reason = "a test stops where it cannot go on; a variable says which cases there are"
)]

mod message;
mod sockets;
mod virt;
mod write;

use write::Case;

/// The first of the seeds of a test, each of which makes one case.
fn first_seed() -> u64 {
    let wanted = std::env::var("PROP_SEED").ok().and_then(|seed| seed.parse().ok());
    wanted.unwrap_or(1_u64).wrapping_mul(1 << 20)
}

/// A gateway's configuration before an upstream on this address.
fn configuration(address: &str) -> String {
    format!(
        r#"
[log]
level = "error"
[rate_limit]
capacity = 1000000
refill_per_second = 1000000
[retry]
attempts = 0
[circuit_breaker]
failure_threshold = 1000000
[[upstream]]
name = "up"
kind = "openai"
base_url = "http://{address}/v1"
api_key = "sk-up-0123456789abcdef"
stream_usage = "never"
[[route]]
model = "gpt-4o"
targets = [{{ upstream = "up" }}]
[[route]]
model = "renamed"
targets = [{{ upstream = "up", model = "a/b" }}]
"#
    )
}

fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// Panics where a byte is not the one that was sent.
fn same(what: &str, seed: u64, sent: &[u8], got: &[u8]) {
    if sent == got {
        return;
    }
    let at = sent.iter().zip(got).take_while(|(sent, got)| sent == got).count();
    let near = |bytes: &[u8]| {
        let from = at.saturating_sub(40);
        shown(bytes.get(from..bytes.len().min(at + 40)).unwrap_or_default())
    };
    let lengths = (sent.len(), got.len());
    panic!(
        "{what} of Rng::new({seed}) differs at {at} {lengths:?}: {} / {}",
        near(sent),
        near(got)
    );
}

/// What the upstream saw and what the client got must be what the case says.
fn check(seed: u64, case: &Case, seen: &(String, Vec<u8>), got: &(String, Vec<u8>)) {
    let line = format!("POST {} HTTP/1.1\r\n", case.path);
    assert!(seen.0.starts_with(&line), "seed {seed}: {} / {line}", seen.0);
    same("a request", seed, &case.arrives(), &seen.1);
    let status = format!("HTTP/1.1 {} ", case.status);
    assert!(got.0.starts_with(&status), "seed {seed}: {} {} / {case}", got.0, shown(&got.1));
    let kind =
        if case.stream && case.status == 200 { "text/event-stream" } else { "application/json" };
    let fields = got.0.to_lowercase();
    assert!(fields.contains(&format!("\r\ncontent-type: {kind}")), "seed {seed}: {fields}");
    assert!(!fields.contains("content-encoding"), "seed {seed}: {fields}");
    same("an answer", seed, case.passes(), &got.1);
}
