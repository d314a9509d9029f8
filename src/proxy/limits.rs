//! Limits of a client's own: refusals, and the fields that tell how much is left.

use std::time::Duration;

use crate::base::ascii::push_u64;
use crate::chat::{ApiError, Row};
use crate::policy::KeyId;
use crate::rt::Runtime;
use crate::shard::{Limit, Limited, Shard, Turn};

use super::source::lines_where;

/// Bytes of a prompt for one token, about; what the vendor counted takes the place of the estimate.
const BYTES_PER_TOKEN: usize = 4;

/// Nobody knows when a request that runs will end.
const SOON_MS: u64 = 1000;

/// The tokens of a prompt of so many bytes, about: English has four characters to a token.
pub(super) fn estimate(bytes: usize) -> u64 {
    u64::try_from(bytes.div_ceil(BYTES_PER_TOKEN)).unwrap_or(u64::MAX)
}

/// One request of this key, or the refusal.
#[expect(clippy::result_large_err, reason = "a refusal is made once and written at once")]
pub(super) fn admit<R: Runtime>(shard: &Shard<R>, key: KeyId) -> Result<(), ApiError> {
    shard.access.rates().admit(key, shard.rt.now()).map_err(|limited| refusal(shard, key, limited))
}

/// The right of this key to run one more request, or the refusal.
#[expect(clippy::result_large_err, reason = "a refusal is made once and written at once")]
pub(super) fn turn<R: Runtime>(shard: &Shard<R>, key: KeyId) -> Result<Turn, ApiError> {
    shard.access.rates().turn(key).map_err(|most| {
        shard.cells.limited[Limit::Concurrency as usize].add(1);
        let message = format!("the key's limit of {most} requests at a time is reached");
        ApiError::new(Row::RATE_LIMITED, message).with_retry_after(Some(SOON_MS))
    })
}

/// The tokens of a body of this key, or the refusal. What is reserved must be corrected when the
/// answer has come.
#[expect(clippy::result_large_err, reason = "a refusal is made once and written at once")]
pub(super) fn reserve<R: Runtime>(
    shard: &Shard<R>,
    key: KeyId,
    body_bytes: usize,
) -> Result<u64, ApiError> {
    let tokens = estimate(body_bytes);
    match shard.access.rates().reserve(key, shard.rt.now(), tokens) {
        Ok(()) => Ok(tokens),
        Err(limited) => Err(refusal(shard, key, limited)),
    }
}

fn refusal<R: Runtime>(shard: &Shard<R>, key: KeyId, limited: Limited) -> ApiError {
    shard.cells.limited[limited.limit as usize].add(1);
    let [requests, tokens] = shard.access.rates().told(key, shard.rt.now());
    let rate = shard.config.rate;
    let message = match (limited.limit, requests, tokens) {
        (Limit::Requests, Some(told), _) => {
            format!("the key's limit of {} requests per minute is reached", told.limit)
        }
        (Limit::Tokens, _, Some(told)) => {
            format!("the key's limit of {} tokens per minute is reached", told.limit)
        }
        _ => format!(
            "the limit of {} requests at once and {} per second is reached",
            rate.capacity, rate.per_second
        ),
    };
    let millis = u64::try_from(limited.wait.as_millis()).unwrap_or(u64::MAX).max(1);
    ApiError::new(Row::RATE_LIMITED, message).with_retry_after(Some(millis))
}

/// Appends the fields of the limits that this key has of its own. In their place the vendor's are
/// taken out of `fields`: two of a kind would tell nothing.
pub(super) fn push_fields<R: Runtime>(shard: &Shard<R>, key: KeyId, fields: &mut Vec<u8>) {
    let told = shard.access.rates().told(key, shard.rt.lately());
    if told.iter().all(Option::is_none) {
        return;
    }
    remove_vendors(fields);
    for (of, told) in ["requests", "tokens"].into_iter().zip(told) {
        let Some(told) = told else { continue };
        for (what, count) in [("limit", told.limit), ("remaining", told.left)] {
            push_name(what, of, fields);
            push_u64(fields, count);
            fields.extend_from_slice(b"\r\n");
        }
        push_name("reset", of, fields);
        push_duration(told.reset, fields);
        fields.extend_from_slice(b"\r\n");
    }
}

fn push_name(what: &str, of: &str, fields: &mut Vec<u8>) {
    for part in ["x-ratelimit-", what, "-", of, ": "] {
        fields.extend_from_slice(part.as_bytes());
    }
}

fn remove_vendors(fields: &mut Vec<u8>) {
    const NAME: &[u8] = b"x-ratelimit-";
    let vendors =
        |line: &[u8]| line.get(..NAME.len()).is_some_and(|start| start.eq_ignore_ascii_case(NAME));
    *fields = lines_where(fields, |line| !vendors(line));
}

/// Appends `17s`, `1m30s` or `120ms`, as OpenAI writes them.
fn push_duration(wait: Duration, out: &mut Vec<u8>) {
    let (minutes, seconds) = (wait.as_secs() / 60, wait.as_secs() % 60);
    if wait < Duration::from_secs(1) {
        push_u64(out, u64::from(wait.subsec_millis()));
        out.push(b'm');
    } else if minutes > 0 {
        push_u64(out, minutes);
        out.push(b'm');
        push_u64(out, seconds);
    } else {
        push_u64(out, seconds);
    }
    out.push(b's');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_clients_know_them() {
        for (millis, text) in [(0, "0ms"), (120, "120ms"), (17_900, "17s"), (90_000, "1m30s")] {
            let mut out = Vec::new();
            push_duration(Duration::from_millis(millis), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    #[test]
    fn the_vendors_limits_make_room() {
        let mut fields = b"a: b\r\nX-RateLimit-Limit-Requests: 5\r\nc: d\r\n".to_vec();
        remove_vendors(&mut fields);
        assert_eq!(fields, b"a: b\r\nc: d\r\n");
    }
}
