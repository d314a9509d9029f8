//! What a trusted client wants otherwise than configured, for one request.

use std::time::Duration;

use crate::chat::{ApiError, Row};
use crate::config::duration;
use crate::policy::KeyId;
use crate::rt::Runtime;
use crate::shard::Shard;
use crate::wire::RequestHead;

/// No request is tried more often.
const RETRIES_MAX: u32 = 10;

/// The fields of a request's head that say what it wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wishes {
    /// `x-vertex-bridge-upstream`: only candidates at this upstream.
    pub(super) upstream: Option<usize>,
    /// `x-vertex-bridge-retries`: tries after the first one.
    pub(super) retries: Option<u32>,
    /// `x-vertex-bridge-fallbacks: off`: only the first candidate.
    pub(super) alone: bool,
    /// `x-vertex-bridge-first-token`: within this time a candidate must have begun to speak.
    pub(super) first_token: Option<Duration>,
}

impl Wishes {
    /// Reads the fields where the key is trusted; else they say nothing.
    ///
    /// # Errors
    /// A field that makes no sense.
    #[expect(clippy::result_large_err, reason = "a refusal is made once and written at once")]
    pub(super) fn read<R: Runtime>(
        shard: &Shard<R>,
        head: &RequestHead<'_, '_>,
        key: KeyId,
    ) -> Result<Option<Box<Self>>, ApiError> {
        let config = &shard.config;
        if !shard.access.keys().holder(key).is_some_and(|holder| holder.trusted) {
            return Ok(None);
        }
        let text = |name: &str| head.field(name).map(String::from_utf8_lossy);
        let mut wishes = Self::default();
        if let Some(name) = text("x-vertex-bridge-upstream") {
            let found = config.upstreams.iter().position(|upstream| upstream.name == name);
            let what = "the name of an upstream";
            wishes.upstream = Some(found.ok_or_else(|| wrong("upstream", what))?);
        }
        if let Some(count) = text("x-vertex-bridge-retries") {
            let count = count.parse().ok().filter(|count| *count <= RETRIES_MAX);
            wishes.retries = Some(count.ok_or_else(|| wrong("retries", "a number from 0 to 10"))?);
        }
        if let Some(word) = text("x-vertex-bridge-fallbacks") {
            wishes.alone = match word.as_ref() {
                "off" => true,
                "on" => false,
                _ => return Err(wrong("fallbacks", "on or off")),
            };
        }
        if let Some(limit) = text("x-vertex-bridge-first-token") {
            let limit = duration(&limit).filter(|limit| !limit.is_zero());
            let what = "a duration such as 500ms or 5s";
            wishes.first_token = Some(limit.ok_or_else(|| wrong("first-token", what))?);
        }
        Ok((wishes != Self::default()).then(|| Box::new(wishes)))
    }
}

fn wrong(field: &str, expected: &str) -> ApiError {
    let message = format!("the field x-vertex-bridge-{field} must be {expected}");
    ApiError::new(Row::INVALID_VALUE, message)
}
