//! Access tokens: a thread for each service account fetches them and sends them to the shards. It
//! blocks, which is why it is no core's work; several accounts do not wait for each other.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;

use crate::base::{Rng, Tick};
use crate::config::{Config, ServiceAccount};
use crate::credential::{Endpoint, Granted, Signer, TokenError};
use crate::obs::log::Level;
use crate::policy::{Refresh, Refused};
use crate::rt::{Accepted, Clock, Mailbox, unix_millis};
use crate::shard::{Letter, News, Report, Token, TokenReport};
use crate::web::Trust;

use super::control::say;

/// The thread of one service account.
struct Keeper {
    account: usize,
    /// The first upstream that uses it, for messages.
    upstream: String,
    signer: Signer,
    endpoint: Endpoint,
    shards: Vec<Mailbox<Letter<Accepted>>>,
    control: Sender<Report>,
    /// Serial numbers of tokens that an upstream has refused.
    refusals: Receiver<u64>,
    clock: Clock,
    random: Rng,
}

/// Starts the threads. What is sent to the senders, one for each account, is the serial number of a
/// token that an upstream has refused.
///
/// # Errors
/// A key that cannot sign, or no thread.
pub(super) fn keep(
    config: &mut Config,
    trust: &Trust,
    shards: &[Mailbox<Letter<Accepted>>],
    control: &Sender<Report>,
) -> io::Result<Vec<Sender<u64>>> {
    let accounts = config.take_accounts();
    let start = |(index, account): (usize, &ServiceAccount)| {
        let (sender, refusals) = channel();
        let keeper = Keeper {
            account: index,
            upstream: user(config, index),
            signer: Signer::new(account).map_err(io::Error::other)?,
            endpoint: Endpoint::new(account, trust, config.tunnel.as_ref()),
            shards: shards.to_vec(),
            control: control.clone(),
            refusals,
            clock: Clock::start(),
            random: Rng::new(RandomState::new().build_hasher().finish()),
        };
        let name = format!("vb-tokens-{index}");
        thread::Builder::new().name(name).spawn(move || keeper.run())?;
        Ok(sender)
    };
    accounts.iter().enumerate().map(start).collect()
}

/// The name of the first upstream that uses an account.
pub(super) fn user(config: &Config, account: usize) -> String {
    let user = config.upstreams.iter().find(|upstream| upstream.account == Some(account));
    user.map_or_else(String::new, |upstream| upstream.name.clone())
}

impl Keeper {
    /// Runs as long as the control thread does.
    fn run(mut self) {
        let mut refresh = Refresh::new(self.clock.now());
        loop {
            let now = self.clock.now();
            if refresh.has_ended(now) {
                self.say("the access token has ended, and there is no new one");
                self.tell(&News::Lost, TokenReport::Ended);
            }
            if refresh.is_due(now) {
                self.fetch(&mut refresh, now);
                continue;
            }
            match self.refusals.recv_timeout(refresh.next().since(now)) {
                Ok(serial) => match refresh.on_refused(self.clock.now(), serial) {
                    Refused::Fetch => self.say("an upstream refuses the access token"),
                    Refused::TooSoon => self.send(&News::Kept),
                    // The newer one is on its way to whoever asked.
                    Refused::Old => {}
                },
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn fetch(&mut self, refresh: &mut Refresh, asked: Tick) {
        let asked_ms = unix_millis();
        match self.exchange(asked_ms) {
            Ok(Granted { bearer, lifetime }) => {
                let serial = refresh.on_token(asked, lifetime, self.random.bits());
                let lifetime_ms = u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX);
                let end_ms = asked_ms.saturating_add(lifetime_ms);
                self.tell(&News::Fresh(Token { serial, bearer }), TokenReport::Fetched(end_ms));
            }
            Err(error) => {
                refresh.on_failure(self.clock.now(), self.random.bits());
                self.say(&format!("no access token: {error}"));
                let news = if refresh.holds() { News::Kept } else { News::Lost };
                self.tell(&news, TokenReport::Failed);
            }
        }
    }

    fn exchange(&self, now_ms: u64) -> Result<Granted, TokenError> {
        let assertion = self.signer.assertion(now_ms / 1000).ok_or(TokenError::Unsigned)?;
        self.endpoint.exchange(&assertion)
    }

    fn tell(&self, news: &News, what: TokenReport) {
        // The control thread first: whoever gets an answer by a new token and then asks whether the
        // gateway is ready hears of that token. Without a control thread nobody is left to tell.
        let _nobody = self.control.send(Report::Token { account: self.account, what });
        self.send(news);
    }

    fn send(&self, news: &News) {
        for shard in &self.shards {
            shard.send(Letter::Token { account: self.account, news: news.clone() });
        }
    }

    fn say(&self, what: &str) {
        say(Level::Warn, &format!("upstream {}: {what}", self.upstream));
    }
}
