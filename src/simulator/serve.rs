//! The simulator's server: one task per connection, answers in order.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use crate::base::Rng;
use crate::rt::{Conn, Listener, Runtime};
use crate::wire::head::field_store;
use crate::wire::{BodyReader, Framing, HeadLimits, HeadScan, Method, RequestHead, WireError};

use super::fault::Fault;
use super::give::give;
use super::json::quote;
use super::reply::{Asked, Fields, Reply};
use super::route::{self, Vendor};
use super::script::Options;

const LIMITS: HeadLimits =
    HeadLimits { head_bytes: 64 * 1024, fields: 128, target_bytes: 8 * 1024 };
const BODY_BYTES_MAX: u64 = 32 << 20;

struct State {
    options: Options,
    serial: Cell<u64>,
    rng: RefCell<Rng>,
    answered: Cell<u64>,
    /// The last request of every path.
    last: RefCell<BTreeMap<String, Noted>>,
}

/// A request that tests may look at.
#[derive(Default)]
struct Noted {
    query: String,
    /// Google's key, Anthropic's, and the authorization: only their lengths.
    secrets: [Option<usize>; 3],
    /// Host, version, tier.
    shown: [Vec<u8>; 3],
    body: Vec<u8>,
}

/// Of more paths nothing is kept.
const PATHS_MAX: usize = 64;

/// Serves on `socket` until the listener is stopped.
///
/// # Errors
/// When the socket cannot be taken.
pub async fn serve<R: Runtime>(rt: R, socket: R::Socket, options: Options) -> io::Result<()> {
    let listener = rt.listen(socket)?;
    let rng = RefCell::new(Rng::new(options.seed));
    let (serial, answered) = (Cell::new(0), Cell::new(0));
    let state = Rc::new(State { options, serial, rng, answered, last: RefCell::default() });
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
            match understand(&inbox, state, rt.unix_millis()) {
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
        let Some(out) = give(&rt, &conn, &state.options, (reply, fault), spare).await else {
            conn.abort();
            return;
        };
        spare = out;
    }
}

/// One whole request at the start of `inbox`: its length, its answer, and the fault it gets.
type Understood = (usize, Reply, Option<Fault>);

fn understand(inbox: &[u8], state: &State, now_ms: u64) -> Result<Option<Understood>, WireError> {
    let Some(length) = HeadScan::new().find(inbox) else { return Ok(None) };
    let mut store = field_store();
    let head = RequestHead::parse(inbox.get(..length).unwrap_or_default(), &LIMITS, &mut store)?;
    let framing = head.framing()?;
    let mut reader = BodyReader::new(framing, BODY_BYTES_MAX)?;
    let missing =
        |wanted: u64| u64::try_from(inbox.len() - length).is_ok_and(|arrived| arrived < wanted);
    if matches!(framing, Framing::Length(wanted) if missing(wanted)) {
        return Ok(None);
    }
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
    let asked = Asked {
        get: head.method == Method::Get,
        path: head.path(),
        query: head.query().unwrap_or_default(),
        fields: Fields {
            google_key: head.field("x-goog-api-key"),
            api_key: head.field("x-api-key"),
            authorization: head.field("authorization"),
            version: head.field("anthropic-version"),
            vertex_tier: head.field("x-vertex-ai-llm-shared-request-type"),
            host: head.field("host"),
        },
        body: slice.unwrap_or(&chunks),
        options: &state.options,
        serial,
        now_ms,
    };
    let (reply, fault) = answer(&asked, state);
    Ok(Some((at, reply, fault)))
}

fn answer(asked: &Asked<'_>, state: &State) -> (Reply, Option<Fault>) {
    if asked.path.starts_with("/__") {
        return (look(asked, state), None);
    }
    // An assertion is as good as a key for as long as it lives.
    if state.options.remember && asked.path != "/token" {
        note(asked, &mut state.last.borrow_mut());
    }
    let vendor = Vendor::of(asked);
    // The model's name may ask for a fault; else the rates decide.
    match route::named_fault(&vendor.model(asked)) {
        Err(reply) => (reply, None),
        Ok(named) => {
            let fault = named.or_else(|| {
                let mut rng = state.rng.borrow_mut();
                let hit = state.options.faults.iter().find(|(_, percent)| rng.percent(*percent));
                hit.map(|(fault, _)| *fault)
            });
            (route::answer(asked, &vendor, fault), fault)
        }
    }
}

/// What tests may look at.
fn look(asked: &Asked<'_>, state: &State) -> Reply {
    match asked.path {
        "/__stats" => Reply::json(200, format!("{{\"answered\":{}}}", state.answered.get())),
        "/__last" if state.options.remember => {
            let last = state.last.borrow();
            let one = |(path, noted): (&String, &Noted)| {
                format!(
                    "{}:{{\"query\":{},\"headers\":{{{}}},\"body\":{}}}",
                    quote(path),
                    quote(&noted.query),
                    fields_of(noted),
                    quote(&String::from_utf8_lossy(&noted.body))
                )
            };
            Reply::json(200, format!("{{{}}}", last.iter().map(one).collect::<Vec<_>>().join(",")))
        }
        _ => Reply::json(404, "{}"),
    }
}

/// Keeps a request for `/__last`. It is on the way of load tests, so buffers are used again.
fn note(asked: &Asked<'_>, last: &mut BTreeMap<String, Noted>) {
    if !last.contains_key(asked.path) {
        if last.len() >= PATHS_MAX {
            return;
        }
        last.insert(asked.path.to_owned(), Noted::default());
    }
    let Some(noted) = last.get_mut(asked.path) else { return };
    noted.query.clear();
    noted.query.push_str(asked.query);
    noted.body.clear();
    noted.body.extend_from_slice(asked.body);
    let Fields { google_key, api_key, authorization, version, vertex_tier, host } = asked.fields;
    noted.secrets = [google_key, api_key, authorization].map(|secret| secret.map(<[u8]>::len));
    for (kept, value) in noted.shown.iter_mut().zip([host, version, vertex_tier]) {
        kept.clear();
        kept.extend_from_slice(value.unwrap_or_default());
    }
}

/// The fields as JSON. Keys are only described.
fn fields_of(noted: &Noted) -> String {
    let secrets = ["x-goog-api-key", "x-api-key", "authorization"].into_iter().zip(noted.secrets);
    let secrets = secrets
        .filter_map(|(name, length)| length.map(|length| format!("\"{name}\":\"{length} bytes\"")));
    let names = ["host", "anthropic-version", "x-vertex-ai-llm-shared-request-type"];
    let shown = names.iter().zip(&noted.shown).filter(|(_, value)| !value.is_empty());
    let shown =
        shown.map(|(name, value)| format!("\"{name}\":{}", quote(&String::from_utf8_lossy(value))));
    secrets.chain(shown).collect::<Vec<_>>().join(",")
}
