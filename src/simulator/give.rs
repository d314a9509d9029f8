//! Writes an answer, at its pace, and with the fault that it was given.

use std::time::Duration;

use crate::rt::{Conn, Runtime};
use crate::wire::write;

use super::fault::{Cut, Fault};
use super::reply::{Body, Reply};
use super::script::Options;

/// How long a stalled answer is held before the connection is given up.
const STALL: Duration = Duration::from_secs(600);

/// What is added to the latency of a slow answer.
const SLOW: Duration = Duration::from_secs(2);

/// Writes an answer; gives the buffer back unless the connection must end.
pub(super) async fn give<R: Runtime>(
    rt: &R,
    conn: &R::Conn,
    options: &Options,
    (reply, fault): (Reply, Option<Fault>),
    mut out: Vec<u8>,
) -> Option<Vec<u8>> {
    let late = if fault == Some(Fault::Slow) { SLOW } else { Duration::ZERO };
    let latency = options.latency + late;
    if !latency.is_zero() {
        rt.sleep(latency).await;
    }
    match fault {
        Some(Fault::Reset) => return None,
        Some(Fault::Stall) => {
            rt.sleep(STALL).await;
            return None;
        }
        _ => {}
    }
    write::status_line(&mut out, reply.status);
    let typed = write::field(&mut out, "content-type", reply.content_type.as_bytes());
    debug_assert!(typed, "our own content types are clean");
    out.extend_from_slice(reply.fields.as_bytes());
    match reply.body {
        Body::Whole(body) => whole(rt, conn, (body, fault), out).await,
        Body::Stream(events) => {
            stream(rt, conn, options.token_interval, (events, fault), out).await
        }
    }
}

async fn whole<R: Runtime>(
    rt: &R,
    conn: &R::Conn,
    (mut body, fault): (Vec<u8>, Option<Fault>),
    mut out: Vec<u8>,
) -> Option<Vec<u8>> {
    match fault {
        Some(Fault::Garbage) => body = b"<html>not what was asked for</html>".to_vec(),
        Some(Fault::Empty) => body.clear(),
        _ => {}
    }
    out.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
    let end = match fault {
        Some(Fault::Cut(Cut::Bytes(count))) => usize::try_from(count).unwrap_or(usize::MAX),
        Some(Fault::Cut(_) | Fault::StallMid | Fault::End) => body.len() / 2,
        _ => usize::MAX,
    };
    let end = end.min(body.len());
    out.extend_from_slice(body.get(..end).unwrap_or_default());
    let (result, out) = conn.write_all(out).await;
    if fault == Some(Fault::StallMid) {
        rt.sleep(STALL).await;
    }
    let whole = end == body.len();
    (result.is_ok() && whole).then_some(out)
}

async fn stream<R: Runtime>(
    rt: &R,
    conn: &R::Conn,
    interval: Duration,
    (mut events, fault): (Vec<Vec<u8>>, Option<Fault>),
    mut out: Vec<u8>,
) -> Option<Vec<u8>> {
    out.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
    let cut = shorten(&mut events, fault);
    for event in &events {
        let mark = write::begin_chunk(&mut out);
        out.extend_from_slice(event);
        write::end_chunk(&mut out, mark);
        if !interval.is_zero() {
            let (result, back) = conn.write_all(out).await;
            out = back;
            if result.is_err() {
                return None;
            }
            rt.sleep(interval).await;
        }
    }
    if !cut {
        write::open_trailer(&mut out);
        out.extend_from_slice(b"\r\n");
    }
    let (result, out) = conn.write_all(out).await;
    if fault == Some(Fault::StallMid) {
        rt.sleep(STALL).await;
    }
    (result.is_ok() && !cut).then_some(out)
}

/// Takes from a stream what the fault takes; must the connection end after the rest?
fn shorten(events: &mut Vec<Vec<u8>>, fault: Option<Fault>) -> bool {
    match fault {
        Some(Fault::Empty) => events.clear(),
        Some(Fault::Garbage) => *events = vec![b"data: {not json\r\n\r\n".to_vec()],
        Some(Fault::End) => events.truncate(events.len() / 2),
        Some(Fault::StallMid | Fault::Cut(Cut::Half)) => {
            events.truncate(events.len() / 2);
            return true;
        }
        Some(Fault::Cut(Cut::InEvent)) => {
            events.truncate(events.len() / 2 + 1);
            if let Some(last) = events.last_mut() {
                last.truncate(last.len() / 2);
            }
            return true;
        }
        Some(Fault::Cut(Cut::Events(count))) => {
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            let cut = count < events.len();
            events.truncate(count);
            return cut;
        }
        Some(Fault::Cut(Cut::Bytes(count))) => {
            let mut left = usize::try_from(count).unwrap_or(usize::MAX);
            let cut = left < events.iter().map(Vec::len).sum();
            for event in events.iter_mut() {
                event.truncate(left);
                left -= event.len();
            }
            events.retain(|event| !event.is_empty());
            return cut;
        }
        _ => {}
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_cut_where_they_are_told_to() {
        let cut = |fault| {
            let mut events = vec![b"aaaa".to_vec(), b"bbbb".to_vec(), b"cc".to_vec()];
            let ends = shorten(&mut events, fault);
            (String::from_utf8(events.concat()).unwrap(), ends)
        };
        let at = |cut| Some(Fault::Cut(cut));
        for (fault, left, ends) in [
            (None, "aaaabbbbcc", false),
            (at(Cut::Half), "aaaa", true),
            (at(Cut::InEvent), "aaaabb", true),
            (at(Cut::Events(0)), "", true),
            (at(Cut::Events(2)), "aaaabbbb", true),
            (at(Cut::Events(3)), "aaaabbbbcc", false),
            (at(Cut::Bytes(5)), "aaaab", true),
            (at(Cut::Bytes(10)), "aaaabbbbcc", false),
            (Some(Fault::End), "aaaa", false),
            (Some(Fault::StallMid), "aaaa", true),
            (Some(Fault::Empty), "", false),
        ] {
            assert_eq!(cut(fault), (left.to_owned(), ends), "{fault:?}");
        }
    }
}
