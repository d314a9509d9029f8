//! The one table of metrics. `docs/metrics.md` shows the same; a test compares them.

/// What kind of number a family holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Only grows; `_total` is part of the name.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Buckets, sum and count.
    Histogram,
}

/// One family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family {
    /// As it is exported.
    pub name: &'static str,
    /// Its type.
    pub kind: Type,
    /// Label names, separated by commas.
    pub labels: &'static str,
    /// What it says.
    pub help: &'static str,
}

const fn family(
    name: &'static str,
    kind: Type,
    labels: &'static str,
    help: &'static str,
) -> Family {
    Family { name, kind, labels, help }
}

use Type::{Counter, Gauge, Histogram};

/// Every family that is exported, in order.
pub const FAMILIES: [Family; 65] = [
    family("requests_total", Counter, "", "API requests that ended, refused ones included"),
    family("requests_failed_total", Counter, "", "API requests that ended with an error"),
    family("request_success_rate", Gauge, "", "Share of API requests without an error, in percent"),
    family("request_latency_ms", Gauge, "", "Mean duration of API requests, in milliseconds"),
    family("request_latency_p50_ms", Gauge, "", "Median duration, in milliseconds"),
    family("request_latency_p95_ms", Gauge, "", "95th percentile of the duration, in milliseconds"),
    family("request_latency_p99_ms", Gauge, "", "99th percentile of the duration, in milliseconds"),
    family("cache_hits_total", Counter, "", "Answers given from the response cache"),
    family("cache_misses_total", Counter, "", "Cacheable requests that were not in the cache"),
    family("cache_hit_rate", Gauge, "", "Share of hits, in percent"),
    family("http_requests_total", Counter, "status", "API requests by status"),
    family("http_request_duration_seconds", Histogram, "", "Duration of API requests"),
    family(
        "vertex_bridge_requests_total",
        Counter,
        "route,provider,model,code",
        "API requests by route, upstream, model and status",
    ),
    family(
        "vertex_bridge_request_duration_seconds",
        Histogram,
        "",
        "From the first byte of a request to the last of its answer",
    ),
    family(
        "vertex_bridge_time_to_first_token_seconds",
        Histogram,
        "",
        "From the first byte of a request to the first of its stream",
    ),
    family(
        "vertex_bridge_gateway_overhead_seconds",
        Histogram,
        "",
        "The gateway's own work on a request",
    ),
    family(
        "vertex_bridge_requests_cancelled_total",
        Counter,
        "",
        "API requests whose client left first",
    ),
    family(
        "vertex_bridge_tokens_total",
        Counter,
        "kind",
        "Tokens that the vendors counted, or that were estimated where they did not",
    ),
    family(
        "vertex_bridge_cost_usd_total",
        Counter,
        "route,provider,model",
        "What requests cost, in US dollars, as far as it is known",
    ),
    family(
        "vertex_bridge_requests_unpriced_total",
        Counter,
        "",
        "Requests that used tokens whose price is not known",
    ),
    family("vertex_bridge_bytes_total", Counter, "direction", "Bytes of requests and answers"),
    family("vertex_bridge_upstream_attempts_total", Counter, "", "Tries at an upstream"),
    family(
        "vertex_bridge_upstream_failures_total",
        Counter,
        "reason",
        "Tries that failed, by reason",
    ),
    family(
        "vertex_bridge_upstream_tls_handshakes_total",
        Counter,
        "kind",
        "TLS handshakes with upstreams: full, resumed or failed",
    ),
    family(
        "vertex_bridge_upstream_connections_opened_total",
        Counter,
        "",
        "Connections opened to upstreams",
    ),
    family(
        "vertex_bridge_upstream_connections_reused_total",
        Counter,
        "",
        "Requests sent on an idle connection",
    ),
    family(
        "vertex_bridge_upstream_connection_reuse_rate",
        Gauge,
        "",
        "Share of requests to upstreams that needed no new connection, in percent",
    ),
    family(
        "vertex_bridge_upstream_connections_stale_total",
        Counter,
        "",
        "Idle connections found closed or poisoned",
    ),
    family(
        "vertex_bridge_hedges_total",
        Counter,
        "",
        "Candidates asked beside one that had not begun to speak",
    ),
    family("vertex_bridge_hedges_won_total", Counter, "", "Those of them that spoke first"),
    family(
        "vertex_bridge_streams_resumed_total",
        Counter,
        "",
        "Streams that broke off and that another candidate went on with",
    ),
    family(
        "vertex_bridge_upstream_connections_idle",
        Gauge,
        "shard",
        "Idle connections to upstreams",
    ),
    family(
        "vertex_bridge_upstream_circuit",
        Gauge,
        "provider,shard",
        "Circuit breaker: 0 closed, 1 half open, 2 open",
    ),
    family(
        "vertex_bridge_token_refreshes_total",
        Counter,
        "provider,result",
        "Fetches of an access token, by upstream",
    ),
    family(
        "vertex_bridge_token_expiry_seconds",
        Gauge,
        "provider",
        "Seconds until the access token ends; 0 without one",
    ),
    family(
        "vertex_bridge_key_budget_usd",
        Gauge,
        "key,per",
        "Budget of a key; at most 100 keys have series",
    ),
    family(
        "vertex_bridge_key_budget_used_usd",
        Gauge,
        "key,per",
        "Spent and reserved of a key's budget in its present period; at most 100 keys have series",
    ),
    family(
        "vertex_bridge_tls_handshakes_total",
        Counter,
        "kind",
        "TLS handshakes with clients: full, resumed or failed",
    ),
    family("vertex_bridge_spans_exported_total", Counter, "", "Spans that the collector took"),
    family(
        "vertex_bridge_spans_rejected_total",
        Counter,
        "",
        "Spans that the collector refused, though it took others with them",
    ),
    family(
        "vertex_bridge_traces_dropped_total",
        Counter,
        "reason",
        "Recorded exchanges whose spans were lost: queue_full or not_taken",
    ),
    family("vertex_bridge_shared_up", Gauge, "", "1 while the store that gateways share answers"),
    family("vertex_bridge_shared_processes", Gauge, "", "Processes that share, this one counted"),
    family(
        "vertex_bridge_shared_rounds_total",
        Counter,
        "result",
        "Times that the shared store was asked: ok or failed",
    ),
    family(
        "vertex_bridge_shared_received_total",
        Counter,
        "",
        "Cached answers and signatures that other gateways have sent",
    ),
    family("vertex_bridge_connections_open", Gauge, "shard", "Client connections"),
    family(
        "vertex_bridge_connections_accepted_total",
        Counter,
        "shard",
        "Client connections accepted",
    ),
    family(
        "vertex_bridge_connections_handed_over_total",
        Counter,
        "shard",
        "Client connections given to another shard",
    ),
    family("vertex_bridge_requests_in_flight", Gauge, "shard", "API requests that run"),
    family(
        "vertex_bridge_shard_requests_total",
        Counter,
        "shard",
        "API requests that ended, by shard",
    ),
    family(
        "vertex_bridge_limited_total",
        Counter,
        "limit",
        "Requests refused for a limit of the client, by what it limits",
    ),
    family(
        "vertex_bridge_records_lost_total",
        Counter,
        "",
        "Exchanges that are not in the ledger, because it could not be written for too long",
    ),
    family(
        "gen_ai_client_token_usage",
        Histogram,
        "gen_ai_operation_name,gen_ai_provider_name,gen_ai_request_model,gen_ai_token_type",
        "Tokens of a request to a provider",
    ),
    family(
        "gen_ai_client_operation_duration_seconds",
        Histogram,
        "gen_ai_operation_name,gen_ai_provider_name,gen_ai_request_model,error_type",
        "From the request to a provider to the last byte of its answer",
    ),
    family(
        "gen_ai_server_request_duration_seconds",
        Histogram,
        "gen_ai_operation_name,gen_ai_provider_name,gen_ai_request_model,error_type",
        "From the first byte of a request to the last of its answer",
    ),
    family(
        "gen_ai_server_time_to_first_token_seconds",
        Histogram,
        "gen_ai_operation_name,gen_ai_provider_name,gen_ai_request_model",
        "From the first byte of a request to the first of its stream",
    ),
    family(
        "gen_ai_server_time_per_output_token_seconds",
        Histogram,
        "gen_ai_operation_name,gen_ai_provider_name,gen_ai_request_model",
        "From the first token of a stream to its end, for each further token",
    ),
    family(
        "vertex_bridge_cache_coalesced_total",
        Counter,
        "",
        "Requests that were told what came to an identical one",
    ),
    family(
        "vertex_bridge_cache_evictions_total",
        Counter,
        "",
        "Answers that left the cache to make room",
    ),
    family("vertex_bridge_cache_entries", Gauge, "", "Answers in the cache, old ones included"),
    family(
        "vertex_bridge_cache_bytes",
        Gauge,
        "",
        "Bytes that they take, with what is around them",
    ),
    family(
        "vertex_bridge_compression_total",
        Counter,
        "coding",
        "Answers worth packing whose client takes that: zstd, gzip, or none for want of time or gain",
    ),
    family("vertex_bridge_bugs_total", Counter, "", "Panics that were caught; must stay zero"),
    family("vertex_bridge_build_info", Gauge, "version", "Always 1; the label says the version"),
    family("vertex_bridge_uptime_seconds", Gauge, "", "Seconds since the start"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rules_of_prometheus() {
        for (index, family) in FAMILIES.iter().enumerate() {
            assert!(
                family
                    .name
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            );
            assert_eq!(family.kind == Counter, family.name.ends_with("_total"), "{}", family.name);
            assert!(!FAMILIES[..index].iter().any(|other| other.name == family.name));
        }
    }

    #[test]
    fn the_document_shows_the_same_table() {
        let text = include_str!("../../docs/metrics.md");
        let rows = text.lines().filter(|line| line.starts_with("| `"));
        let shown: Vec<&str> = rows.filter_map(|row| row.split('`').nth(1)).collect();
        let names: Vec<&str> = FAMILIES.iter().map(|family| family.name).collect();
        assert_eq!(shown, names);
        for family in &FAMILIES {
            assert!(text.contains(family.help), "{}", family.help);
        }
    }
}
