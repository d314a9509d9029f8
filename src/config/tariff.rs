//! What a model costs, as it is kept.

/// What one model costs, from some day on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Price {
    /// A model, which covers its dated versions too, or a prefix ending in `*`.
    pub model: String,
    /// Only at this upstream, an index into [`super::Config::upstreams`].
    pub upstream: Option<usize>,
    /// The operator's own, which goes before list prices.
    pub own: bool,
    /// The first day it is asked on (UTC), as `yyyymmdd`; 0 is always.
    pub from: u32,
    /// What requests of no particular urgency cost.
    pub standard: Tariff,
    /// What others cost, each tier at most once.
    pub tiers: Vec<(Tier, Tariff)>,
}

/// How urgently a vendor serves a request, where that changes what it costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tier {
    /// As usual.
    #[default]
    Standard,
    /// When there is room.
    Flex,
    /// Before others.
    Priority,
    /// By a faster setup.
    Fast,
    /// By the fastest there is.
    Ultrafast,
    /// In some way that has no price here.
    Other,
}

/// Rates for prompts of all lengths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tariff {
    /// For prompts of any length, or up to the limit of `long`.
    pub rates: Rates,
    /// The most tokens of a prompt that `rates` are for, and the rates of longer ones.
    pub long: Option<(u64, Rates)>,
}

/// Pico-dollars (10⁻¹² USD) per token, which are millionths of a dollar per million tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Tokens of a prompt that are none of the following.
    pub input: u64,
    /// Those read from a cache; none: as `input`.
    pub cached: Option<u64>,
    /// Those written to a cache; none: as `input`.
    pub cache_write: Option<u64>,
    /// Those written to stay there for an hour or more; none: as `cache_write`.
    pub cache_write_1h: Option<u64>,
    /// Audio; none: nobody knows.
    pub audio_input: Option<u64>,
    /// Audio read from a cache; none: as `audio_input`.
    pub audio_cached: Option<u64>,
    /// Generated tokens that are none of the following; none: there should not be any.
    pub output: Option<u64>,
    /// Tokens of reasoning; none: as `output`.
    pub reasoning: Option<u64>,
    /// Generated audio; none: nobody knows.
    pub audio_output: Option<u64>,
    /// Generated images; none: nobody knows.
    pub image_output: Option<u64>,
}

impl Tier {
    const ALL: [Self; 6] =
        [Self::Standard, Self::Flex, Self::Priority, Self::Fast, Self::Ultrafast, Self::Other];

    /// Its number in records.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The tier of a number in a record; one that nobody knows has no price.
    pub fn of_number(number: u8) -> Self {
        Self::ALL.get(usize::from(number)).copied().unwrap_or(Self::Other)
    }

    /// The tiers that have a table of their own, with its key.
    pub(super) const TABLES: [(Self, &'static str); 4] = [
        (Self::Flex, "flex"),
        (Self::Priority, "priority"),
        (Self::Fast, "fast"),
        (Self::Ultrafast, "ultrafast"),
    ];

    /// What a vendor's word for it means.
    pub fn of(word: &str) -> Self {
        match word {
            "" | "auto" | "default" | "standard" => Self::Standard,
            _ => Self::TABLES
                .into_iter()
                .find(|(_, name)| *name == word)
                .map_or(Self::Other, |(tier, _)| tier),
        }
    }
}
