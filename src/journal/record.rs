//! What is kept of one exchange, and its bytes.
//!
//! Numbers stand first, little-endian, in the order of [`Record`]'s fields; behind them the texts,
//! each with its length in front. A text that is longer than its room is cut at a character, so a
//! record always fits into [`RECORD_BYTES`].

/// The room that every record fits into.
pub const RECORD_BYTES: usize = 672;

/// The room that the record of an admission fits into: of it, upstream and cause are empty.
pub const ADMISSION_BYTES: usize = 576;

/// What stands before the texts: its trace, then 18 numbers of eight bytes, nine of four, three of
/// two, five of one.
const FIXED_BYTES: usize = 16 + 18 * 8 + 9 * 4 + 3 * 2 + 5;

/// The longest texts that are kept, in the order of the fields.
const ROOM: [usize; 6] = [128, 63, 63, 63, 95, 31];

/// How an exchange ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ending {
    /// It was admitted, and has not ended: it runs, or its process has died.
    #[default]
    Open,
    /// The client has its answer.
    Answered,
    /// The client has an error.
    Failed,
    /// A stream that had begun ended with an error event.
    Broken,
    /// The client left before its answer was complete.
    ClientLeft,
    /// It was forgotten, or panicked.
    Bug,
}

/// What a client asked for, and through which API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the endpoints'")]
pub enum Api {
    #[default]
    Chat,
    Completions,
    Responses,
    Messages,
    Generate,
    Embeddings,
    CountTokens,
}

impl Api {
    const ALL: [Self; 7] = [
        Self::Chat,
        Self::Completions,
        Self::Responses,
        Self::Messages,
        Self::Generate,
        Self::Embeddings,
        Self::CountTokens,
    ];

    /// What is done, in the words of OpenTelemetry (`gen_ai.operation.name`).
    pub const fn operation(self) -> &'static str {
        match self {
            Self::Chat | Self::Responses | Self::Messages => "chat",
            Self::Completions => "text_completion",
            Self::Generate => "generate_content",
            Self::Embeddings => "embeddings",
            Self::CountTokens => "count_tokens",
        }
    }
}

/// One exchange. Times are microseconds unless the name says otherwise.
#[expect(clippy::struct_excessive_bools, reason = "each is one fact of an exchange")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record<'t> {
    /// When its first byte was there, in milliseconds since 1970.
    pub started_ms: u64,
    /// When it was admitted or, later, when it ended, in milliseconds since 1970.
    pub written_ms: u64,
    /// Its trace (W3C); zero when there is none.
    pub trace: u128,
    /// Its span in that trace.
    pub span: u64,
    /// The client's span above it; zero when there is none.
    pub parent: u64,
    /// Prompt tokens, all of them.
    pub prompt: u64,
    /// Of them, read from a cache.
    pub cached: u64,
    /// Of them, written to a cache.
    pub cache_write: u64,
    /// Of them, audio.
    pub prompt_audio: u64,
    /// Completion tokens, all of them.
    pub completion: u64,
    /// Of them, reasoning.
    pub reasoning: u64,
    /// Of them, audio.
    pub completion_audio: u64,
    /// Of the tokens written to a cache, those that stay there for an hour or more.
    pub cache_write_1h: u64,
    /// Of the prompt's audio, what was read from a cache.
    pub cached_audio: u64,
    /// Of the completion tokens, images.
    pub completion_image: u64,
    /// What was reserved when it was admitted, in nano-dollars.
    pub reserved_nanos: u64,
    /// What it cost, in nano-dollars; meaningless unless `priced`.
    pub cost_nanos: u64,
    /// Bytes of the request.
    pub bytes_in: u64,
    /// Bytes of the answer.
    pub bytes_out: u64,
    /// From the first byte of the request to the understood request.
    pub parse: u32,
    /// Waiting for a place.
    pub queue: u32,
    /// Opening a connection.
    pub connect: u32,
    /// The TLS handshake on it.
    pub tls: u32,
    /// From the sent request to the first byte of the answer.
    pub upstream: u32,
    /// All time that was spent waiting for the upstream.
    pub waited: u32,
    /// To the first byte of a stream; zero when there was none.
    pub first_token: u32,
    /// From the first byte of the request to the last of the answer.
    pub total: u32,
    /// The day of the prices, as `yyyymmdd`; zero when no price was known.
    pub prices: u32,
    /// The status the client got; 499 when it left before, 0 while it is open.
    pub status: u16,
    /// Attempts at upstreams.
    pub attempts: u16,
    /// The shard.
    pub shard: u16,
    /// How it ended.
    pub ending: Ending,
    /// What was asked for.
    pub api: Api,
    /// Why the last attempt that failed did so: a number of the metrics' reasons; 0 is none.
    pub reason: u8,
    /// How urgently it was served: a number of the prices' tiers; 0 is as usual.
    pub tier: u8,
    /// Did the last attempt use an idle connection?
    pub reused: bool,
    /// Is `cost_nanos` known?
    pub priced: bool,
    /// Are the tokens estimates of ours, because the vendor did not say them?
    pub estimated: bool,
    /// Was the answer a stream?
    pub stream: bool,
    /// Did the answer come out of the response cache?
    pub cache_hit: bool,
    /// Should its trace be exported?
    pub sampled: bool,
    /// Its id.
    pub id: &'t str,
    /// The name of the client's key; empty when none was needed.
    pub key: &'t str,
    /// The pattern of its route.
    pub route: &'t str,
    /// The upstream that answered, or was asked last.
    pub upstream_name: &'t str,
    /// The model that was asked of that upstream.
    pub model: &'t str,
    /// The code of the error, as the client saw it.
    pub cause: &'t str,
}

impl Ending {
    const ALL: [Self; 6] =
        [Self::Open, Self::Answered, Self::Failed, Self::Broken, Self::ClientLeft, Self::Bug];

    /// The ending that has this number in [`Ending`]'s order.
    pub fn of(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// Its name in reports.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::Broken => "broken",
            Self::ClientLeft => "client_cancelled",
            Self::Bug => "bug",
        }
    }
}

/// A key's name as records have it.
pub fn key_as_kept(name: &str) -> &str {
    cut(name, ROOM[1])
}

/// At most so many bytes of a text, cut at a character.
fn cut(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or_default()
}

/// Writes from the front of a buffer on; what does not fit is left out.
struct Put<'b>(&'b mut [u8], usize);

impl Put<'_> {
    fn bytes(&mut self, bytes: &[u8]) {
        if let Some(place) = self.0.get_mut(self.1..self.1 + bytes.len()) {
            place.copy_from_slice(bytes);
            self.1 += bytes.len();
        }
    }

    fn text(&mut self, text: &str, most: usize) {
        let text = cut(text, most).as_bytes();
        self.bytes(&[u8::try_from(text.len()).unwrap_or(0)]);
        self.bytes(text);
    }
}

/// Writes numbers to the front of `room`, which has room for them, and gives the rest of it.
fn put_numbers<const BYTES: usize, const COUNT: usize>(
    room: &mut [u8],
    numbers: [[u8; BYTES]; COUNT],
) -> &mut [u8] {
    let Some((place, rest)) = room.split_at_mut_checked(BYTES * COUNT) else { return &mut [] };
    place.copy_from_slice(numbers.as_flattened());
    rest
}

/// Reads what was written.
struct Take<'b>(&'b [u8]);

impl<'b> Take<'b> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*array)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn text(&mut self) -> Option<&'b str> {
        let [length] = self.array()?;
        let (text, rest) = self.0.split_at_checked(usize::from(length))?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }
}

impl<'t> Record<'t> {
    /// Writes the record's bytes to the front of `room`, which has at least [`RECORD_BYTES`], and
    /// tells how many they are.
    pub fn encode(&self, room: &mut [u8]) -> usize {
        let mut fixed = [0; FIXED_BYTES];
        let longs = [
            self.started_ms,
            self.written_ms,
            self.span,
            self.parent,
            self.prompt,
            self.cached,
            self.cache_write,
            self.prompt_audio,
            self.completion,
            self.reasoning,
            self.completion_audio,
            self.cache_write_1h,
            self.cached_audio,
            self.completion_image,
            self.reserved_nanos,
            self.cost_nanos,
            self.bytes_in,
            self.bytes_out,
        ];
        let ints = [
            self.parse,
            self.queue,
            self.connect,
            self.tls,
            self.upstream,
            self.waited,
            self.first_token,
            self.total,
            self.prices,
        ];
        let shorts = [self.status, self.attempts, self.shard];
        let flags =
            [self.priced, self.estimated, self.stream, self.cache_hit, self.sampled, self.reused];
        let bits = flags.into_iter().rev().fold(0, |bits, flag| bits << 1 | u8::from(flag));
        let bytes = [self.ending as u8, self.api as u8, self.reason, self.tier, bits];
        let rest = put_numbers(&mut fixed, [self.trace.to_le_bytes()]);
        let rest = put_numbers(rest, longs.map(u64::to_le_bytes));
        let rest = put_numbers(rest, ints.map(u32::to_le_bytes));
        let rest = put_numbers(rest, shorts.map(u16::to_le_bytes));
        put_numbers(rest, bytes.map(u8::to_le_bytes));
        let mut put = Put(room, 0);
        put.bytes(&fixed);
        let texts = [self.id, self.key, self.route, self.upstream_name, self.model, self.cause];
        for (text, most) in texts.into_iter().zip(ROOM) {
            put.text(text, most);
        }
        put.1
    }

    /// What it cost in dollars, to the nano-dollar; none when that is not known.
    pub fn cost_usd(&self) -> Option<String> {
        let (dollars, nanos) = (self.cost_nanos / 1_000_000_000, self.cost_nanos % 1_000_000_000);
        self.priced.then(|| format!("{dollars}.{nanos:09}"))
    }

    /// Reads the bytes of a record; none when they are not one's.
    pub fn decode(bytes: &'t [u8]) -> Option<Self> {
        let (fixed, texts) = bytes.split_first_chunk::<FIXED_BYTES>()?;
        let (mut take, mut texts) = (Take(fixed), Take(texts));
        let trace = take.array().map(u128::from_le_bytes)?;
        let mut record = Self { trace, ..Self::default() };
        for number in [
            &mut record.started_ms,
            &mut record.written_ms,
            &mut record.span,
            &mut record.parent,
            &mut record.prompt,
            &mut record.cached,
            &mut record.cache_write,
            &mut record.prompt_audio,
            &mut record.completion,
            &mut record.reasoning,
            &mut record.completion_audio,
            &mut record.cache_write_1h,
            &mut record.cached_audio,
            &mut record.completion_image,
            &mut record.reserved_nanos,
            &mut record.cost_nanos,
            &mut record.bytes_in,
            &mut record.bytes_out,
        ] {
            *number = take.u64()?;
        }
        for number in [
            &mut record.parse,
            &mut record.queue,
            &mut record.connect,
            &mut record.tls,
            &mut record.upstream,
            &mut record.waited,
            &mut record.first_token,
            &mut record.total,
            &mut record.prices,
        ] {
            *number = take.u32()?;
        }
        [record.status, record.attempts, record.shard] = [take.u16()?, take.u16()?, take.u16()?];
        let [ending, api, reason, tier, bits] = take.array()?;
        record.tier = tier;
        record.reason = reason;
        record.ending = Ending::of(ending)?;
        record.api = *Api::ALL.get(usize::from(api))?;
        let flags = [
            &mut record.priced,
            &mut record.estimated,
            &mut record.stream,
            &mut record.cache_hit,
            &mut record.sampled,
            &mut record.reused,
        ];
        for (place, flag) in flags.into_iter().enumerate() {
            *flag = bits >> place & 1 == 1;
        }
        for text in [
            &mut record.id,
            &mut record.key,
            &mut record.route,
            &mut record.upstream_name,
            &mut record.model,
            &mut record.cause,
        ] {
            *text = texts.text()?;
        }
        Some(record)
    }

    /// The texts of a record alone: nothing else of it is known.
    pub(super) fn decode_texts(bytes: &'t [u8]) -> Option<Self> {
        let (_, texts) = bytes.split_first_chunk::<FIXED_BYTES>()?;
        let mut take = Take(texts);
        let [id, key, route] = [take.text()?, take.text()?, take.text()?];
        let [upstream_name, model, cause] = [take.text()?, take.text()?, take.text()?];
        Some(Self { id, key, route, upstream_name, model, cause, ..Self::default() })
    }
}

/// A record that stands by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owned(Box<[u8]>);

impl Owned {
    /// Copies a record.
    pub fn of(record: &Record<'_>) -> Self {
        let mut room = [0; RECORD_BYTES];
        let length = record.encode(&mut room);
        Self(room.get(..length).unwrap_or_default().into())
    }

    /// The record.
    pub fn record(&self) -> Record<'_> {
        Record::decode(&self.0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_every_cut_is_noticed() {
        let record = Record {
            started_ms: 1,
            written_ms: u64::MAX,
            trace: u128::MAX - 1,
            cost_nanos: 7,
            total: 9,
            status: 499,
            shard: 3,
            ending: Ending::ClientLeft,
            api: Api::CountTokens,
            priced: true,
            cache_hit: true,
            id: "req_1",
            model: "gemini-2.5-flash",
            cause: "é",
            ..Record::default()
        };
        let mut room = [0xff; RECORD_BYTES];
        let length = record.encode(&mut room);
        assert_eq!(Record::decode(&room[..length]), Some(record));
        assert_eq!(Record::decode(&room), Some(record), "what stands behind does not matter");
        assert_eq!(Owned::of(&record).record(), record);
        for cut in 0..length {
            assert_eq!(Record::decode(&room[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn the_longest_texts_fit_and_are_cut_at_a_character() {
        let long = "é".repeat(200);
        let record = Record {
            id: &long,
            key: &long,
            route: &long,
            upstream_name: &long,
            model: &long,
            cause: &long,
            ..Record::default()
        };
        let mut room = [0; RECORD_BYTES];
        let length = record.encode(&mut room);
        let read = Record::decode(&room[..length]).expect("a record");
        assert_eq!(read.id, "é".repeat(64));
        assert_eq!(read.cause, "é".repeat(15));
        let admission = Record { upstream_name: "", cause: "", ..record };
        assert!(admission.encode(&mut room) <= ADMISSION_BYTES);
    }
}
