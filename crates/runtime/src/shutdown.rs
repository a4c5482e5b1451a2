//! How a daemon is told to stop.
//!
//! A [`Shutdown`] is waited for by everything that has to end in order; it is set once and stays set. A second signal does not wait
//! for that order, and [`exit_with_parent`] does not even begin it: what `dynomesh dev` started must not outlive it.

use std::io;

use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, PidfdFlags};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Environment variable that names the process this one must not outlive.
pub const PARENT_ENV: &str = "DYNOMESH_PARENT";
/// Exit code after a second signal, or when the parent is gone.
const EXIT_HARD: i32 = 130;
/// Exit code of a process stopped by a panic.
const EXIT_PANIC: i32 = 101;

/// Told when it is time to stop. Cheap to clone; works on every runtime and thread.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Receiver<bool>);

/// Sets its [`Shutdown`]. Dropping it sets it too, so that nobody waits for a word that cannot come.
#[derive(Debug)]
pub struct Trigger(watch::Sender<bool>);

/// A shutdown and what sets it.
pub fn channel() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (Trigger(sender), Shutdown(receiver))
}

impl Trigger {
    /// Sets the shutdown.
    pub fn set(&self) {
        self.0.send_replace(true);
    }
}

impl Drop for Trigger {
    fn drop(&mut self) {
        self.set();
    }
}

impl Shutdown {
    /// Set by SIGINT or SIGTERM; a second signal ends the process at once. Needs no runtime: it has a thread of its own.
    pub fn on_signals() -> io::Result<Self> {
        let (trigger, shutdown) = channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let (mut interrupt, mut terminate) = {
            let _context = runtime.enter();
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
        };
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            runtime.block_on(async move {
                let mut next = async || tokio::select! { _ = interrupt.recv() => "SIGINT", _ = terminate.recv() => "SIGTERM" };
                // Awaited outside of the log lines: a field of a line that is filtered out is never evaluated.
                let signal = next().await;
                tracing::info!(signal, "stopping; a second signal stops at once");
                trigger.set();
                let signal = next().await;
                tracing::warn!(signal, "stopped by a second signal");
                std::process::exit(EXIT_HARD);
            });
        })?;
        Ok(shutdown)
    }

    /// Whether it is set.
    pub fn is_set(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns once it is set, at once if it already is.
    pub async fn wait(&self) {
        let mut receiver = self.0.clone();
        // An error means that the trigger is gone, which also means: stop.
        let _ = receiver.wait_for(|set| *set).await;
    }
}

/// Ends this process, without any order, when the process named by [`PARENT_ENV`] dies, or at once if it is dead already. Answers
/// whether such a process is named. Costs one sleeping thread.
pub fn exit_with_parent() -> io::Result<bool> {
    let Some(text) = std::env::var_os(PARENT_ENV) else { return Ok(false) };
    let pid = text.to_str().and_then(|text| text.parse::<i32>().ok()).and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("{PARENT_ENV} must be the number of a process")))?;
    let parent = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
        Ok(parent) => parent,
        Err(rustix::io::Errno::SRCH) => std::process::exit(EXIT_HARD),
        Err(errno) => return Err(errno.into()),
    };
    std::thread::Builder::new().name("parent".into()).spawn(move || {
        let mut watched = [PollFd::new(&parent, PollFlags::IN)];
        // The descriptor becomes readable when the process ends; a signal only interrupts the wait.
        while matches!(rustix::event::poll(&mut watched, None), Err(rustix::io::Errno::INTR)) {}
        std::process::exit(EXIT_HARD);
    })?;
    Ok(true)
}

/// From now on a panic in any thread or task is logged and ends the process: a broken invariant must not be served from. Without
/// this a panic ends only the task it happens in.
pub fn exit_on_panic() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        before(panic);
        std::process::exit(EXIT_PANIC);
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everyone_who_waits_is_told_and_late_comers_too() {
        let (trigger, shutdown) = channel();
        let early = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { shutdown.wait().await }
        });
        assert!(!shutdown.is_set());
        trigger.set();
        early.await.unwrap();
        shutdown.wait().await;
        assert!(shutdown.is_set());
    }

    #[tokio::test]
    async fn dropping_the_trigger_stops_too() {
        let (trigger, shutdown) = channel();
        drop(trigger);
        shutdown.wait().await;
        assert!(shutdown.is_set());
    }
}
