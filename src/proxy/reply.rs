//! Heads of answers, built from our own list: nothing of a vendor's head is forwarded whole.

use std::time::Duration;

use crate::base::{RequestId, Trace, ascii};
use crate::chat::Dialect;
use crate::config::Page;
use crate::policy::Accepts;
use crate::rt::Runtime;
use crate::shard::Shard;
use crate::wire::write;

use super::cors;

/// What every answer to one request has in common.
#[expect(clippy::struct_excessive_bools, reason = "each is one fact of a request head")]
#[derive(Clone, Copy, Debug)]
pub(super) struct Envelope {
    /// Goes out as `x-request-id`.
    pub(super) id: RequestId,
    /// Where in a trace it stands.
    pub(super) trace: Trace,
    /// Does the connection stay open after this answer?
    pub(super) keep_alive: bool,
    /// An HTTP/1.0 client knows no chunked coding, and wants to be told of keep-alive.
    pub(super) http10: bool,
    /// The answer to HEAD has no body.
    pub(super) head_only: bool,
    /// May fields follow a body that comes in chunks?
    pub(super) trailers: bool,
    /// How its body may be packed.
    pub(super) accepts: Accepts,
    /// The API whose heads and errors the client knows.
    pub(super) dialect: Dialect,
    /// The web page that asks, where it is told that it may.
    pub(super) page: Option<Page>,
}

/// How the body of an answer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    /// After so many bytes.
    Length(usize),
    /// With the last chunk.
    Chunked,
    /// With the connection: only for HTTP/1.0.
    Close,
}

/// Where the time of an exchange went, for `Server-Timing`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Phases {
    /// From the first byte of the request to the understood request.
    pub(super) parse: Duration,
    /// Waiting for a permit.
    pub(super) queue: Duration,
    /// Opening a connection; zero when one was reused.
    pub(super) connect: Duration,
    /// The TLS handshake on it.
    pub(super) tls: Duration,
    /// From the sent request to the first byte of the answer.
    pub(super) upstream: Duration,
}

impl Envelope {
    /// Writes the status line and the fields that every answer has.
    pub(super) fn begin<R: Runtime>(&self, shard: &Shard<R>, status: u16, out: &mut Vec<u8>) {
        write::status_line(out, status);
        shard.push_date(out, write::push_http_date);
        out.extend_from_slice(b"x-request-id: ");
        out.extend_from_slice(self.id.as_bytes());
        out.extend_from_slice(b"\r\n");
        let form = self.dialect.head();
        if let Some(name) = form.id_field {
            write::field(out, name, self.id.as_bytes());
        }
        out.extend_from_slice(form.fixed);
        if let Some(page) = self.page {
            cors::push_fields(shard, page, out);
        }
        if shard.config.simulated && shard.config.server.own_headers {
            out.extend_from_slice(b"x-vertex-bridge-simulated: true\r\n");
        }
        if !self.keep_alive {
            out.extend_from_slice(b"connection: close\r\n");
        } else if self.http10 {
            out.extend_from_slice(b"connection: keep-alive\r\n");
        }
    }
}

/// Appends the whole head of a stream; `fields` are ready lines. Without chunks the connection ends
/// it.
pub(super) fn stream_head<R: Runtime>(
    envelope: &mut Envelope,
    shard: &Shard<R>,
    (content_type, fields): (&str, &[u8]),
    out: &mut Vec<u8>,
) {
    envelope.keep_alive &= !envelope.http10;
    envelope.begin(shard, 200, out);
    out.extend_from_slice(b"content-type: ");
    out.extend_from_slice(content_type.as_bytes());
    out.extend_from_slice(b"\r\ncache-control: no-cache\r\nx-accel-buffering: no\r\n");
    out.extend_from_slice(fields);
    end_head(if envelope.http10 { Ends::Close } else { Ends::Chunked }, out);
}

/// Ends the head with the field that says how the body ends.
pub(super) fn end_head(ends: Ends, out: &mut Vec<u8>) {
    match ends {
        Ends::Length(length) => {
            out.extend_from_slice(b"content-length: ");
            ascii::push_u64(out, u64::try_from(length).unwrap_or(u64::MAX));
            out.extend_from_slice(b"\r\n\r\n");
        }
        Ends::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n"),
        Ends::Close => out.extend_from_slice(b"\r\n"),
    }
}

impl Phases {
    /// Writes the `server-timing` field; durations are milliseconds. `total` is all time up to
    /// here, of which `waited` was spent waiting for upstreams. What no phase says is `wait`, such
    /// as attempts that failed, and `gateway`, our own work; so the phases add up to the total.
    pub(super) fn push_field(&self, total: Duration, waited: Duration, out: &mut Vec<u8>) {
        let micros = |spent: Duration| u64::try_from(spent.as_micros()).unwrap_or(u64::MAX);
        let total = micros(total);
        let phases = [self.parse, self.queue, self.connect, self.tls, self.upstream].map(micros);
        let [parse, queue, connect, tls, upstream] = phases;
        let wait = micros(waited).saturating_sub(queue + connect + tls + upstream);
        let known = phases.iter().sum::<u64>() + wait;
        let phases: [(&[u8], u64); 8] = [
            (b"server-timing: parse;dur=", parse),
            (b", queue;dur=", queue),
            (b", connect;dur=", connect),
            (b", tls;dur=", tls),
            (b", upstream;dur=", upstream),
            (b", wait;dur=", wait),
            (b", gateway;dur=", total.saturating_sub(known)),
            (b", total;dur=", total.max(known)),
        ];
        // Usual times fit into the room that is taken once.
        out.reserve(200);
        for (name, spent) in phases {
            out.extend_from_slice(name);
            push_millis(spent, out);
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// Microseconds as milliseconds with three decimals, without floating point.
fn push_millis(spent: u64, out: &mut Vec<u8>) {
    if spent == 0 {
        return out.extend_from_slice(b"0.000");
    }
    let (millis, micros) = (spent / 1000, spent % 1000);
    match u8::try_from(millis) {
        Ok(digit @ 0..=9) => out.push(b'0' + digit),
        _ => ascii::push_u64(out, millis),
    }
    let digits = [100, 10, 1].map(|unit| u8::try_from(micros / unit % 10).unwrap_or(0) + b'0');
    let [hundreds, tens, ones] = digits;
    out.extend_from_slice(&[b'.', hundreds, tens, ones]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(phases: Phases, total: Duration, waited: Duration) -> String {
        let mut out = Vec::new();
        phases.push_field(total, waited, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn durations_are_milliseconds_with_three_decimals() {
        let phases = Phases {
            parse: Duration::from_micros(42),
            queue: Duration::ZERO,
            connect: Duration::from_micros(1_005),
            tls: Duration::from_micros(3_100),
            upstream: Duration::from_millis(1_234),
        };
        let (total, waited) = (Duration::from_nanos(2_000_001_999), Duration::from_millis(1_300));
        let expected = "server-timing: parse;dur=0.042, queue;dur=0.000, connect;dur=1.005, \
                        tls;dur=3.100, upstream;dur=1234.000, wait;dur=61.895, \
                        gateway;dur=699.959, total;dur=2000.001\r\n";
        assert_eq!(field(phases, total, waited), expected);
    }

    #[test]
    fn the_phases_add_up_to_the_total() {
        let mut rng = crate::base::Rng::new(3);
        for _ in 0..1000 {
            let mut spent = || Duration::from_nanos(rng.below(2_000_000));
            let phases = Phases {
                parse: spent(),
                queue: spent(),
                connect: spent(),
                tls: spent(),
                upstream: spent(),
            };
            let waited = phases.queue + phases.connect + phases.tls + phases.upstream + spent();
            let total = phases.parse + waited + spent();
            let text = field(phases, total, waited).replace('.', "");
            let digits = |rest: &str| rest.trim_end().split(',').next()?.parse().ok();
            let numbers = text.split("dur=").skip(1).map(|rest| digits(rest).unwrap());
            let numbers: Vec<u64> = numbers.collect();
            let (all, parts) = numbers.split_last().unwrap();
            assert_eq!(parts.iter().sum::<u64>(), *all, "{text}");
            assert_eq!(u128::from(*all), total.as_micros());
        }
    }
}
