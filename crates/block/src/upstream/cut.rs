//! How a running request is cut from outside: by aborting the task that carries it, or by telling one that has a last word to say.

use std::sync::{Mutex, MutexGuard};

use tokio::sync::oneshot;
use tokio::task::AbortHandle;

/// One request's off switch; works from any thread, before or after there is something to cut.
#[derive(Debug, Default)]
pub(crate) struct Cut(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    done: bool,
    carrier: Option<Carrier>,
}

#[derive(Debug)]
enum Carrier {
    Aborted(AbortHandle),
    Told(oneshot::Sender<()>),
}

impl Cut {
    /// Cuts the connection, or keeps it from being used.
    pub(crate) fn cut(&self) {
        let mut state = self.state();
        state.done = true;
        match state.carrier.take() {
            Some(Carrier::Aborted(carrier)) => carrier.abort(),
            // Who has ended by itself hears no more.
            Some(Carrier::Told(carrier)) => drop(carrier.send(())),
            None => {}
        }
    }

    /// Names the task to abort: it drives the request's connection, the second one where the first broke. A cut that came first takes effect
    /// now.
    pub(crate) fn arm(&self, carrier: AbortHandle) {
        let mut state = self.state();
        match state.done {
            true => carrier.abort(),
            false => state.carrier = Some(Carrier::Aborted(carrier)),
        }
    }

    /// Ready when it is cut, for a task that then carries no more and soon ends by itself. It takes the place of the one to abort.
    pub(crate) fn told(&self) -> impl Future<Output = ()> + use<> {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.state();
        if !state.done {
            state.carrier = Some(Carrier::Told(sender));
        }
        // A sender that was dropped here has told it too.
        async { drop(receiver.await) }
    }

    /// Whether it was cut.
    pub(crate) fn is_cut(&self) -> bool {
        self.state().done
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nothing panics under this lock")
    }
}
