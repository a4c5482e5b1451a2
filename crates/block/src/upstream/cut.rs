//! How a running request is cut from outside: by closing its connection, or by telling a task that has a last word to say.

use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::Link;
use super::line::Line;

/// One request's off switch; works from any thread, before or after there is something to cut.
#[derive(Default)]
pub(crate) struct Cut(Mutex<State>);

#[derive(Default)]
struct State {
    done: bool,
    carrier: Option<Carrier>,
}

enum Carrier {
    /// A connection, and the task that drives it. With HTTP/2 it is not the only one, and the others end with the connection.
    Closed(Arc<Line>, AbortHandle),
    Told(oneshot::Sender<()>),
}

impl Carrier {
    fn cut(self) {
        match self {
            Carrier::Closed(line, driver) => {
                driver.abort();
                line.close();
            }
            // Who has ended by itself hears no more.
            Carrier::Told(carrier) => drop(carrier.send(())),
        }
    }
}

impl Cut {
    /// Cuts the connection, or keeps it from being used.
    pub(crate) fn cut(&self) {
        let mut state = self.state();
        state.done = true;
        if let Some(carrier) = state.carrier.take() {
            carrier.cut();
        }
    }

    /// Names the request's connection, the second one where the first broke. A cut that came first takes effect now.
    pub(super) fn arm(&self, link: &Link) {
        let mut state = self.state();
        let carrier = Carrier::Closed(link.line().clone(), link.driver());
        match state.done {
            true => carrier.cut(),
            false => state.carrier = Some(carrier),
        }
    }

    /// Ready when it is cut, for a task that then carries no more and soon ends by itself. It takes the place of the connection.
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
