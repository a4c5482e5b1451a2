//! Asks dynos whether they are up, and learns which of them take one request at a time.
//!
//! A probe takes a place of its dyno for as long as it lasts, so that it never adds to a full one; a probe by GET is a request with a
//! slot of its own. What is learned about a serial dyno goes through the log, for the next leader needs it at its takeover (P9).

use std::sync::{Arc, Mutex, MutexGuard};

use dynomesh_core::app::Probe;
use dynomesh_core::balance::{Outcome, Probed};
use dynomesh_core::block::{Command, Lessons};
use dynomesh_core::id::{Address, DynoId, Epoch, SlotId};
use dynomesh_core::time::Span;
use tracing::{debug, info};

use crate::grant::{Claim, DueProbe, Question, Shared, commit};
use crate::upstream::probe::{self, Got};

/// How often due probes are looked for.
const LOOK: Span = Span::from_millis(25);
/// How often a follower looks whether it leads now: a new leader takes its dynos for up at first anyway.
const FOLLOWER_LOOK: Span = Span::from_millis(200);
/// A probe without an answer for this long has failed.
const PROBE_LIMIT: Span = Span::from_millis(500);
/// A probe meant to learn whether a dyno is serial waits this long for the running request to end.
const LEARN_LIMIT: Span = Span::from_secs(30);
/// How long a question must have waited for its wait to say anything.
const LEARN_MIN: Span = Span::from_millis(10);
/// How far apart dyno and block may see the same end, and how long a request must outlast an answer to say that it did.
const LEARN_SLACK: Span = Span::from_millis(40);
/// How often the request is looked at while the question waits.
const LEARN_LOOK: Span = Span::from_millis(5);

/// Questions to learn from that may be open at once.
const LEARNERS_MAX: usize = 4;

/// Probes until the process ends. Runs on the housekeeping thread.
pub(crate) async fn run(shared: Arc<Shared>) {
    let lessons = Arc::new(Mutex::new(Lessons::default()));
    loop {
        let leads = shared.router().leads().is_some();
        tokio::time::sleep(if leads { LOOK } else { FOLLOWER_LOOK }.to_std()).await;
        let now = shared.clock.now();
        let due = shared.router().probes_due(now);
        for due in due {
            tokio::spawn(ask(shared.clone(), due));
        }
        let mut known = lock(&lessons);
        if known.busy().len() < LEARNERS_MAX
            && let Some(lesson) = shared.router().to_learn(now, known.busy())
        {
            known.begin(lesson.0.clone());
            tokio::spawn(learn(shared.clone(), lessons.clone(), lesson));
        }
    }
}

fn lock(lessons: &Mutex<Lessons>) -> MutexGuard<'_, Lessons> {
    lessons.lock().expect("a panic under this lock stops the process")
}

async fn ask(shared: Arc<Shared>, due: DueProbe) {
    let probing = due.probing.clone();
    let passed = match due.probe.clone() {
        Probe::Connect if due.is_open => Some(true),
        Probe::Connect => Some(probe::accepts(due.address, PROBE_LIMIT).await),
        Probe::Get(path) => get(&shared, due, &path).await,
    };
    debug!(dyno = %probing.dyno, ?passed, "probed");
    let probed = passed.map(|passed| if passed { Probed::Passed } else { Probed::Failed });
    // None: nothing was asked, so nothing is said.
    shared.router().probed(shared.clock.now(), &probing, probed);
}

/// A GET with a slot of its own, or in the place of one that is held. `None`: it could not be asked.
async fn get(shared: &Arc<Shared>, due: DueProbe, path: &str) -> Option<bool> {
    let path = path.parse().ok()?;
    let mut claim = match due.pick {
        Some(pick) => Some(commit(shared, Claim::new(shared.clone(), pick)).await.ok().flatten()?),
        None => None,
    };
    // The connection of a probe is its slot's, and only that.
    drop(claim.as_mut().and_then(Claim::take_link));
    if let Some(claim) = claim.as_mut() {
        claim.dispatched();
    }
    let got = probe::get(shared, &due.probing, due.address, path, PROBE_LIMIT).await;
    let may_run = matches!(got, Got::Unknown | Got::Answer { is_over: false, .. });
    match claim {
        None if may_run => shared.router().probe_lost(shared.clock.now(), &due.probing),
        // Not asked, answered in full or ended by the dyno: it is done with it.
        Some(claim) if !may_run => claim.end(Outcome::Done),
        // Dropped, the claim leaves its slot in doubt.
        None | Some(_) => {}
    }
    match got {
        Got::Late => None,
        Got::Answer { status, .. } => Some(!status.is_server_error()),
        Got::NoAnswer | Got::Unknown => Some(false),
    }
}

/// Sends one idle question behind a running request and sees which ends first. A dyno that takes several at a time answers while the
/// request goes on and on; one that takes one at a time answers just as the request ends. What lies between says nothing.
async fn learn(shared: Arc<Shared>, lessons: Arc<Mutex<Lessons>>, (dyno, epoch, address, slot): (DynoId, Epoch, Address, SlotId)) {
    let question = Question::begin(&shared, &dyno);
    let lesson = watch(&shared, address, slot).await;
    drop(question);
    let serial = lock(&lessons).note(&dyno, lesson);
    let Some(serial) = serial else { return };
    info!(%dyno, serial, "dyno learned to take {}", if serial { "one request at a time" } else { "several requests at a time" });
    let learned = shared.replica().propose(Command::Learn { dyno, epoch, serial }).await;
    if let Err(error) = learned {
        debug!(%error, "what was learned could not be recorded; it will be learned again");
    }
}

/// What one question showed: `Some(true)`, the answer waited for the request; `Some(false)`, the request outlasted the answer.
async fn watch(shared: &Shared, address: Address, slot: SlotId) -> Option<bool> {
    let began = shared.clock.now();
    let mut asking = std::pin::pin!(probe::until_idle(address, PROBE_LIMIT, LEARN_LIMIT));
    let mut ended = None;
    let answered = loop {
        tokio::select! {
            answer = &mut asking => {
                answer.ok()?;
                break shared.clock.now();
            }
            () = tokio::time::sleep(LEARN_LOOK.to_std()) => {
                if ended.is_none() && !shared.router().still_running(slot) {
                    ended = Some(shared.clock.now());
                }
            }
        }
    };
    // Dyno and block see the end of a request at slightly different times.
    tokio::time::sleep(LEARN_SLACK.to_std()).await;
    if shared.router().still_running(slot) {
        return Some(false);
    }
    let waited = answered.since(began) >= LEARN_MIN;
    let together = ended.is_none_or(|ended| answered.since(ended) <= LEARN_SLACK);
    (waited && together).then_some(true)
}
