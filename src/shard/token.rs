//! The access token of one service account as this shard knows it. The control side fetches it and
//! sends news; requests only read.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

use crate::base::Tick;
use crate::config::Secret;
use crate::config::limits::TOKEN_REFUSAL_PAUSE;

/// A token, ready to be sent.
#[derive(Clone, Debug)]
pub struct Token {
    /// Tells one token from the next.
    pub serial: u64,
    /// The value of `authorization`.
    pub bearer: Secret,
}

/// What the control side says of a token.
#[derive(Clone, Debug)]
pub enum News {
    /// Here is a new one.
    Fresh(Token),
    /// There is no newer one; the old one is still good, as far as anybody knows.
    Kept,
    /// There is none, and the last try to get one has failed.
    Lost,
}

/// What a request finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// A token with this serial number.
    Token(u64),
    /// None yet: the first try runs.
    Pending,
    /// None, and nobody knows when there will be one.
    Lost,
}

/// One account's token.
#[derive(Debug, Default)]
pub struct TokenSlot {
    token: RefCell<Option<Token>>,
    lost: Cell<bool>,
    /// How many news have come.
    heard: Cell<u64>,
    /// The refusal that was reported last: the token's serial number and when.
    reported: Cell<Option<(u64, Tick)>>,
    /// Has no news come since?
    awaited: Cell<bool>,
    waiting: RefCell<Vec<Waker>>,
}

impl TokenSlot {
    /// Takes news in and wakes who waits for them.
    pub fn on_news(&self, news: News) {
        match news {
            News::Fresh(token) => {
                self.lost.set(false);
                *self.token.borrow_mut() = Some(token);
            }
            News::Kept => {}
            News::Lost => {
                self.lost.set(true);
                *self.token.borrow_mut() = None;
            }
        }
        self.awaited.set(false);
        self.heard.set(self.heard.get().wrapping_add(1));
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Notes that an upstream has refused the token `serial`. True when the control side is to be
    /// told: once for a token and a while, however many requests are refused.
    pub fn on_refused(&self, serial: u64, now: Tick) -> bool {
        let recent = |at: Tick| now.since(at) < TOKEN_REFUSAL_PAUSE;
        let told = |(known, at)| known == serial && recent(at);
        if self.held() != Held::Token(serial) || self.reported.get().is_some_and(told) {
            return false;
        }
        self.reported.set(Some((serial, now)));
        self.awaited.set(true);
        true
    }

    /// What a request can send.
    pub fn held(&self) -> Held {
        match &*self.token.borrow() {
            Some(token) => Held::Token(token.serial),
            None if self.lost.get() => Held::Lost,
            None => Held::Pending,
        }
    }

    /// Is the answer to a reported refusal on its way?
    pub fn is_awaited(&self) -> bool {
        self.awaited.get()
    }

    /// Resolves when news come. May be dropped at any time.
    pub fn news(&self) -> impl Future<Output = ()> + '_ {
        let heard = self.heard.get();
        poll_fn(move |context| {
            if self.heard.get() != heard {
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().push(context.waker().clone());
            Poll::Pending
        })
    }

    /// Appends the value of `authorization`; nothing when there is no token.
    pub fn push_bearer(&self, out: &mut Vec<u8>) {
        if let Some(token) = &*self.token.borrow() {
            out.extend_from_slice(token.bearer.expose().as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::Context;

    use super::*;

    fn fresh(serial: u64) -> News {
        News::Fresh(Token { serial, bearer: Secret::new(format!("Bearer t{serial}")) })
    }

    fn sent(slot: &TokenSlot) -> String {
        let mut out = Vec::new();
        slot.push_bearer(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_token_is_held_until_a_newer_one_comes_or_it_is_lost() {
        let slot = TokenSlot::default();
        assert_eq!((slot.held(), sent(&slot).as_str()), (Held::Pending, ""));
        slot.on_news(fresh(1));
        assert_eq!((slot.held(), sent(&slot).as_str()), (Held::Token(1), "Bearer t1"));
        slot.on_news(News::Kept);
        assert_eq!(slot.held(), Held::Token(1));
        slot.on_news(fresh(2));
        assert_eq!(sent(&slot), "Bearer t2");
        slot.on_news(News::Lost);
        assert_eq!((slot.held(), sent(&slot).as_str()), (Held::Lost, ""));
        slot.on_news(fresh(3));
        assert_eq!(slot.held(), Held::Token(3));
        assert!(!format!("{slot:?}").contains("t3"));
    }

    #[test]
    fn news_wake_who_waits() {
        let slot = TokenSlot::default();
        slot.on_news(News::Kept);
        let mut news = pin!(slot.news());
        let mut context = Context::from_waker(Waker::noop());
        assert!(news.as_mut().poll(&mut context).is_pending());
        slot.on_news(News::Lost);
        assert!(news.as_mut().poll(&mut context).is_ready());
        assert!(slot.waiting.borrow().is_empty());
    }

    #[test]
    fn a_refusal_is_reported_once_for_a_token_and_a_while() {
        let slot = TokenSlot::default();
        let at = |seconds: u64| Tick(seconds * 1_000_000_000);
        assert!(!slot.on_refused(1, at(0)), "no such token");
        slot.on_news(fresh(1));
        assert!(slot.on_refused(1, at(1)) && slot.is_awaited());
        assert!(!slot.on_refused(1, at(2)));
        slot.on_news(News::Kept);
        assert!(!slot.is_awaited() && !slot.on_refused(1, at(10)));
        assert!(slot.on_refused(1, at(11)));
        slot.on_news(fresh(2));
        assert!(!slot.on_refused(1, at(30)), "an old one: the new one is here");
        assert!(slot.on_refused(2, at(30)));
    }
}
