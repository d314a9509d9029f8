//! Heads of answers, built from our own list: nothing of a vendor's head is forwarded whole.

use std::time::Duration;

use crate::base::{RequestId, ascii};
use crate::chat::Dialect;
use crate::rt::Runtime;
use crate::shard::Shard;
use crate::wire::write;

/// What every answer to one request has in common.
#[expect(clippy::struct_excessive_bools, reason = "each is one fact of a request head")]
#[derive(Clone, Copy, Debug)]
pub(super) struct Envelope {
    /// Goes out as `x-request-id`.
    pub(super) id: RequestId,
    /// Does the connection stay open after this answer?
    pub(super) keep_alive: bool,
    /// An HTTP/1.0 client knows no chunked coding, and wants to be told of keep-alive.
    pub(super) http10: bool,
    /// The answer to HEAD has no body.
    pub(super) head_only: bool,
    /// May a fixed body be sent compressed?
    pub(super) gzip: bool,
    /// The API whose heads and errors the client knows.
    pub(super) dialect: Dialect,
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
    /// All that was our own work up to here.
    pub(super) gateway: Duration,
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
    /// Writes the `server-timing` field; durations are milliseconds.
    pub(super) fn push_field(&self, out: &mut Vec<u8>) {
        let phases: [(&[u8], Duration); 6] = [
            (b"server-timing: parse;dur=", self.parse),
            (b", queue;dur=", self.queue),
            (b", connect;dur=", self.connect),
            (b", tls;dur=", self.tls),
            (b", upstream;dur=", self.upstream),
            (b", gateway;dur=", self.gateway),
        ];
        // Usual times fit into the room that is taken once.
        out.reserve(160);
        for (name, spent) in phases {
            out.extend_from_slice(name);
            push_millis(spent, out);
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// Milliseconds with three decimals, without floating point.
fn push_millis(spent: Duration, out: &mut Vec<u8>) {
    if spent.is_zero() {
        return out.extend_from_slice(b"0.000");
    }
    let micros = spent.subsec_micros();
    let millis = spent.as_secs().saturating_mul(1000).saturating_add(u64::from(micros / 1000));
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

    #[test]
    fn durations_are_milliseconds_with_three_decimals() {
        let phases = Phases {
            parse: Duration::from_micros(42),
            queue: Duration::ZERO,
            connect: Duration::from_micros(1_005),
            tls: Duration::from_micros(3_100),
            upstream: Duration::from_millis(1_234),
            gateway: Duration::from_nanos(1_999),
        };
        let mut out = Vec::new();
        phases.push_field(&mut out);
        let expected = "server-timing: parse;dur=0.042, queue;dur=0.000, connect;dur=1.005, \
                        tls;dur=3.100, upstream;dur=1234.000, gateway;dur=0.001\r\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
