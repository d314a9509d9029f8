//! What each Claude can do, as far as a request may get it wrong.
//!
//! <https://docs.claude.com/en/docs/about-claude/models/overview>

/// Which kinds of thinking may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thinking {
    None,
    /// With a budget of tokens.
    Budget,
    /// With a budget, or by effort.
    Both,
    /// Only by effort.
    Adaptive,
}

/// A Claude.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Model {
    version: (u32, u32),
    opus: bool,
}

impl Model {
    /// Reads a name such as `claude-sonnet-4-5-20250929`; none for another vendor's. A name
    /// without a number is taken for 4.5, the families that began with 5 for 5.
    pub(super) fn of(name: &str) -> Option<Self> {
        let rest = name.strip_prefix("claude-")?;
        let words = || rest.split(['-', '@', '.']);
        // Dates have more digits.
        let short = |word: &&str| word.len() <= 2 && word.bytes().all(|b| b.is_ascii_digit());
        let mut numbers = words().skip_while(|word| !short(word)).take_while(short);
        let number = |word: Option<&str>| word.and_then(|word| word.parse().ok());
        let newest = words().any(|word| matches!(word, "fable" | "mythos"));
        let version = match (number(numbers.next()), number(numbers.next())) {
            (Some(major), minor) => (major, minor.unwrap_or(0)),
            _ if newest => (5, 0),
            _ => (4, 5),
        };
        Some(Self { version, opus: words().any(|word| word == "opus") })
    }

    /// The most tokens that an answer may be allowed.
    pub(super) fn output_max(self) -> u32 {
        match self.version {
            (..3, _) | (3, ..5) => 4096,
            (3, 5..7) => 8192,
            (4, ..=1) if self.opus => 32_000,
            (3, _) | (4, ..6) => 64_000,
            _ => 128_000,
        }
    }

    pub(super) fn thinking(self) -> Thinking {
        match self.version {
            (..3, _) | (3, ..7) => Thinking::None,
            (3, _) | (4, ..6) => Thinking::Budget,
            (4, 6) => Thinking::Both,
            _ => Thinking::Adaptive,
        }
    }

    /// The levels of effort, in the order of the alphabet; none where effort is no parameter.
    pub(super) fn efforts(self) -> &'static [&'static str] {
        match self.version {
            (4, 5) if self.opus => &["high", "low", "medium"],
            (..4, _) | (4, ..6) => &[],
            (4, 6) => &["high", "low", "max", "medium"],
            _ => &["high", "low", "max", "medium", "xhigh"],
        }
    }

    /// May the last message be the beginning of the answer?
    pub(super) fn takes_prefill(self) -> bool {
        self.version < (4, 6)
    }

    /// Only one of temperature and `top_p` may be given.
    pub(super) fn takes_one_sampler(self) -> bool {
        self.version >= (4, 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_a_model_can_do() {
        for (name, version, output, thinking) in [
            ("claude-3-haiku-20240307", (3, 0), 4096, Thinking::None),
            ("claude-3-5-sonnet-latest", (3, 5), 8192, Thinking::None),
            ("claude-3-7-sonnet-20250219", (3, 7), 64_000, Thinking::Budget),
            ("claude-sonnet-4-20250514", (4, 0), 64_000, Thinking::Budget),
            ("claude-opus-4-1", (4, 1), 32_000, Thinking::Budget),
            ("claude-haiku-4-5@20251001", (4, 5), 64_000, Thinking::Budget),
            ("claude-opus-4-6", (4, 6), 128_000, Thinking::Both),
            ("claude-fable-5", (5, 0), 128_000, Thinking::Adaptive),
            ("claude-mythos-preview", (5, 0), 128_000, Thinking::Adaptive),
            ("claude-x", (4, 5), 64_000, Thinking::Budget),
        ] {
            let model = Model::of(name).expect(name);
            assert_eq!((model.version, model.output_max()), (version, output), "{name}");
            assert_eq!(model.thinking(), thinking, "{name}");
        }
        assert_eq!(Model::of("gpt-4o"), None);
        let efforts = |name| Model::of(name).map_or(0, |model| model.efforts().len());
        assert_eq!(efforts("claude-opus-4-5"), 3);
        assert_eq!((efforts("claude-sonnet-4-5"), efforts("claude-opus-4-6")), (0, 4));
        assert_eq!(efforts("claude-opus-4-7"), 5);
        assert!(Model::of("claude-opus-4-5").is_some_and(Model::takes_prefill));
    }
}
