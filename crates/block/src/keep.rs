//! The replica's housekeeping by the clock: what lapses, what must be renewed, what must be freed, who is late.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dynomesh_consensus::State;
use dynomesh_core::block::Command;
use dynomesh_core::time::{Span, Time};
use dynomesh_runtime::clock::Clock;
use dynomesh_runtime::http::admin::Readiness;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::{debug, info, warn};

use crate::grant::{Refusal, Shared};
use crate::metrics::AppLabels;

/// How often holds, waits and the lease are looked at.
const SWEEP: Span = Span::from_millis(20);
/// The same where there is nothing of it: without the lead and without slots of this run.
const IDLE_SWEEP: Span = Span::from_millis(100);
/// How often slots that nobody owns are freed, and long ones renewed (P11).
const FREE: Span = Span::from_millis(100);
/// How often leased grants are put into the log (P14).
const CHECKPOINT: Span = Span::from_millis(10);
/// How often a data thread shows that it is alive.
const TICK: Span = Span::from_millis(50);
/// How often figures are brought up to date.
const REPORT: Span = Span::from_millis(250);

/// When each data thread last showed itself.
#[derive(Clone)]
pub(crate) struct Ticks(Arc<[AtomicU64]>);

impl Ticks {
    pub(crate) fn new(threads: usize) -> Self {
        Ticks((0..threads).map(|_| AtomicU64::new(0)).collect())
    }

    /// Runs on data thread `number` for as long as that lives.
    pub(crate) async fn tick(self, number: usize, clock: Clock) {
        let mut tick = every(TICK);
        loop {
            tick.tick().await;
            self.0[number].store(clock.now().as_nanos(), Ordering::Relaxed);
        }
    }

    /// How late the latest of the threads is that ever ticked.
    fn latest(&self, now: Time) -> Span {
        let late = |at: &AtomicU64| match at.load(Ordering::Relaxed) {
            0 => Span::ZERO,
            at => now.since(Time::from_nanos(at)) - TICK,
        };
        self.0.iter().map(late).max().unwrap_or(Span::ZERO)
    }
}

fn every(span: Span) -> tokio::time::Interval {
    let mut tick = interval(span.to_std());
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick
}

/// Sweeps, frees and watches until the process ends.
pub(crate) async fn run(shared: Arc<Shared>, ticks: Ticks) {
    let mut freed_at = shared.clock.now();
    let mut looked_at = freed_at;
    let mut wedged = false;
    let mut role = shared.replica().role();
    loop {
        let pause = {
            let router = shared.router();
            if router.leads().is_some() || router.running() > 0 { SWEEP } else { IDLE_SWEEP }
        };
        tokio::select! {
            () = sleep(pause.to_std()) => {}
            changed = role.changed() => if changed.is_err() { return },
        }
        let now = shared.clock.now();
        let leads = role.borrow_and_update().is_leader();
        watch_office(&shared, now, leads);
        // Who was late itself cannot tell whether others were.
        if now.since(looked_at) < pause.times(3) {
            wedged = watch_threads(&shared, &ticks, now, wedged);
        }
        looked_at = now;
        shared.router().sweep(now);
        if now.since(freed_at) >= FREE {
            freed_at = now;
            settle(&shared, now);
        }
    }
}

/// A replica that no longer leads, or cannot prove it, keeps nobody waiting (P6).
fn watch_office(shared: &Shared, now: Time, leads: bool) {
    let mut router = shared.router();
    if router.leads().is_none() {
        return;
    }
    if !leads {
        info!("no longer leader");
        router.stand_down(Refusal::NotLeader);
    } else if !shared.lease().valid(now) {
        router.turn_away(Refusal::Electing);
    }
}

/// Gives up the lease while a data thread is late (P6).
fn watch_threads(shared: &Shared, ticks: &Ticks, now: Time, was: bool) -> bool {
    let late = ticks.latest(now);
    let wedged = late >= shared.limits.worker_late;
    if wedged != was {
        shared.lease().withhold(wedged);
        if wedged {
            shared.metrics.wedged.inc();
            warn!(%late, "a data thread is late: the lease is not renewed until it is back");
        }
    }
    wedged
}

/// Frees what the log counts for this run and the run does not, and renews what runs long. Through whoever leads.
fn settle(shared: &Arc<Shared>, now: Time) {
    let (unowned, renew) = {
        let mut router = shared.router();
        (router.unowned(), router.renewals(now))
    };
    let mut commands = Vec::new();
    if !unowned.is_empty() {
        debug!(slots = unowned.len(), "freeing slots this run no longer uses");
        commands.push(Command::Free { slots: unowned });
    }
    commands.extend(renew.into_iter().map(|(span, slots)| Command::Renew { slots, span }));
    for command in commands {
        let shared = shared.clone();
        tokio::spawn(async move {
            if let Err(error) = shared.replica().propose_anywhere(command).await {
                debug!(%error, "slots not settled; tried again soon");
            }
        });
    }
}

/// Waits until the log counts nothing for this run.
pub(crate) async fn settled(shared: &Arc<Shared>) {
    let mut tick = every(SWEEP);
    loop {
        tick.tick().await;
        let counted = {
            let router = shared.router();
            router.unowned().len() + router.running()
        };
        if counted == 0 {
            return;
        }
        settle(shared, shared.clock.now());
    }
}

/// Puts leased grants that still run into the log.
pub(crate) async fn checkpoint(shared: Arc<Shared>) {
    let mut tick = every(CHECKPOINT);
    loop {
        tick.tick().await;
        let grants = shared.router().checkpoint(shared.clock.now());
        for grant in grants {
            shared.proposer.lazily(grant);
        }
    }
}

/// Keeps figures and readiness up to date.
pub(crate) async fn report(shared: Arc<Shared>, ready: watch::Sender<Readiness>) {
    let mut tick = every(REPORT);
    loop {
        tick.tick().await;
        let fresh = crate::readiness(&shared);
        ready.send_if_modified(|old| {
            let changed = *old != fresh;
            *old = fresh;
            changed
        });
        figures(&shared);
    }
}

fn figures(shared: &Shared) {
    let metrics = &shared.metrics;
    let role = shared.replica().role().borrow().clone();
    metrics.leader.set(i64::from(matches!(role.state, State::Leader { ready: true })));
    metrics.term.set(i64::try_from(role.term.0).unwrap_or(i64::MAX));
    let mut router = shared.router();
    metrics.dyno_idle.set(i64::try_from(router.idle().len()).unwrap_or(i64::MAX));
    metrics.applied.set(i64::try_from(router.state().applied().0).unwrap_or(i64::MAX));
    metrics.running.set(i64::try_from(router.running()).unwrap_or(i64::MAX));
    for (app, load) in router.loads(shared.clock.now()) {
        let labels = AppLabels { app: app.to_string() };
        metrics.slots.get_or_create(&labels).set(i64::from(load.slots));
        metrics.slots_used.get_or_create(&labels).set(i64::from(load.used));
        let (held, orphaned) = router.doubtful(&app);
        metrics.slots_held.get_or_create(&labels).set(i64::from(held));
        metrics.slots_orphaned.get_or_create(&labels).set(i64::from(orphaned));
        metrics.queued.get_or_create(&labels).set(i64::from(load.queued));
    }
}
