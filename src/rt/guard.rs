//! Catches a panic of one connection, so that one poisoned request does not end every stream of
//! its core. Panics are bugs: they are counted, and the count must stay zero.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;

/// Runs `task`; `Err(())` when it panicked. The task's own values are dropped by the unwinding. It
/// lives on the heap: a future that holds another by value has room for it twice.
///
/// # Errors
/// `Err(())` stands for a panic; its message has gone to the panic hook.
pub fn catch<T>(task: impl Future<Output = T>) -> impl Future<Output = Result<T, ()>> {
    let mut task = Box::pin(task);
    std::future::poll_fn(move |context| {
        // The shard's own state is kept consistent by guards that settle on drop.
        match catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
            Err(_) => Poll::Ready(Err(())),
        }
    })
}
