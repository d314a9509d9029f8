//! What a client may get for what it has asked.

use super::book::{Attempt, Fate, Kind, Question, World};

/// The errors that a client may be told, by their codes.
const CODES: [&str; 13] = [
    "invalid_api_key",
    "permission_denied",
    "model_not_found",
    "rate_limit_exceeded",
    "upstream_auth_error",
    "upstream_error",
    "upstream_overloaded",
    "upstream_timeout",
    "upstream_connection_error",
    "upstream_invalid_response",
    "upstream_truncated",
    "upstream_unavailable",
    "overloaded",
];

/// The code of a refusal while the gateway ends.
const SHUTTING_DOWN: &str = "shutting_down";

/// A vendor's refusal, in its own words.
const VENDORS: &str = "in the vendor's words";

/// An answer as a client got it.
#[derive(Clone, Copy)]
pub(super) struct Answer<'a> {
    pub(super) question: usize,
    pub(super) stream: bool,
    pub(super) head: &'a str,
    pub(super) body: &'a str,
}

/// Notes what is wrong with an answer, and says what it is.
pub(super) fn judge(world: &World, answer: Answer<'_>) -> Fate {
    let fate = fate(world, answer).and_then(|fate| {
        let questions = world.questions.borrow();
        reason(world, &questions[answer.question], fate).map(|()| fate)
    });
    match fate {
        Ok(fate) => {
            world.count(match fate {
                Fate::Answered => "answered",
                Fate::Broken => "broken off with an error",
                Fate::Limited => "refused: rate",
                Fate::Failed(_, code) => code,
                Fate::Open | Fate::Left => "left",
            });
            fate
        }
        Err(what) => {
            let Answer { question, stream, head, body } = answer;
            let body = body.get(..body.len().min(2000)).unwrap_or_default();
            let told = world.told(question);
            world.wrong(format!("{what}, stream {stream}: {told}\n{head}{body}"));
            Fate::Left
        }
    }
}

fn fate(world: &World, answer: Answer<'_>) -> Result<Fate, &'static str> {
    let Answer { question, stream, head, body } = answer;
    let status = head.get(9..12).and_then(|status| status.parse::<u16>().ok());
    let Some(status) = status.filter(|_| head.starts_with("http/1.1 ")) else {
        return Err("an odd status line");
    };
    if status != 200 {
        return failed(status, body);
    }
    let text: String =
        body.split("\"content\":\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    if !stream {
        let count = |brace| body.matches(brace).count();
        let closed = body.ends_with('}') && count('{') == count('}');
        return if closed && is_whole(world, question, &text) {
            Ok(Fate::Answered)
        } else {
            Err("a wrong answer")
        };
    }
    let done = body.ends_with("data: [DONE]\n\n");
    let error = body.contains("data: {\"error\":{");
    match (done, error) {
        (true, false) if is_whole(world, question, &text) => Ok(Fate::Answered),
        (true, false) => Err("a stream that is not whole ends like a whole one"),
        (false, true) if is_begun(world, question, &text) => Ok(Fate::Broken),
        (false, true) => Err("a wrong part of an answer"),
        _ => Err("a stream without a right end"),
    }
}

fn failed(status: u16, body: &str) -> Result<Fate, &'static str> {
    if !body.starts_with("{\"error\":{") {
        return Err("an odd error");
    }
    if status == 429 && body.contains("limit of ") && body.contains(" is reached") {
        return Ok(Fate::Limited);
    }
    let code = body.split_once("\"code\":\"").and_then(|(_, rest)| rest.split('"').next());
    let Some(code) = code else {
        let known = matches!(status, 400 | 429);
        return if known {
            Ok(Fate::Failed(status, VENDORS))
        } else {
            Err("an error without code")
        };
    };
    let mut known = CODES.iter().chain([&SHUTTING_DOWN]);
    let code = known.find(|known| **known == code).ok_or("an odd code")?;
    Ok(Fate::Failed(status, code))
}

/// Is this all that one attempt at the question was answered with? What breaks behind the last
/// event of a stream harms nobody.
fn is_whole(world: &World, question: usize, text: &str) -> bool {
    let (questions, attempts) = (world.questions.borrow(), world.attempts.borrow());
    let mut of = questions[question].attempts.iter().map(|attempt| &attempts[*attempt]);
    let all_said = |attempt: &Attempt| attempt.finished || attempt.said == attempt.text.len();
    of.any(|attempt| attempt.text == text && attempt.behaviour.is_good() && all_said(attempt))
}

/// Is this the beginning of what one attempt was answered with?
fn is_begun(world: &World, question: usize, text: &str) -> bool {
    let (questions, attempts) = (world.questions.borrow(), world.attempts.borrow());
    let mut of = questions[question].attempts.iter().map(|attempt| &attempts[*attempt]);
    of.any(|attempt| attempt.text.starts_with(text))
}

/// Does the outcome fit what was asked, and what the upstreams did?
fn reason(world: &World, asked: &Question, fate: Fate) -> Result<(), &'static str> {
    let early = matches!(fate, Fate::Limited | Fate::Failed(503, "overloaded" | SHUTTING_DOWN));
    match (asked.kind, fate) {
        (Kind::WrongKey, Fate::Failed(401, "invalid_api_key"))
        | (Kind::NotAllowed, Fate::Failed(403, "permission_denied"))
        | (Kind::NoModel, Fate::Failed(404, "model_not_found")) => return Ok(()),
        (Kind::WrongKey, _) => return Err("a wrong key was let in"),
        (Kind::NotAllowed | Kind::NoModel, _) if early => return Ok(()),
        (Kind::NotAllowed | Kind::NoModel, _) => return Err("a model that is not served"),
        (Kind::Good, Fate::Failed(401 | 403, _)) => return Err("a good key was refused"),
        (Kind::Good, _) => {}
    }
    if fate == Fate::Limited && !asked.attempts.is_empty() {
        return Err("a request beyond the limit was asked");
    }
    if matches!(fate, Fate::Failed(_, SHUTTING_DOWN)) && world.drained.get().is_none() {
        return Err("the gateway does not end");
    }
    if !world.plan.strict || fate == Fate::Answered {
        return Ok(());
    }
    let attempts = world.attempts.borrow();
    let mut of = asked.attempts.iter().map(|attempt| &attempts[*attempt]);
    if of.any(|attempt| attempt.behaviour.is_good() && !attempt.crossed) {
        return Err("a good answer became an error");
    }
    // Stray bytes may be taken for the answer before the upstream has read the question.
    let codes = ["upstream_unavailable", "upstream_invalid_response"];
    let unasked = early || matches!(fate, Fate::Failed(_, code) if codes.contains(&code));
    if asked.attempts.is_empty() && !unasked {
        return Err("an error without a reason");
    }
    Ok(())
}

/// Is this question still being answered, by an upstream that has not said all?
pub(super) fn is_awaited(world: &World, question: usize) -> bool {
    let (questions, attempts) = (world.questions.borrow(), world.attempts.borrow());
    let asked = &questions[question];
    let Some(last) = asked.attempts.last().copied() else { return false };
    asked.fate == Fate::Open && !attempts[last].finished && world.is_busy(last)
}
