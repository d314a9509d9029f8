//! How an answer is packed for its way: what the client takes (RFC 9110 section 12.5.3), and how
//! much of a core packing may take.

use std::time::Duration;

/// A content coding of answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// Zstandard (RFC 8878).
    Zstd,
    /// gzip (RFC 1952).
    Gzip,
}

/// What a client takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepts {
    /// The coding it likes best of those that we have, unless it likes none better.
    pub best: Option<Coding>,
    /// Takes gzip, whatever it likes best.
    pub gzip: bool,
    /// Takes bytes as they are.
    pub plain: bool,
}

/// A weight in thousandths; none where the client has not named the coding.
type Weight = Option<u16>;

/// What a client has named.
#[derive(Default)]
struct Named {
    zstd: Weight,
    gzip: Weight,
    identity: Weight,
    others: Weight,
}

impl Coding {
    /// Its name in `content-encoding`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }
}

impl Accepts {
    /// Who says nothing gets bytes as they are.
    pub const PLAIN: Self = Self { best: None, gzip: false, plain: true };

    /// Reads the values of all `accept-encoding` fields. A member that makes no sense says nothing.
    /// Of codings that the client likes as much as each other the one that we find cheaper is best.
    pub fn read<V: AsRef<[u8]>>(fields: impl Iterator<Item = V>) -> Self {
        let mut named = Named::default();
        for value in fields {
            value.as_ref().split(|byte| *byte == b',').for_each(|member| named.note(member));
        }
        let Named { zstd, gzip, identity, others } = named;
        let of = |named: Weight| named.or(others).unwrap_or(0);
        // Bytes as they are need not be named to be taken, and are the worst then.
        let plain = identity.or_else(|| others.filter(|weight| *weight == 0)).unwrap_or(1);
        let floor = identity.unwrap_or(0);
        let wanted = |named| of(named) > 0 && of(named) >= floor;
        let best = match (wanted(zstd), wanted(gzip)) {
            (true, true) if of(gzip) > of(zstd) => Some(Coding::Gzip),
            (true, _) => Some(Coding::Zstd),
            (false, true) => Some(Coding::Gzip),
            (false, false) => None,
        };
        Self { best, gzip: wanted(gzip), plain: plain > 0 }
    }
}

impl Named {
    /// Notes one member of the list. Of a coding that is named twice the better weight counts.
    fn note(&mut self, member: &[u8]) {
        let mark = member.iter().position(|byte| *byte == b';').unwrap_or(member.len());
        let (name, parameters) = member.split_at(mark);
        let name = name.trim_ascii();
        let place = match name {
            b"*" => &mut self.others,
            _ if name.eq_ignore_ascii_case(b"zstd") => &mut self.zstd,
            _ if name.eq_ignore_ascii_case(b"gzip") => &mut self.gzip,
            // The same coding by an old name (section 8.4.1.3).
            _ if name.eq_ignore_ascii_case(b"x-gzip") => &mut self.gzip,
            _ if name.eq_ignore_ascii_case(b"identity") => &mut self.identity,
            _ => return,
        };
        if let Some(weight) = weight(parameters) {
            *place = Some(place.map_or(weight, |before| before.max(weight)));
        }
    }
}

/// The weight that a member's parameters give it; none when they make no sense.
fn weight(parameters: &[u8]) -> Weight {
    let Some((_semicolon, parameter)) = parameters.split_first() else { return Some(1000) };
    let [b'q' | b'Q', b'=', digits @ ..] = parameter.trim_ascii() else { return None };
    let (whole, rest) = digits.split_first()?;
    let decimals = match rest {
        [] => rest,
        [b'.', decimals @ ..] if decimals.len() <= 3 => decimals,
        _ => return None,
    };
    let mut thousandths: u16 = match whole {
        b'0' => 0,
        b'1' => 1000,
        _ => return None,
    };
    for (decimal, unit) in decimals.iter().zip([100, 10, 1]) {
        let digit = decimal.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        thousandths += u16::from(digit) * unit;
    }
    (thousandths <= 1000).then_some(thousandths)
}

/// How much time of a core packing may take: a share of all its other work.
///
/// A core that does little packs everything, out of a reserve that its work fills again; one that
/// is busy packs as much as the share pays for, and sends the rest as it is.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    /// In percent of the core's other work; none is no bound.
    percent: Option<u32>,
    /// What may still be spent, in nanoseconds; below zero after something large.
    left: i64,
    /// What was spent since the core's work was counted last.
    spent: i64,
}

/// What is kept for later at most: some hundred answers.
const RESERVE_NS: i64 = 5_000_000;

impl Allowance {
    /// A share of so many percent, or no bound.
    pub const fn new(percent: Option<u32>) -> Self {
        Self { percent, left: RESERVE_NS, spent: 0 }
    }

    /// May something be packed?
    pub const fn is_left(&self) -> bool {
        self.percent.is_none() || self.left > 0
    }

    /// Was anything packed since the core's work was counted?
    pub const fn is_used(&self) -> bool {
        self.spent > 0
    }

    /// Packing took so long.
    pub fn spend(&mut self, took: Duration) {
        let took = nanos(took);
        self.left = self.left.saturating_sub(took);
        self.spent = self.spent.saturating_add(took);
    }

    /// The core has worked for so long since this was called last, packing included.
    pub fn earn(&mut self, worked: Duration) {
        let others = nanos(worked).saturating_sub(self.spent).max(0);
        let share = others / 100 * i64::from(self.percent.unwrap_or(0));
        self.left = self.left.saturating_add(share).min(RESERVE_NS);
        self.spent = 0;
    }
}

fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> (&'static str, bool) {
        let accepts = Accepts::read(values.iter());
        (accepts.best.map_or("-", Coding::name), accepts.plain)
    }

    #[test]
    fn every_spelling_of_a_clients_wishes_is_read_as_http_means_it() {
        let cases: &[(&str, &str, bool)] = &[
            // RFC 9110 section 12.5.3, its examples.
            ("compress, gzip", "gzip", true),
            ("", "-", true),
            ("*", "zstd", true),
            ("compress;q=0.5, gzip;q=1.0", "gzip", true),
            ("gzip;q=1.0, identity; q=0.5, *;q=0", "gzip", true),
            // What SDKs and browsers send.
            ("gzip, deflate", "gzip", true),
            ("gzip, deflate, br", "gzip", true),
            ("gzip, deflate, br, zstd", "zstd", true),
            ("br", "-", true),
            ("deflate", "-", true),
            // Case and white space.
            ("GZip", "gzip", true),
            ("X-GZIP", "gzip", true),
            (" \tgzip ;\t q=0.5 ,", "gzip", true),
            ("gzip;Q=0.5", "gzip", true),
            (",,gzip,", "gzip", true),
            // Weights.
            ("gzip;q=0", "-", true),
            ("gzip;q=0.000", "-", true),
            ("gzip;q=0.", "-", true),
            ("gzip;q=0.001", "gzip", true),
            ("gzip;q=1.000", "gzip", true),
            ("zstd;q=0.5, gzip;q=0.8", "gzip", true),
            ("zstd;q=0.8, gzip;q=0.8", "zstd", true),
            ("gzip, zstd;q=0", "gzip", true),
            ("gzip;q=0, gzip;q=1", "gzip", true),
            // Bytes as they are.
            ("identity", "-", true),
            ("identity, gzip;q=0.5", "-", true),
            ("identity;q=0.5, gzip;q=0.5", "gzip", true),
            ("identity;q=0.5, gzip;q=0.4, zstd;q=0.6", "zstd", true),
            ("identity;q=0", "-", false),
            ("identity;q=0, gzip", "gzip", false),
            ("identity;q=0, *", "zstd", false),
            // All others.
            ("*;q=0", "-", false),
            ("*;q=0, gzip;q=0.1", "gzip", false),
            ("*;q=0, identity", "-", true),
            ("gzip;q=0, *", "zstd", true),
            ("gzip;q=0.2, *;q=0.1", "gzip", true),
            ("*;q=0.1, zstd;q=0", "gzip", true),
            ("*;q=0.5, identity;q=0.6", "-", true),
            // What makes no sense says nothing.
            ("gzip;q=2", "-", true),
            ("gzip;q=1.001", "-", true),
            ("gzip;q=0.1234", "-", true),
            ("gzip;q=.5", "-", true),
            ("gzip;q=-1", "-", true),
            ("gzip;q=", "-", true),
            ("gzip;q = 1", "-", true),
            ("gzip;level=9", "-", true),
            ("gzip;q=1;x=y", "-", true),
            ("gzip gzip", "-", true),
            ("*gzip", "-", true),
        ];
        for (value, coding, plain) in cases {
            assert_eq!(read(&[value]), (*coding, *plain), "{value:?}");
        }
        assert_eq!(read(&[]), ("-", true), "no field");
        assert_eq!(read(&["br", "gzip;q=0.5"]), ("gzip", true), "two fields are one list");
        assert_eq!(read(&["gzip;q=0.5", "identity"]), ("-", true));
        let none = Accepts::read(std::iter::empty::<&[u8]>());
        assert_eq!(none, Accepts::PLAIN);
        let both = Accepts::read(std::iter::once(b"zstd, gzip;q=0.5"));
        assert_eq!(both, Accepts { best: Some(Coding::Zstd), gzip: true, plain: true });
    }

    #[test]
    fn packing_takes_no_more_than_its_share_of_a_busy_core() {
        let mut allowance = Allowance::new(Some(15));
        let (mut packed, mut others) = (Duration::ZERO, Duration::ZERO);
        // Each answer costs 20 µs to make and as much to pack; work is counted every 25 ms.
        for _ in 0..400 {
            let mut worked = Duration::ZERO;
            while worked < Duration::from_millis(25) {
                worked += Duration::from_micros(20);
                others += Duration::from_micros(20);
                if allowance.is_left() {
                    allowance.spend(Duration::from_micros(20));
                    packed += Duration::from_micros(20);
                    worked += Duration::from_micros(20);
                }
            }
            allowance.earn(worked);
        }
        let share = packed.as_secs_f64() / others.as_secs_f64();
        assert!((0.148..=0.152).contains(&share), "{share}");
    }

    #[test]
    fn a_core_with_little_to_do_packs_all_and_no_bound_is_none() {
        let mut allowance = Allowance::new(Some(15));
        for _ in 0..100_000 {
            assert!(allowance.is_left());
            allowance.spend(Duration::from_micros(20));
            allowance.earn(Duration::from_micros(200));
        }
        let mut unbound = Allowance::new(None);
        unbound.spend(Duration::from_secs(9));
        assert!(unbound.is_left());
    }
}
