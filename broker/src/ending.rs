//! How the reactor's thread ends: in order, or because something panicked in it.
//!
//! The runtime catches the panic of a task and goes on with the others, on a state that the task has left half changed.
//! Invariant: after a panic no task runs any more, and the thread ends with that panic.

use std::{
    any::Any,
    cell::{Cell, RefCell},
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll},
};

use tokio::{sync::Notify, task::JoinHandle};

/// What a panic says.
pub(crate) type Panic = Box<dyn Any + Send>;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    notify: Notify,
    panicked: Cell<bool>,
    panic: RefCell<Option<Panic>>,
}

impl Ending {
    /// End the thread in order.
    pub(crate) fn stop(&self) {
        self.notify.notify_one();
    }

    /// Wait for the end. Gives the panic if it is one.
    pub(crate) async fn wait(&self) -> Option<Panic> {
        self.notify.notified().await;
        self.panic.take()
    }

    /// Run `task` on the thread; a panic in it ends the thread.
    pub(crate) fn spawn(self: &Rc<Self>, task: impl Future<Output = ()> + Unpin + 'static) -> JoinHandle<()> {
        tokio::task::spawn_local(Guarded { task, ending: self.clone() })
    }
}

/// The outcome of `future`, which touches nothing that others use; `None` if it panicked.
pub(crate) async fn isolated<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(polled) => polled.map(Some),
        Err(_) => Poll::Ready(None),
    })
    .await
}

struct Guarded<F> {
    task: F,
    ending: Rc<Ending>,
}

impl<F: Future<Output = ()> + Unpin> Future for Guarded<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.ending.panicked.get() {
            return Poll::Pending;
        }
        let this = &mut *self;
        catch_unwind(AssertUnwindSafe(|| Pin::new(&mut this.task).poll(context))).unwrap_or_else(|panic| {
            this.ending.panicked.set(true);
            this.ending.panic.replace(Some(panic));
            this.ending.notify.notify_one();
            Poll::Pending
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::{Builder, LocalOptions};

    use super::*;

    #[test]
    fn after_a_panic_nothing_runs_and_the_panic_is_the_end() {
        let runtime = Builder::new_current_thread().build_local(LocalOptions::default()).expect("runtime");
        let panic = runtime.block_on(async {
            let ending = Rc::new(Ending::default());
            let turns = Rc::new(Cell::new(0));
            let counted = turns.clone();
            ending.spawn(Box::pin(async move {
                loop {
                    counted.set(counted.get() + 1);
                    tokio::task::yield_now().await;
                }
            }));
            ending.spawn(Box::pin(async {
                tokio::task::yield_now().await;
                panic!("on purpose");
            }));
            let panic = ending.wait().await;
            let before = turns.get();
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            assert_eq!(turns.get(), before);
            panic
        });
        assert_eq!(panic.and_then(|panic| panic.downcast_ref::<&str>().copied()), Some("on purpose"));
    }

    #[test]
    fn what_is_isolated_ends_by_itself() {
        let runtime = Builder::new_current_thread().build_local(LocalOptions::default()).expect("runtime");
        runtime.block_on(async {
            assert_eq!(isolated(async { 7 }).await, Some(7));
            let panicking = async {
                tokio::task::yield_now().await;
                panic!("on purpose");
            };
            assert_eq!(isolated::<_>(panicking).await, None::<()>);
        });
    }

    #[test]
    fn stopping_in_order_is_no_panic() {
        let runtime = Builder::new_current_thread().build_local(LocalOptions::default()).expect("runtime");
        let panic = runtime.block_on(async {
            let ending = Rc::new(Ending::default());
            let stopping = ending.clone();
            ending.spawn(Box::pin(async move { stopping.stop() }));
            ending.wait().await
        });
        assert!(panic.is_none());
    }
}
