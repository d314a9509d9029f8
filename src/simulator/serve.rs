//! The simulator's server: one task per connection, answers in order.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use crate::base::Rng;
use crate::rt::{Conn, Listener, Runtime};
use crate::wire::head::field_store;
use crate::wire::{BodyReader, HeadLimits, HeadScan, RequestHead, WireError, write};

use super::fault::Fault;
use super::reply::{Asked, Body, Reply};
use super::script::Options;
use super::{anthropic, gemini, openai};

const LIMITS: HeadLimits =
    HeadLimits { head_bytes: 64 * 1024, fields: 128, target_bytes: 8 * 1024 };
const BODY_BYTES_MAX: u64 = 32 << 20;

/// How long a stalled answer is held before the connection is given up.
const STALL: Duration = Duration::from_secs(600);

/// What is added to the latency of a slow answer.
const SLOW: Duration = Duration::from_secs(2);

struct State {
    options: Options,
    serial: Cell<u64>,
    rng: RefCell<Rng>,
    answered: Cell<u64>,
}

/// Serves on `socket` until the listener is stopped.
///
/// # Errors
/// When the socket cannot be taken.
pub async fn serve<R: Runtime>(rt: R, socket: R::Socket, options: Options) -> io::Result<()> {
    let listener = rt.listen(socket)?;
    let rng = RefCell::new(Rng::new(options.seed));
    let state = Rc::new(State { options, serial: Cell::new(0), rng, answered: Cell::new(0) });
    loop {
        match listener.accept().await {
            Ok((accepted, _peer)) => {
                let Ok(conn) = rt.adopt(accepted) else { continue };
                let (runtime, state) = (rt.clone(), Rc::clone(&state));
                rt.spawn(async move { connection(runtime, conn, &state).await });
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(_) => rt.sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn connection<R: Runtime>(rt: R, conn: R::Conn, state: &State) {
    let mut inbox = Vec::with_capacity(4096);
    let mut spare = Vec::with_capacity(4096);
    loop {
        let (used, reply, fault) = loop {
            match understand(&inbox, state, rt.unix_millis() / 1000) {
                Ok(Some(understood)) => break understood,
                Ok(None) => {}
                Err(_) => return,
            }
            if inbox.len() == inbox.capacity() {
                inbox.reserve(inbox.capacity());
            }
            let (result, buffer) = conn.read(inbox).await;
            inbox = buffer;
            if !matches!(result, Ok(1..)) {
                return;
            }
        };
        inbox.drain(..used);
        state.answered.set(state.answered.get() + 1);
        let Some(out) = give(&rt, &conn, state, (reply, fault), spare).await else {
            conn.abort();
            return;
        };
        spare = out;
    }
}

/// One whole request at the start of `inbox`: its length, its answer, and the fault it gets.
type Understood = (usize, Reply, Option<Fault>);

fn understand(inbox: &[u8], state: &State, now: u64) -> Result<Option<Understood>, WireError> {
    let Some(length) = HeadScan::new().find(inbox) else { return Ok(None) };
    let mut store = field_store();
    let head = RequestHead::parse(inbox.get(..length).unwrap_or_default(), &LIMITS, &mut store)?;
    let mut reader = BodyReader::new(head.framing()?, BODY_BYTES_MAX)?;
    let (mut at, mut chunks, mut slice) = (length, Vec::new(), None);
    while !reader.is_done() {
        let rest = inbox.get(at..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(None);
        }
        let step = reader.feed(rest)?;
        at += step.consumed;
        // A body in one piece is used where it lies.
        match slice {
            None if chunks.is_empty() && step.done => slice = Some(step.data),
            _ => chunks.extend_from_slice(step.data),
        }
    }
    let serial = state.serial.get();
    state.serial.set(serial + 1);
    let key = ["x-goog-api-key", "x-api-key", "authorization"];
    let asked = Asked {
        target: head.target,
        key: key.iter().find_map(|name| head.field(name)),
        version: head.field("anthropic-version"),
        body: slice.unwrap_or(&chunks),
        tokens: state.options.tokens,
        serial,
        now,
    };
    let fault = fault_for(state, head.target);
    let reply = answer(&asked, state, fault);
    Ok(Some((at, reply, fault)))
}

/// The model's name may ask for a fault; else the rates decide.
fn fault_for(state: &State, target: &str) -> Option<Fault> {
    let named = gemini::model_of(target).and_then(Fault::of_model);
    named.or_else(|| {
        let mut rng = state.rng.borrow_mut();
        let hit = state.options.faults.iter().find(|(_, percent)| rng.percent(*percent));
        hit.map(|(fault, _)| *fault)
    })
}

fn answer(asked: &Asked<'_>, state: &State, fault: Option<Fault>) -> Reply {
    let stream = asked.target.contains("alt=sse");
    match fault {
        Some(Fault::Status429) => {
            return gemini::error(429, "RESOURCE_EXHAUSTED", "Resource has been exhausted.");
        }
        Some(Fault::Status500) => {
            return gemini::error(500, "INTERNAL", "An internal error has occurred.");
        }
        Some(Fault::Status503) => {
            return gemini::error(503, "UNAVAILABLE", "The model is overloaded.");
        }
        Some(Fault::Blocked) => return gemini::blocked(stream),
        _ => {}
    }
    if asked.target == "/__stats" {
        return Reply::json(200, format!("{{\"answered\":{}}}", state.answered.get()));
    }
    let known = gemini::answer(asked).or_else(|| openai::answer(asked));
    known
        .or_else(|| anthropic::answer(asked))
        .unwrap_or_else(|| gemini::error(404, "NOT_FOUND", "Requested entity was not found."))
}

/// Writes an answer; none when the connection must end.
async fn give<R: Runtime>(
    rt: &R,
    conn: &R::Conn,
    state: &State,
    (reply, fault): (Reply, Option<Fault>),
    mut out: Vec<u8>,
) -> Option<Vec<u8>> {
    let latency =
        state.options.latency + if fault == Some(Fault::Slow) { SLOW } else { Duration::ZERO };
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
        Body::Whole(body) => whole(conn, body, fault, out).await,
        Body::Stream(events) => stream(rt, conn, state, (events, fault), out).await,
    }
}

async fn whole<C: Conn>(
    conn: &C,
    mut body: Vec<u8>,
    fault: Option<Fault>,
    mut out: Vec<u8>,
) -> Option<Vec<u8>> {
    match fault {
        Some(Fault::Garbage) => body = b"<html>not what was asked for</html>".to_vec(),
        Some(Fault::Empty) => body.clear(),
        _ => {}
    }
    out.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
    let cut = fault == Some(Fault::Cut);
    let end = if cut { body.len() / 2 } else { body.len() };
    out.extend_from_slice(body.get(..end).unwrap_or_default());
    let (result, out) = conn.write_all(out).await;
    (result.is_ok() && !cut).then_some(out)
}

async fn stream<R: Runtime>(
    rt: &R,
    conn: &R::Conn,
    state: &State,
    (mut events, fault): (Vec<Vec<u8>>, Option<Fault>),
    mut out: Vec<u8>,
) -> Option<Vec<u8>> {
    out.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
    match fault {
        Some(Fault::Empty) => events.clear(),
        Some(Fault::Garbage) => events = vec![b"data: {not json\r\n\r\n".to_vec()],
        Some(Fault::ErrorInStream) => {
            events.truncate(events.len() / 2);
            let error = "data: {\"error\": {\"code\": 503,\"message\": \"The model is overloaded.\",\"status\": \"UNAVAILABLE\"}}\r\n\r\n";
            events.push(error.as_bytes().to_vec());
        }
        Some(Fault::Cut) => events.truncate(events.len() / 2),
        _ => {}
    }
    for event in &events {
        let mark = write::begin_chunk(&mut out);
        out.extend_from_slice(event);
        write::end_chunk(&mut out, mark);
        if !state.options.token_interval.is_zero() {
            let (result, back) = conn.write_all(out).await;
            out = back;
            if result.is_err() {
                return None;
            }
            rt.sleep(state.options.token_interval).await;
        }
    }
    let cut = fault == Some(Fault::Cut);
    if !cut {
        write::last_chunk(&mut out);
    }
    let (result, out) = conn.write_all(out).await;
    (result.is_ok() && !cut).then_some(out)
}
