//! What Anthropic's models can do, told by their names, and the services that offer them.

/// Who offers the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    /// Anthropic itself.
    Api,
    /// Vertex AI, which lacks a few things.
    Vertex,
}

/// How a model is told to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thinks {
    /// It does not.
    Never,
    /// Within a budget of tokens.
    Budget,
    /// As much as it finds right, led by an effort.
    Adaptive,
}

/// How the model is told to think.
pub(super) fn thinks(model: &str) -> Thinks {
    match generation(model) {
        Some((5.., _) | (4, 6..)) => Thinks::Adaptive,
        Some((4, _) | (3, 7..)) => Thinks::Budget,
        _ => Thinks::Never,
    }
}

/// The most that the model says in one answer. Anthropic wants a limit in every request; a client
/// that sets none wants no answer to be cut.
pub(super) fn max_tokens(model: &str) -> u64 {
    match generation(model) {
        Some((5.., _) | (4, 6..)) => 128_000,
        Some((4, 0..=1)) if model.contains("opus") => 32_000,
        Some((4, _) | (3, 7..)) => 64_000,
        Some((3, 5..=6)) => 8192,
        _ => 4096,
    }
}

/// The version in a name like `claude-sonnet-4-5-20250929` or `claude-3-5-sonnet-v2@20241022`.
/// The newest families are not always numbered.
fn generation(model: &str) -> Option<(u32, u32)> {
    let (_, name) = model.split_once("claude")?;
    // A date is no version.
    let number = |word: &str| word.parse().ok().filter(|_| word.len() < 3);
    let mut words = name.split(['-', '.', '@']);
    let Some(major) = words.find_map(number) else {
        let newest = ["fable", "mythos"].iter().any(|family| name.contains(family));
        return newest.then_some((5, 0));
    };
    Some((major, words.next().and_then(number).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_limits_and_thinking() {
        use Thinks as T;
        for (model, limit, thinking) in [
            ("claude-3-haiku-20240307", 4096, T::Never),
            ("claude-3-opus-latest", 4096, T::Never),
            ("claude-3-5-sonnet-v2@20241022", 8192, T::Never),
            ("claude-3-5-haiku-latest", 8192, T::Never),
            ("claude-3-7-sonnet-20250219", 64_000, T::Budget),
            ("claude-opus-4-20250514", 32_000, T::Budget),
            ("claude-opus-4-0", 32_000, T::Budget),
            ("claude-opus-4-1@20250805", 32_000, T::Budget),
            ("claude-sonnet-4-20250514", 64_000, T::Budget),
            ("claude-sonnet-4-5", 64_000, T::Budget),
            ("claude-opus-4-5-20251101", 64_000, T::Budget),
            ("claude-haiku-4-5", 64_000, T::Budget),
            ("claude-opus-4-6", 128_000, T::Adaptive),
            ("claude-sonnet-4.6", 128_000, T::Adaptive),
            ("claude-sonnet-5", 128_000, T::Adaptive),
            ("claude-fable-5", 128_000, T::Adaptive),
            ("claude-mythos-preview", 128_000, T::Adaptive),
            ("claude-instant-1.2", 4096, T::Never),
            ("claude-next", 4096, T::Never),
            ("kimi-k2-5", 4096, T::Never),
        ] {
            assert_eq!((max_tokens(model), thinks(model)), (limit, thinking), "{model}");
        }
    }
}
