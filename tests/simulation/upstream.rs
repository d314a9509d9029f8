//! Upstreams: each answers in its vendor's words, with every fault that a server can have.

use std::fmt::Write as _;
use std::rc::Rc;
use std::time::Duration;

use vertex_bridge::base::Rng;
use vertex_bridge::rt::virt::{Virt, VirtConn, VirtSocket};
use vertex_bridge::rt::{Listener, Runtime};

use super::book::World;
use super::inbox::{Inbox, send};
use super::plan::{Vendor, upstream_address};

/// Texts of one large answer, and the size of each.
const LARGE_TEXTS: u64 = 250;
const LARGE_BYTES: usize = 1000;

/// What an upstream does with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Behaviour {
    Whole,
    Paced,
    /// Says nothing for a while.
    Slow,
    /// More than all buffers on the way hold.
    Large,
    CloseLater,
    StrayLater,
    StrayAtOnce,
    Interim,
    /// Its end is the end of the connection.
    UntilClose,
    CutHead,
    CutBody,
    NoFinish,
    Status400,
    Status401,
    Status404,
    Status429,
    Status500,
    Status503,
    Silent,
    NotJson,
    BadEvent,
}

pub(super) const BEHAVIOURS: [Behaviour; 21] = [
    Behaviour::Whole,
    Behaviour::Paced,
    Behaviour::Slow,
    Behaviour::Large,
    Behaviour::CloseLater,
    Behaviour::StrayLater,
    Behaviour::StrayAtOnce,
    Behaviour::Interim,
    Behaviour::UntilClose,
    Behaviour::CutHead,
    Behaviour::CutBody,
    Behaviour::NoFinish,
    Behaviour::Status400,
    Behaviour::Status401,
    Behaviour::Status404,
    Behaviour::Status429,
    Behaviour::Status500,
    Behaviour::Status503,
    Behaviour::Silent,
    Behaviour::NotJson,
    Behaviour::BadEvent,
];

/// What happens in a storm.
const STORM: [Behaviour; 6] = [
    Behaviour::Status503,
    Behaviour::Status503,
    Behaviour::Status500,
    Behaviour::Status429,
    Behaviour::Silent,
    Behaviour::CutBody,
];

impl Behaviour {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Paced => "paced",
            Self::Slow => "slow",
            Self::Large => "large",
            Self::CloseLater => "closes afterwards",
            Self::StrayLater => "stray bytes later",
            Self::StrayAtOnce => "stray bytes at once",
            Self::Interim => "interim answer first",
            Self::UntilClose => "ends with the connection",
            Self::CutHead => "head cut",
            Self::CutBody => "body cut",
            Self::NoFinish => "stream without its last event",
            Self::Status400 => "status 400",
            Self::Status401 => "status 401",
            Self::Status404 => "status 404",
            Self::Status429 => "status 429",
            Self::Status500 => "status 500",
            Self::Status503 => "status 503",
            Self::Silent => "silent",
            Self::NotJson => "no JSON",
            Self::BadEvent => "broken event",
        }
    }

    /// A client must get its whole answer, whatever happens to the link afterwards.
    pub(super) fn is_good(self) -> bool {
        self < Self::CutHead
    }
}

/// One request at one upstream.
struct Asked<'w> {
    world: &'w World,
    conn: &'w VirtConn,
    vendor: Vendor,
    behaviour: Behaviour,
    stream: bool,
    attempt: usize,
    texts: Vec<String>,
    usage: Option<u64>,
}

pub(super) async fn serve(world: Rc<World>, upstream: usize) {
    let rt = world.rt.clone();
    let Ok(listener) = rt.listen(VirtSocket(upstream_address(upstream))) else { return };
    while let Ok((accepted, _)) = listener.accept().await {
        let Ok(conn) = rt.adopt(accepted) else { return };
        let world = Rc::clone(&world);
        rt.spawn(async move { link(&world, upstream, Inbox::new(conn)).await });
    }
}

async fn link(world: &World, upstream: usize, mut inbox: Inbox) {
    let rt = &world.rt;
    let vendor = world.plan.vendors[upstream];
    let mut before: Option<(Behaviour, u64)> = None;
    while let Some((head, body)) = inbox.message(rt).await {
        let Some(question) = question(&body) else {
            return world.wrong(format!("u{upstream} got a request without a mark: {body}"));
        };
        let stream = match vendor {
            Vendor::Gemini => head.contains("streamgeneratecontent"),
            Vendor::OpenAi | Vendor::Anthropic => body.contains("\"stream\":true"),
        };
        let behaviour = behaviour(world, upstream, stream);
        world.count(behaviour.name());
        let (texts, usage) = texts(world, question, behaviour, &body);
        let mut first = String::new();
        let attempt = world.on_attempt(
            (question, upstream),
            behaviour,
            |attempt| {
                first = format!("a-{attempt}-{question}- ");
                first.clone() + &texts.concat()
            },
            &inbox.conn,
        );
        if let Some((behaviour, at)) = before {
            check_reuse(world, behaviour, (rt.now().0 - at, body.len()), attempt);
        }
        let texts = std::iter::once(first).chain(texts).collect();
        let conn = &inbox.conn;
        let asked = Asked { world, conn, vendor, behaviour, stream, attempt, texts, usage };
        let goes_on = asked.answer().await;
        world.on_attempt_end(attempt);
        if !goes_on || !after(rt, &inbox.conn, behaviour).await {
            return;
        }
        before = Some((behaviour, rt.now().0));
    }
}

/// Which question is this?
fn question(body: &str) -> Option<usize> {
    body.split_once("q-")?.1.split_once('-')?.0.parse().ok()
}

/// Good answers are the rule, but for storms.
fn behaviour(world: &World, upstream: usize, stream: bool) -> Behaviour {
    let rt = &world.rt;
    let second = rt.now().0 / 1_000_000_000;
    let place = (upstream as u64) << 32 | second;
    let weather = Rng::new(world.plan.seed ^ Rng::new(place).bits()).below(100);
    let any = |list: &[Behaviour]| list[usize::try_from(rt.below(list.len() as u64)).unwrap_or(0)];
    let chosen = match weather {
        0..12 if rt.below(100) < 90 => any(&STORM),
        12..40 if rt.below(100) < 60 => any(&[Behaviour::Slow, Behaviour::Paced]),
        _ if rt.below(100) < world.plan.odd => any(&BEHAVIOURS),
        _ => any(&[Behaviour::Whole, Behaviour::Whole, Behaviour::Whole, Behaviour::Paced]),
    };
    match chosen {
        Behaviour::BadEvent | Behaviour::NoFinish if !stream => Behaviour::NotJson,
        Behaviour::Large if rt.below(8) > 0 => Behaviour::Paced,
        other => other,
    }
}

/// What is said behind the mark, and how much it costs: never less than the estimate.
fn texts(
    world: &World,
    question: usize,
    behaviour: Behaviour,
    body: &str,
) -> (Vec<String>, Option<u64>) {
    let rt = &world.rt;
    let estimate = world.questions.borrow().get(question).map_or(0, |asked| asked.estimate);
    let usage = (rt.below(3) > 0).then(|| estimate + rt.below(100));
    if behaviour == Behaviour::Large {
        let long = "x".repeat(LARGE_BYTES);
        return ((0..LARGE_TEXTS).map(|place| format!("{place}{long} ")).collect(), usage);
    }
    let words = 1 + rt.below(6);
    // A word that is not worth a packet, and one that is worth several reads.
    let length = if rt.below(10) == 0 { body.len().min(3000) } else { 0 };
    let texts = (0..words).map(|word| format!("w{word}{} ", "y".repeat(length)));
    (texts.collect(), usage)
}

/// May a link carry another request after this?
fn check_reuse(
    world: &World,
    before: Behaviour,
    (nanos, body_bytes): (u64, usize),
    attempt: usize,
) {
    // A packet travels for at most nine milliseconds in each direction, and what the network does
    // not hold takes another turn; a faulty network may take as long as it likes.
    let turns = 1 + body_bytes as u64 / (8 * 1024);
    let crossing = nanos < 20_000_000 * turns || !world.plan.strict;
    match before {
        Behaviour::StrayLater | Behaviour::StrayAtOnce if crossing => {
            world.attempts.borrow_mut()[attempt].crossed = true;
        }
        Behaviour::StrayLater | Behaviour::StrayAtOnce => {
            world.wrong(format!("attempt {attempt} came on a link with stray bytes"));
        }
        Behaviour::BadEvent => {
            world.wrong(format!("attempt {attempt} came on a link whose answer was broken off"));
        }
        _ => {}
    }
}

/// A whole answer that nobody asked for.
const STRAY: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 6\r\n\r\nPOISON";

/// What the upstream does with the link behind its answer; false when it ends.
async fn after(rt: &Virt, conn: &VirtConn, behaviour: Behaviour) -> bool {
    match behaviour {
        Behaviour::CloseLater => {
            rt.sleep(Duration::from_millis(rt.below(30))).await;
            false
        }
        Behaviour::StrayAtOnce => send(conn, STRAY.as_bytes()).await,
        Behaviour::StrayLater => {
            rt.sleep(Duration::from_millis(1 + rt.below(30))).await;
            send(conn, STRAY.as_bytes()).await
        }
        _ => true,
    }
}

impl Asked<'_> {
    /// Answers; false when the link ends.
    async fn answer(&self) -> bool {
        let rt = &self.world.rt;
        match self.behaviour {
            Behaviour::Silent => {
                rt.sleep(Duration::from_secs(60)).await;
                false
            }
            Behaviour::CutHead => {
                send(self.conn, b"HTTP/1.1 200 OK\r\ncontent-").await;
                false
            }
            Behaviour::Status400 => self.status(400, "").await,
            Behaviour::Status401 => self.status(401, "").await,
            Behaviour::Status404 => self.status(404, "").await,
            Behaviour::Status500 => self.status(500, "").await,
            Behaviour::Status503 => self.status(503, "").await,
            Behaviour::Status429 => {
                let waits = ["", "retry-after: 0\r\n", "retry-after: 1\r\n", "retry-after: 60\r\n"];
                self.status(429, waits[usize::try_from(rt.below(4)).unwrap_or(0)]).await
            }
            Behaviour::NotJson => self.whole("200 OK", "", "<html>", 6).await,
            Behaviour::BadEvent => {
                let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                            transfer-encoding: chunked\r\n\r\n8\r\ndata: {\n\r\n2\r\n\n\n\r\n";
                if !send(self.conn, head.as_bytes()).await {
                    return false;
                }
                rt.sleep(Duration::from_millis(rt.below(60))).await;
                send(self.conn, b"2\r\n\n\n\r\n0\r\n\r\n").await
            }
            _ => self.good().await,
        }
    }

    /// An answer that is good, or good but for its end.
    async fn good(&self) -> bool {
        let rt = &self.world.rt;
        if self.behaviour == Behaviour::Slow {
            let most = u64::try_from(self.world.plan.first_byte.as_millis()).unwrap_or(0) * 3 / 4;
            rt.sleep(Duration::from_millis(rt.below(most))).await;
        }
        if self.behaviour == Behaviour::Interim {
            let interim = b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n";
            if !send(self.conn, interim).await {
                return false;
            }
        }
        if self.stream {
            return self.streamed().await;
        }
        let body = self.vendor_whole();
        let until_close = self.behaviour == Behaviour::UntilClose;
        if until_close {
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n";
            let sent = send(self.conn, format!("{head}{body}").as_bytes()).await;
            self.finished(sent);
            return false;
        }
        let cut = if self.behaviour == Behaviour::CutBody { 7 } else { 0 };
        let (piece, _) = body.split_at(body.len() - cut);
        let sent = self.whole("200 OK", "", piece, body.len()).await && cut == 0;
        self.finished(sent);
        sent
    }

    fn finished(&self, sent: bool) {
        let mut attempts = self.world.attempts.borrow_mut();
        attempts[self.attempt].finished = sent && self.behaviour.is_good();
    }

    async fn status(&self, status: u16, fields: &str) -> bool {
        let body = format!("{{\"error\":{{\"code\":{status},\"message\":\"no\"}}}}");
        self.whole(&format!("{status} X"), fields, &body, body.len()).await
    }

    async fn whole(&self, status: &str, fields: &str, body: &str, announced: usize) -> bool {
        let head = "content-type: application/json\r\ncontent-length";
        let text = format!("HTTP/1.1 {status}\r\n{fields}{head}: {announced}\r\n\r\n{body}");
        send(self.conn, text.as_bytes()).await
    }

    async fn streamed(&self) -> bool {
        let rt = &self.world.rt;
        let until_close = self.behaviour == Behaviour::UntilClose;
        let framing = if until_close { "" } else { "transfer-encoding: chunked\r\n" };
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n";
        let mut out = format!("{head}{framing}\r\n");
        let at_once = !matches!(self.behaviour, Behaviour::Paced | Behaviour::Large);
        for place in 0..self.texts.len() {
            let last = place + 1 == self.texts.len();
            if self.behaviour == Behaviour::CutBody && last {
                send(self.conn, out.as_bytes()).await;
                return false;
            }
            let finish = last && self.behaviour != Behaviour::NoFinish;
            let events = self.events(place, finish);
            if until_close {
                out.push_str(&events);
            } else if write!(out, "{:x}\r\n{events}\r\n", events.len()).is_err() {
                return false;
            }
            if !at_once {
                if !send(self.conn, out.as_bytes()).await {
                    return false;
                }
                out.clear();
                let said = self.texts[place].len();
                self.world.attempts.borrow_mut()[self.attempt].said += said;
                if self.behaviour == Behaviour::Paced {
                    rt.sleep(Duration::from_millis(rt.below(350))).await;
                }
            }
        }
        if !until_close {
            out.push_str("0\r\n\r\n");
        }
        let sent = send(self.conn, out.as_bytes()).await;
        self.finished(sent);
        sent && !until_close
    }

    /// The whole answer.
    fn vendor_whole(&self) -> String {
        let text = self.texts.concat();
        let cost = self.usage.unwrap_or(0);
        let usage =
            |openai: &str| if self.usage.is_some() { openai.to_owned() } else { String::new() };
        match self.vendor {
            Vendor::OpenAi => {
                let usage = usage(&format!(
                    ",\"usage\":{{\"prompt_tokens\":{cost},\"completion_tokens\":0,\
                     \"total_tokens\":{cost}}}"
                ));
                format!(
                    "{{\"id\":\"c\",\"object\":\"chat.completion\",\"created\":1,\"model\":\"m\",\
                     \"choices\":[{{\"index\":0,\"message\":{{\"role\":\"assistant\",\
                     \"content\":\"{text}\"}},\"finish_reason\":\"stop\"}}]{usage}}}"
                )
            }
            Vendor::Gemini => self.gemini(&text, true),
            Vendor::Anthropic => format!(
                "{{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"m\",\
                 \"content\":[{{\"type\":\"text\",\"text\":\"{text}\"}}],\
                 \"stop_reason\":\"end_turn\",\"stop_sequence\":null,\
                 \"usage\":{{\"input_tokens\":{cost},\"output_tokens\":0}}}}"
            ),
        }
    }

    /// One Gemini chunk or answer with this text.
    fn gemini(&self, text: &str, finish: bool) -> String {
        let finish = if finish { ",\"finishReason\":\"STOP\"" } else { "" };
        let usage = self.usage.map_or_else(String::new, |cost| {
            format!(",\"usageMetadata\":{{\"promptTokenCount\":{cost},\"totalTokenCount\":{cost}}}")
        });
        format!(
            "{{\"candidates\":[{{\"content\":{{\"parts\":[{{\"text\":\"{text}\"}}],\
             \"role\":\"model\"}}{finish},\"index\":0}}]{usage},\"modelVersion\":\"sim\"}}"
        )
    }

    /// The events that say the text at this place, and those that must stand around it.
    fn events(&self, place: usize, finish: bool) -> String {
        let text = &self.texts[place];
        match self.vendor {
            Vendor::Gemini => format!("data: {}\r\n\r\n", self.gemini(text, finish)),
            Vendor::OpenAi => {
                let chunk = |delta: &str, reason: &str| {
                    format!(
                        "data: {{\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\
                         \"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{{{delta}}},\
                         \"finish_reason\":{reason}}}]}}\n\n"
                    )
                };
                let mut events = chunk(&format!("\"content\":\"{text}\""), "null");
                if finish {
                    events += &chunk("", "\"stop\"");
                    events += "data: [DONE]\n\n";
                }
                events
            }
            Vendor::Anthropic => self.anthropic(place, finish),
        }
    }

    fn anthropic(&self, place: usize, finish: bool) -> String {
        let event = |kind: &str, rest: &str| {
            format!("event: {kind}\ndata: {{\"type\":\"{kind}\"{rest}}}\n\n")
        };
        let (text, cost) = (&self.texts[place], self.usage.unwrap_or(0));
        let mut events = String::new();
        if place == 0 {
            let usage = format!("\"usage\":{{\"input_tokens\":{cost},\"output_tokens\":0}}");
            events += &event(
                "message_start",
                &format!(
                    ",\"message\":{{\"id\":\"msg_1\",\"type\":\"message\",\
                     \"role\":\"assistant\",\"model\":\"m\",\"content\":[],\
                     \"stop_reason\":null,\"stop_sequence\":null,{usage}}}"
                ),
            );
            let block = ",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}";
            events += &event("content_block_start", block);
        }
        let delta =
            format!(",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\"{text}\"}}");
        events += &event("content_block_delta", &delta);
        if finish {
            events += &event("content_block_stop", ",\"index\":0");
            let end = format!(
                ",\"delta\":{{\"stop_reason\":\"end_turn\",\"stop_sequence\":null}},\
                 \"usage\":{{\"input_tokens\":{cost},\"output_tokens\":0}}"
            );
            events += &event("message_delta", &end);
            events += &event("message_stop", "");
        }
        events
    }
}
