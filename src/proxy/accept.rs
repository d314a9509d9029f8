//! Accepting connections on one core, and the core's main task.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use crate::base::Tick;
use crate::rt::{Letters, Listener, Runtime, catch};
use crate::shard::deadline::SWEEP;
use crate::shard::{Letter, Shard};

use super::route::Port;
use super::serve;

/// How long a client that is idle when a drain begins may still send a request.
const DRAIN_GRACE: Duration = Duration::from_secs(1);

/// How often a draining shard looks whether it is done, and a full one whether it has room.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Connections of operators beyond those that a shard has for clients.
const OPERATORS_MAX: usize = 64;

/// Sweeps between two looks at the idle links.
const SWEEPS_PER_PRUNE: u32 = 40;

/// Serves until told to stop, or until drained. `drain_max` bounds the drain.
pub async fn run<R: Runtime>(
    shard: Rc<Shard<R>>,
    listener: R::Listener,
    letters: Letters<Letter<R::Accepted>>,
    drain_max: Duration,
) {
    run_both(shard, (listener, None), letters, drain_max).await;
}

/// The same with a second listener, which serves operators.
pub async fn run_both<R: Runtime>(
    shard: Rc<Shard<R>>,
    (listener, operators): (R::Listener, Option<R::Listener>),
    letters: Letters<Letter<R::Accepted>>,
    drain_max: Duration,
) {
    let listener = Rc::new(listener);
    let operators = operators.map(Rc::new);
    shard.rt.spawn(sweep(Rc::clone(&shard)));
    let accepting = Rc::new(Cell::new(1));
    shard.rt.spawn(accept(Rc::clone(&shard), Rc::clone(&listener), Rc::clone(&accepting)));
    if let Some(operators) = &operators {
        accepting.set(2);
        let (listener, accepting) = (Rc::clone(operators), Rc::clone(&accepting));
        shard.rt.spawn(accept_operators(Rc::clone(&shard), listener, accepting));
    }
    loop {
        match letters.next().await {
            Letter::Connection(accepted) => serve_here(&shard, accepted, port_of(&shard)),
            Letter::Addresses { upstream, addresses } => shard.new_addresses(upstream, addresses),
            Letter::Token { account, news } => shard.on_token_news(account, news),
            Letter::Security(security) => shard.secure(security),
            Letter::Keys(access) => shard.access.replace(access),
            Letter::Order(order) => shard.obey(&order),
            Letter::Drain => break,
            Letter::Retire => {
                shard.retire();
                listener.stop();
                operators.iter().for_each(|listener| listener.stop());
                leave(&shard, &listener, operators.as_deref(), &accepting).await;
                break;
            }
            Letter::Stop => return,
        }
    }
    drained(&shard, &letters, drain_max).await;
    listener.stop();
    operators.iter().for_each(|listener| listener.stop());
}

/// What will come into the queues is the successor's, which has the same sockets; what has come
/// while both waited for it may have been announced here alone, so it is served here. `accepting`
/// is how many tasks still accept.
async fn leave<R: Runtime>(
    shard: &Rc<Shard<R>>,
    listener: &R::Listener,
    operators: Option<&R::Listener>,
    accepting: &Cell<u32>,
) {
    while accepting.get() > 0 {
        shard.rt.sleep(LOOK_AGAIN).await;
    }
    while let Some(accepted) = listener.take_waiting() {
        shard.cells.connections_accepted.add(1);
        place(shard, accepted);
    }
    while let Some(accepted) = operators.and_then(|listener| listener.take_waiting()) {
        serve_operator(shard, accepted);
    }
}

/// Waits until the last client of all shards has gone, the drain has lasted long enough, or a stop
/// comes. A shard that ended before the others would lose the connections they hand to it.
async fn drained<R: Runtime>(
    shard: &Rc<Shard<R>>,
    letters: &Letters<Letter<R::Accepted>>,
    drain_max: Duration,
) {
    // What was handed over has no deadline: a stream may last as long as it likes.
    let (mut noticed, mut end) = (Tick::default(), Tick::NEVER);
    if !shard.is_retiring() {
        noticed = shard.drain(DRAIN_GRACE);
        end = noticed.after(drain_max);
    }
    while shard.rt.now() < end {
        if shard.board.total() == 0 && shard.rt.now() >= noticed {
            // A shard that has not heard of the drain may still accept, and hand over what it has
            // accepted: not to this one any more, unless it is in the counts already.
            shard.board.close(shard.index);
            if shard.board.total() == 0 {
                return;
            }
        }
        let (mut next, mut wait) = (pin!(letters.next()), pin!(shard.rt.sleep(LOOK_AGAIN)));
        let letter = std::future::poll_fn(|context| {
            if let Poll::Ready(letter) = next.as_mut().poll(context) {
                return Poll::Ready(Some(letter));
            }
            wait.as_mut().poll(context).map(|()| None)
        })
        .await;
        match letter {
            Some(Letter::Stop) => return,
            Some(Letter::Connection(accepted)) => serve_here(shard, accepted, port_of(shard)),
            Some(Letter::Token { account, news }) => shard.on_token_news(account, news),
            Some(Letter::Keys(access)) => shard.access.replace(access),
            Some(Letter::Order(order)) => shard.obey(&order),
            Some(Letter::Drain) => {
                noticed = shard.drain(DRAIN_GRACE);
                end = end.min(noticed.after(drain_max));
            }
            Some(Letter::Addresses { .. } | Letter::Security(_) | Letter::Retire) | None => {}
        }
    }
}

/// Ends what is late, and once a second closes the idle links that nobody should use any more.
async fn sweep<R: Runtime>(shard: Rc<Shard<R>>) {
    let mut turns: u32 = 0;
    loop {
        shard.rt.sleep(SWEEP).await;
        shard.deadlines.sweep(shard.rt.now());
        shard.packer.earn(|| shard.rt.worked());
        turns = turns.wrapping_add(1);
        if turns.is_multiple_of(SWEEPS_PER_PRUNE) {
            shard.prune();
        }
    }
}

async fn accept<R: Runtime>(
    shard: Rc<Shard<R>>,
    listener: Rc<R::Listener>,
    accepting: Rc<Cell<u32>>,
) {
    loop {
        // At the cap the kernel's queue holds new clients; accepting them would end in EMFILE.
        while shard.connections() >= shard.connections_max && !shard.is_retiring() {
            shard.rt.sleep(LOOK_AGAIN).await;
        }
        match listener.accept().await {
            Ok((accepted, _peer)) => {
                shard.cells.connections_accepted.add(1);
                place(&shard, accepted);
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => break,
            // The client left between its handshake and here, or descriptors ran out.
            Err(_) => shard.rt.sleep(LOOK_AGAIN).await,
        }
    }
    accepting.set(accepting.get().saturating_sub(1));
}

/// Accepts operators, also when clients fill the shard: they stay here, and only their number is
/// bounded.
async fn accept_operators<R: Runtime>(
    shard: Rc<Shard<R>>,
    listener: Rc<R::Listener>,
    accepting: Rc<Cell<u32>>,
) {
    let most = shard.connections_max.saturating_add(OPERATORS_MAX);
    loop {
        while shard.connections() >= most && !shard.is_retiring() {
            shard.rt.sleep(LOOK_AGAIN).await;
        }
        match listener.accept().await {
            Ok((accepted, _peer)) => serve_operator(&shard, accepted),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => break,
            Err(_) => shard.rt.sleep(LOOK_AGAIN).await,
        }
    }
    accepting.set(accepting.get().saturating_sub(1));
}

fn serve_operator<R: Runtime>(shard: &Rc<Shard<R>>, accepted: R::Accepted) {
    shard.cells.connections_accepted.add(1);
    shard.board.enter(shard.index);
    serve_here(shard, accepted, Port::Operators);
}

/// Serves a new connection here, or hands it to a shard with clearly fewer.
fn place<R: Runtime>(shard: &Rc<Shard<R>>, accepted: R::Accepted) {
    let chosen = shard.board.place(shard.index);
    match shard.mailboxes.get(chosen) {
        Some(mailbox) if chosen != shard.index => {
            shard.cells.connections_handed_over.add(1);
            mailbox.send(Letter::Connection(accepted));
        }
        _ => serve_here(shard, accepted, port_of(shard)),
    }
}

/// What the main listener serves.
const fn port_of<R: Runtime>(shard: &Shard<R>) -> Port {
    if shard.config.admin_listen.is_some() { Port::Clients } else { Port::All }
}

fn serve_here<R: Runtime>(shard: &Rc<Shard<R>>, accepted: R::Accepted, port: Port) {
    let guard = shard.connection();
    let Ok(conn) = shard.rt.adopt(accepted) else { return };
    let for_task = Rc::clone(shard);
    shard.rt.spawn(async move {
        let _counted = guard;
        if catch(serve::connection(&for_task, conn, port)).await.is_err() {
            for_task.cells.bugs.add(1);
        }
    });
}
