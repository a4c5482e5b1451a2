//! The replica's housekeeping by the clock: what lapses, what must be renewed, what must be freed, who is late.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dynomesh_consensus::{Lease, State};
use dynomesh_core::block::Command;
use dynomesh_core::time::{Span, Time};
use dynomesh_runtime::clock::Clock;
use dynomesh_runtime::http::admin::Readiness;
use prometheus_client::metrics::counter::Counter;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::{debug, info, warn};

use crate::grant::{Refusal, Shared};
use crate::metrics::AppLabels;

/// How often holds and waits are looked at.
const SWEEP: Span = Span::from_millis(20);
/// The same where there is nothing of it: without the lead and without slots of this run.
const IDLE_SWEEP: Span = Span::from_millis(100);
/// How often the data threads are looked at.
const LOOK: Span = TICK;
/// How often slots that nobody owns are freed, and long ones renewed (P11).
const FREE: Span = Span::from_millis(100);
/// How often leased grants are put into the log (P14).
const CHECKPOINT: Span = Span::from_millis(10);
/// How often a data thread shows that it is alive.
const TICK: Span = Span::from_millis(50);
/// How often figures are brought up to date.
const REPORT: Span = Span::from_millis(250);

/// A data thread that stays late for so many times `worker_late` counts as stuck.
const STUCK_PARTS: u64 = 5;

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

/// Whether a data thread is late, and for how long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Wedge {
    late: bool,
    /// How long that was seen. A look that comes late itself adds nothing: whatever kept it may have kept the threads.
    seen: Span,
}

impl Wedge {
    /// After a look that found the latest thread `late`, `passed` after the one before.
    fn after(self, late: Span, limit: Span, passed: Span) -> Self {
        match (late >= limit, self.late) {
            (false, _) => Wedge::default(),
            (true, false) => Wedge { late: true, seen: Span::ZERO },
            (true, true) => Wedge { late: true, seen: self.seen + passed },
        }
    }

    /// Whether the thread may never come back: it was late by `limit` when that was first seen.
    fn is_stuck(self, limit: Span) -> bool {
        self.late && self.seen >= limit.times(STUCK_PARTS - 1)
    }
}

fn every(span: Span) -> tokio::time::Interval {
    let mut tick = interval(span.to_std());
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tick
}

/// Who watches the data threads. It has nothing of the router: a data thread that is stuck may hold its lock.
pub(crate) struct ThreadWatch {
    clock: Clock,
    ticks: Ticks,
    limit: Span,
    lease: Arc<Lease>,
    wedged: Counter,
    stuck: watch::Sender<bool>,
}

impl ThreadWatch {
    /// Of this replica's threads; says in `stuck` whether one is.
    pub(crate) fn new(shared: &Shared, ticks: Ticks, stuck: watch::Sender<bool>) -> Self {
        let (limit, wedged) = (shared.limits.worker_late, shared.metrics.wedged.clone());
        ThreadWatch { clock: shared.clock.clone(), ticks, limit, lease: shared.lease(), wedged, stuck }
    }

    /// Watches until the process ends. Runs on the consensus thread: whatever keeps that from looking keeps the lease from being renewed.
    pub(crate) async fn run(self) {
        let mut looked_at = self.clock.now();
        let mut wedge = Wedge::default();
        loop {
            sleep(LOOK.to_std()).await;
            let now = self.clock.now();
            let (was, late, passed) = (wedge, self.ticks.latest(now), now.since(looked_at));
            looked_at = now;
            // Who was late itself cannot tell whether others were; that they are on time it can.
            if late < self.limit || passed < LOOK.times(3) {
                wedge = was.after(late, self.limit, passed);
                self.tell(late, was, wedge);
            }
        }
    }

    /// Gives up the lease while a data thread is late, and the office while one is stuck (P6): the lease alone would mute the block, which
    /// goes on hearing its leader.
    fn tell(&self, late: Span, was: Wedge, is: Wedge) {
        if is.late != was.late {
            self.lease.withhold(is.late);
            if is.late {
                self.wedged.inc();
                warn!(%late, "a data thread is late: the lease is not renewed until it is back");
            }
        }
        let lost = is.is_stuck(self.limit);
        if self.stuck.send_if_modified(|told| std::mem::replace(told, lost) != lost) {
            match lost {
                true => warn!(%late, "a data thread stays late: another replica is to lead until it is back"),
                false => info!("all data threads are back: this replica may lead again"),
            }
        }
    }
}

/// Sweeps and frees until the process ends.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut freed_at = shared.clock.now();
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

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Span = Span::from_millis(300);
    const STEP: Span = Span::from_millis(20);

    /// The wedge after so many looks that found a thread late.
    fn late_for(looks: u64) -> Wedge {
        (0..looks).fold(Wedge::default(), |wedge, at| wedge.after(LIMIT + STEP.times(at), LIMIT, STEP))
    }

    /// Fails when a thread that never comes back keeps its replica in office for good, and when a late one costs the office at once.
    #[test]
    fn a_thread_that_stays_late_is_stuck_at_five_times_the_limit_and_no_sooner() {
        let looks = LIMIT.times(STUCK_PARTS - 1).as_nanos() / STEP.as_nanos();
        assert!(late_for(looks).late && !late_for(looks).is_stuck(LIMIT));
        assert!(late_for(looks + 1).is_stuck(LIMIT));
        assert!(!late_for(looks + 1).after(Span::ZERO, LIMIT, STEP).is_stuck(LIMIT), "it is back");
    }

    /// A process that stood still finds its threads late by as long as it did, at its first look.
    #[test]
    fn a_thread_that_is_very_late_at_a_single_look_is_not_stuck() {
        let woken = Wedge::default().after(LIMIT.times(100), LIMIT, STEP);
        assert!(woken.late && !woken.is_stuck(LIMIT));
        assert_eq!(woken.after(Span::ZERO, LIMIT, STEP), Wedge::default());
    }
}
