//! The JSON reader against serde's.

use vertex_bridge::wire::json::{self, DEPTH_MAX, JsonError, Kind, Reader};

use super::exact_json::{depth, is_json};

/// The reader accepts exactly what is JSON and not too deep, and keeps its meaning.
pub(super) fn reader(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut reader = Reader::new(text);
    let read = reader.raw().and_then(|raw| reader.end().map(|()| raw));
    let legal = is_json(data);
    match read {
        Ok(_) | Err(JsonError::Depth) => {}
        Err(_) => assert!(!legal, "JSON is refused: {text}"),
    }
    // A text may break behind the place where it is too deep.
    if legal {
        assert_eq!(read == Err(JsonError::Depth), depth(text) > DEPTH_MAX, "{text}");
    }
    let Ok(raw) = read else { return };
    assert!(legal, "what is not JSON passes: {text}");
    assert_eq!(raw, text.trim_matches([' ', '\t', '\n', '\r']));
    compact(raw);
    scalar(raw);
}

/// Taking out the space changes nothing else.
fn compact(raw: &str) {
    let mut compact = Vec::new();
    json::push_compact(&mut compact, raw);
    assert!(is_json(&compact), "{raw}");
    let mut again = Vec::new();
    let compact = std::str::from_utf8(&compact).expect("text");
    json::push_compact(&mut again, compact);
    assert_eq!(again, compact.as_bytes(), "compact text has no space");
    let values = [raw, compact].map(|text| serde_json::from_str::<serde_json::Value>(text).ok());
    assert_eq!(values[0], values[1], "{raw}");
    let mut escaped = b"\"".to_vec();
    json::push_compact_escaped(&mut escaped, raw);
    escaped.push(b'"');
    assert!(is_json(&escaped), "{raw}");
    // A lone surrogate in the text is an escape, which has become plain text by then.
    let inside: String = serde_json::from_slice(&escaped).expect("a string");
    assert_eq!(inside, compact);
    let mut quoted = Vec::new();
    json::push_string(&mut quoted, raw);
    assert_eq!(serde_json::from_slice::<String>(&quoted).ok().as_deref(), Some(raw));
}

/// Texts, numbers and words mean the same to both.
fn scalar(raw: &str) {
    let mut reader = Reader::new(raw);
    match reader.kind().expect("a value") {
        Kind::String => {
            let text = reader.string().expect("a string").unescape();
            if let Ok(same) = serde_json::from_str::<String>(raw) {
                assert_eq!(text, same);
            }
        }
        Kind::Number => {
            assert_eq!(reader.clone().number(), Ok(raw));
            let whole = raw.bytes().all(|byte| byte.is_ascii_digit());
            let expected = raw.parse::<u64>().ok().filter(|_| whole);
            assert_eq!(reader.unsigned().ok(), expected, "{raw}");
        }
        Kind::Bool => assert_eq!(reader.boolean(), Ok(raw == "true")),
        Kind::Null => assert_eq!(reader.null(), Ok(true)),
        Kind::Object | Kind::Array => {}
    }
}
