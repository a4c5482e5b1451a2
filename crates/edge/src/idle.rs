//! Finds a body that stands still.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use dynomesh_core::time::Span;
use tokio::time::{Instant, Sleep, sleep_until};

/// How long a body has made who asks for it wait. What nobody asks for does not count: a reader that takes its time is no silence.
#[derive(Debug)]
pub(crate) struct Idle {
    limit: Duration,
    /// Made when the body first makes us wait.
    sleep: Option<Pin<Box<Sleep>>>,
    /// Since when it makes us wait.
    since: Option<Instant>,
}

impl Idle {
    /// Nothing waited for yet.
    pub(crate) fn new(limit: Span) -> Self {
        Idle { limit: limit.to_std(), sleep: None, since: None }
    }

    /// Something came.
    pub(crate) fn moved(&mut self) {
        self.since = None;
    }

    /// Ready when nothing came for the limit. The timer is set once per limit, not once per frame.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let end = *self.since.get_or_insert_with(Instant::now) + self.limit;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(end)));
        loop {
            ready!(sleep.as_mut().poll(cx));
            if sleep.deadline() >= end {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(end);
        }
    }
}
