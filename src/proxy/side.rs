//! The client's side of a stream: the head, what is written, how it ends.

use crate::base::Tick;
use crate::chat::ApiError;
use crate::rt::{Lent, Runtime};
use crate::shard::FlightHead;
use crate::wire::write;

use super::answer::after;
use super::charge::COST_FIELD;
use super::client::{Client, Gone};
use super::exchange::{After, Ending, Exchange};
use super::failure::Failure;
use super::pipe::Pipe;
use super::remains::Remains;
use super::reply::stream_head;
use super::source::shared;

/// The client's side of one stream.
pub(super) struct Side<'s, R: Runtime, P> {
    pub(super) exchange: Exchange<'s, R>,
    pub(super) pipe: P,
    /// What goes out with the next write: the open chunk, and before it the head the first time.
    pub(super) out: Vec<u8>,
    pub(super) head_sent: bool,
    /// Ready field lines of the head.
    fields: Vec<u8>,
    /// When the client was last written to, whoever has spoken since.
    pub(super) told: Tick,
    /// What goes out when nothing else does.
    quiet: &'static [u8],
    /// The same, framed; nothing where somebody else tells the clients.
    pub(super) ping: Vec<u8>,
    content_type: &'static str,
    /// Does the cost follow the body? The head has said so.
    promised: Option<bool>,
}

/// A stream that broke off, and that another answer may take over.
pub(super) struct Cut<'s, R: Runtime> {
    pub(super) side: Side<'s, R, Remains>,
    pub(super) failure: Failure,
}

impl<'s, R: Runtime, P: Pipe<R>> Side<'s, R, P> {
    /// Nothing has been written. `fields` are ready lines of the head.
    pub(super) fn new(exchange: Exchange<'s, R>, pipe: P, fields: Vec<u8>) -> Self {
        let (quiet, ping) = (pipe.ping(), ping_of(&exchange, pipe.ping()));
        let content_type = pipe.content_type();
        let told = exchange.shard.rt.lately();
        Self {
            exchange,
            pipe,
            out: Vec::new(),
            head_sent: false,
            fields,
            told,
            quiet,
            ping,
            content_type,
            promised: None,
        }
    }
}

impl<'s, R: Runtime, P> Side<'s, R, P> {
    /// The pipe, and the side without it.
    pub(super) fn split(self) -> (P, Side<'s, R, ()>) {
        self.swap(())
    }

    /// The same side with another pipe.
    pub(super) fn with<Q>(self, pipe: Q) -> Side<'s, R, Q> {
        self.swap(pipe).1
    }

    /// The pipe, and the side with another one.
    fn swap<Q>(self, other: Q) -> (P, Side<'s, R, Q>) {
        let side = Side {
            exchange: self.exchange,
            pipe: other,
            out: self.out,
            head_sent: self.head_sent,
            fields: self.fields,
            told: self.told,
            quiet: self.quiet,
            ping: self.ping,
            content_type: self.content_type,
            promised: self.promised,
        };
        (self.pipe, side)
    }

    /// The same side with a pipe that is made of the one it has.
    pub(super) fn map<Q>(self, make: impl FnOnce(P) -> Q) -> Side<'s, R, Q> {
        let (pipe, side) = self.split();
        side.with(make(pipe))
    }
}

impl<R: Runtime, P: Pipe<R>> Side<'_, R, P> {
    /// The bytes of another pipe have another silence.
    pub(super) fn renew_ping(&mut self) {
        self.ping = ping_of(&self.exchange, self.pipe.ping());
    }

    /// Has come what settles the status? Where somebody else could speak instead, that is the first
    /// word of the answer, not its opening.
    pub(super) fn is_ready(&self) -> bool {
        if self.head_sent {
            true
        } else if self.exchange.waits_for_word() {
            self.pipe.has_spoken()
        } else {
            self.pipe.has_started()
        }
    }

    /// Ends with an error as the last event.
    pub(super) async fn fail<F, M>(self, client: &Client<'_, R, F, M>, error: &ApiError) -> After
    where
        F: Future<Output = Lent<usize>>,
        M: Fn(Vec<u8>) -> F,
    {
        self.fail_with(client, error, P::error).await
    }
}

impl<R: Runtime, P> Side<'_, R, P> {
    /// Renders something of ours, as a chunk of its own.
    pub(super) fn say(&mut self, what: impl FnOnce(&mut P, &mut Exchange<'_, R>, &mut Vec<u8>)) {
        let mark = self.open_chunk();
        what(&mut self.pipe, &mut self.exchange, &mut self.out);
        self.close_chunk(mark);
    }

    /// The last write of a whole stream.
    pub(super) async fn finish<F, M>(mut self, client: &Client<'_, R, F, M>) -> After
    where
        F: Future<Output = Lent<usize>>,
        M: Fn(Vec<u8>) -> F,
    {
        self.end_body(Ending::Answered);
        let written = self.flush(client).await;
        let Self { exchange, .. } = self;
        if written.is_err() {
            return exchange.client_left();
        }
        let after = stream_after(&exchange);
        exchange.settle(Ending::Answered);
        after
    }

    /// Ends with an error as the last event, which `render` appends.
    pub(super) async fn fail_with<F, M>(
        mut self,
        client: &Client<'_, R, F, M>,
        error: &ApiError,
        render: impl FnOnce(&mut P, &ApiError, &str, &mut Vec<u8>),
    ) -> After
    where
        F: Future<Output = Lent<usize>>,
        M: Fn(Vec<u8>) -> F,
    {
        self.say(|pipe, exchange, out| render(pipe, error, exchange.envelope.id.as_str(), out));
        let ending = Ending::Broken(error.row.code.unwrap_or("refused"));
        self.end_body(ending);
        self.exchange.envelope.keep_alive = false;
        let written = self.flush(client).await;
        if written.is_err() {
            return self.exchange.client_left();
        }
        self.exchange.settle(ending);
        After::Close
    }

    pub(super) fn open_chunk(&mut self) -> usize {
        if self.out.capacity() == 0 {
            self.out = self.exchange.shard.buffers.take();
        }
        if self.exchange.frames() { write::begin_chunk(&mut self.out) } else { 0 }
    }

    pub(super) fn close_chunk(&mut self, mark: usize) {
        if self.exchange.frames() {
            write::end_chunk(&mut self.out, mark);
        }
    }

    fn end_body(&mut self, ending: Ending) {
        if !self.exchange.frames() {
            return;
        }
        write::open_trailer(&mut self.out);
        if self.promises() {
            self.exchange.charge(ending).push_field(&mut self.out);
        }
        self.out.extend_from_slice(b"\r\n");
    }

    /// Does the cost follow the body? It is only known when the answer has ended, so that a head
    /// cannot tell it.
    fn promises(&mut self) -> bool {
        let exchange = &self.exchange;
        *self.promised.get_or_insert_with(|| {
            exchange.envelope.trailers
                && exchange.lead.is_none()
                && exchange.shard.config.server.own_headers
                && exchange.account.has_price()
        })
    }

    /// Writes what has been gathered, with the head before it the first time.
    pub(super) async fn flush<F, M>(&mut self, client: &Client<'_, R, F, M>) -> Result<(), Gone>
    where
        F: Future<Output = Lent<usize>>,
        M: Fn(Vec<u8>) -> F,
    {
        // Of two candidates only one may give the head for all.
        if self.exchange.lead.is_some() && !client.may_speak() {
            return Err(Gone);
        }
        let mut out = std::mem::take(&mut self.out);
        if !self.head_sent {
            self.head_sent = true;
            self.exchange.first_token = Some(self.exchange.age());
            if let Some(sent) = client.speaks().await {
                self.exchange.bytes_out += sent;
            } else {
                let mut first = self.exchange.shard.buffers.take();
                self.push_head(&mut first);
                first.extend_from_slice(&out);
                self.exchange.shard.buffers.give(std::mem::replace(&mut out, first));
            }
        }
        self.exchange.bytes_out += u64::try_from(out.len()).unwrap_or(0);
        let (result, out) = client.write(out).await;
        self.told = self.exchange.shard.rt.lately();
        // Between two pieces thousands of streams wait, and none of them needs one.
        self.exchange.shard.buffers.give(out);
        result
    }

    fn push_head(&mut self, out: &mut Vec<u8>) {
        let promises = self.promises();
        let exchange = &mut self.exchange;
        exchange.push_own(&mut self.fields);
        let Some(lead) = exchange.lead.clone() else {
            if promises {
                write::field(&mut self.fields, "trailer", COST_FIELD.as_bytes());
            }
            let (shard, head) = (exchange.shard, (self.content_type, self.fields.as_slice()));
            return stream_head(&mut exchange.envelope, shard, head, out);
        };
        lead.put_head(FlightHead {
            id: exchange.envelope.id.as_str().to_owned(),
            status: 200,
            content_type: self.content_type.to_owned(),
            own_fields: self.fields.clone(),
            fields: shared(&self.fields),
            is_stream: true,
            ping: self.quiet,
        });
    }
}

/// Bytes that may stand between two chunks of a body, as a chunk of their own.
fn ping_of<R: Runtime>(exchange: &Exchange<'_, R>, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 16);
    if exchange.lead.is_some() {
        return out;
    }
    write::piece(&mut out, exchange.frames(), |out| out.extend_from_slice(bytes));
    out
}

/// A body that ends with the connection leaves no room for another request.
fn stream_after<R: Runtime>(exchange: &Exchange<'_, R>) -> After {
    if exchange.envelope.http10 { After::Close } else { after(&exchange.envelope) }
}
