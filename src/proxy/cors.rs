//! Web pages that call the API from a browser (the Fetch standard, section 3.3): who may is told
//! with each answer, and before the first request.

use crate::config::Page;
use crate::rt::Runtime;
use crate::shard::Shard;
use crate::wire::{Method, RequestHead, write};

use super::route::{self, Endpoint, Port};

/// How long a browser need not ask again.
const ASKED_FOR: &[u8] = b"600";

/// The page that asks, if it may.
pub(super) fn page<R: Runtime>(shard: &Shard<R>, head: &RequestHead<'_, '_>) -> Option<Page> {
    let pages = &shard.config.server.pages;
    if pages.is_empty() { None } else { pages.find(head.field("origin")?) }
}

/// May pages call it? What is for operators is not for them.
pub(super) const fn serves(endpoint: Endpoint<'_>) -> bool {
    matches!(
        endpoint,
        Endpoint::Door(..)
            | Endpoint::Embeddings
            | Endpoint::CountTokens
            | Endpoint::Explain
            | Endpoint::Models
            | Endpoint::Model(_)
    )
}

/// The fields that answer a browser which asks whether a page may send a request, if this is such a
/// question.
pub(super) fn preflight(port: Port, head: &RequestHead<'_, '_>) -> Option<Vec<u8>> {
    head.field("access-control-request-method").filter(|_| head.method == Method::Options)?;
    let found = |method| route::find(port, method, head.path(), head.query()).ok();
    found(Method::Post).or_else(|| found(Method::Get)).filter(|endpoint| serves(*endpoint))?;
    let mut fields = Vec::new();
    write::field(&mut fields, "access-control-allow-methods", b"GET, HEAD, POST");
    if let Some(names) = head.field("access-control-request-headers") {
        write::field(&mut fields, "access-control-allow-headers", names);
    }
    write::field(&mut fields, "access-control-max-age", ASKED_FOR);
    write::field(&mut fields, "vary", b"access-control-request-headers");
    Some(fields)
}

/// Appends the fields that let a page read an answer.
pub(super) fn push_fields<R: Runtime>(shard: &Shard<R>, page: Page, out: &mut Vec<u8>) {
    let (origin, depends) = shard.config.server.pages.told(page);
    write::field(out, "access-control-allow-origin", origin.as_bytes());
    write::field(out, "access-control-expose-headers", b"*");
    if depends {
        write::field(out, "vary", b"origin");
    }
}
