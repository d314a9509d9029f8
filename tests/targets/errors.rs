//! What a client is told when something fails.

use vertex_bridge::chat::{ApiError, Dialect};
use vertex_bridge::provider::{Vendor, read_error};

use super::cut;
use super::exact_json::is_json;

/// Any answer of an error is an error in the client's words, and a whole one.
pub(super) fn of_vendor(data: &[u8]) {
    for vendor in [Vendor::Gemini, Vendor::Vertex, Vendor::Anthropic, Vendor::Claude] {
        for status in [200, 302, 400, 401, 404, 413, 418, 429, 500, 503, 529, 599] {
            let retry_after =
                data.get(..usize::try_from(cut::rng_of(data).below(8)).expect("a few"));
            let error = read_error(vendor, status, retry_after, data).to_api();
            presentable(&error);
        }
    }
}

/// Says something in every API, with a status of an error.
pub(super) fn presentable(error: &ApiError) {
    assert!((400..600).contains(&error.row.status), "{error:?}");
    assert!(error.message.len() <= 2000 && !error.message.is_empty(), "{error:?}");
    for dialect in [Dialect::OpenAi, Dialect::Anthropic, Dialect::Google] {
        let mut body = Vec::new();
        error.render(dialect, "req-1", &mut body);
        assert!(is_json(&body), "{error:?} in {dialect:?}");
    }
}
