//! Which IO driver a core gets: the best one that the kernel, the container and the limits allow.

use std::fmt;
use std::io;

/// What the operator asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Driver {
    /// The best that can be had.
    #[default]
    Auto,
    /// `io_uring` or nothing.
    IoUring,
    /// epoll, also where `io_uring` would work.
    Epoll,
}

/// One rung of the ladder, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rung {
    /// `io_uring` with one issuer and deferred task running (Linux 6.1): the cheapest by a
    /// quarter of the CPU per request.
    UringDeferred,
    /// Plain `io_uring`.
    Uring,
    /// epoll.
    Epoll,
}

impl Rung {
    /// The driver's name in logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UringDeferred => "io_uring+defer_taskrun",
            Self::Uring => "io_uring",
            Self::Epoll => "epoll",
        }
    }
}

/// The driver that a core runs on, and why it is not a better one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The rung that held.
    pub rung: Rung,
    /// The reasons of the rungs above that did not, in one sentence; none when the first held.
    pub instead_of: Option<String>,
}

impl fmt::Display for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.rung.name())?;
        match &self.instead_of {
            Some(why) => write!(f, " ({why})"),
            None => Ok(()),
        }
    }
}

/// Tries the rungs that `driver` allows, best first, and returns what the first that can be built
/// gives. `refused` makes rungs fail without being tried, for tests.
///
/// # Errors
/// The last rung's error, with the reasons of all.
pub(super) fn descend<T>(
    driver: Driver,
    refused: &[(Rung, i32)],
    mut run: impl FnMut(Rung, Chosen) -> io::Result<T>,
) -> io::Result<T> {
    let emulated = driver == Driver::Auto && under_valgrind();
    let rungs: &[Rung] = match driver {
        Driver::Auto if emulated => &[Rung::Epoll],
        Driver::Auto => &[Rung::UringDeferred, Rung::Uring, Rung::Epoll],
        Driver::IoUring => &[Rung::UringDeferred, Rung::Uring],
        Driver::Epoll => &[Rung::Epoll],
    };
    let mut reasons: Option<String> =
        emulated.then(|| "valgrind, which stops all threads while one waits in a ring".to_owned());
    for rung in rungs {
        let planted = refused.iter().find(|(refused, _)| refused == rung);
        let result = match planted {
            Some((_, code)) => Err(io::Error::from_raw_os_error(*code)),
            None => run(*rung, Chosen { rung: *rung, instead_of: reasons.clone() }),
        };
        let error = match result {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let reason = format!("{}: {}", rung.name(), explain(&error));
        reasons =
            Some(reasons.map_or_else(|| reason.clone(), |above| format!("{above}; {reason}")));
    }
    Err(io::Error::other(reasons.unwrap_or_default()))
}

/// Valgrind runs one thread at a time and does not know that `io_uring_enter` waits: the first
/// core that waits would stop all others for good.
pub(super) fn under_valgrind() -> bool {
    std::fs::read_to_string("/proc/self/maps").is_ok_and(|maps| maps.contains("/vgpreload_"))
}

/// The operating system's words, and what an operator can do about the three usual causes.
fn explain(error: &io::Error) -> String {
    let hint = match error.raw_os_error() {
        Some(libc::EPERM) => ", forbidden by seccomp or kernel.io_uring_disabled",
        Some(libc::ENOSYS) => ", the kernel or the container has no io_uring",
        Some(libc::ENOMEM) => ", raise the memlock limit (LimitMEMLOCK=infinity)",
        Some(libc::EINVAL) => ", the kernel is older than these flags",
        _ => "",
    };
    format!("{error}{hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first_that_holds(driver: Driver, refused: &[(Rung, i32)]) -> io::Result<Chosen> {
        descend(driver, refused, |_, chosen| Ok(chosen))
    }

    #[test]
    fn the_best_rung_is_taken_without_a_reason() {
        let chosen = first_that_holds(Driver::Auto, &[]).unwrap();
        assert_eq!(chosen, Chosen { rung: Rung::UringDeferred, instead_of: None });
    }

    #[test]
    fn flags_that_an_older_kernel_refuses_lead_to_the_plain_ring() {
        let refused = [(Rung::UringDeferred, libc::EINVAL)];
        let chosen = first_that_holds(Driver::Auto, &refused).unwrap();
        assert_eq!(chosen.rung, Rung::Uring);
        assert!(chosen.instead_of.unwrap().contains("older than these flags"));
    }

    #[test]
    fn without_any_ring_epoll_serves_unless_the_operator_insists() {
        for code in [libc::EPERM, libc::ENOSYS, libc::ENOMEM] {
            let refused = [(Rung::UringDeferred, code), (Rung::Uring, code)];
            let chosen = first_that_holds(Driver::Auto, &refused).unwrap();
            assert_eq!(chosen.rung, Rung::Epoll);
            let why = chosen.instead_of.unwrap();
            assert!(why.contains("io_uring+defer_taskrun: ") && why.contains("; io_uring: "));
            assert!(first_that_holds(Driver::IoUring, &refused).is_err());
        }
        assert_eq!(first_that_holds(Driver::Epoll, &[]).unwrap().instead_of, None);
    }
}
