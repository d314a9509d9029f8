//! Clients: they ask at random, alone and in bursts, read fast and slowly, and leave when they
//! like.

use std::rc::Rc;
use std::time::Duration;

use vertex_bridge::base::Tick;
use vertex_bridge::rt::virt::VirtConn;
use vertex_bridge::rt::{Conn, Runtime};

use super::answer::{self, Answer};
use super::book::{Fate, Kind, Question, World};
use super::inbox::{Inbox, send};
use super::plan::{Mood, Plan, WRITE_IDLE, gateway_address};

/// Clients of a burst come together at every multiple of this.
const BURST: u64 = 500_000_000;

/// Bytes of a body that nobody may take before its turn, and how many come with one write.
const FLOOD_BYTES: usize = 160 * 1024;
const FLOOD_PIECE: usize = 8 * 1024;

/// Where more stands behind a request nothing is read any more until it is answered, so that a
/// client that leaves is not noticed.
const EARLY_BYTES: usize = 4096;

/// What lies between a client and a running exchange: the network, the posted read and what it has
/// brought before, and the piece that is being written.
const FLOOD_TAKEN_MAX: usize = 16 * 1024 + 64 * 1024 + 4096 + FLOOD_PIECE;

/// What lies between an upstream and a client that reads nothing: the network twice, a read, and
/// what becomes of it.
const UNREAD_MAX: usize = 4 * 16 * 1024 + 64 * 1024;

/// A request that was written down.
struct Asked {
    question: usize,
    stream: bool,
    bytes: Vec<u8>,
}

pub(super) async fn run(world: Rc<World>) {
    let rt = world.rt.clone();
    rt.sleep(Duration::from_millis(rt.below(300))).await;
    while world.quota.get() > 0 {
        let Ok(conn) = rt.connect(gateway_address()).await else {
            if world.drained.get().is_none() {
                world.wrong("the gateway refused a connection");
            }
            break;
        };
        let mut inbox = Inbox::new(conn);
        let shard = if rt.below(10) < 6 { ask_shard(&world, &mut inbox).await } else { None };
        while world.quota.get() > 0 && converse(&world, &mut inbox, shard).await {
            if rt.below(3) == 0 {
                rt.sleep(Duration::from_millis(rt.below(400))).await;
            }
        }
        inbox.conn.abort();
    }
    world.clients_done.set(world.clients_done.get() + 1);
}

/// Which shard serves this connection?
async fn ask_shard(world: &World, inbox: &mut Inbox) -> Option<usize> {
    let request = b"GET /health HTTP/1.1\r\nhost: g\r\n\r\n";
    if !send(&inbox.conn, request).await {
        return None;
    }
    let (_, body) = inbox.message(&world.rt).await?;
    body.split_once("\"shard\":")?.1.trim_end_matches('}').parse().ok()
}

/// Sends one or more requests and reads their answers; false when the connection has ended.
async fn converse(world: &Rc<World>, inbox: &mut Inbox, shard: Option<usize>) -> bool {
    let rt = &world.rt;
    if world.plan.mood == Mood::Bursts && rt.below(10) < 7 {
        let late = BURST - rt.now().0 % BURST;
        rt.sleep(Duration::from_nanos(late)).await;
    }
    let flood = rt.below(100) < 2;
    let count = if flood { 2 } else { [1, 1, 1, 1, 1, 1, 1, 2, 2, 3][below(world, 10)] };
    let mut asked = Vec::new();
    for place in 0..count {
        if world.quota.get() == 0 {
            break;
        }
        world.quota.set(world.quota.get() - 1);
        let padding = match rt.below(20) {
            _ if flood && place == 1 => FLOOD_BYTES,
            0 => below(world, 20_000),
            _ => below(world, 200),
        };
        asked.push(ask(world, shard, padding));
    }
    if !transmit(world, inbox, &asked, flood).await {
        return leave(world, inbox, &asked, "left while sending");
    }
    if rt.below(100) < 14 {
        return depart(world, inbox, &asked).await;
    }
    inbox.pace = (rt.below(100) < 6).then(|| {
        let wait = Duration::from_millis(1 + rt.below(30));
        (1 + below(world, 1500), wait)
    });
    for place in 0..asked.len() {
        if !receive(world, inbox, &asked, place).await {
            return false;
        }
    }
    true
}

/// Makes up a request, and writes it down.
fn ask(world: &World, shard: Option<usize>, padding: usize) -> Asked {
    let (rt, plan) = (&world.rt, &world.plan);
    let stream = rt.below(2) == 0;
    let question = world.questions.borrow().len();
    let mut key = [0, 0, 0, 1, 2, 3][below(world, 6)];
    let mut route = [Plan::SOLO, Plan::SOLO, 1, 1, 2][below(world, 5)];
    if plan.mood == Mood::Crowd && rt.below(10) > 0 {
        (key, route) = (0, Plan::SOLO);
    }
    let kind = match rt.below(100) {
        0 => Kind::WrongKey,
        1 => Kind::NoModel,
        2 => Kind::NotAllowed,
        _ => Kind::Good,
    };
    match kind {
        Kind::NotAllowed => (key, route) = (3, 1),
        _ if key == 3 => route = Plan::SOLO,
        _ => {}
    }
    let model = if kind == Kind::NoModel { "nobody" } else { plan.routes[route].model };
    if kind == Kind::NoModel && key == 3 {
        key = 0;
    }
    let secret = match kind {
        Kind::WrongKey => "sk-client-wrong-0123456789",
        _ => plan.keys[key].secret.as_str(),
    };
    let padding = "p".repeat(padding);
    let body = format!(
        "{{\"model\":\"{model}\",\"stream\":{stream},\
         \"messages\":[{{\"role\":\"user\",\"content\":\"q-{question}-{padding}\"}}]}}"
    );
    let bytes = framed(secret, &body, rt.below(4) == 0);
    let now = rt.now();
    world.questions.borrow_mut().push(Question {
        kind,
        key,
        route,
        shard,
        alone: false,
        watched: false,
        began: now,
        sent: Tick::NEVER,
        estimate: (body.len() as u64).div_ceil(4),
        attempts: Vec::new(),
        fate: Fate::Open,
        ended: Tick::NEVER,
    });
    Asked { question, stream, bytes }
}

fn framed(secret: &str, body: &str, chunked: bool) -> Vec<u8> {
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {secret}\r\n\
         content-type: application/json"
    );
    if chunked {
        let (first, second) = body.split_at(body.len() / 2);
        let (one, two) = (first.len(), second.len());
        let chunks = format!("{one:x}\r\n{first}\r\n{two:x}\r\n{second}\r\n0\r\n\r\n");
        return format!("{head}\r\ntransfer-encoding: chunked\r\n\r\n{chunks}").into_bytes();
    }
    format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Sends the requests, in one piece or in two; false when the client leaves or has to.
async fn transmit(world: &Rc<World>, inbox: &Inbox, asked: &[Asked], flood: bool) -> bool {
    let rt = &world.rt;
    let mut bytes: Vec<u8> = Vec::new();
    let now_sent = if flood { 1 } else { asked.len() };
    for one in asked.iter().take(now_sent) {
        bytes.extend_from_slice(&one.bytes);
    }
    let began = rt.now();
    world.count_more("requests sent", asked.len() as u64);
    let whole = rt.below(4) > 0;
    if !whole {
        let cut = below(world, bytes.len() as u64);
        let tail = bytes.split_off(cut);
        if !send(&inbox.conn, &bytes).await || rt.below(10) == 0 {
            return false;
        }
        rt.sleep(Duration::from_millis(rt.below(50))).await;
        bytes = tail;
    }
    // What does not fit into the network would wait for the shard: the time would be another.
    let short = bytes.len() < 8 * 1024;
    let last = rt.now();
    if !send(&inbox.conn, &bytes).await {
        return false;
    }
    for (place, one) in asked.iter().enumerate() {
        let mut questions = world.questions.borrow_mut();
        let question = &mut questions[one.question];
        let behind = asked.iter().skip(place + 1).map(|other| other.bytes.len()).sum::<usize>();
        question.watched = behind < EARLY_BYTES;
        (question.began, question.sent) = (began, last);
        question.alone = place == 0 && short && whole && inbox.is_empty();
    }
    if flood && let [first, second] = asked {
        let (world, conn) = (Rc::clone(world), inbox.conn.clone());
        let (first, bytes) = (first.question, second.bytes.clone());
        rt.spawn(async move { pour(&world, &conn, first, &bytes).await });
    }
    true
}

/// Writes a large request behind one that is being answered. As long as that is so, only so much
/// of it may be taken.
async fn pour(world: &World, conn: &VirtConn, first: usize, bytes: &[u8]) {
    let mut written = 0;
    for piece in bytes.chunks(FLOOD_PIECE) {
        if !send(conn, piece).await {
            return;
        }
        written += piece.len();
        if written > FLOOD_TAKEN_MAX && answer::is_awaited(world, first) {
            world.wrong(format!("{written} bytes behind q-{first} were taken before their turn"));
            return;
        }
    }
    world.count("large request behind another");
}

/// Leaves at some moment: at any, or soon after the upstream was asked, or with the first bytes.
async fn depart(world: &World, inbox: &mut Inbox, asked: &[Asked]) -> bool {
    let rt = &world.rt;
    let before = inbox.taken;
    match rt.below(4) {
        0 => rt.sleep(Duration::from_millis(rt.below(600))).await,
        1 => rt.sleep(Duration::from_millis(rt.below(30))).await,
        2 => {
            let first = asked.first().map_or(0, |one| one.question);
            for _ in 0..100 {
                if world.last_attempt(first).is_some() {
                    break;
                }
                rt.sleep(Duration::from_millis(5)).await;
            }
            rt.sleep(Duration::from_millis(rt.below(60))).await;
        }
        _ => {
            inbox.more(rt).await;
            rt.sleep(Duration::from_millis(rt.below(60))).await;
        }
    }
    let first = asked.first().map_or(0, |one| one.question);
    let waits = || {
        let gates = world.shards.iter().flat_map(|shard| &shard.upstreams);
        gates.map(|upstream| upstream.gate.waiting()).sum::<usize>() > 0
    };
    let phase = match world.last_attempt(first) {
        _ if inbox.taken > before => "left while it was answered",
        Some(_) => "left while the upstream was awaited",
        None if waits() => "left while queued",
        None => "left before the upstream was asked",
    };
    leave(world, inbox, asked, phase)
}

/// The client leaves: it closes, or it vanishes with what it has not read.
fn leave(world: &World, inbox: &Inbox, asked: &[Asked], phase: &'static str) -> bool {
    world.count(phase);
    if world.rt.below(2) == 0 {
        inbox.conn.abort();
    }
    give_up(world, asked);
    false
}

fn give_up(world: &World, asked: &[Asked]) {
    let now = world.rt.now();
    let mut questions = world.questions.borrow_mut();
    for one in asked {
        let question = &mut questions[one.question];
        if question.fate == Fate::Open {
            (question.fate, question.ended) = (Fate::Left, now);
        }
    }
}

/// Reads the answer at this place; false when the connection has ended.
async fn receive(world: &World, inbox: &mut Inbox, asked: &[Asked], place: usize) -> bool {
    let rt = &world.rt;
    let Asked { question, stream, .. } = asked[place];
    // Longer than the gateway waits for a client that takes nothing, or a little less.
    let stalls = rt.below(200) == 0;
    if stalls {
        inbox.stalled = true;
        let before = inbox.taken;
        inbox.more(rt).await;
        rt.sleep(WRITE_IDLE / 2 + Duration::from_millis(rt.below(2000))).await;
        check_unread(world, question, inbox.taken - before);
    }
    let got = inbox.message(rt).await;
    let Some((head, body)) = got else {
        // An answer is lost where more stands behind it than the gateway takes before it closes.
        let flood = asked.iter().any(|one| one.bytes.len() > FLOOD_BYTES);
        let drained = world.drained.get().is_some_and(|_| world.last_attempt(question).is_none());
        if inbox.stalled || inbox.pace.is_some() {
            world.count("cut off: too slow");
        } else if flood || drained {
            world.count("cut off: idle in a drain, or with too much unread");
        } else {
            let after = place.checked_sub(1).map(|before| world.told(asked[before].question));
            let told = world.told(question);
            let after = after.unwrap_or_default();
            world.wrong(format!("no answer, stream {stream}: {told}\nbehind {after}"));
        }
        give_up(world, asked);
        return false;
    };
    let answer = Answer { question, stream, head: &head, body: &body };
    let fate = answer::judge(world, answer);
    let mut questions = world.questions.borrow_mut();
    (questions[question].fate, questions[question].ended) = (fate, rt.now());
    drop(questions);
    if head.contains("connection: close") || fate == Fate::Broken {
        give_up(world, asked);
        return false;
    }
    true
}

/// An upstream cannot say much more than its client has read.
fn check_unread(world: &World, question: usize, taken: usize) {
    let Some(attempt) = world.last_attempt(question) else { return };
    let attempts = world.attempts.borrow();
    let said = attempts[attempt].said;
    if said > taken + UNREAD_MAX {
        world.wrong(format!("{said} bytes were said to q-{question}, {taken} read"));
    }
    drop(attempts);
    world.count("client that stalled");
}

fn below(world: &World, bound: u64) -> usize {
    usize::try_from(world.rt.below(bound)).unwrap_or(0)
}
