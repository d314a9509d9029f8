//! What would become of a chat request: its route, the vendor's request, what would be left out,
//! what it would cost. Nothing is sent.

use std::ops::Range;

use crate::base::ascii::push_u64;
use crate::chat::door::Beside;
use crate::chat::{ApiError, Dialect, Door, Outline, Request};
use crate::config::{Config, Route, Target};
use crate::policy::price::{Book, push_usd};
use crate::provider::{Dropped, Vendor};
use crate::wire::json::push_string;

use super::attempt::{Outgoing, Plan, write_request};
use super::exact::Errand;
use super::{choice, credential, exact, limits};

/// What a vendor would be sent.
struct Sent {
    /// Head and body.
    bytes: Vec<u8>,
    dropped: Vec<String>,
    /// Do the client's own bytes go on?
    exact: bool,
}

/// The prices that are asked at some moment, in milliseconds since 1970.
pub(super) type Asking<'b> = (&'b Book, u64);

/// Explains the chat request in `body` without a running gateway, which has no marks then. Prices
/// are those of `now_ms`, in milliseconds since 1970.
///
/// # Errors
/// The error object that a client would get.
#[expect(clippy::result_large_err, reason = "a refusal is made once and written at once")]
pub fn offline(config: &Config, body: &[u8], now_ms: u64) -> Result<Vec<u8>, Vec<u8>> {
    let book = Book::of(config);
    explain((config, (&book, now_ms)), body, |_| Ok(()), |_, _| {}).map_err(|error| {
        let mut text = Vec::new();
        error.render(Dialect::OpenAi, "", &mut text);
        text.push(b'\n');
        text
    })
}

/// Explains the chat request in `body` as a JSON text. `permit` refuses models that whoever asks
/// may not use, `recall` adds the marks that were kept for the conversation.
///
/// # Errors
/// What the request itself would be refused with.
#[expect(clippy::result_large_err, reason = "a refusal is made once and written at once")]
pub(super) fn explain(
    (config, prices): (&Config, Asking<'_>),
    body: &[u8],
    permit: impl FnOnce(&str) -> Result<(), ApiError>,
    recall: impl FnOnce(&mut Request<'_>, Vendor),
) -> Result<Vec<u8>, ApiError> {
    let beside = Beside::default();
    let outline = Door::Chat.outline(body, &beside).map_err(|error| error.to_api())?;
    permit(&outline.model)?;
    let (_, route) = choice::route(config, &outline.model)?;
    let target = route.targets.first();
    let plan = target.and_then(|target| choice::plan(config, target, &outline.model));
    let plan = plan.ok_or_else(|| choice::not_found(&outline.model))?;
    let read = Door::Chat.read(&outline, &beside);
    let limit = read.as_ref().ok().map(|request| {
        let answers = u64::from(request.options.n.unwrap_or(1));
        Some(request.options.max_tokens()?.saturating_mul(answers))
    });
    let way = exact::way(Errand::Talk(Door::Chat), &plan, config, &outline);
    let sent = match (way, read) {
        (Some(way), _) => {
            let forward = exact::forward(way, &plan, (&outline, &beside));
            let (forward, _) = forward.map_err(|error| error.to_api())?;
            send(&plan, Outgoing::Exact(&forward))?
        }
        (None, Err(error)) => return Err(error.to_api()),
        (None, Ok(mut request)) => {
            choice::prepare(config, &plan, &mut request);
            recall(&mut request, plan.order.vendor);
            send(&plan, Outgoing::Translated(&request))?
        }
    };
    let route = (&outline, route);
    Ok(render((config, prices), route, &plan, &sent, limit.flatten()))
}

/// Writes the request that would go out, with a mask for the secret.
#[expect(clippy::result_large_err, reason = "a refusal is made once and written at once")]
fn send(plan: &Plan<'_>, outgoing: Outgoing<'_>) -> Result<Sent, ApiError> {
    let (mut bytes, mut dropped) = (Vec::new(), Dropped::default());
    let masked = |out: &mut Vec<u8>| credential::push_masked(plan.upstream, out);
    write_request(plan, outgoing, masked, &mut bytes, &mut dropped)
        .map_err(|error| error.to_api())?;
    let dropped = dropped.names().map(str::to_owned).collect();
    Ok(Sent { bytes, dropped, exact: matches!(outgoing, Outgoing::Exact(_)) })
}

fn render(
    (config, prices): (&Config, Asking<'_>),
    (outline, route): (&Outline<'_>, &Route),
    plan: &Plan<'_>,
    sent: &Sent,
    limit: Option<u64>,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(sent.bytes.len() + 1024);
    out.extend_from_slice(b"{\n  \"object\": \"vertex_bridge.explanation\",\n  \"model\": ");
    push_string(&mut out, &outline.model);
    out.extend_from_slice(b",\n  \"route\": {\"pattern\": ");
    push_string(&mut out, &route.pattern);
    for (name, targets) in [("targets", &route.targets), ("fallbacks", &route.fallbacks)] {
        out.extend_from_slice(b", ");
        push_string(&mut out, name);
        out.extend_from_slice(b": [");
        push_list(&mut out, targets, |target, out| push_target(config, target, outline, out));
        out.push(b']');
    }
    out.extend_from_slice(b"},\n  \"upstream\": {\"name\": ");
    push_string(&mut out, &plan.upstream.name);
    out.extend_from_slice(b", \"kind\": ");
    push_string(&mut out, plan.upstream.kind.as_str());
    out.extend_from_slice(b", \"model\": ");
    push_string(&mut out, plan.order.model);
    out.extend_from_slice(b"},\n  \"translated\": ");
    out.extend_from_slice(if sent.exact { b"false" } else { b"true" });
    out.extend_from_slice(b",\n  \"dropped\": [");
    push_list(&mut out, &sent.dropped, |name, out| push_string(out, name));
    out.extend_from_slice(b"],\n  \"price\": ");
    let body = sent.body();
    push_price(&mut out, prices, plan, limits::estimate(body.len()), limit);
    out.extend_from_slice(b",\n  \"request\": ");
    push_request(&mut out, config, plan, sent, body.trim_ascii());
    out.extend_from_slice(b"\n}\n");
    out
}

fn push_list<T>(
    out: &mut Vec<u8>,
    items: impl IntoIterator<Item = T>,
    mut push: impl FnMut(T, &mut Vec<u8>),
) {
    for (place, item) in items.into_iter().enumerate() {
        if place > 0 {
            out.extend_from_slice(b", ");
        }
        push(item, out);
    }
}

fn push_target(config: &Config, target: &Target, outline: &Outline<'_>, out: &mut Vec<u8>) {
    let name = config.upstreams.get(target.upstream).map(|upstream| upstream.name.as_str());
    out.extend_from_slice(b"{\"upstream\": ");
    push_string(out, name.unwrap_or_default());
    out.extend_from_slice(b", \"model\": ");
    push_string(out, config.upstream_model(target, &outline.model));
    out.extend_from_slice(b", \"weight\": ");
    push_u64(out, u64::from(target.weight));
    out.push(b'}');
}

/// The estimate: what the prompt costs, and what the answer costs at most where it has a limit.
/// An unknown price is null and never nothing.
fn push_price(
    out: &mut Vec<u8>,
    (book, now_ms): Asking<'_>,
    plan: &Plan<'_>,
    prompt: u64,
    limit: Option<u64>,
) {
    let Some(price) = book.find(plan.index, plan.order.model, now_ms) else {
        out.extend_from_slice(b"null");
        return;
    };
    let rates = price.rates(prompt);
    out.extend_from_slice(b"{\"currency\": \"USD\", \"as_of\": ");
    push_string(out, &day(price.version()));
    for (name, picos) in [
        ("input_per_million", Some(rates.input)),
        ("cached_input_per_million", Some(rates.cached.unwrap_or(rates.input))),
        ("output_per_million", rates.output),
    ] {
        // A pico-dollar for a token is a thousand nano-dollars for a million.
        push_amount(out, name, picos.map(|picos| picos.saturating_mul(1000)));
    }
    out.extend_from_slice(b", \"prompt_tokens_estimate\": ");
    push_u64(out, prompt);
    push_amount(out, "prompt_estimate", price.estimate(prompt, 0));
    out.extend_from_slice(b", \"completion_tokens_max\": ");
    match limit {
        Some(limit) => push_u64(out, limit),
        None => out.extend_from_slice(b"null"),
    }
    push_amount(out, "at_most", limit.and_then(|limit| price.estimate(prompt, limit)));
    out.push(b'}');
}

/// `2026-11-30` for 20261130.
fn day(number: u32) -> String {
    let (year, month, day) = (number / 10_000, number / 100 % 100, number % 100);
    format!("{year:04}-{month:02}-{day:02}")
}

/// An amount is a string: a JSON number would be rounded by whoever reads it.
fn push_amount(out: &mut Vec<u8>, name: &str, nanos: Option<u64>) {
    out.extend_from_slice(b", ");
    push_string(out, name);
    out.extend_from_slice(b": ");
    let Some(nanos) = nanos else {
        out.extend_from_slice(b"null");
        return;
    };
    out.push(b'"');
    push_usd(nanos, out);
    out.push(b'"');
}

fn push_request(out: &mut Vec<u8>, config: &Config, plan: &Plan<'_>, sent: &Sent, body: &str) {
    let mut lines = sent.head().lines();
    let target = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    out.extend_from_slice(b"{\n    \"method\": \"POST\",\n    \"url\": ");
    let origin = &plan.upstream.origin;
    // The embedded simulator's address is nobody's to call.
    let scheme = match (config.simulated, origin.tls) {
        (true, _) => "simulator:",
        (false, true) => "https:",
        (false, false) => "http:",
    };
    let authority = if config.simulated { "" } else { &origin.authority };
    push_string(out, &format!("{scheme}//{authority}{target}"));
    out.extend_from_slice(b",\n    \"headers\": {");
    let fields = lines.filter_map(|line| line.split_once(':'));
    push_list(out, fields, |(name, value), out| {
        push_string(out, name);
        out.extend_from_slice(b": ");
        push_string(out, value.trim_ascii());
    });
    out.extend_from_slice(b"},\n    \"body\": ");
    out.extend_from_slice(body.as_bytes());
    out.extend_from_slice(b"\n  }");
}

impl Sent {
    fn part(&self, range: impl FnOnce(usize) -> Range<usize>) -> &str {
        let end = self.bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let part = end.and_then(|end| self.bytes.get(range(end))).unwrap_or_default();
        std::str::from_utf8(part).unwrap_or_default()
    }

    fn head(&self) -> &str {
        self.part(|end| 0..end)
    }

    fn body(&self) -> &str {
        self.part(|end| end + 4..self.bytes.len())
    }
}
