//! Trace context: where in a distributed trace an exchange stands (W3C Trace Context, level 1 and,
//! where it says more, level 2: <https://www.w3.org/TR/trace-context-2/>).

use super::rng::Rng;

/// Bytes of a `traceparent` of version 00.
const PARENT_BYTES: usize = 55;

/// The longest `tracestate` that goes on (section 3.3.1.5 asks for this much at least).
const STATE_BYTES: usize = 512;

/// Its longest list (section 3.3.1.1).
const STATE_MEMBERS: usize = 32;

/// The flag of a trace that is recorded.
const SAMPLED: u8 = 1;

/// The flag of a trace id whose right 56 bits are random.
const RANDOM: u8 = 2;

/// Ratios of a sampling are parts of this: the right 56 bits of a trace id are random.
const PARTS: f64 = 72_057_594_037_927_936.0;

/// What a client says of the trace that its request belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The trace; never zero.
    pub trace: u128,
    /// The client's span; never zero.
    pub span: u64,
    /// The flags that have a meaning.
    flags: u8,
}

/// The place of one exchange in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The trace; never zero.
    pub id: u128,
    /// The span of the exchange; never zero.
    pub span: u64,
    /// The client's span above it; zero when there is none.
    pub parent: u64,
    /// Flags as they go on.
    flags: u8,
}

/// Which traces are recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sampling {
    /// Of traces that begin here, those whose right 56 bits are less than this.
    below: u64,
    /// Is anything recorded at all?
    on: bool,
}

impl Parent {
    /// Reads a `traceparent`; none when it breaks a rule (section 3.2.2).
    pub fn parse(field: &[u8]) -> Option<Self> {
        let (fixed, rest) = field.split_at_checked(PARENT_BYTES)?;
        let mut parts = fixed.split(|byte| *byte == b'-');
        let mut number = |digits: usize| {
            let part = parts.next().filter(|part| part.len() == digits)?;
            part.iter().try_fold(0, |number: u128, digit| Some(number << 4 | small_hex(*digit)?))
        };
        let (version, trace, span, flags) = (number(2)?, number(32)?, number(16)?, number(2)?);
        // A later version may have more behind a hyphen; version 255 will never be.
        let is_whole = match version {
            0 => rest.is_empty(),
            255 => false,
            _ => rest.first().is_none_or(|byte| *byte == b'-'),
        };
        let span = u64::try_from(span).ok()?;
        let flags = u8::try_from(flags).ok()? & (SAMPLED | RANDOM);
        (is_whole && trace != 0 && span != 0).then_some(Self { trace, span, flags })
    }

    /// Is the trace recorded by whoever is above us?
    pub const fn is_sampled(self) -> bool {
        self.flags & SAMPLED != 0
    }
}

impl Trace {
    /// The phase in which an upstream works: what it traces lies below this span.
    pub const UPSTREAM: u64 = 4;

    /// The place of an exchange below `parent`, or at the root of a new trace.
    pub fn begin(parent: Option<Parent>, sampling: Sampling, rng: &mut Rng) -> Self {
        let span = rng.bits().max(1);
        match parent {
            Some(Parent { trace, span: parent, flags }) => Self { id: trace, span, parent, flags },
            None => {
                let id = u128::from(rng.bits()) << 64 | u128::from(rng.bits().max(1));
                // The id is random, but programs that know level 1 alone refuse other flags.
                Self { id, span, parent: 0, flags: u8::from(sampling.takes(id)) * SAMPLED }
            }
        }
    }

    /// Is the trace recorded, by whoever is above us or by us?
    pub const fn is_sampled(self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The span of one of the phases of the exchange whose span is `span`.
    pub fn phase(span: u64, phase: u64) -> u64 {
        Rng::new(span ^ phase.rotate_left(32)).bits().max(1)
    }

    /// Appends the fields that tell an upstream its place below `span`; `state` was read by
    /// [`read_state`].
    pub fn push_fields(self, span: u64, state: Option<&str>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"traceparent: 00-");
        push_hex(&self.id.to_be_bytes(), out);
        out.push(b'-');
        push_hex(&span.to_be_bytes(), out);
        out.extend_from_slice(&[b'-', b'0', b'0' + self.flags]);
        if let Some(state) = state {
            out.extend_from_slice(b"\r\ntracestate: ");
            out.extend_from_slice(state.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }
}

impl Sampling {
    /// Of traces that begin here this share (0 to 1) is recorded; of others, those that whoever is
    /// above us records.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of 2^56 is positive and fits"
    )]
    pub fn of(share: f64) -> Self {
        Self { below: (share.clamp(0.0, 1.0) * PARTS) as u64, on: true }
    }

    /// Nothing is recorded.
    pub const OFF: Self = Self { below: 0, on: false };

    /// Is a trace of this id recorded, when it begins here? All who count alike decide alike.
    pub const fn takes(self, id: u128) -> bool {
        self.on && (id & 0x00ff_ffff_ffff_ffff) < self.below as u128
    }

    /// Is `trace` recorded here?
    pub const fn records(self, trace: Trace) -> bool {
        self.on && trace.is_sampled()
    }
}

/// Joins the lines of `tracestate`; none when there are none or one breaks a rule (section 3.3.1).
pub fn read_state(lines: impl Iterator<Item: AsRef<[u8]>>) -> Option<Box<str>> {
    let mut state = String::new();
    let mut members = 0;
    for line in lines {
        let line = std::str::from_utf8(line.as_ref()).ok()?;
        let told = line.split(',').map(|member| member.trim_matches([' ', '\t']));
        for member in told.filter(|member| !member.is_empty()) {
            if !is_member(member) {
                return None;
            }
            if members > 0 {
                state.push(',');
            }
            members += 1;
            state.push_str(member);
        }
    }
    let fits = (1..=STATE_MEMBERS).contains(&members) && state.len() <= STATE_BYTES;
    fits.then(|| state.into_boxed_str())
}

/// `key=value`, where a key is `[a-z0-9_*/@-]` and a value visible ASCII and spaces.
fn is_member(text: &str) -> bool {
    let Some((key, value)) = text.split_once('=') else { return false };
    let of_key = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-*/@".contains(&b);
    let of_value = |b: u8| (b' '..=b'~').contains(&b) && b != b'=';
    let begins = key.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let fits = (1..=256).contains(&key.len()) && (1..=256).contains(&value.len());
    begins && fits && key.bytes().all(of_key) && value.bytes().all(of_value)
}

/// Capital letters are not allowed (section 3.2.2).
const fn small_hex(digit: u8) -> Option<u128> {
    match digit {
        b'0'..=b'9' => Some((digit - b'0') as u128),
        b'a'..=b'f' => Some((digit - b'a') as u128 + 10),
        _ => None,
    }
}

/// Two digits for each byte.
fn push_hex<const N: usize>(bytes: &[u8; N], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        let digit = |number: u8| DIGITS[usize::from(number & 15)];
        out.extend_from_slice(&[digit(byte >> 4), digit(*byte)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn parse(text: &str) -> Option<Parent> {
        Parent::parse(text.as_bytes())
    }

    #[test]
    fn a_parent_is_read_as_the_recommendation_says() {
        let parent = parse(GOOD).expect("a parent");
        assert_eq!(parent.trace, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!(parent.span, 0x00f0_67aa_0ba9_02b7);
        assert!(parent.is_sampled());
        let later = GOOD.replacen("00", "cc", 1);
        assert_eq!(parse(&later), Some(parent));
        assert_eq!(parse(&format!("{later}-what-the-future-brings")), Some(parent));
        assert!(!parse(&GOOD.replace("-01", "-fe")).expect("a parent").is_sampled());
    }

    #[test]
    fn what_breaks_a_rule_is_no_parent() {
        let later = GOOD.replacen("00", "cc", 1);
        for wrong in [
            String::new(),
            GOOD.to_ascii_uppercase(),
            format!("{GOOD}-more"),
            format!("{later}.more"),
            GOOD.replacen("00", "ff", 1),
            GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)),
            GOOD.replace("-01", "-0g"),
            GOOD.replace("4736-", "473-6"),
            GOOD.replacen('-', "_", 1),
        ] {
            assert_eq!(parse(&wrong), None, "{wrong}");
        }
        for cut in 0..GOOD.len() {
            assert_eq!(Parent::parse(&GOOD.as_bytes()[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn what_goes_on_is_read_as_the_same_trace() {
        let mut rng = Rng::new(5);
        for parent in [parse(GOOD), None] {
            let trace = Trace::begin(parent, Sampling::of(0.0), &mut rng);
            let mut out = Vec::new();
            trace.push_fields(7, Some("a=b"), &mut out);
            let text = String::from_utf8(out).expect("text");
            let (first, second) = text.split_once("\r\n").expect("two lines");
            assert_eq!(second, "tracestate: a=b\r\n");
            let read = parse(first.strip_prefix("traceparent: ").expect("the name"));
            let read = read.expect("a parent");
            assert_eq!((read.trace, read.span), (trace.id, 7));
            assert_eq!(read.is_sampled(), parent.is_some());
            assert_eq!(trace.parent, parent.map_or(0, |parent| parent.span));
        }
    }

    #[test]
    fn a_share_is_taken_and_the_same_ids_each_time() {
        let mut rng = Rng::new(9);
        let traces: Vec<Trace> =
            (0..20_000).map(|_| Trace::begin(None, Sampling::of(0.05), &mut rng)).collect();
        let taken = traces.iter().filter(|trace| trace.is_sampled()).count();
        assert!((850..=1150).contains(&taken), "{taken}");
        let more = Sampling::of(0.1);
        assert!(traces.iter().all(|trace| !trace.is_sampled() || more.takes(trace.id)));
        assert!(traces.iter().all(|trace| Sampling::of(1.0).takes(trace.id)));
        assert!(traces.iter().all(|trace| !Sampling::of(0.0).takes(trace.id)));
        assert!(traces.iter().all(|trace| !Sampling::OFF.records(*trace)));
    }

    #[test]
    fn whoever_is_above_decides_and_nobody_when_it_is_off() {
        let mut rng = Rng::new(1);
        let above = Trace::begin(parse(GOOD), Sampling::of(0.0), &mut rng);
        assert!(Sampling::of(0.0).records(above) && !Sampling::OFF.records(above));
        let not = parse(&GOOD.replace("-01", "-00"));
        let above = Trace::begin(not, Sampling::of(1.0), &mut rng);
        assert!(!Sampling::of(1.0).records(above));
    }

    #[test]
    fn a_state_goes_on_whole_or_not_at_all() {
        let read = |lines: &[&str]| read_state(lines.iter().map(|line| line.as_bytes()));
        assert_eq!(read(&["a=1, b@v=2 ,", "c=x y"]).as_deref(), Some("a=1,b@v=2,c=x y"));
        let many = "a=b,".repeat(33);
        let long = format!("a={}", "x".repeat(600));
        for wrong in ["", ",", "a", "=b", "a=", "A=b", "a=b=c", "a=é", "a=\u{1}", &many, &long] {
            assert_eq!(read(&[wrong]), None, "{wrong}");
        }
        assert_eq!(read(&["a=1", "no"]), None);
    }
}
