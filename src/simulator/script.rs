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
    /// Rounds of tool calls after each text of the user.
    pub tool_rounds: u32,
    /// How long an access token is good.
    pub token_ttl: Duration,
    /// Keeps the last request of every path for `GET /__last`.
    pub remember: bool,
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
            tool_rounds: 2,
            token_ttl: Duration::from_secs(3599),
            remember: false,
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

/// What a model thinks before it speaks, when it is asked to show that.
pub(super) const THOUGHTS: [&str; 2] = ["The user", " wants words."];

/// How many tokens the thoughts count as.
pub(super) const THOUGHT_TOKENS: u32 = 7;

/// What is said, in tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    words: Words,
    /// Ends after so many tokens.
    count: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Words {
    /// The same words over and over.
    Standard,
    Own(Vec<String>),
}

impl Said {
    /// So many tokens of the standard text.
    pub(super) fn words(count: u32) -> Self {
        Self { words: Words::Standard, count }
    }

    /// A text of its own; a token is a word with the space before it.
    pub(super) fn text(text: &str) -> Self {
        let mut tokens: Vec<String> = Vec::new();
        for letter in text.chars() {
            let begins = letter == ' ' && tokens.last().is_none_or(|token| token != " ");
            match tokens.last_mut() {
                Some(token) if !begins && token.len() < 24 => token.push(letter),
                _ => tokens.push(letter.to_string()),
            }
        }
        let count = u32::try_from(tokens.len()).unwrap_or(u32::MAX);
        Self { words: Words::Own(tokens), count }
    }

    /// How many tokens there are.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// The token at `index`; nothing behind the end.
    pub(super) fn token(&self, index: u32) -> &str {
        let place = usize::try_from(index).unwrap_or(usize::MAX);
        match &self.words {
            _ if index >= self.count => "",
            Words::Standard => WORDS.get(place % WORDS.len()).copied().unwrap_or(""),
            Words::Own(tokens) => tokens.get(place).map_or("", String::as_str),
        }
    }

    /// All of it.
    pub(super) fn whole(&self) -> String {
        (0..self.count).map(|index| self.token(index)).collect()
    }

    /// Says at most `most` tokens; was anything lost?
    pub(super) fn limit(&mut self, most: u32) -> bool {
        let cut = self.count > most;
        self.count = self.count.min(most);
        cut
    }

    /// Goes on behind what was said before, if that is the beginning of this.
    pub(super) fn go_on(&mut self, before: &str) {
        let before = before.trim_end();
        let rest = self.whole().strip_prefix(before).map(Self::text);
        if let Some(rest) = rest.filter(|_| !before.is_empty()) {
            *self = rest;
        }
    }

    /// Ends before the first of these texts; gives the one that was found.
    pub(super) fn stop_at<'s>(&mut self, stops: &[&'s str]) -> Option<&'s str> {
        if stops.is_empty() {
            return None;
        }
        let whole = self.whole();
        let found = stops.iter().filter(|stop| !stop.is_empty());
        let found = found.filter_map(|stop| whole.find(stop).map(|at| (at, *stop)));
        let (at, stop) = found.min_by_key(|(at, _)| *at)?;
        *self = Self::text(whole.get(..at).unwrap_or_default());
        Some(stop)
    }
}

/// How many tokens a text has; four bytes make one.
pub(super) fn tokens_of(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(4)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_texts_are_said_in_tokens() {
        let mut said = Said::words(14);
        assert_eq!((said.count(), said.token(0), said.token(12)), (14, "Hello", "Hello"));
        assert!(said.limit(3) && !said.limit(3));
        assert_eq!((said.whole().as_str(), said.token(3)), ("Hello from the", ""));
        let text = "Grüße  an\nalle, \u{1f642} and a_very_long_word_without_any_space_in_it";
        let said = Said::text(text);
        assert_eq!(said.whole(), text);
        assert_eq!((said.token(0), said.token(1)), ("Grüße", "  an\nalle,"));
        assert!(Said::text("").whole().is_empty());
    }

    #[test]
    fn what_was_begun_is_gone_on_with() {
        let mut said = Said::words(5);
        said.go_on("");
        assert_eq!(said, Said::words(5));
        said.go_on("Hello from ");
        assert_eq!(said.whole(), " the simulator,");
        said.go_on("Something else");
        assert_eq!(said.whole(), " the simulator,");
    }

    #[test]
    fn a_stop_text_ends_what_is_said() {
        let mut said = Said::words(16);
        assert_eq!(said.stop_at(&["wire", "simulator", ""]), Some("simulator"));
        assert_eq!(said.whole(), "Hello from the ");
        assert_eq!(said.stop_at(&["nowhere"]), None);
        assert_eq!(tokens_of(9), 3);
    }
}
