//! What the simulated model says, and how fast.

use std::time::Duration;

use super::fault::Fault;

/// How the simulator behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// Before the first byte of every answer.
    pub latency: Duration,
    /// Tokens of an answer; a request may ask for fewer.
    pub tokens: u32,
    /// Between two tokens of a stream; zero sends the whole stream at once.
    pub token_interval: Duration,
    /// Faults with their rates in percent.
    pub faults: Vec<(Fault, u64)>,
    /// Decides which requests are hit.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            latency: Duration::ZERO,
            tokens: 16,
            token_interval: Duration::ZERO,
            faults: Vec::new(),
            seed: 1,
        }
    }
}

const WORDS: [&str; 12] = [
    "Hello",
    " from",
    " the",
    " simulator",
    ",",
    " which",
    " speaks",
    " the",
    " vendor's",
    " wire",
    " format",
    ".",
];

/// The token at `index` of every answer.
pub(super) fn token(index: u32) -> &'static str {
    let place = usize::try_from(index).unwrap_or(0) % WORDS.len();
    WORDS.get(place).copied().unwrap_or("")
}

/// The first `count` tokens.
pub(super) fn text(count: u32) -> String {
    (0..count).map(token).collect()
}

/// How many tokens a text has; four bytes make one.
pub(super) fn tokens_of(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(4)).unwrap_or(u32::MAX)
}
