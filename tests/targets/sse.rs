//! The event decoder against the words of the standard, read line by line from the whole stream.

use vertex_bridge::wire::WireError;
use vertex_bridge::wire::sse::{SseDecoder, SseEvent};

use super::cut;

/// Small, so that short inputs reach it.
const EVENT_BYTES_MAX: usize = 512;

/// Name and data.
pub(super) type Event = [Vec<u8>; 2];
type Seen = (Vec<Shown>, Option<WireError>);
/// An event as it can be shown.
type Shown = [String; 2];

/// Cuts change nothing, not even what is too large; all else is as the standard says.
pub(super) fn decoder(data: &[u8]) {
    let whole = decode(&[data], EVENT_BYTES_MAX);
    let bytes: Vec<&[u8]> = data.chunks(1).collect();
    assert_eq!(decode(&bytes, EVENT_BYTES_MAX), whole, "byte by byte");
    let pieces = cut::pieces(data, &mut cut::rng_of(data));
    assert_eq!(decode(&pieces, EVENT_BYTES_MAX), whole, "in {} pieces", pieces.len());
    let meant = standard(data).into_iter().map(|event| event.map(shown));
    assert_eq!(decode(&[data], usize::MAX), (meant.collect(), None));
}

fn shown(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().escape_ascii().to_string()
}

fn decode(pieces: &[&[u8]], event_bytes_max: usize) -> Seen {
    let mut decoder = SseDecoder::new(event_bytes_max);
    let mut events = Vec::new();
    let mut sink = |event: SseEvent<'_>| {
        events.push([event.name, event.data].map(shown));
        Ok::<(), WireError>(())
    };
    let mut feed = || {
        pieces.iter().try_for_each(|piece| decoder.feed(piece, &mut sink))?;
        decoder.finish(&mut sink)
    };
    let error = feed().err();
    (events, error)
}

/// WHATWG HTML, section 9.2.6; an event at the end counts without its blank line.
pub(super) fn standard(data: &[u8]) -> Vec<Event> {
    let data = data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data);
    let (mut events, mut name, mut lines) = (Vec::new(), Vec::new(), None::<Vec<Vec<u8>>>);
    for line in all_lines(data).chain([&b""[..]]) {
        if line.is_empty() {
            if let Some(lines) = lines.take() {
                events.push([std::mem::take(&mut name), lines.join(&b'\n')]);
            }
            name.clear();
            continue;
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (field, value) = line.split_at(colon);
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"event" => name = value.to_vec(),
            b"data" => lines.get_or_insert_default().push(value.to_vec()),
            _ => {}
        }
    }
    events
}

/// Lines that end in CR LF, CR, LF or with the stream.
fn all_lines(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(data);
    std::iter::from_fn(move || {
        let all = rest?;
        let end = all.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
        let Some(end) = end else { return rest.take() };
        let (line, tail) = all.split_at(end);
        rest = tail.strip_prefix(b"\r\n").or_else(|| tail.get(1..));
        Some(line)
    })
}
