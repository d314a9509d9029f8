//! When a failure scenario counts as passed: pure functions of what the upstreams saw and what the
//! client got. Nothing here knows how an upstream fails, or what the gateway did about it.
//!
//! - **pass**: the client got what is ideal, and every check is clean;
//! - **partial**: it got that, but an advisory check is not clean;
//! - **safe**: it got a clean error in time instead, and every required check is clean;
//! - **fail**: anything else, above all a part of an answer that is presented as the whole.

use std::fmt;
use std::time::Duration;

/// Every healthy answer.
pub(super) const TEXT: &str = "A bridge is judged on the day of the flood, not in the dry \
    months when anyone could wade across. Its builder counts what the water may carry, leaves room \
    beneath the arch, and sets each stone so that the loss of one does not take the others. \
    Travellers who cross at night need not know that the river rose.";

/// What an upstream said to one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// The whole answer, in time.
    Whole,
    /// An error of this status.
    Status(u16),
    /// It refuses to continue an assistant's message.
    NoPrefill,
    /// Something else; in these words.
    Broken(&'static str),
}

/// One attempt, as an upstream's socket saw it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    /// When the request had arrived, counted from the scenario's begin.
    pub(super) at: Duration,
    /// At the model that is to fail, or at its fallback?
    pub(super) at_primary: bool,
    pub(super) said: Said,
}

/// How an answer ended for the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With `[DONE]` and the end of the body.
    Done,
    /// With the end of the body alone, which SDKs take for success.
    Unmarked,
    /// With an error of this code, by its status or as an event.
    Error(String),
    /// Without an end, or with something that is no event.
    Broken(&'static str),
    /// Not at all, in the time that the scenario has.
    Never,
}

/// What the client got for one request.
#[derive(Clone, Debug)]
pub(super) struct Got {
    /// When it asked, counted from the scenario's begin.
    pub(super) asked: Duration,
    /// From asking to the end.
    pub(super) took: Duration,
    pub(super) end: End,
    pub(super) text: String,
    /// The last model that an event named.
    pub(super) model: String,
    pub(super) usage: bool,
    /// The reason with which the answer finished.
    pub(super) finish: String,
}

impl Got {
    fn is_success(&self) -> bool {
        matches!(self.end, End::Done | End::Unmarked)
    }

    fn is_complete(&self) -> bool {
        self.is_success() && self.text == TEXT
    }
}

/// All that is known when a scenario is over.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// By the time at which they arrived.
    pub(super) attempts: Vec<Attempt>,
    pub(super) got: Vec<Got>,
    /// The name of the fallback's model.
    pub(super) fallback: &'static str,
    /// Was a healthy request served afterwards?
    pub(super) alive: bool,
}

impl Seen {
    fn primary(&self) -> impl Iterator<Item = &Attempt> {
        self.attempts.iter().filter(|attempt| attempt.at_primary)
    }

    fn fallbacks(&self) -> usize {
        self.attempts.iter().filter(|attempt| !attempt.at_primary).count()
    }

    /// From the first question to the end of the last answer.
    fn took(&self) -> Duration {
        let begin = self.got.iter().map(|got| got.asked).min().unwrap_or_default();
        let end = self.got.iter().map(|got| got.asked + got.took).max().unwrap_or_default();
        end.saturating_sub(begin)
    }
}

/// Something that a scenario wants beside its ideal end.
#[derive(Clone, Copy, Debug)]
pub(super) enum Check {
    /// Attempts at the primary, at least.
    Retried(usize),
    /// Attempts at the primary, at most.
    Bounded(usize),
    /// Attempts at the primary in the time after the first one, at most.
    NoHammer(usize, Duration),
    /// Between the first and the second attempt at the primary passes at least so much.
    Waited(Duration),
    /// The fallback was asked.
    FallbackAsked,
    /// The fallback was not asked.
    FallbackSpared,
    /// All is over in this time.
    Within(Duration),
    /// The answer tells its tokens.
    Usage,
    /// The answer names the fallback's model.
    NamesFallback,
    /// The error has this code.
    Code(&'static str),
    /// A healthy request is served afterwards.
    Alive,
    /// The fallback's refusal of a prefill is not what the client gets.
    NoMaskedPrefill,
    /// Every request that was sent before this time was served.
    ServedUntil(Duration),
    /// The primary answers again within the second time after the first.
    BackAfter(Duration, Duration),
    /// The answer ends as the API wants: with a reason and `[DONE]`.
    ProperEnd,
}

/// Does a check that is not clean make a scenario fail, or only less than passed?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    Required,
    Advisory,
}

/// What the client ought to get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ideal {
    /// The whole text.
    Answer,
    /// A clean error.
    Error,
}

/// The rules of one scenario.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) ideal: Ideal,
    pub(super) checks: &'static [(Check, Weight)],
}

/// How a scenario went, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    Pass,
    Partial,
    Safe,
    Fail,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pass => "pass",
            Self::Partial => "partial",
            Self::Safe => "safe",
            Self::Fail => "fail",
        })
    }
}

/// Judges a scenario, with the reason.
pub(super) fn judge(rules: &Rules, seen: &Seen) -> (Verdict, String) {
    if let Some(what) = unbearable(rules, seen) {
        return (Verdict::Fail, what);
    }
    let unclean = |weight: Weight| -> Vec<String> {
        let checks = rules.checks.iter().filter(|(_, of)| *of == weight);
        checks.filter_map(|(check, _)| check.complaint(seen)).collect()
    };
    let (required, advisory) = (unclean(Weight::Required), unclean(Weight::Advisory));
    if !required.is_empty() {
        return (Verdict::Fail, required.join("; "));
    }
    let answered = seen.got.iter().all(Got::is_success);
    match (rules.ideal, answered) {
        (Ideal::Error, true) => (Verdict::Partial, "answered around the refusal".to_owned()),
        (Ideal::Answer, false) => (Verdict::Safe, error_of(seen)),
        _ if !advisory.is_empty() => (Verdict::Partial, advisory.join("; ")),
        (Ideal::Answer, true) => (Verdict::Pass, "the whole answer".to_owned()),
        (Ideal::Error, false) => (Verdict::Pass, error_of(seen)),
    }
}

/// What no check could make good.
fn unbearable(rules: &Rules, seen: &Seen) -> Option<String> {
    if seen.got.is_empty() {
        return Some("nothing was asked".to_owned());
    }
    seen.got.iter().find_map(|got| match &got.end {
        End::Never => Some("no end in time".to_owned()),
        End::Broken(how) => Some((*how).to_owned()),
        _ if rules.ideal == Ideal::Answer && got.is_success() && !got.is_complete() => {
            let words = got.text.split_whitespace().count();
            let kind = if TEXT.starts_with(&got.text) { "a part" } else { "something else" };
            Some(format!("{kind} presented as the answer: {words} words"))
        }
        _ => None,
    })
}

fn error_of(seen: &Seen) -> String {
    let code = seen.got.iter().find_map(|got| match &got.end {
        End::Error(code) => Some(code.as_str()),
        _ => None,
    });
    format!("an error: {}", code.unwrap_or("?"))
}

impl Check {
    /// What is wrong, if anything is.
    fn complaint(self, seen: &Seen) -> Option<String> {
        let primary = seen.primary().count();
        match self {
            Self::Retried(least) => (primary < least)
                .then(|| format!("{primary} attempts at the primary, at least {least} wanted")),
            Self::Bounded(most) => (primary > most)
                .then(|| format!("{primary} attempts at the primary, at most {most} allowed")),
            Self::NoHammer(most, window) => hammered(seen, most, window),
            Self::Waited(least) => too_soon(seen, least),
            Self::FallbackAsked => {
                (seen.fallbacks() == 0).then(|| "the fallback was not asked".to_owned())
            }
            Self::FallbackSpared => {
                (seen.fallbacks() > 0).then(|| "the fallback was asked".to_owned())
            }
            Self::Within(most) => (seen.took() > most)
                .then(|| format!("took {:.1?}, at most {most:?} allowed", seen.took())),
            Self::ServedUntil(until) => unserved(seen, until),
            Self::BackAfter(down, within) => away(seen, down, within),
            Self::Alive => (!seen.alive).then(|| "a healthy request failed afterwards".to_owned()),
            Self::NoMaskedPrefill => masked(seen),
            Self::Usage | Self::NamesFallback | Self::Code(_) | Self::ProperEnd => {
                seen.got.iter().find_map(|got| self.complaint_about(got, seen.fallback))
            }
        }
    }

    /// What is wrong with one answer.
    fn complaint_about(self, got: &Got, fallback: &str) -> Option<String> {
        match (self, &got.end) {
            (Self::Code(code), End::Error(found)) if found == code => None,
            (Self::Code(code), end) => Some(format!("{end:?} instead of the error {code}")),
            // An error says nothing of what follows here, and is judged as such.
            (_, End::Error(_)) => None,
            (Self::Usage, _) => (!got.usage).then(|| "no usage".to_owned()),
            (Self::NamesFallback, _) => (got.model != fallback)
                .then(|| format!("the answer names {:?}, not {fallback}", got.model)),
            (Self::ProperEnd, end) => (*end != End::Done || got.finish != "stop")
                .then(|| format!("ended {end:?} with the reason {:?}", got.finish)),
            _ => None,
        }
    }
}

fn hammered(seen: &Seen, most: usize, window: Duration) -> Option<String> {
    let first = seen.primary().map(|attempt| attempt.at).min()?;
    let count = seen.primary().filter(|attempt| attempt.at - first < window).count();
    (count > most).then(|| format!("{count} attempts in {window:?}, at most {most} allowed"))
}

fn too_soon(seen: &Seen, least: Duration) -> Option<String> {
    let times: Vec<Duration> = seen.primary().map(|attempt| attempt.at).collect();
    let [first, second, ..] = times[..] else {
        return Some("no second attempt at the primary".to_owned());
    };
    let gap = second.saturating_sub(first);
    (gap < least).then(|| format!("asked again after {gap:.1?}, at least {least:?} wanted"))
}

fn masked(seen: &Seen) -> Option<String> {
    let refused = seen.attempts.iter().any(|attempt| attempt.said == Said::NoPrefill);
    let failed = seen.got.iter().any(|got| !got.is_success());
    (refused && failed).then(|| "the refused prefill became the client's error".to_owned())
}

fn unserved(seen: &Seen, until: Duration) -> Option<String> {
    let all: Vec<&Got> = seen.got.iter().filter(|got| got.asked < until).collect();
    let served = all.iter().filter(|got| got.is_complete()).count();
    (all.is_empty() || served < all.len())
        .then(|| format!("{served} of {} served before {until:?}", all.len()))
}

fn away(seen: &Seen, down: Duration, within: Duration) -> Option<String> {
    let answered = seen.primary().filter(|attempt| attempt.said == Said::Whole);
    let Some(first) = answered.map(|attempt| attempt.at).min() else {
        return Some("the primary never answered again".to_owned());
    };
    let after = first.saturating_sub(down);
    (after > within).then(|| format!("back only after {after:.1?}, at most {within:?} allowed"))
}
