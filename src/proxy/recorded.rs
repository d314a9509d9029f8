//! What the journal is told of an exchange.

use std::time::Duration;

use crate::chat::{ApiError, Door, Row};
use crate::config::WhenFull;
use crate::journal::{self, Api, Record};
use crate::obs::{Settled, UpstreamFailure};
use crate::rt::Runtime;
use crate::shard::Shard;

use super::charge::Charge;
use super::exact::Errand;
use super::exchange::{Ending, Known};

impl<R: Runtime> Known<'_, R> {
    /// Writes that the exchange is admitted: what is known of it now survives a `kill -9`. `model`
    /// is the client's own name of it.
    ///
    /// # Errors
    /// It cannot be written down, and what cannot be is not to be served.
    #[expect(clippy::result_large_err, reason = "a refusal is made once and written at once")]
    // A call of its own, so that a profile tells what it costs.
    #[inline(never)]
    pub(super) fn record_admission(&mut self, model: &str) -> Result<(), ApiError> {
        let Shard { journal, config, .. } = self.shard;
        if !journal.is_kept() {
            return Ok(());
        }
        if !journal.is_shut() {
            let keys = self.shard.access.keys();
            let beginning = self.beginning(keys.name(self.key));
            self.entry = journal.admit(&Record { model, ..beginning });
            if self.entry.is_some() {
                return Ok(());
            }
        }
        if !config.ledger.enabled || config.ledger.when_full == WhenFull::Serve {
            return Ok(());
        }
        let message =
            "the ledger cannot be written, and nothing is served that it does not know of";
        Err(ApiError::new(Row::OVERLOADED, message))
    }

    /// Writes that it has ended.
    // A call of its own, so that a profile tells what it costs.
    #[inline(never)]
    pub(super) fn record_end(
        &self,
        ending: Ending,
        settled: &Settled,
        charge: &Charge,
        cause: &str,
    ) {
        let shard = self.shard;
        if !shard.journal.is_kept() {
            return;
        }
        let keys = shard.access.keys();
        let asked = self.asked.and_then(|index| shard.config.upstreams.get(index));
        let record = Record {
            prompt: charge.usage.prompt,
            cached: charge.usage.cached,
            cache_write: charge.usage.cache_write,
            prompt_audio: charge.usage.prompt_audio,
            completion: charge.usage.completion,
            reasoning: charge.usage.reasoning,
            completion_audio: charge.usage.completion_audio,
            cache_write_1h: charge.usage.cache_write_1h,
            cached_audio: charge.usage.cached_audio,
            completion_image: charge.usage.completion_image,
            tier: charge.tier.number(),
            cost_nanos: charge.nanos.unwrap_or(0),
            priced: charge.nanos.is_some(),
            prices: charge.prices,
            estimated: charge.estimated,
            bytes_in: settled.bytes_in,
            bytes_out: settled.bytes_out,
            parse: micros(self.phases.parse),
            queue: micros(self.phases.queue),
            connect: micros(self.phases.connect),
            tls: micros(self.phases.tls),
            upstream: micros(self.phases.upstream),
            waited: micros(self.waited),
            first_token: settled.first_token.map_or(0, micros),
            total: micros(settled.duration),
            status: settled.status,
            attempts: u16::try_from(self.attempts).unwrap_or(u16::MAX),
            ending: kind(ending),
            stream: self.first_token.is_some(),
            cache_hit: self.source.is_shared(),
            upstream_name: asked.map_or("", |upstream| &upstream.name),
            model: self.model(),
            reason: self.reason.map_or(0, UpstreamFailure::number),
            reused: self.reused,
            cause,
            ..self.beginning(keys.name(self.key))
        };
        shard.journal.settle(self.entry, &record);
        if self.entry.is_none() {
            shard.cells.records_lost.set(shard.journal.lost());
        }
    }

    /// What is known from the beginning.
    fn beginning<'r>(&'r self, key: &'r str) -> Record<'r> {
        let shard = self.shard;
        let now = shard.rt.unix_millis();
        let age = u64::try_from(shard.rt.lately().since(self.started).as_millis()).unwrap_or(0);
        let trace = &self.envelope.trace;
        let route = self.target.and_then(|target| shard.shape.targets.get(target));
        Record {
            started_ms: now.saturating_sub(age),
            written_ms: now,
            trace: trace.id,
            span: trace.span,
            parent: trace.parent,
            sampled: shard.sampling.records(*trace),
            shard: u16::try_from(shard.index).unwrap_or(u16::MAX),
            id: self.envelope.id.as_str(),
            api: self.api,
            key,
            route: route.map_or("", |labels| &labels.route),
            reserved_nanos: self.money.map_or(0, |money| money.nanos),
            ..Record::default()
        }
    }
}

/// What an errand is called in records.
pub(super) const fn api(errand: Errand) -> Api {
    match errand {
        Errand::Talk(Door::Chat) => Api::Chat,
        Errand::Talk(Door::Completions) => Api::Completions,
        Errand::Talk(Door::Responses) => Api::Responses,
        Errand::Talk(Door::Messages) => Api::Messages,
        Errand::Talk(Door::Generate(_)) => Api::Generate,
        Errand::Embed => Api::Embeddings,
        Errand::Count => Api::CountTokens,
    }
}

const fn kind(ending: Ending) -> journal::Ending {
    match ending {
        Ending::Answered => journal::Ending::Answered,
        Ending::Failed(..) => journal::Ending::Failed,
        Ending::Broken(_) => journal::Ending::Broken,
        Ending::ClientLeft => journal::Ending::ClientLeft,
        Ending::Bug => journal::Ending::Bug,
    }
}

fn micros(spent: Duration) -> u32 {
    u32::try_from(spent.as_micros()).unwrap_or(u32::MAX)
}
