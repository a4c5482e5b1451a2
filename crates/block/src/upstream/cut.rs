//! How a running request is cut from outside: by aborting the task that carries it.

use std::sync::{Mutex, MutexGuard};

use tokio::task::AbortHandle;

/// One request's off switch; works from any thread, before or after there is something to cut.
#[derive(Debug, Default)]
pub(crate) struct Cut(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    done: bool,
    carrier: Option<AbortHandle>,
}

impl Cut {
    /// Cuts the connection, or keeps it from being used.
    pub(crate) fn cut(&self) {
        let mut state = self.state();
        state.done = true;
        if let Some(carrier) = state.carrier.take() {
            carrier.abort();
        }
    }

    /// Names the task to abort: it drives the request's connection, the second one where the first broke, or carries its tunnel. A cut
    /// that came first takes effect now.
    pub(crate) fn arm(&self, carrier: AbortHandle) {
        let mut state = self.state();
        match state.done {
            true => carrier.abort(),
            false => state.carrier = Some(carrier),
        }
    }

    /// Whether it was cut.
    pub(crate) fn is_cut(&self) -> bool {
        self.state().done
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nothing panics under this lock")
    }
}
