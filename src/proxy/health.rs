//! Liveness: answered by the shard itself, with no call to anybody.

use crate::base::ascii::push_u64;
use crate::rt::Runtime;
use crate::shard::Shard;
use crate::wire::write::push_rfc3339;

/// Appends the body of `/health`.
pub(super) fn render<R: Runtime>(shard: &Shard<R>, out: &mut Vec<u8>) {
    let status = if shard.is_draining() { "draining" } else { "ok" };
    out.extend_from_slice(b"{\"status\":\"");
    out.extend_from_slice(status.as_bytes());
    out.extend_from_slice(concat!("\",\"version\":\"", env!("CARGO_PKG_VERSION")).as_bytes());
    out.extend_from_slice(b"\",\"timestamp\":\"");
    push_rfc3339(out, shard.rt.unix_millis() / 1000);
    out.extend_from_slice(b"\",\"shard\":");
    push_u64(out, u64::try_from(shard.index).unwrap_or(0));
    out.push(b'}');
}
