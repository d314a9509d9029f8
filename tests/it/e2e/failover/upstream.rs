//! The upstream of the failure scenarios: it speaks OpenAI's API, and the model's name says how it
//! fails. It does not know what is right; see `rules`.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use socket2::SockRef;

use super::super::upstream::read_request;
use super::cases::{NO_PREFILL, OUTAGE};
use super::rules::{Said, TEXT};

/// Before the first event, and between two words.
const FIRST: Duration = Duration::from_millis(150);
const WORD: Duration = Duration::from_millis(15);

/// One request, as it arrived.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    pub(super) at: Instant,
    pub(super) model: String,
    pub(super) said: Said,
}

/// A running upstream; it ends with the test's process.
pub(super) struct Upstream {
    pub(super) address: SocketAddr,
    inner: Arc<Inner>,
}

struct Inner {
    /// What S15 counts from.
    begin: Mutex<Instant>,
    arrivals: Mutex<Vec<Arrival>>,
}

impl Upstream {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let (begin, arrivals) = (Mutex::new(Instant::now()), Mutex::default());
        let inner = Arc::new(Inner { begin, arrivals });
        let shared = Arc::clone(&inner);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let inner = Arc::clone(&shared);
                thread::spawn(move || serve(stream, &inner));
            }
        });
        Self { address, inner }
    }

    /// The scenario begins.
    pub(super) fn begin(&self, at: Instant) {
        *self.inner.begin.lock().expect("nobody panics") = at;
    }

    /// All that has arrived so far.
    pub(super) fn arrivals(&self) -> Vec<Arrival> {
        self.inner.arrivals.lock().expect("nobody panics").clone()
    }
}

/// What is done with a request.
enum Deed {
    /// An error with this status, code and further field lines.
    Refuse(u16, &'static str, &'static str),
    /// The connection is reset.
    Reset,
    /// Nothing is said for so long.
    Silence(Duration),
    /// An answer that is streamed in some way.
    Answer(Way),
}

/// How an answer is streamed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Well,
    /// Nothing but the head for so long.
    Late(Duration),
    /// The connection ends behind so many words.
    Cut(usize),
    /// Behind so many words nothing comes for so long, then the connection ends.
    Stall(usize, Duration),
    /// Behind so many words comes an event that is no JSON.
    Garbage(usize),
    /// `[DONE]` is missing.
    Unmarked,
    /// So is the end of the body.
    Open,
}

/// What this model does with its attempt of this number, so long after the begin.
fn deed(model: &str, number: usize, since: Duration) -> Deed {
    let once = |deed| if number == 1 { deed } else { Deed::Answer(Way::Well) };
    match model {
        "fb-s01" => once(Deed::Refuse(429, "rate_limit_exceeded", "retry-after: 2\r\n")),
        "fb-s02" => Deed::Refuse(429, "rate_limit_exceeded", ""),
        "fb-s03" => once(Deed::Refuse(500, "server_error", "")),
        "fb-s04" | "fb-s16" => Deed::Refuse(503, "overloaded", ""),
        "fb-s05" => once(Deed::Reset),
        "fb-s06" => Deed::Silence(Duration::from_secs(120)),
        "fb-s07" => Deed::Answer(Way::Late(Duration::from_secs(20))),
        "fb-s08" | "fb-s14" | "fb-s14-wrong" => Deed::Answer(Way::Cut(40)),
        "fb-s09" => Deed::Answer(Way::Stall(20, Duration::from_secs(30))),
        // The role is the first event, the first word the second one.
        "fb-s10" => Deed::Answer(Way::Garbage(8)),
        "fb-s11" => Deed::Answer(Way::Unmarked),
        "fb-s11-open" => Deed::Answer(Way::Open),
        "fb-s12" => Deed::Refuse(400, "context_length_exceeded", ""),
        "fb-s13" => Deed::Refuse(400, "content_policy_violation", ""),
        "fb-s15" if since < OUTAGE => Deed::Refuse(503, "overloaded", ""),
        _ => Deed::Answer(Way::Well),
    }
}

impl Deed {
    fn said(&self) -> Said {
        match self {
            Self::Refuse(400, "invalid_prefill", _) => Said::NoPrefill,
            Self::Refuse(status, ..) => Said::Status(*status),
            Self::Reset => Said::Broken("reset"),
            Self::Silence(_) => Said::Broken("silent"),
            Self::Answer(Way::Well) => Said::Whole,
            Self::Answer(Way::Late(_)) => Said::Broken("late"),
            Self::Answer(Way::Cut(_)) => Said::Broken("cut"),
            Self::Answer(Way::Stall(..)) => Said::Broken("stalled"),
            Self::Answer(Way::Garbage(_)) => Said::Broken("garbage"),
            Self::Answer(Way::Unmarked | Way::Open) => Said::Broken("no [DONE]"),
        }
    }
}

fn serve(mut stream: TcpStream, inner: &Inner) {
    let mut inbox = Vec::new();
    while let Some((_head, body)) = read_request(&mut stream, &mut inbox) {
        let at = Instant::now();
        let request: Value = serde_json::from_str(&body).expect("the gateway sends JSON");
        let model = request["model"].as_str().unwrap_or_default().to_owned();
        let answer = Answer::to(&request, &model);
        let deed = {
            let mut arrivals = inner.arrivals.lock().expect("nobody panics");
            let number = 1 + arrivals.iter().filter(|arrival| arrival.model == model).count();
            let since = at.saturating_duration_since(*inner.begin.lock().expect("nobody panics"));
            let deed = match &answer {
                Some(_) => deed(&model, number, since),
                None => Deed::Refuse(400, "invalid_prefill", ""),
            };
            arrivals.push(Arrival { at, model, said: deed.said() });
            deed
        };
        // Who does not read on has left; the next connection is another thread's.
        if !matches!(perform(&mut stream, &deed, answer.as_ref()), Ok(true)) {
            return;
        }
    }
}

/// Does it; false when the connection ends with it.
fn perform(stream: &mut TcpStream, deed: &Deed, answer: Option<&Answer>) -> io::Result<bool> {
    match (deed, answer) {
        (Deed::Refuse(status, code, fields), _) => refuse(stream, *status, code, fields),
        (Deed::Reset, _) => {
            SockRef::from(&*stream).set_linger(Some(Duration::ZERO))?;
            Ok(false)
        }
        (Deed::Silence(time), _) => {
            // Until the other end has had enough of it.
            stream.set_read_timeout(Some(*time))?;
            let _left = stream.read(&mut [0]);
            Ok(false)
        }
        (Deed::Answer(_), Some(answer)) if !answer.stream => answer.whole(stream),
        (Deed::Answer(way), Some(answer)) => answer.stream(stream, *way),
        (Deed::Answer(_), None) => Ok(false),
    }
}

fn refuse(stream: &mut TcpStream, status: u16, code: &str, fields: &str) -> io::Result<bool> {
    let kind = match status {
        429 => "rate_limit_error",
        500.. => "server_error",
        _ => "invalid_request_error",
    };
    let error = json!({ "message": "as asked", "type": kind, "param": null, "code": code });
    let body = json!({ "error": error }).to_string();
    let length = body.len();
    let head = format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{fields}");
    write!(stream, "{head}content-length: {length}\r\n\r\n{body}")?;
    Ok(true)
}

/// What a healthy model says to a request.
struct Answer {
    model: String,
    /// The words, each with what stands before it.
    words: Vec<String>,
    stream: bool,
    usage: bool,
}

impl Answer {
    /// None when it refuses to continue what an assistant has begun.
    fn to(request: &Value, model: &str) -> Option<Self> {
        let last = request["messages"].as_array().and_then(|messages| messages.last());
        let begun = last.filter(|last| last["role"] == "assistant");
        if begun.is_some() && model == NO_PREFILL {
            return None;
        }
        let begun = begun.and_then(|begun| begun["content"].as_str()).unwrap_or_default();
        let left = TEXT.strip_prefix(begun.trim()).unwrap_or(TEXT);
        let words = left.split_whitespace().enumerate().map(|(place, word)| {
            let first = place == 0 && left.len() == TEXT.len();
            if first { word.to_owned() } else { format!(" {word}") }
        });
        Some(Self {
            model: model.to_owned(),
            words: words.collect(),
            stream: request["stream"] == true,
            usage: request["stream_options"]["include_usage"] == true,
        })
    }

    fn tokens(&self) -> Value {
        let count = self.words.len();
        json!({ "prompt_tokens": 9, "completion_tokens": count, "total_tokens": 9 + count })
    }

    fn whole(&self, stream: &mut TcpStream) -> io::Result<bool> {
        let message = json!({ "role": "assistant", "content": self.words.concat() });
        let choice = json!({ "index": 0, "message": message, "finish_reason": "stop" });
        let body = json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": self.model,
            "choices": [choice], "usage": self.tokens(),
        });
        let body = body.to_string();
        let length = body.len();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length";
        write!(stream, "{head}: {length}\r\n\r\n{body}")?;
        Ok(true)
    }

    fn stream(&self, stream: &mut TcpStream, way: Way) -> io::Result<bool> {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream";
        write!(stream, "{head}\r\ntransfer-encoding: chunked\r\n\r\n")?;
        thread::sleep(if let Way::Late(time) = way { time } else { FIRST });
        event(stream, &self.chunk(&json!({ "role": "assistant", "content": "" }), None))?;
        for (place, word) in self.words.iter().enumerate() {
            match way {
                Way::Cut(words) if place == words => return Ok(false),
                Way::Stall(words, time) if place == words => {
                    thread::sleep(time);
                    return Ok(false);
                }
                Way::Garbage(words) if place == words => {
                    event(stream, "{\"id\":\"chatcmpl-1\",\"choices\":[{\"delta\":{\"content\":")?;
                }
                _ => {}
            }
            event(stream, &self.chunk(&json!({ "content": word }), None))?;
            thread::sleep(WORD);
        }
        event(stream, &self.chunk(&json!({}), Some("stop")))?;
        if self.usage {
            let mut last = self.frame();
            last["choices"] = json!([]);
            last["usage"] = self.tokens();
            event(stream, &last.to_string())?;
        }
        if way == Way::Open {
            thread::sleep(Duration::from_secs(60));
            return Ok(false);
        }
        if way != Way::Unmarked {
            event(stream, "[DONE]")?;
        }
        stream.write_all(b"0\r\n\r\n")?;
        Ok(true)
    }

    fn frame(&self) -> Value {
        json!({
            "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1,
            "model": self.model,
        })
    }

    fn chunk(&self, delta: &Value, finish: Option<&str>) -> String {
        let mut frame = self.frame();
        frame["choices"] = json!([{ "index": 0, "delta": delta, "finish_reason": finish }]);
        frame.to_string()
    }
}

/// Writes one event as a chunk of its own.
fn event(stream: &mut TcpStream, data: &str) -> io::Result<()> {
    let event = format!("data: {data}\n\n");
    write!(stream, "{:x}\r\n{event}\r\n", event.len())
}

#[test]
fn a_model_continues_what_was_begun_or_refuses_to() {
    let ask = |model: &str, last: Value| {
        let messages = json!([{ "role": "user", "content": "?" }, last]);
        let answer = Answer::to(&json!({ "messages": messages }), model);
        answer.map(|answer| answer.words.concat())
    };
    let user = json!({ "role": "user", "content": "?" });
    let begun = json!({ "role": "assistant", "content": "A bridge is judged" });
    let other = json!({ "role": "assistant", "content": "Something else" });
    assert_eq!(ask("fb-ok", user.clone()).as_deref(), Some(TEXT));
    assert_eq!(ask(NO_PREFILL, user).as_deref(), Some(TEXT));
    let rest = ask("fb-ok", begun.clone()).expect("it continues");
    assert!(rest.starts_with(" on the day"), "{rest}");
    assert_eq!(format!("A bridge is judged{rest}"), TEXT);
    assert_eq!(ask("fb-ok", other).as_deref(), Some(TEXT));
    assert_eq!(ask(NO_PREFILL, begun), None);
    assert_eq!(TEXT.split_whitespace().count(), 60);
    assert_eq!(TEXT.split_whitespace().collect::<Vec<_>>().join(" "), TEXT);
}

#[test]
fn what_fails_once_is_healthy_then_and_an_outage_ends() {
    let said = |model, number, seconds| deed(model, number, Duration::from_secs(seconds)).said();
    for (model, first) in [("fb-s01", Said::Status(429)), ("fb-s05", Said::Broken("reset"))] {
        assert_eq!((said(model, 1, 0), said(model, 2, 0)), (first, Said::Whole));
    }
    for (seconds, want) in [(0, Said::Status(503)), (59, Said::Status(503)), (60, Said::Whole)] {
        assert_eq!(said("fb-s15", 9, seconds), want);
    }
    assert_eq!(said("fb-s02", 9, 99), Said::Status(429));
}
