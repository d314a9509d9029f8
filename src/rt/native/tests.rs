//! The executor on real sockets.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::task::Waker;
use std::thread;

use super::*;
use crate::rt::{bind, mailbox};

fn run<F: Future>(start: impl FnOnce(Native) -> F) -> F::Output {
    let executor = Executor::open(Driver::Auto).expect("io_uring can be had here");
    executor.run(start).expect("the ring holds")
}

/// A connection of the executor, and its other end.
async fn pair(rt: &Native) -> (NativeConn, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let conn = rt.connect(listener.local_addr().expect("bound")).await.expect("it listens");
    (conn, listener.accept().expect("it has connected").0)
}

/// Polls once and leaves the future as it is.
async fn once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
}

#[test]
fn bytes_go_both_ways_behind_what_a_buffer_has() {
    run(|rt| async move {
        let (conn, mut other) = pair(&rt).await;
        other.write_all(b"hello").expect("open");
        let mut buffer = Vec::with_capacity(64);
        buffer.extend_from_slice(b"> ");
        let (count, buffer) = conn.read(buffer).await;
        assert_eq!((count.expect("open"), buffer.as_slice()), (5, b"> hello".as_slice()));
        let (written, buffer) = conn.write_all(buffer).await;
        assert!(written.is_ok() && buffer.is_empty());
        conn.finish();
        let mut got = String::new();
        other.read_to_string(&mut got).expect("open");
        assert_eq!(got, "> hello");
        drop(other);
        let (count, _) = conn.read(Vec::with_capacity(8)).await;
        assert_eq!(count.expect("closed, not broken"), 0);
    });
}

#[test]
fn more_than_the_kernel_takes_at_once_is_written_whole() {
    const BYTES: usize = 8 << 20;
    run(|rt| async move {
        let (conn, mut other) = pair(&rt).await;
        let reader = thread::spawn(move || {
            let mut got = Vec::new();
            other.read_to_end(&mut got).expect("open");
            got
        });
        let sent: Vec<u8> = (0..BYTES).map(|at| u8::try_from(at % 251).unwrap_or(0)).collect();
        let (written, _) = conn.write_all(sent.clone()).await;
        written.expect("it is read");
        conn.finish();
        assert!(reader.join().expect("no panic") == sent);
    });
}

#[test]
fn an_abort_ends_a_stuck_read_and_a_stuck_write_with_their_buffers() {
    run(|rt| async move {
        let (conn, _other) = pair(&rt).await;
        let mut read = std::pin::pin!(conn.read(Vec::with_capacity(100)));
        let mut write = std::pin::pin!(conn.write_all(vec![0; 64 << 20]));
        assert!(once(read.as_mut()).await.is_pending() && once(write.as_mut()).await.is_pending());
        rt.sleep(Duration::from_millis(5)).await;
        conn.abort();
        let (count, buffer) = read.await;
        assert_eq!((count.expect("an end"), buffer.capacity()), (0, 100));
        let (written, buffer) = write.await;
        assert!(written.is_err() && buffer.is_empty() && buffer.capacity() == 64 << 20);
    });
}

#[test]
fn a_dropped_operation_is_ended_and_its_socket_closed() {
    run(|rt| async move {
        let (conn, mut other) = pair(&rt).await;
        {
            let mut read = std::pin::pin!(conn.read(Vec::with_capacity(100)));
            assert!(once(read.as_mut()).await.is_pending());
        }
        drop(conn);
        let wait = Some(Duration::from_secs(5));
        other.set_read_timeout(wait).expect("a wait");
        // The pending read kept the socket open; its end closes it.
        rt.sleep(Duration::from_millis(5)).await;
        assert_eq!(other.read(&mut [0; 8]).expect("closed"), 0);
    });
}

#[test]
fn a_connection_that_nobody_takes_is_refused_and_one_that_hangs_may_be_dropped() {
    run(|rt| async move {
        let free = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let at = free.local_addr().expect("bound");
        drop(free);
        let refused = rt.connect(at).await.map(drop).expect_err("nobody listens");
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        let nowhere = "10.255.255.1:9".parse().expect("an address");
        let mut hangs = std::pin::pin!(rt.connect(nowhere));
        let _pending_or_unreachable = once(hangs.as_mut()).await;
    });
}

#[test]
fn a_listener_that_is_told_to_stop_ends_its_accept_and_leaves_what_waits() {
    run(|rt| async move {
        let socket = bind("127.0.0.1:0".parse().expect("an address"), 1).expect("free").remove(0);
        let at = socket.local_addr().expect("bound");
        let listener = rt.listen(socket).expect("ours");
        let client = TcpStream::connect(at).expect("it listens");
        let (accepted, peer) = listener.accept().await.expect("one waits");
        assert_eq!(peer, client.local_addr().expect("connected"));
        let conn = rt.adopt(accepted).expect("ours");
        assert_eq!((conn.peek(), conn.peer_address()), (Peek::Quiet, Some(peer)));
        let mut accept = std::pin::pin!(listener.accept());
        assert!(once(accept.as_mut()).await.is_pending());
        listener.stop();
        let ended = accept.await.map(drop).expect_err("stopped");
        assert_eq!(ended.kind(), io::ErrorKind::Interrupted);
        let _late = TcpStream::connect(at).expect("it listens still");
        let ended = listener.accept().await.map(drop).expect_err("stopped");
        assert_eq!(ended.kind(), io::ErrorKind::Interrupted);
        assert!(listener.take_waiting().is_some());
    });
}

#[test]
fn sleeps_end_in_the_order_of_their_times_and_may_be_dropped() {
    run(|rt| async move {
        let order = Rc::new(RefCell::new(Vec::new()));
        for millis in [30, 1, 15, 0, 15] {
            let (sleeper, order) = (rt.clone(), Rc::clone(&order));
            rt.spawn(async move {
                sleeper.sleep(Duration::from_millis(millis)).await;
                order.borrow_mut().push(millis);
            });
        }
        {
            let mut long = std::pin::pin!(rt.sleep(Duration::from_secs(3600)));
            assert!(once(long.as_mut()).await.is_pending());
        }
        let began = rt.now();
        rt.sleep(Duration::from_millis(60)).await;
        let slept = rt.now().since(began);
        assert!((60..3000).contains(&slept.as_millis()), "{slept:?}");
        assert_eq!(*order.borrow(), [0, 1, 15, 15, 30]);
    });
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the thread that waits is no core")]
fn other_threads_wake_a_core_that_sleeps() {
    const LETTERS: u32 = 1000;
    run(|_rt| async move {
        let (sender, letters) = mailbox();
        let writer = thread::spawn(move || {
            for letter in 0..LETTERS {
                if letter % 100 == 0 {
                    thread::sleep(Duration::from_millis(1));
                }
                sender.send(letter);
            }
        });
        for letter in 0..LETTERS {
            assert_eq!(letters.next().await, letter);
        }
        writer.join().expect("no panic");
    });
}

#[test]
fn wakers_of_ended_tasks_and_ended_executors_wake_nobody() {
    let kept = run(|rt| async move {
        let kept: Rc<RefCell<Option<Waker>>> = Rc::default();
        let keep = Rc::clone(&kept);
        rt.spawn(std::future::poll_fn(move |context| {
            *keep.borrow_mut() = Some(context.waker().clone());
            Poll::Ready(())
        }));
        rt.sleep(Duration::from_millis(2)).await;
        let waker = kept.take().expect("it ran");
        let polled = Rc::new(Cell::new(0));
        let count = Rc::clone(&polled);
        // The next task is put where the first one was.
        rt.spawn(std::future::poll_fn(move |_| {
            count.set(count.get() + 1);
            Poll::Pending
        }));
        rt.sleep(Duration::from_millis(2)).await;
        waker.wake_by_ref();
        rt.sleep(Duration::from_millis(2)).await;
        assert_eq!(polled.get(), 1);
        waker
    });
    kept.wake_by_ref();
    thread::spawn(move || kept.wake()).join().expect("no panic");
}

#[test]
fn a_thread_runs_one_executor_at_a_time() {
    let first = Executor::open(Driver::Auto).expect("io_uring can be had here");
    assert!(Executor::open(Driver::Auto).is_err());
    drop(first);
    run(|_rt| async {});
}

#[test]
fn tasks_that_wake_each_other_for_ever_let_others_read() {
    struct Turn(Rc<RefCell<Option<Waker>>>, Rc<RefCell<Option<Waker>>>);
    impl Future for Turn {
        type Output = ();
        fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
            *self.0.borrow_mut() = Some(context.waker().clone());
            if let Some(other) = self.1.borrow().as_ref() {
                other.wake_by_ref();
            }
            Poll::Pending
        }
    }
    run(|rt| async move {
        let (one, two) = (Rc::default(), Rc::default());
        rt.spawn(Turn(Rc::clone(&one), Rc::clone(&two)));
        rt.spawn(Turn(two, one));
        let (conn, mut other) = pair(&rt).await;
        let echo = thread::spawn(move || {
            let mut byte = [0];
            other.read_exact(&mut byte).expect("open");
            other.write_all(&byte).expect("open");
        });
        conn.write_all(vec![7]).await.0.expect("open");
        assert_eq!(conn.read(Vec::with_capacity(1)).await.1, [7]);
        echo.join().expect("no panic");
    });
}
