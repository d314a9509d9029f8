//! The rules themselves, tested: for every scenario what passes, and how each rule of it fails.

use std::time::Duration;

use super::cases::{CASES, Case, OK, OUTAGE};
use super::rules::{Attempt, End, Got, Said, Seen, TEXT, Verdict, judge};

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The whole answer, from the fallback.
pub(super) fn whole() -> Got {
    Got {
        asked: Duration::ZERO,
        took: millis(1200),
        end: End::Done,
        text: TEXT.to_owned(),
        model: OK.to_owned(),
        usage: true,
        finish: "stop".to_owned(),
    }
}

fn primary(at: u64, said: Said) -> Attempt {
    Attempt { at: millis(at), at_primary: true, said }
}

fn fallback(at: u64, said: Said) -> Attempt {
    Attempt { at: millis(at), at_primary: false, said }
}

fn seen(attempts: &[Attempt]) -> Seen {
    Seen { attempts: attempts.to_vec(), got: vec![whole()], fallback: OK, alive: true }
}

fn case(model: &str) -> Case {
    *CASES.iter().find(|case| case.model == model).expect("a model of a scenario")
}

/// The verdict, words of the reason, and the change that leads there.
type Spoilt = (Verdict, &'static str, Box<dyn Fn(&mut Seen)>);

/// A scenario, the good course of it, and what spoils that.
struct Trial {
    model: &'static str,
    good: Seen,
    spoilt: Vec<Spoilt>,
}

impl Trial {
    fn new(model: &'static str, attempts: &[Attempt]) -> Self {
        let mut good = seen(attempts);
        good.fallback = case(model).fallback;
        good.got[0].model = good.fallback.to_owned();
        Self { model, good, spoilt: Vec::new() }
    }

    /// This change leads to this verdict, with these words in the reason.
    fn but(
        mut self,
        verdict: Verdict,
        reason: &'static str,
        change: impl Fn(&mut Seen) + 'static,
    ) -> Self {
        self.spoilt.push((verdict, reason, Box::new(change)));
        self
    }

    /// What spoils every scenario whose ideal is the answer.
    fn like_all(self) -> Self {
        self.but(Verdict::Fail, "a part presented as the answer: 40 words", |seen| cut(seen, 40))
            .but(Verdict::Fail, "something else presented", |seen| seen.got[0].text.push('!'))
            .but(Verdict::Fail, "no end in time", |seen| seen.got[0].end = End::Never)
            .but(Verdict::Fail, "reset", |seen| seen.got[0].end = End::Broken("reset"))
            .but(Verdict::Fail, "nothing was asked", |seen| seen.got.clear())
            .but(Verdict::Fail, "a healthy request failed", |seen| seen.alive = false)
            .but(Verdict::Safe, "an error: upstream_truncated", fail)
            .but(Verdict::Partial, "ended Unmarked", |seen| seen.got[0].end = End::Unmarked)
            .but(Verdict::Partial, "the reason \"\"", |seen| seen.got[0].finish.clear())
    }

    fn check(&self) {
        let rules = case(self.model).rules;
        let (verdict, reason) = judge(&rules, &self.good);
        assert_eq!(verdict, Verdict::Pass, "{}: {reason}", self.model);
        for (want, words, change) in &self.spoilt {
            let mut seen = self.good.clone();
            change(&mut seen);
            let (verdict, reason) = judge(&rules, &seen);
            assert_eq!(verdict, *want, "{} {words:?}: {reason}", self.model);
            assert!(reason.contains(words), "{} {words:?}: {reason}", self.model);
        }
    }
}

fn cut(seen: &mut Seen, words: usize) {
    let kept: Vec<&str> = TEXT.split(' ').take(words).collect();
    seen.got[0].text = kept.join(" ");
}

fn fail(seen: &mut Seen) {
    cut(seen, 40);
    seen.got[0].end = End::Error("upstream_truncated".to_owned());
}

#[test]
fn a_pause_that_is_asked_for_is_made() {
    let refused = Said::Status(429);
    Trial::new("fb-s01", &[primary(1, refused), primary(2050, Said::Whole)])
        .like_all()
        .but(Verdict::Partial, "after 1.7", |seen| seen.attempts[1].at = millis(1700))
        .but(Verdict::Partial, "1 attempts at the primary", |seen| {
            seen.attempts[1].at_primary = false;
        })
        .but(Verdict::Fail, "3 attempts in 1.5s", |seen| {
            seen.attempts.insert(1, primary(900, Said::Status(429)));
            seen.attempts.insert(1, primary(800, Said::Status(429)));
        })
        .check();
}

#[test]
fn who_is_busy_is_not_hammered() {
    let refused = |at| primary(at, Said::Status(429));
    let good = [refused(1), refused(90), refused(250), fallback(251, Said::Whole)];
    Trial::new("fb-s02", &good)
        .like_all()
        .but(Verdict::Fail, "5 attempts in 3s", |seen| {
            seen.attempts.extend([primary(300, Said::Status(429)); 2]);
        })
        .but(Verdict::Fail, "7 attempts at the primary", |seen| {
            seen.attempts.extend([primary(3100, Said::Status(429)); 4]);
        })
        .but(Verdict::Fail, "the fallback was not asked", |seen| seen.attempts.truncate(3))
        .check();
}

#[test]
fn what_fails_once_is_asked_once_more() {
    Trial::new("fb-s03", &[primary(1, Said::Status(500)), primary(50, Said::Whole)])
        .like_all()
        .but(Verdict::Partial, "1 attempts", |seen| seen.attempts[1].at_primary = false)
        .check();
    let reset = Said::Broken("reset");
    Trial::new("fb-s05", &[primary(1, reset), primary(2, Said::Whole)]).like_all().check();
    Trial::new("fb-s05", &[primary(1, reset), fallback(2, Said::Whole)]).check();
}

#[test]
fn an_outage_is_accounted_to_who_answered() {
    for model in ["fb-s04", "fb-s16"] {
        let good = [primary(1, Said::Status(503)), fallback(251, Said::Whole)];
        Trial::new(model, &good)
            .like_all()
            .but(Verdict::Fail, "7 attempts at the primary", |seen| {
                seen.attempts.extend([primary(3100, Said::Status(503)); 6]);
            })
            .but(Verdict::Fail, "the fallback was not asked", |seen| seen.attempts.truncate(1))
            .but(Verdict::Fail, "not fb-ok", |seen| seen.got[0].model = "fb-s04".to_owned())
            .but(Verdict::Partial, "no usage", |seen| seen.got[0].usage = false)
            .check();
    }
}

#[test]
fn silence_is_not_asked_for_twice_and_not_waited_for() {
    let silent = Said::Broken("silent");
    Trial::new("fb-s06", &[primary(1, silent), fallback(5001, Said::Whole)])
        .like_all()
        .but(Verdict::Fail, "took 100", |seen| seen.got[0].took = millis(100_100))
        .but(Verdict::Partial, "2 attempts at the primary", |seen| {
            seen.attempts.push(primary(3000, Said::Broken("silent")));
        })
        .but(Verdict::Fail, "0 attempts at the primary", |seen| {
            seen.attempts.remove(0);
        })
        .but(Verdict::Fail, "the fallback was not asked", |seen| seen.attempts.truncate(1))
        .check();
    Trial::new("fb-s07", &[primary(1, Said::Broken("late")), fallback(5001, Said::Whole)])
        .like_all()
        .but(Verdict::Partial, "took 20", |seen| seen.got[0].took = millis(20_900))
        .check();
    Trial::new("fb-s09", &[primary(1, Said::Broken("stalled")), fallback(5001, Said::Whole)])
        .like_all()
        .but(Verdict::Fail, "took 46", |seen| seen.got[0].took = millis(46_000))
        .check();
}

#[test]
fn a_broken_answer_is_made_whole() {
    for model in ["fb-s08", "fb-s14", "fb-s14-wrong"] {
        let good = [
            primary(1, Said::Broken("cut")),
            fallback(900, Said::NoPrefill),
            fallback(901, Said::Whole),
        ];
        let trial = Trial::new(model, &good).like_all_but_safe();
        trial
            .but(Verdict::Fail, "the refused prefill became", |seen| {
                seen.got[0].end = End::Error("invalid_prefill".to_owned());
            })
            .but(Verdict::Safe, "an error: upstream_truncated", |seen| {
                seen.attempts.remove(1);
                fail(seen);
            })
            .check();
    }
    Trial::new("fb-s10", &[primary(1, Said::Broken("garbage"))]).like_all().check();
}

impl Trial {
    /// Like all, where an error is judged in more ways than one.
    fn like_all_but_safe(self) -> Self {
        let mut all = self.like_all();
        all.spoilt.retain(|(verdict, ..)| *verdict != Verdict::Safe);
        all
    }
}

#[test]
fn a_missing_mark_is_not_waited_for() {
    for model in ["fb-s11", "fb-s11-open"] {
        Trial::new(model, &[primary(1, Said::Broken("no [DONE]"))])
            .like_all()
            .but(Verdict::Fail, "took 8.1", |seen| seen.got[0].took = millis(8100))
            .but(Verdict::Partial, "no usage", |seen| seen.got[0].usage = false)
            .check();
    }
}

#[test]
fn a_request_that_is_too_long_goes_elsewhere_at_once() {
    let refused = Said::Status(400);
    Trial::new("fb-s12", &[primary(1, refused), fallback(3, Said::Whole)])
        .like_all()
        .but(Verdict::Fail, "2 attempts at the primary", |seen| {
            seen.attempts.push(primary(2, Said::Status(400)));
        })
        .but(Verdict::Fail, "0 attempts at the primary", |seen| {
            seen.attempts.remove(0);
        })
        .but(Verdict::Fail, "the fallback was not asked", |seen| seen.attempts.truncate(1))
        .check();
}

#[test]
fn a_refusal_of_the_content_stays_one() {
    let mut trial = Trial::new("fb-s13", &[primary(1, Said::Status(400))]);
    trial.good.got[0].text.clear();
    trial.good.got[0].end = End::Error("content_policy_violation".to_owned());
    trial
        .but(Verdict::Partial, "answered around the refusal", |seen| seen.got[0] = whole())
        .but(Verdict::Partial, "the fallback was asked", |seen| {
            seen.attempts.push(fallback(2, Said::Whole));
        })
        .but(Verdict::Partial, "instead of the error", |seen| {
            seen.got[0].end = End::Error("upstream_error".to_owned());
        })
        .but(Verdict::Fail, "2 attempts", |seen| {
            seen.attempts.push(primary(2, Said::Status(400)));
        })
        .but(Verdict::Fail, "0 attempts", |seen| seen.attempts.clear())
        .but(Verdict::Fail, "a healthy request failed", |seen| seen.alive = false)
        .but(Verdict::Fail, "no end in time", |seen| seen.got[0].end = End::Never)
        .but(Verdict::Fail, "reset", |seen| seen.got[0].end = End::Broken("reset"))
        .check();
}

#[test]
fn who_comes_back_is_asked_again() {
    let (down, up) = (Said::Status(503), Said::Whole);
    let back = u64::try_from(OUTAGE.as_millis()).expect("it is short") + 9000;
    let good = [primary(1, down), fallback(2, up), primary(10_000, down), primary(back, up)];
    let mut trial = Trial::new("fb-s15", &good);
    let asked = |number: u64| Got { asked: millis(number * 4000), ..whole() };
    trial.good.got = (0..20).map(asked).collect();
    trial
        .like_all_but_safe()
        .but(Verdict::Fail, "14 of 15 served", fail)
        .but(Verdict::Safe, "an error: upstream_overloaded", |seen| {
            seen.got[19].end = End::Error("upstream_overloaded".to_owned());
        })
        .but(Verdict::Fail, "0 of 0 served", |seen| drop(seen.got.drain(..15)))
        .but(Verdict::Fail, "back only after 31", |seen| seen.attempts[3].at += millis(22_000))
        .but(Verdict::Fail, "the primary never answered again", |seen| seen.attempts.truncate(3))
        .check();
}

#[test]
fn sixteen_scenarios_have_sixteen_names() {
    let mut ids: Vec<&str> = CASES.iter().map(|case| case.id).collect();
    ids.dedup();
    let want: Vec<String> = (1..=16).map(|number| format!("S{number:02}")).collect();
    assert_eq!(ids, want);
}
