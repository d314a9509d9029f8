//! The sixteen scenarios, which are those of a public catalogue (failoverbench, methodology
//! 0.1): which model fails and how, what stands behind it, and what has to come of it. Two of them
//! are played twice, because their fault has two forms.

use std::time::Duration;

use super::rules::Check::{
    Alive, BackAfter, Bounded, Code, FallbackAsked, FallbackSpared, NamesFallback, NoHammer,
    NoMaskedPrefill, ProperEnd, Retried, ServedUntil, Usage, Waited, Within,
};
use super::rules::Weight::{Advisory, Required};
use super::rules::{Check, Ideal, Rules, Weight};

/// What a scenario's primary does after its begin in S15, and for how long.
pub(super) const OUTAGE: Duration = Duration::from_secs(60);

/// A fallback that continues an assistant's message, and one that refuses to.
pub(super) const OK: &str = "fb-ok";
pub(super) const NO_PREFILL: &str = "fb-ok-noprefill";

/// One scenario.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub(super) id: &'static str,
    /// What is sent to the upstream as the primary's model; it decides how that fails.
    pub(super) model: &'static str,
    /// The same in words.
    pub(super) fault: &'static str,
    pub(super) fallback: &'static str,
    /// Does the configuration say that the fallback continues an assistant's message?
    pub(super) prefill: bool,
    /// So many requests.
    pub(super) count: u32,
    /// From the begin of one request to that of the next.
    pub(super) every: Duration,
    /// What has not ended after this time never will.
    pub(super) limit: Duration,
    pub(super) rules: Rules,
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn case(
    (id, model): (&'static str, &'static str),
    fault: &'static str,
    limit: u64,
    checks: &'static [(Check, Weight)],
) -> Case {
    Case {
        id,
        model,
        fault,
        fallback: OK,
        prefill: false,
        count: 1,
        every: Duration::ZERO,
        limit: seconds(limit),
        rules: Rules { ideal: Ideal::Answer, checks },
    }
}

const CUT: &[(Check, Weight)] =
    &[(NoMaskedPrefill, Required), (ProperEnd, Advisory), (Alive, Required)];

const ACCOUNTED: &[(Check, Weight)] = &[
    (Bounded(6), Required),
    (FallbackAsked, Required),
    (NamesFallback, Required),
    (Usage, Advisory),
    (ProperEnd, Advisory),
    (Alive, Required),
];

const UNMARKED: &[(Check, Weight)] =
    &[(Within(seconds(8)), Required), (Usage, Advisory), (ProperEnd, Advisory), (Alive, Required)];

/// All of them.
pub(super) const CASES: [Case; 18] = [
    case(
        ("S01", "fb-s01"),
        "429 with `retry-after: 2`, once",
        20,
        &[
            (Retried(2), Advisory),
            (Waited(Duration::from_millis(1800)), Advisory),
            (NoHammer(2, Duration::from_millis(1500)), Required),
            (ProperEnd, Advisory),
            (Alive, Required),
        ],
    ),
    case(
        ("S02", "fb-s02"),
        "429 without `retry-after`, always",
        40,
        &[
            (NoHammer(4, seconds(3)), Required),
            (Bounded(6), Required),
            (FallbackAsked, Required),
            (ProperEnd, Advisory),
            (Alive, Required),
        ],
    ),
    case(
        ("S03", "fb-s03"),
        "500, once",
        20,
        &[(Retried(2), Advisory), (ProperEnd, Advisory), (Alive, Required)],
    ),
    case(("S04", "fb-s04"), "503, always", 40, ACCOUNTED),
    case(
        ("S05", "fb-s05"),
        "a reset before the head, once",
        20,
        &[(ProperEnd, Advisory), (Alive, Required)],
    ),
    case(
        ("S06", "fb-s06"),
        "accepts, and says nothing for 120 s",
        130,
        &[
            (Within(seconds(100)), Required),
            (Bounded(1), Advisory),
            (Retried(1), Required),
            (FallbackAsked, Required),
            (ProperEnd, Advisory),
            (Alive, Required),
        ],
    ),
    case(
        ("S07", "fb-s07"),
        "a head at once, the first token after 20 s",
        60,
        &[(Within(seconds(15)), Advisory), (ProperEnd, Advisory), (Alive, Required)],
    ),
    Case { prefill: true, ..case(("S08", "fb-s08"), "cut after 40 of 60 words", 40, CUT) },
    case(
        ("S09", "fb-s09"),
        "silence for 30 s after 20 words, then closed",
        70,
        &[(Within(seconds(45)), Required), (ProperEnd, Advisory), (Alive, Required)],
    ),
    case(
        ("S10", "fb-s10"),
        "the tenth event is no JSON",
        30,
        &[(ProperEnd, Advisory), (Alive, Required)],
    ),
    case(("S11", "fb-s11"), "no `[DONE]`: the body ends", 30, UNMARKED),
    case(("S11", "fb-s11-open"), "no `[DONE]`: open and silent", 30, UNMARKED),
    case(
        ("S12", "fb-s12"),
        "400 `context_length_exceeded`",
        20,
        &[
            (Retried(1), Required),
            (Bounded(1), Required),
            (FallbackAsked, Required),
            (ProperEnd, Advisory),
            (Alive, Required),
        ],
    ),
    Case {
        rules: Rules {
            ideal: Ideal::Error,
            checks: &[
                (Retried(1), Required),
                (Bounded(1), Required),
                (FallbackSpared, Advisory),
                (Code("content_policy_violation"), Advisory),
                (Alive, Required),
            ],
        },
        ..case(("S13", "fb-s13"), "400 `content_policy_violation`", 20, &[])
    },
    Case {
        fallback: NO_PREFILL,
        ..case(("S14", "fb-s14"), "as S08; the fallback refuses a prefill", 40, CUT)
    },
    Case {
        fallback: NO_PREFILL,
        prefill: true,
        ..case(("S14", "fb-s14-wrong"), "as S14, but configured as if it took one", 40, CUT)
    },
    Case {
        count: 20,
        every: seconds(4),
        ..case(
            ("S15", "fb-s15"),
            "503 for 60 s, then healthy; a request every 4 s",
            30,
            &[
                (ServedUntil(OUTAGE), Required),
                (BackAfter(OUTAGE, seconds(30)), Required),
                (ProperEnd, Advisory),
                (Alive, Required),
            ],
        )
    },
    case(("S16", "fb-s16"), "503, always: whose answer, which usage", 40, ACCOUNTED),
];
