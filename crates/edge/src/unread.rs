//! Answers whose clients do not read them.
//!
//! A client that speaks HTTP/1.1 and reads nothing is cut with its connection. With HTTP/2 its connection may well be alive while one
//! stream gets no window: hyper then asks that answer's body for nothing more, and a dyno's slot would be held for as long as the
//! client likes. So the answers that run on a data thread are looked at from time to time, and one that nobody asked for a frame for
//! too long lets go of what it holds; its stream is reset when hyper asks again.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::time::Duration;

use dynomesh_core::time::Span;
use tokio::task::spawn_local;
use tokio::time::sleep;

/// Looks at most this far apart.
const TICK_MAX: Duration = Duration::from_secs(1);
/// Looks per limit, at least.
const TICKS: u32 = 8;

/// An answer on its way.
pub(crate) trait Running {
    /// The tick in which a frame was handed out that nobody has asked behind since; `None` while somebody waits for the next.
    fn unread_since(&self) -> Option<u64>;
    /// Lets go of everything.
    fn free(&mut self);
}

/// The answers of one data thread.
pub(crate) struct Unread {
    tick: Cell<u64>,
    limit: u64,
    next: Cell<u64>,
    running: RefCell<BTreeMap<u64, Weak<RefCell<dyn Running>>>>,
}

/// Keeps an answer looked at.
pub(crate) struct Watch {
    unread: Rc<Unread>,
    number: u64,
}

impl Unread {
    /// Nothing to look at yet, and a task on this thread that looks for as long as this lives.
    pub(crate) fn start(limit: Span) -> Rc<Self> {
        let tick = (limit.to_std() / TICKS).clamp(Duration::from_millis(1), TICK_MAX);
        let ticks = u64::try_from(limit.to_std().as_nanos() / tick.as_nanos()).unwrap_or(u64::MAX);
        let unread = Rc::new(Unread { tick: Cell::new(0), limit: ticks, next: Cell::new(0), running: RefCell::default() });
        let watched = Rc::downgrade(&unread);
        spawn_local(async move {
            loop {
                sleep(tick).await;
                let Some(unread) = watched.upgrade() else { return };
                unread.look();
            }
        });
        unread
    }

    /// Looks at `running` until the watch, which it is to keep, is dropped.
    pub(crate) fn watch(self: &Rc<Self>, running: Weak<RefCell<dyn Running>>) -> Watch {
        let number = self.next.get();
        self.next.set(number + 1);
        self.running.borrow_mut().insert(number, running);
        Watch { unread: self.clone(), number }
    }

    fn look(&self) {
        let now = self.tick.get() + 1;
        self.tick.set(now);
        let running: Vec<_> = self.running.borrow().values().filter_map(Weak::upgrade).collect();
        for running in running {
            let since = running.borrow().unread_since();
            if since.is_some_and(|since| now - since > self.limit) {
                running.borrow_mut().free();
            }
        }
    }
}

impl Watch {
    /// Now, in ticks.
    pub(crate) fn tick(&self) -> u64 {
        self.unread.tick.get()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.unread.running.borrow_mut().remove(&self.number);
    }
}
