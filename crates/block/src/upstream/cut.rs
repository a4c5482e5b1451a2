//! How a running request is cut from outside: by closing its connection, or by telling a task that has a last word to say.

use std::sync::{Arc, Mutex, MutexGuard, Weak};

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
    /// A connection, and the task that drives it. With HTTP/2 it is not the only one, and the others end with the connection. It is not kept
    /// for this: what is to end with a reset ends when nobody holds it, and a switch outlives its request where that is in doubt.
    Closed(Weak<Line>, AbortHandle),
    Told(oneshot::Sender<()>),
}

impl Carrier {
    fn cut(self) {
        match self {
            Carrier::Closed(line, driver) => {
                driver.abort();
                // What nobody holds has ended.
                if let Some(line) = line.upgrade() {
                    line.close();
                }
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
        let carrier = Carrier::Closed(Arc::downgrade(link.line()), link.driver());
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

#[cfg(test)]
mod tests {
    use dynomesh_core::app::DynoProtocol;
    use dynomesh_core::time::{Span, Time};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::task::LocalSet;

    use super::super::gate::Gate;
    use super::super::host::Host;
    use super::*;

    /// Fails when a request in doubt keeps the connection that was given up, which is to take an unacknowledged head with it now and not when
    /// the doubt is over.
    #[tokio::test]
    async fn a_switch_does_not_keep_its_connection() {
        let run = async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let line = Line::over(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap(), DynoProtocol::Http1).unwrap();
            line.begin(Gate::opened(), false);
            let kept = Arc::downgrade(&line);
            let link = Link::shake(line, Host::default(), Time::ZERO).await.unwrap();
            let cut = Cut::default();
            cut.arm(&link);
            drop(link);
            let gone = async {
                while kept.strong_count() > 0 {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(Span::from_secs(30).to_std(), gone).await.expect("it is kept");
            cut.cut();
        };
        LocalSet::new().run_until(run).await;
    }
}
