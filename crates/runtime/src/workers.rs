//! The threads of the data path: one single-threaded runtime each, so that nothing on it needs a lock or `Send`.
//!
//! A worker's future may use `spawn_local`. A worker that panics is reported by [`Workers::join`] at once, not when the others end;
//! a panic inside a spawned task ends only that task, unless the daemon asked for [`crate::shutdown::exit_on_panic`].

use std::io;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::mpsc;

/// Most data threads a daemon may have.
pub const THREADS_MAX: usize = 256;

/// Running workers.
#[derive(Debug)]
pub struct Workers {
    threads: Vec<Option<JoinHandle<()>>>,
    /// Each worker holds a sender and sends its number when it ends, by whatever way.
    ended: mpsc::UnboundedReceiver<usize>,
}

/// A worker panicked; the panic itself has been printed by then.
#[derive(Debug, thiserror::Error)]
#[error("data thread {worker} panicked: {message}")]
pub struct Panicked {
    /// Which one, from 0.
    pub worker: usize,
    /// What it said.
    pub message: String,
}

impl Workers {
    /// Starts `count` threads named `NAME-0`, `NAME-1` ...; each runs `make(number)` to its end on a runtime of its own.
    ///
    /// `make` is called on the new thread, so that what it returns need not be `Send`; to hand a listener to each worker, put them
    /// in `Mutex<Vec<Option<_>>>` or pass one iterator item per call of [`Workers::start_each`].
    pub fn start<F>(name: &str, count: usize, make: impl Fn(usize) -> F + Clone + Send + 'static) -> io::Result<Self>
    where
        F: Future<Output = ()> + 'static,
    {
        Self::start_each(name, 0..count, move |number, _| make(number))
    }

    /// As [`Workers::start`], one thread per item, each given its item.
    pub fn start_each<T, F>(
        name: &str,
        items: impl IntoIterator<Item = T>,
        make: impl Fn(usize, T) -> F + Clone + Send + 'static,
    ) -> io::Result<Self>
    where
        T: Send + 'static,
        F: Future<Output = ()> + 'static,
    {
        let (sender, ended) = mpsc::unbounded_channel();
        let mut threads = Vec::new();
        for (number, item) in items.into_iter().enumerate() {
            let name = format!("{name}-{number}");
            let (make, end) = (make.clone(), End { number, sender: sender.clone() });
            let runtime = std::sync::mpsc::sync_channel(1);
            let thread = std::thread::Builder::new().name(name).spawn(move || {
                let _end = end;
                match local_runtime() {
                    Ok(local) => {
                        let _ = runtime.0.send(Ok(()));
                        local.block_on(make(number, item));
                    }
                    Err(error) => {
                        let _ = runtime.0.send(Err(error));
                    }
                }
            })?;
            runtime.1.recv().map_err(|_| io::Error::other("a data thread ended before it began"))??;
            threads.push(Some(thread));
        }
        Ok(Workers { threads, ended })
    }

    /// Returns when all have ended, or as soon as one has panicked: then the process must stop, since part of its work is not done.
    pub async fn join(mut self) -> Result<(), Panicked> {
        while let Some(worker) = self.ended.recv().await {
            // It has sent its last word, so joining waits for no more than the thread's own end.
            let Some(thread) = self.threads[worker].take() else { continue };
            if let Err(panic) = thread.join() {
                return Err(Panicked { worker, message: message(panic.as_ref()) });
            }
        }
        Ok(())
    }
}

/// A single-threaded runtime with timers and sockets on which `spawn_local` works anywhere.
pub fn local_runtime() -> io::Result<LocalRuntime> {
    Builder::new_current_thread().enable_all().build_local(LocalOptions::default())
}

struct End {
    number: usize,
    sender: mpsc::UnboundedSender<usize>,
}

impl Drop for End {
    fn drop(&mut self) {
        // Nobody joins: nobody wants to know.
        let _ = self.sender.send(self.number);
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| text.to_string());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[tokio::test]
    async fn each_worker_runs_with_its_item_on_a_local_runtime() {
        let (sender, mut results) = mpsc::unbounded_channel();
        let workers = Workers::start_each("data", ["a", "b"], move |number, item| {
            let sender = sender.clone();
            async move {
                let local = Rc::new(item);
                tokio::task::spawn_local(async move { sender.send((number, *local)).unwrap() }).await.unwrap();
            }
        });
        workers.unwrap().join().await.unwrap();
        let mut seen = Vec::new();
        while let Ok(result) = results.try_recv() {
            seen.push(result);
        }
        seen.sort_unstable();
        assert_eq!(seen, [(0, "a"), (1, "b")]);
    }

    #[tokio::test]
    async fn a_panic_is_reported_while_others_still_run() {
        let workers = Workers::start("data", 2, |number| async move {
            assert_ne!(number, 1, "ledger broken");
            std::future::pending::<()>().await;
        });
        let panicked = workers.unwrap().join().await.unwrap_err();
        assert_eq!(panicked.worker, 1);
        assert!(panicked.message.contains("ledger broken"), "{panicked}");
    }
}
