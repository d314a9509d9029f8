//! Packs whole answers for their way, with what it needs for that kept from one to the next.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use flate2::{Compress, Compression, FlushCompress, Status};

use crate::base::Tick;
use crate::config::Compression as Wanted;
use crate::policy::{Allowance, Coding};

/// A longer body goes out as it is: a core would do nothing else for milliseconds.
pub const PACKED_BYTES_MAX: usize = 128 * 1024;

/// What the head and the end of a packed body take at most.
const ROOM_MORE: usize = 64;

/// Base-two logarithm of how far back gzip looks; the format allows no more.
const WINDOW_BITS: u8 = 15;

/// What is kept between two answers. An encoder has some hundred KiB, so it is made when it is
/// needed first.
#[derive(Default)]
struct Kept {
    gzip: Option<Compress>,
    zstd: Option<zstd::bulk::Compressor<'static>>,
    out: Vec<u8>,
}

/// One shard's encoders.
pub struct Packer {
    wanted: Wanted,
    kept: RefCell<Kept>,
    allowance: Cell<Allowance>,
    /// What the core had worked when that was counted last.
    worked: Cell<Duration>,
}

impl std::fmt::Debug for Packer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packer").field("wanted", &self.wanted).finish_non_exhaustive()
    }
}

impl Packer {
    /// Packs as the operator wants.
    pub fn new(wanted: Wanted) -> Self {
        let allowance = Cell::new(Allowance::new(wanted.cpu_percent));
        Self { wanted, kept: RefCell::default(), allowance, worked: Cell::default() }
    }

    /// Is a body of so many bytes one that would be packed for some client?
    pub fn takes(&self, bytes: usize) -> bool {
        self.wanted.level > 0 && (self.wanted.bytes_min..=PACKED_BYTES_MAX).contains(&bytes)
    }

    /// May a body of so many bytes be packed, however short it is?
    pub fn may(&self, bytes: usize) -> bool {
        self.wanted.level > 0 && bytes <= PACKED_BYTES_MAX
    }

    /// May a core spend time on one more?
    pub fn has_time(&self) -> bool {
        self.allowance.get().is_left()
    }

    /// Packs `body` and hands the bytes to `then`; nothing when they would not be fewer, unless the
    /// body `must` be packed. `clock` tells the time.
    pub fn pack<T>(
        &self,
        (coding, must): (Coding, bool),
        body: &[u8],
        clock: impl Fn() -> Tick,
        then: impl FnOnce(&[u8]) -> T,
    ) -> Option<T> {
        let began = clock();
        let mut kept = self.kept.borrow_mut();
        let Kept { gzip, zstd, out } = &mut *kept;
        out.clear();
        // What does not fit is no gain, but for short bodies that must be packed.
        out.reserve(body.len() + body.len() / 4 + ROOM_MORE);
        let whole = match coding {
            Coding::Gzip => {
                let level = Compression::new(self.wanted.level);
                let made = || Compress::new_gzip(level, WINDOW_BITS);
                let encoder = gzip.get_or_insert_with(made);
                encoder.reset();
                let ended = encoder.compress_vec(body, out, FlushCompress::Finish);
                matches!(ended, Ok(Status::StreamEnd))
            }
            Coding::Zstd => {
                if zstd.is_none() {
                    let level = i32::try_from(self.wanted.level).unwrap_or(1);
                    *zstd = zstd::bulk::Compressor::new(level).ok();
                }
                zstd.as_mut().is_some_and(|encoder| encoder.compress_to_buffer(body, out).is_ok())
            }
        };
        let mut allowance = self.allowance.get();
        allowance.spend(clock().since(began));
        self.allowance.set(allowance);
        (whole && (must || out.len() < body.len())).then(|| then(out))
    }

    /// Counts the core's work, `worked` in all, if anything was packed since it was counted last.
    pub fn earn(&self, worked: impl FnOnce() -> Duration) {
        let mut allowance = self.allowance.get();
        if !allowance.is_used() {
            return;
        }
        let now = worked();
        allowance.earn(now.saturating_sub(self.worked.replace(now)));
        self.allowance.set(allowance);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn packer(level: u32, cpu_percent: Option<u32>) -> Packer {
        Packer::new(Wanted { level, bytes_min: 1024, cpu_percent })
    }

    fn unpacked(coding: Coding, bytes: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        match coding {
            Coding::Gzip => flate2::read::GzDecoder::new(bytes).read_to_end(&mut text).map(drop),
            Coding::Zstd => zstd::stream::copy_decode(bytes, &mut text),
        }
        .expect("what was packed");
        text
    }

    #[test]
    fn what_is_packed_is_the_same_body_every_time() {
        let clock = || Tick::default();
        for level in [1, 6, 9] {
            let packer = packer(level, None);
            for coding in [Coding::Gzip, Coding::Zstd, Coding::Gzip] {
                for bytes in [1024, 5000, PACKED_BYTES_MAX] {
                    let body = "{\"content\":\"abc Ä\"},".repeat(bytes / 20 + 1);
                    let coded = (coding, false);
                    let packed = packer.pack(coded, body.as_bytes(), clock, <[u8]>::to_vec);
                    let packed = packed.expect("fewer bytes");
                    assert!(packed.len() < body.len() / 3);
                    assert_eq!(unpacked(coding, &packed), body.as_bytes());
                }
            }
        }
    }

    #[test]
    fn what_would_not_become_fewer_bytes_goes_as_it_is() {
        let mut rng = crate::base::Rng::new(7);
        let noise: Vec<u8> = (0..4096).map(|_| rng.bits().to_le_bytes()[0]).collect();
        for coding in [Coding::Gzip, Coding::Zstd] {
            let packed =
                |must| packer(1, None).pack((coding, must), &noise, Tick::default, <[u8]>::to_vec);
            assert_eq!(packed(false), None);
            assert_eq!(unpacked(coding, &packed(true).expect("all the same")), noise);
        }
    }

    #[test]
    fn sizes_and_time_are_bounded() {
        let packer = packer(1, Some(15));
        assert!(!packer.takes(1023) && packer.takes(1024));
        assert!(packer.takes(PACKED_BYTES_MAX) && !packer.takes(PACKED_BYTES_MAX + 1));
        let time = Cell::new(0);
        let slow = || Tick(time.replace(time.get() + 6_000_000));
        let body = "a".repeat(2000);
        assert!(packer.has_time());
        packer.pack((Coding::Gzip, false), body.as_bytes(), slow, |_| ());
        assert!(!packer.has_time(), "6 ms are more than the reserve");
        packer.earn(|| Duration::from_millis(40));
        assert!(packer.has_time(), "34 ms of other work pay 5 ms");
        packer.earn(|| panic!("nothing was packed, so no clock is read"));
        assert!(!Packer::new(Wanted { level: 0, bytes_min: 0, cpu_percent: None }).takes(2000));
    }
}
