//! HTTP messages of a case, cut in some way, and messages read back.

use vertex_bridge::base::Rng;

use super::write::{Case, pick};

/// The client's request.
pub(super) fn request(case: &Case, rng: &mut Rng) -> Vec<u8> {
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: g\r\ncontent-type: application/json\r\n\
         authorization: Bearer sk-vertex-bridge-dev\r\n",
        case.path
    );
    framed(&head, &case.sent, rng)
}

/// The upstream's answer, and whether the connection must end behind it.
pub(super) fn answer(case: &Case, rng: &mut Rng) -> (Vec<u8>, bool) {
    let kind =
        if case.stream && case.status == 200 { "text/event-stream" } else { "application/json" };
    let head = format!("HTTP/1.1 {} X\r\ncontent-type: {kind}\r\n", case.status);
    if rng.percent(5) {
        let head = format!("{head}connection: close\r\n\r\n");
        return ([head.as_bytes(), &case.answer].concat(), true);
    }
    (framed(&head, &case.answer, rng), false)
}

/// With a length, or in chunks of any size.
fn framed(head: &str, body: &[u8], rng: &mut Rng) -> Vec<u8> {
    if rng.percent(50) {
        return [format!("{head}content-length: {}\r\n\r\n", body.len()).as_bytes(), body].concat();
    }
    let mut out = format!("{head}transfer-encoding: chunked\r\n\r\n").into_bytes();
    for chunk in cuts(body, rng) {
        out.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        out.extend_from_slice(chunk);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

/// Pieces of one byte, of a few or of many.
pub(super) fn cuts<'b>(bytes: &'b [u8], rng: &mut Rng) -> Vec<&'b [u8]> {
    let most = *pick(&[1, 3, 40, 400, 1 << 20], rng);
    let (mut pieces, mut rest) = (Vec::new(), bytes);
    while !rest.is_empty() {
        let size = usize::try_from(1 + rng.below(most)).expect("a size").min(rest.len());
        let (piece, after) = rest.split_at(size);
        pieces.push(piece);
        rest = after;
    }
    pieces
}

/// The first message in these bytes, head and body, which it takes out; none while it is not
/// whole.
pub(super) fn take(bytes: &mut Vec<u8>) -> Option<(String, Vec<u8>)> {
    let end = find(bytes, b"\r\n\r\n")? + 4;
    let head = String::from_utf8(bytes[..end].to_vec()).expect("a head is text");
    let fields = head.to_lowercase();
    let (body, used) = if fields.contains("\r\ntransfer-encoding: chunked") {
        chunked(&bytes[end..])?
    } else {
        let length = fields.split("\r\ncontent-length:").nth(1).expect("a length");
        let length = length.split("\r\n").next().and_then(|digits| digits.trim().parse().ok());
        let length: usize = length.expect("a number");
        (bytes.get(end..end + length)?.to_vec(), length)
    };
    bytes.drain(..end + used);
    Some((head, body))
}

fn chunked(mut rest: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (all, mut body) = (rest.len(), Vec::new());
    loop {
        let end = find(rest, b"\r\n")?;
        let line = std::str::from_utf8(&rest[..end]).expect("a size is text");
        let size = usize::from_str_radix(line, 16).expect("a size");
        rest = &rest[end + 2..];
        body.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size + 2..)?;
        if size == 0 {
            return Some((body, all - rest.len()));
        }
    }
}

fn find(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    bytes.windows(mark.len()).position(|window| window == mark)
}
