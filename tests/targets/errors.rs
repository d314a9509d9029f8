//! What a client is told when something fails.

use serde_json::value::RawValue;
use vertex_bridge::chat::{ApiError, Dialect};
use vertex_bridge::provider::{Shape, UpstreamErrorKind, Vendor, Watched, exact, read_error};

use super::cut;
use super::exact_json::{Members, is_json};

const VENDORS: [Vendor; 5] =
    [Vendor::Gemini, Vendor::Vertex, Vendor::Anthropic, Vendor::Claude, Vendor::OpenAi];

/// Answers that may pass as they came, and how their failures are read.
const SHAPES: [(Shape, Vendor); 6] = [
    (Shape::OpenAiChoices, Vendor::OpenAi),
    (Shape::OpenAiEmbeddings, Vendor::OpenAi),
    (Shape::OpenAiResponse, Vendor::OpenAi),
    (Shape::Anthropic, Vendor::Anthropic),
    (Shape::Claude, Vendor::Claude),
    (Shape::Google, Vendor::Gemini),
];

/// Any answer of an error is an error in the client's words, and a whole one.
pub(super) fn of_vendor(data: &[u8]) {
    let retry_after = data.get(..usize::try_from(cut::rng_of(data).below(8)).expect("a few"));
    for status in [200, 302, 400, 401, 404, 413, 418, 429, 500, 503, 529, 599] {
        for vendor in VENDORS {
            presentable(&read_error(vendor, status, retry_after, data).to_api());
        }
        passing(status, retry_after, data);
    }
}

/// What passes as it came is an error in the vendor's words, about the client's own request.
fn passing(status: u16, retry_after: Option<&[u8]>, data: &[u8]) {
    for (shape, vendor) in SHAPES {
        let watched = Watched::plain(shape);
        let error = read_error(vendor, status, retry_after, data);
        if exact::error_passes(watched, status, data, &error) {
            assert!(error.kind != UpstreamErrorKind::Auth, "our credential is ours: {error:?}");
            passes(status, data);
        }
        let repaired = Watched { repair: Some(1), ..watched };
        let passes = exact::error_passes(repaired, status, data, &error);
        assert!(!passes, "repaired services are read");
    }
}

fn passes(status: u16, data: &[u8]) {
    assert!([400, 409, 413, 422, 429].contains(&status), "{status} passes");
    assert!(is_json(data), "what is not JSON passes");
    let text = std::str::from_utf8(data).expect("text");
    // Google's services put their error into an array.
    let first = match serde_json::from_str::<Vec<&RawValue>>(text) {
        Ok(list) => list.first().expect("an error").get(),
        Err(_) => text,
    };
    assert!(Members::of(first).named("error").next().is_some(), "{text}");
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
