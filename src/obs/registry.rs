//! Sums the shards' cells and renders them. Runs on the control thread.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use super::cell::Cell;
use super::cells::{CODES, Cells, HandshakeEnd, Shape, TOKEN_KINDS, UpstreamFailure};
use super::exported::ExportCells;
use super::figures::Figures;
use super::forms::{self, Form};
use super::histogram::{Histogram, Merged};
use super::prometheus::Scrape;
use super::seen::Seen;
use super::shared::SharedCells;
use super::spread::Spread;

/// All shards' cells.
#[derive(Clone, Debug)]
pub struct Registry {
    pub(super) shards: Vec<Arc<Cells>>,
    pub(super) shape: Shape,
    seen: Arc<Seen>,
    exported: Arc<ExportCells>,
    /// Where anything is shared.
    shared: Option<Arc<SharedCells>>,
}

/// The access token of one service account. The control thread counts: there is one for all shards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenFigures {
    /// The first upstream that uses it.
    pub provider: String,
    /// Fetches that brought a token.
    pub fetched: u64,
    /// Fetches that did not.
    pub failed: u64,
    /// When the token ends, since the start of the process; `None` without one.
    pub end: Option<Duration>,
}

/// One budget of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetFigures {
    /// The key's name.
    pub key: String,
    /// Its period in one word.
    pub per: &'static str,
    /// Nano-dollars.
    pub limit_nanos: u64,
    /// What is spent and reserved in the present period, in nano-dollars.
    pub used_nanos: u64,
}

/// What is not in the shards' cells.
#[derive(Clone, Copy, Debug)]
pub struct Aside<'f> {
    /// By service account.
    pub tokens: &'f [TokenFigures],
    /// By key and period. As many series as there are items: who makes the list keeps it short.
    pub budgets: &'f [BudgetFigures],
}

/// A family and the cell that it sums.
type CellOf = (&'static str, fn(&Cells) -> &Cell);

/// The sums that both forms show.
#[derive(Clone, Copy, Debug)]
struct Sums {
    requests: u64,
    failed: u64,
    success_rate: f64,
    mean_ms: f64,
    p50_ms: f64,
    p95_ms: f64,
    p99_ms: f64,
}

impl Registry {
    /// A registry over the cells of all shards.
    pub fn new(shards: Vec<Arc<Cells>>, shape: Shape) -> Self {
        Self { shards, shape, seen: Arc::default(), exported: Arc::default(), shared: None }
    }

    /// The same, with what is counted off the cores.
    pub fn with(self, seen: Arc<Seen>, exported: Arc<ExportCells>) -> Self {
        Self { seen, exported, ..self }
    }

    /// Tells of sharing, too.
    #[must_use]
    pub fn sharing(self, shared: Arc<SharedCells>) -> Self {
        Self { shared: Some(shared), ..self }
    }

    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// The Prometheus text in one of its forms.
    pub fn render_prometheus(&self, form: Form, uptime: Duration, aside: Aside<'_>) -> String {
        let (exemplars, spreads) = self.seen.read();
        let text = self.render_open(uptime, aside, spreads);
        match form {
            Form::Classic => forms::classic(&text),
            Form::Open => forms::with_exemplars(&text, &exemplars),
        }
    }

    fn render_open(
        &self,
        uptime: Duration,
        aside: Aside<'_>,
        spreads: Vec<(&'static str, Spread)>,
    ) -> String {
        let mut figures = self.figures(uptime, aside);
        figures.histograms.extend(spreads);
        let mut registry = prometheus_client::registry::Registry::default();
        registry.register_collector(Box::new(Scrape(figures)));
        let mut text = String::with_capacity(16 * 1024);
        // Writing into a string cannot fail; an empty page would be noticed.
        if prometheus_client::encoding::text::encode(&mut text, &registry).is_err() {
            text.clear();
        }
        text
    }

    /// The most used figures as JSON.
    pub fn render_json(&self, uptime: Duration) -> String {
        let sums = self.sums();
        let open = self.sum(|cells| &cells.connections_open);
        let in_flight = self.sum(|cells| &cells.in_flight);
        let mut text = String::with_capacity(1024);
        let numbers = [
            ("total_requests", Value::Whole(sums.requests)),
            ("failed_requests", Value::Whole(sums.failed)),
            ("success_rate", Value::Decimal(sums.success_rate)),
            ("avg_latency_ms", Value::Decimal(sums.mean_ms)),
            ("p50_latency_ms", Value::Decimal(sums.p50_ms)),
            ("p95_latency_ms", Value::Decimal(sums.p95_ms)),
            ("p99_latency_ms", Value::Decimal(sums.p99_ms)),
            ("cache_hits", Value::Whole(self.sum(|cells| &cells.cache_hits))),
            ("cache_misses", Value::Whole(self.sum(|cells| &cells.cache_misses))),
            ("cache_hit_rate", Value::Decimal(self.cache_hit_rate())),
            ("cancelled_requests", Value::Whole(self.sum(|cells| &cells.cancelled))),
            ("prompt_tokens", Value::Whole(self.sum(|cells| &cells.tokens[0]))),
            ("completion_tokens", Value::Whole(self.sum(|cells| &cells.tokens[1]))),
            ("upstream_attempts", Value::Whole(self.sum(|cells| &cells.attempts))),
            ("connections_open", Value::Whole(open)),
            ("requests_in_flight", Value::Whole(in_flight)),
            ("shards", Value::Whole(u64::try_from(self.shards.len()).unwrap_or(0))),
            ("uptime_seconds", Value::Whole(uptime.as_secs())),
        ];
        for (index, (name, value)) in numbers.into_iter().enumerate() {
            let comma = if index == 0 { '{' } else { ',' };
            let written = match value {
                Value::Whole(value) => write!(text, "{comma}\"{name}\":{value}"),
                Value::Decimal(value) => write!(text, "{comma}\"{name}\":{value:.2}"),
            };
            debug_assert!(written.is_ok(), "writing into a string cannot fail");
        }
        text.push('}');
        text
    }

    fn sums(&self) -> Sums {
        let requests = self.sum(|cells| &cells.requests);
        let failed = self.sum(|cells| &cells.failed).min(requests);
        let duration = self.merged(|cells| &cells.duration);
        let success_rate =
            if requests == 0 { 0.0 } else { real(requests - failed) / real(requests) * 100.0 };
        Sums {
            requests,
            failed,
            success_rate,
            mean_ms: duration.mean_ms(),
            p50_ms: duration.quantile_ms(0.5),
            p95_ms: duration.quantile_ms(0.95),
            p99_ms: duration.quantile_ms(0.99),
        }
    }

    fn figures(&self, uptime: Duration, aside: Aside<'_>) -> Figures {
        let mut figures = Figures::default();
        let sums = self.sums();
        for (name, value) in [
            ("requests_total", real(sums.requests)),
            ("requests_failed_total", real(sums.failed)),
            ("request_success_rate", sums.success_rate),
            ("request_latency_ms", sums.mean_ms),
            ("request_latency_p50_ms", sums.p50_ms),
            ("request_latency_p95_ms", sums.p95_ms),
            ("request_latency_p99_ms", sums.p99_ms),
            ("cache_hit_rate", self.cache_hit_rate()),
            ("vertex_bridge_uptime_seconds", uptime.as_secs_f64()),
        ] {
            figures.number(name, value);
        }
        let build = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
        figures.labelled("vertex_bridge_build_info", build, 1.0);
        self.plain_counters(&mut figures);
        self.by_status(&mut figures);
        self.costs(&mut figures);
        self.by_shard(&mut figures);
        self.circuits(&mut figures);
        by_account(aside.tokens, uptime, &mut figures);
        by_key(aside.budgets, &mut figures);
        self.traces(&mut figures);
        self.shared(&mut figures);
        for (name, merged) in [
            ("http_request_duration_seconds", self.merged(|cells| &cells.duration)),
            ("vertex_bridge_request_duration_seconds", self.merged(|cells| &cells.duration)),
            ("vertex_bridge_time_to_first_token_seconds", self.merged(|cells| &cells.first_token)),
            ("vertex_bridge_gateway_overhead_seconds", self.merged(|cells| &cells.overhead)),
        ] {
            figures.histograms.push((name, merged.spread()));
        }
        figures
    }

    fn traces(&self, figures: &mut Figures) {
        let cells = &self.exported;
        figures.number("vertex_bridge_spans_exported_total", real(cells.spans.read()));
        figures.number("vertex_bridge_spans_rejected_total", real(cells.rejected.read()));
        let full = cells.full.read() + cells.waiting_full.read();
        for (reason, count) in [("queue_full", full), ("not_taken", cells.lost.read())] {
            let labels = vec![("reason", reason.to_owned())];
            figures.labelled("vertex_bridge_traces_dropped_total", labels, real(count));
        }
    }

    fn shared(&self, figures: &mut Figures) {
        let Some(cells) = &self.shared else { return };
        let up = u64::from(cells.is_up());
        figures.number("vertex_bridge_shared_up", real(up));
        figures.number("vertex_bridge_shared_processes", real(cells.processes.read()));
        figures.number("vertex_bridge_shared_received_total", real(cells.received.read()));
        for (result, count) in [("ok", &cells.rounds), ("failed", &cells.failures)] {
            let labels = vec![("result", result.to_owned())];
            figures.labelled("vertex_bridge_shared_rounds_total", labels, real(count.read()));
        }
    }

    fn plain_counters(&self, figures: &mut Figures) {
        let counters: [CellOf; 15] = [
            ("vertex_bridge_requests_unpriced_total", |cells| &cells.unpriced),
            ("cache_hits_total", |cells| &cells.cache_hits),
            ("cache_misses_total", |cells| &cells.cache_misses),
            ("vertex_bridge_cache_coalesced_total", |cells| &cells.cache_coalesced),
            ("vertex_bridge_cache_evictions_total", |cells| &cells.cache_evicted),
            ("vertex_bridge_requests_cancelled_total", |cells| &cells.cancelled),
            ("vertex_bridge_upstream_attempts_total", |cells| &cells.attempts),
            ("vertex_bridge_upstream_connections_opened_total", |cells| &cells.links_opened),
            ("vertex_bridge_upstream_connections_reused_total", |cells| &cells.links_reused),
            ("vertex_bridge_upstream_connections_stale_total", |cells| &cells.links_stale),
            ("vertex_bridge_hedges_total", |cells| &cells.hedges),
            ("vertex_bridge_hedges_won_total", |cells| &cells.hedges_won),
            ("vertex_bridge_streams_resumed_total", |cells| &cells.streams_resumed),
            ("vertex_bridge_records_lost_total", |cells| &cells.records_lost),
            ("vertex_bridge_bugs_total", |cells| &cells.bugs),
        ];
        for (name, cell) in counters {
            figures.number(name, real(self.sum(cell)));
        }
        let (opened, reused) = (self.sum(|c| &c.links_opened), self.sum(|c| &c.links_reused));
        let links = opened + reused;
        let rate = if links == 0 { 0.0 } else { real(reused) / real(links) * 100.0 };
        figures.number("vertex_bridge_upstream_connection_reuse_rate", rate);
        self.by_kind(figures);
        self.cache(figures);
    }

    /// What the response cache holds: what came in, less what went, whichever shard it was.
    fn cache(&self, figures: &mut Figures) {
        for (name, place) in [("vertex_bridge_cache_entries", 0), ("vertex_bridge_cache_bytes", 1)]
        {
            let of = |cells: &[Cell; 2]| cells.get(place).map_or(0, Cell::read);
            let gone: u64 = self.shards.iter().map(|cells| of(&cells.cache_freed)).sum();
            let came: u64 = self.shards.iter().map(|cells| of(&cells.cache_stored)).sum();
            let others = self.shared.as_ref();
            let came = came + others.map_or(0, |cells| of(&cells.cache_stored));
            let gone = gone + others.map_or(0, |cells| of(&cells.cache_freed));
            figures.number(name, real(came.saturating_sub(gone)));
        }
    }

    /// Hits among the requests that were looked for in the cache, in percent.
    fn cache_hit_rate(&self) -> f64 {
        let hits = self.sum(|cells| &cells.cache_hits);
        let all = hits + self.sum(|cells| &cells.cache_misses);
        if all == 0 { 0.0 } else { real(hits) / real(all) * 100.0 }
    }

    /// Families with one series for each word of a fixed list, in the order of their cells.
    fn by_kind(&self, figures: &mut Figures) {
        type CellsOf = fn(&Cells) -> &[Cell];
        let reasons = UpstreamFailure::ALL.map(|(_, reason)| reason);
        let ends = HandshakeEnd::ALL.map(|(_, end)| end);
        let families: [(&'static str, &'static str, &[&str], CellsOf); 7] = [
            ("vertex_bridge_tokens_total", "kind", &TOKEN_KINDS, |cells| &cells.tokens),
            ("vertex_bridge_bytes_total", "direction", &["in", "out"], |cells| &cells.bytes),
            (
                "vertex_bridge_limited_total",
                "limit",
                &["bucket", "requests", "tokens", "concurrency", "budget"],
                |cells| &cells.limited,
            ),
            ("vertex_bridge_compression_total", "coding", &["zstd", "gzip", "none"], Cells::packed),
            ("vertex_bridge_upstream_failures_total", "reason", &reasons, |cells| &cells.failures),
            ("vertex_bridge_upstream_tls_handshakes_total", "kind", &ends, |cells| {
                &cells.upstream_handshakes
            }),
            ("vertex_bridge_tls_handshakes_total", "kind", &ends, |cells| &cells.client_handshakes),
        ];
        for (name, label, words, cells_of) in families {
            for (place, word) in words.iter().enumerate() {
                let cells = self.shards.iter().filter_map(|cells| cells_of(cells).get(place));
                let sum = cells.map(Cell::read).sum();
                figures.labelled(name, vec![(label, (*word).to_owned())], real(sum));
            }
        }
    }

    fn by_status(&self, figures: &mut Figures) {
        for place in 0..=CODES.len() {
            let code = CODES.get(place).map_or_else(|| "other".to_owned(), u16::to_string);
            let mut of_status = 0;
            for target in 0..=self.shape.targets.len() {
                let sum = self.shards.iter().map(|cells| cells.by_code(target, place)).sum::<u64>();
                of_status += sum;
                if sum == 0 {
                    continue;
                }
                let known = self.shape.targets.get(target);
                let other = || "other".to_owned();
                let labels = vec![
                    ("route", known.map_or_else(other, |known| known.route.clone())),
                    ("provider", known.map_or_else(other, |known| known.provider.clone())),
                    ("model", known.map_or_else(other, |known| known.model.clone())),
                    ("code", code.clone()),
                ];
                figures.labelled("vertex_bridge_requests_total", labels, real(sum));
            }
            if of_status > 0 {
                let labels = vec![("status", code)];
                figures.labelled("http_requests_total", labels, real(of_status));
            }
        }
    }

    /// What targets cost, in dollars.
    fn costs(&self, figures: &mut Figures) {
        for (target, known) in self.shape.targets.iter().enumerate() {
            let nanos = self.shards.iter().map(|cells| cells.cost_nanos(target)).sum::<u64>();
            if nanos > 0 {
                let labels = vec![
                    ("route", known.route.clone()),
                    ("provider", known.provider.clone()),
                    ("model", known.model.clone()),
                ];
                figures.labelled("vertex_bridge_cost_usd_total", labels, real(nanos) / 1e9);
            }
        }
    }

    fn by_shard(&self, figures: &mut Figures) {
        let families: [CellOf; 6] = [
            ("vertex_bridge_upstream_connections_idle", |cells| &cells.links_idle),
            ("vertex_bridge_connections_open", |cells| &cells.connections_open),
            ("vertex_bridge_connections_accepted_total", |cells| &cells.connections_accepted),
            ("vertex_bridge_connections_handed_over_total", |cells| &cells.connections_handed_over),
            ("vertex_bridge_requests_in_flight", |cells| &cells.in_flight),
            ("vertex_bridge_shard_requests_total", |cells| &cells.requests),
        ];
        for (name, cell) in families {
            for (index, cells) in self.shards.iter().enumerate() {
                let labels = vec![("shard", index.to_string())];
                figures.labelled(name, labels, real(cell(cells).read()));
            }
        }
    }

    /// The circuit of an upstream on the shard where it stands best: 0 closed, 1 half open, 2 open.
    pub fn circuit(&self, upstream: usize) -> u64 {
        let cells = self.shards.iter().filter_map(|cells| cells.circuit(upstream));
        cells.map(Cell::read).min().unwrap_or(0)
    }

    fn circuits(&self, figures: &mut Figures) {
        for (upstream, name) in self.shape.upstreams.iter().enumerate() {
            for (index, cells) in self.shards.iter().enumerate() {
                let Some(cell) = cells.circuit(upstream) else { continue };
                let labels = vec![("provider", name.clone()), ("shard", index.to_string())];
                figures.labelled("vertex_bridge_upstream_circuit", labels, real(cell.read()));
            }
        }
    }

    pub(super) fn sum(&self, cell: impl Fn(&Cells) -> &Cell) -> u64 {
        self.shards.iter().map(|cells| cell(cells).read()).sum()
    }

    pub(super) fn merged(&self, histogram: impl Fn(&Cells) -> &Histogram) -> Merged {
        Histogram::merge(&self.shards.iter().map(|cells| histogram(cells)).collect::<Vec<_>>())
    }
}

fn by_account(tokens: &[TokenFigures], uptime: Duration, figures: &mut Figures) {
    for TokenFigures { provider, fetched, failed, end } in tokens {
        for (result, count) in [("ok", *fetched), ("failed", *failed)] {
            let labels = vec![("provider", provider.clone()), ("result", result.to_owned())];
            figures.labelled("vertex_bridge_token_refreshes_total", labels, real(count));
        }
        let left = end.map_or(Duration::ZERO, |end| end.saturating_sub(uptime));
        let labels = vec![("provider", provider.clone())];
        figures.labelled("vertex_bridge_token_expiry_seconds", labels, left.as_secs_f64());
    }
}

fn by_key(budgets: &[BudgetFigures], figures: &mut Figures) {
    for BudgetFigures { key, per, limit_nanos, used_nanos } in budgets {
        let families = [
            ("vertex_bridge_key_budget_usd", *limit_nanos),
            ("vertex_bridge_key_budget_used_usd", *used_nanos),
        ];
        for (name, nanos) in families {
            let labels = vec![("key", key.clone()), ("per", (*per).to_owned())];
            figures.labelled(name, labels, real(nanos) / 1e9);
        }
    }
}

enum Value {
    Whole(u64),
    Decimal(f64),
}

/// Counts stay far below 2^53, where floating point becomes inexact.
#[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
fn real(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::super::cells::{Settled, TargetLabels};
    use super::super::names;
    use super::*;

    fn registry() -> Registry {
        let target = TargetLabels {
            route: "gemini-*".to_owned(),
            provider: "google".to_owned(),
            model: "gemini-*".to_owned(),
        };
        let shape = Shape { targets: vec![target], upstreams: vec!["vertex".to_owned()] };
        let shards: Vec<Arc<Cells>> = (0..2).map(|_| Arc::new(Cells::new(&shape))).collect();
        let settled = Settled {
            target: Some(0),
            status: 200,
            duration: Duration::from_millis(8),
            ..Settled::default()
        };
        (0..3).for_each(|_| shards[0].on_settle(&settled));
        shards[1].on_settle(&Settled { status: 502, failed: true, ..settled });
        shards[1].on_failure(UpstreamFailure::Reset);
        shards[0].on_upstream_handshake(HandshakeEnd::Full);
        shards[1].on_upstream_handshake(HandshakeEnd::Resumed);
        shards[1].on_client_handshake(HandshakeEnd::Failed);
        shards[0].links_opened.add(1);
        shards[1].links_reused.add(3);
        Registry::new(shards, shape)
    }

    #[test]
    fn the_text_sums_shards_and_follows_the_format() {
        let provider = || "vertex".to_owned();
        let end = Some(Duration::from_secs(69));
        let token = TokenFigures { provider: provider(), fetched: 3, failed: 1, end };
        let key = "team-a".to_owned();
        let budget =
            BudgetFigures { key, per: "month", limit_nanos: 25_000_000_000, used_nanos: 1_500_000 };
        let aside = Aside { tokens: &[token], budgets: &[budget] };
        let text = registry().render_prometheus(Form::Open, Duration::from_secs(9), aside);
        for line in [
            "requests_total 4",
            "requests_failed_total 1",
            "request_success_rate 75.0",
            r#"http_requests_total{status="200"} 3"#,
            r#"vertex_bridge_requests_total{route="gemini-*",provider="google",model="gemini-*",code="502"} 1"#,
            r#"vertex_bridge_upstream_failures_total{reason="reset"} 1"#,
            r#"vertex_bridge_upstream_tls_handshakes_total{kind="full"} 1"#,
            r#"vertex_bridge_upstream_tls_handshakes_total{kind="resumed"} 1"#,
            r#"vertex_bridge_tls_handshakes_total{kind="failed"} 1"#,
            "vertex_bridge_upstream_connection_reuse_rate 75.0",
            r#"vertex_bridge_shard_requests_total{shard="1"} 1"#,
            "vertex_bridge_request_duration_seconds_count 4",
            r#"vertex_bridge_request_duration_seconds_bucket{le="0.01"} 4"#,
            r#"vertex_bridge_request_duration_seconds_bucket{le="+Inf"} 4"#,
            r#"vertex_bridge_token_refreshes_total{provider="vertex",result="ok"} 3"#,
            r#"vertex_bridge_token_refreshes_total{provider="vertex",result="failed"} 1"#,
            r#"vertex_bridge_token_expiry_seconds{provider="vertex"} 60"#,
        ] {
            assert!(
                text.lines().any(|seen| seen == line || seen == format!("{line}.0")),
                "{line}\n{text}"
            );
        }
        assert!(text.contains("request_latency_p95_ms ") && text.ends_with("# EOF\n"));
        for family in &names::FAMILIES {
            let bare = family.name.strip_suffix("_total").unwrap_or(family.name);
            assert_eq!(text.matches(&format!("# TYPE {bare} ")).count(), 1, "{bare}");
        }
        let samples: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let mut series: Vec<&str> =
            samples.iter().filter_map(|line| line.rsplit_once(' ')).map(|(name, _)| name).collect();
        series.sort_unstable();
        let all = series.len();
        series.dedup();
        assert_eq!(series.len(), all, "no series stands twice");
    }

    #[test]
    fn the_json_has_the_known_keys() {
        let text = registry().render_json(Duration::from_secs(9));
        for part in [
            "\"total_requests\":4",
            "\"failed_requests\":1",
            "\"success_rate\":75.00",
            "\"cache_hit_rate\":0.00",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(text.starts_with('{') && text.ends_with('}'));
    }
}
