//! Parcels as they go over the store: one line of JSON, and behind it the body.

use std::time::Duration;

use serde_json::{Value, json};

use crate::policy::CacheKey;
use crate::shard::{FlightHead, Fresh, Kept, Mark, Marker};

/// Something that others may want.
#[derive(Debug)]
pub(super) enum Parcel {
    /// An answer that was kept.
    Answer(Fresh),
    /// The mark of a call.
    Mark(Mark),
}

/// What another gateway has sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// An answer for the cache, that is good for so long.
    Answer(CacheKey, Kept, Duration),
    /// The mark of a call.
    Mark(Marker, String, String),
}

/// Appends a parcel, for others to read: `member` has sent it.
pub(super) fn write(member: &str, parcel: &Parcel) -> Vec<u8> {
    let (line, body): (Value, &[u8]) = match parcel {
        Parcel::Answer((key, kept, ttl)) => {
            let FlightHead { status, content_type, fields, is_stream, .. } = &kept.head;
            let line = json!({
                "from": member,
                "answer": key.to_hex(),
                "ttl_ms": u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX),
                "status": status,
                "type": content_type,
                "fields": String::from_utf8_lossy(fields),
                "stream": is_stream,
            });
            (line, &kept.body)
        }
        Parcel::Mark((marker, id, mark)) => {
            let marker = match marker {
                Marker::Google => "google",
                Marker::Anthropic => "anthropic",
            };
            (json!({ "from": member, "mark": marker, "id": id }), mark.as_bytes())
        }
    };
    let mut bytes = line.to_string().into_bytes();
    bytes.push(b'\n');
    bytes.extend_from_slice(body);
    bytes
}

/// Reads a parcel of another gateway; none where `member` has sent it itself, or it makes no sense.
pub(super) fn read(member: &str, bytes: &[u8]) -> Option<Received> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let line: Value = serde_json::from_slice(bytes.get(..end)?).ok()?;
    let body = bytes.get(end + 1..)?;
    let text = |name: &str| line.get(name).and_then(Value::as_str);
    if text("from") == Some(member) {
        return None;
    }
    if let Some(marker) = text("mark") {
        let marker = match marker {
            "google" => Marker::Google,
            "anthropic" => Marker::Anthropic,
            _ => return None,
        };
        let mark = String::from_utf8(body.to_vec()).ok()?;
        return Some(Received::Mark(marker, text("id")?.to_owned(), mark));
    }
    let head = FlightHead {
        status: u16::try_from(line.get("status")?.as_u64()?).ok()?,
        content_type: text("type")?.to_owned(),
        fields: text("fields")?.as_bytes().to_vec(),
        is_stream: line.get("stream")?.as_bool()?,
        ..FlightHead::default()
    };
    let ttl = Duration::from_millis(line.get("ttl_ms")?.as_u64()?);
    let kept = Kept { head, body: body.to_vec() };
    Some(Received::Answer(CacheKey::from_hex(text("answer")?)?, kept, ttl))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_parcel_is_the_same_behind_its_bytes_for_all_but_its_sender() {
        let head = FlightHead {
            status: 200,
            content_type: "text/event-stream".to_owned(),
            fields: b"x-a: \"b\"\r\n".to_vec(),
            is_stream: true,
            ..FlightHead::default()
        };
        let (key, ttl) = (CacheKey::of(&mut b"a".to_vec(), &[]), Duration::from_secs(9));
        let body = b"data: {}\n\n\xff\n".to_vec();
        let kept = Kept { head, body };
        let bytes = write("me", &Parcel::Answer((key, Arc::new(kept.clone()), ttl)));
        assert_eq!(read("you", &bytes), Some(Received::Answer(key, kept, ttl)));
        assert_eq!(read("me", &bytes), None);
        let mark = Parcel::Mark((Marker::Anthropic, "call_1".to_owned(), "[\"ä\"]".to_owned()));
        let bytes = write("me", &mark);
        let want = Received::Mark(Marker::Anthropic, "call_1".to_owned(), "[\"ä\"]".to_owned());
        assert_eq!(read("you", &bytes), Some(want));
        for wrong in [&b""[..], b"\n", b"{}\n", b"[]", b"{\"mark\":\"x\"}\n"] {
            assert_eq!(read("you", wrong), None);
        }
    }
}
