//! Bodies of refusals in OpenAI's shape, which say the same every time: compressed at the start.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::chat::{ApiError, Dialect, Row};
use crate::shard::FixedBody;

/// Renders and compresses every fixed body.
pub fn all() -> Vec<FixedBody> {
    [401, 404, 405].map(|status| fixed(&refusal(status, Dialect::OpenAi))).into()
}

/// What a request is told that needs no reading: no key, no such path, not this method.
pub(super) fn refusal(status: u16, dialect: Dialect) -> ApiError {
    match (status, dialect.key_field()) {
        (401, None) => ApiError::new(
            Row::INVALID_API_KEY,
            "a valid key is required: send it as `Authorization: Bearer KEY`",
        ),
        (401, Some(name)) => ApiError::new(
            Row::INVALID_API_KEY,
            format!("a valid key is required: send it as `{name}` or `Authorization: Bearer KEY`"),
        ),
        (405, _) => ApiError::new(
            Row::METHOD_NOT_ALLOWED,
            "this endpoint takes another method; see `Allow`",
        ),
        _ => ApiError::new(Row::UNKNOWN_URL, "no endpoint has this path"),
    }
}

fn fixed(error: &ApiError) -> FixedBody {
    let mut plain = Vec::new();
    error.render(Dialect::OpenAi, "", &mut plain);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Writing into memory cannot fail; if it did, clients would get the plain form.
    let gzip = encoder.write_all(&plain).and_then(|()| encoder.finish()).unwrap_or_default();
    FixedBody { status: error.row.status, plain, gzip }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn the_compressed_form_is_the_same_body() {
        for body in all() {
            let mut text = Vec::new();
            flate2::read::GzDecoder::new(&body.gzip[..]).read_to_end(&mut text).unwrap();
            assert_eq!(text, body.plain);
            assert!(serde_json::from_slice::<serde::de::IgnoredAny>(&text).is_ok());
        }
    }
}
