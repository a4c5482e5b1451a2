//! Drains with a deadline, and moves with a request under way (P12).

use dynomesh_core::app::Phase;
use dynomesh_core::id::NodeName;
use dynomesh_core::map::fact::NodeState;
use dynomesh_core::time::Span;
use tempfile::TempDir;

use super::directory::d1;
use super::replica::is_whole;
use super::*;

const LONG: Span = Span::from_secs(30);

struct Scene {
    directory: PlayedDirectory,
    replicas: Vec<Running>,
    dyno: PlayedDyno,
    _dir: TempDir,
}

/// A block of so many replicas that owns one dyno.
fn scene(replicas: usize) -> Scene {
    let dir = tempfile::tempdir().unwrap();
    let mut directory = PlayedDirectory::start("127.0.0.1:0".parse().unwrap());
    let dyno = PlayedDyno::start("d1");
    let (replicas, _) = found(dir.path(), replicas, &[directory.address()]);
    let epoch = directory.assign(&dyno, Some("b1"), false, LONG);
    directory.await_owned(epoch, Phase::Active);
    let scene = Scene { directory, replicas, dyno, _dir: dir };
    // A fresh process grants only when it has heard the map.
    scene.serve_next();
    scene
}

impl Scene {
    fn leader(&self) -> &Running {
        let name = until("a leader is known", || self.directory.leader());
        self.replica(&name)
    }

    fn replica(&self, name: &NodeName) -> &Running {
        self.replicas.iter().find(|replica| replica.name() == name.as_str()).unwrap()
    }

    /// A response that streams for so long, begun.
    fn streaming(&self, ms: u64) -> Hop {
        let mut hop = self.leader().send(&format!("/stream/{ms}")).unwrap();
        hop.read_until("first");
        hop
    }

    /// Has a request served; one that was not dispatched is sent again, as an edge does.
    fn serve_next(&self) {
        until("the next request is served", || self.leader().ask("/wait/1").contains("200 OK").then_some(()));
    }

    fn assign(&mut self, block: Option<&str>, drain: bool, cut: Span) -> dynomesh_core::id::Epoch {
        self.directory.assign(&self.dyno, block, drain, cut)
    }
}

/// Fails (`cap`, an overlap at the dyno, or a release while it works) when the deadline frees the slot instead of cutting only, and when a
/// cut body passes for a whole one.
#[test]
fn a_drain_deadline_cuts_the_response_and_the_slot_counts_until_the_dyno_is_idle() {
    let mut scene = scene(1);
    let hop = scene.streaming(2_500);
    let drained = scene.assign(Some("b1"), true, Span::from_millis(300));
    scene.directory.await_owned(drained, Phase::Draining);
    let (got, _) = hop.finish();
    assert!(!is_whole(&got), "a cut response must not look whole: {got}");
    assert_eq!(scene.dyno.running(), 1, "the dyno ended before the cut: the test tells nothing");
    assert_eq!(scene.leader().metric("dynomesh_block_drain_cuts_total"), 1.0);

    // Undrained, it must not be given the next request before it is idle.
    let back = scene.assign(Some("b1"), false, LONG);
    scene.directory.await_owned(back, Phase::Active);
    assert_eq!(scene.dyno.running(), 1);
    scene.serve_next();
    assert_eq!(scene.dyno.overlaps(), 0, "a request came while the cut one still ran");

    let gone = scene.assign(None, false, Span::ZERO);
    scene.directory.await_released(gone);
    assert_eq!(scene.leader().metric("dynomesh_block_dynos_released_total"), 1.0);
}

#[test]
fn a_dyno_is_released_only_when_its_cut_request_is_over() {
    let mut scene = scene(1);
    let hop = scene.streaming(1_500);
    let gone = scene.assign(None, false, Span::ZERO);
    let (got, _) = hop.finish();
    assert!(!is_whole(&got), "{got}");
    assert_eq!(scene.dyno.running(), 1, "the dyno ended before the cut: the test tells nothing");
    scene.directory.await_released(gone);
    assert_eq!(scene.dyno.running(), 0, "released while it worked");
}

#[test]
fn a_request_cut_before_its_answer_began_is_told_so() {
    let mut scene = scene(1);
    let hop = scene.leader().send("/wait/1500").unwrap();
    until("the dyno works", || (scene.dyno.running() == 1).then_some(()));
    scene.assign(Some("b1"), true, Span::ZERO);
    let (got, _) = hop.finish();
    assert!(got.starts_with("HTTP/1.1 502"), "{got}");
    assert!(got.contains("x-dynomesh-verdict: unknown") && got.contains("x-dynomesh-reason: cut"), "{got}");
    assert_eq!(scene.dyno.running(), 1, "the dyno ended before the cut: the test tells nothing");
}

#[test]
fn an_undrain_before_the_deadline_stops_the_cut() {
    let mut scene = scene(1);
    let span = Span::from_secs(3);
    let hop = scene.streaming(4_000);
    let drained = scene.assign(Some("b1"), true, span);
    scene.directory.await_owned(drained, Phase::Draining);
    let back = scene.assign(Some("b1"), false, span);
    scene.directory.await_owned(back, Phase::Active);
    let (got, _) = hop.finish();
    assert!(is_whole(&got), "{got}");
    assert_eq!(scene.leader().metric("dynomesh_block_drain_cuts_total"), 0.0);
}

/// `one-owner`: a slot is granted, and while the block waits for the withheld body its dyno is drained and given back. Fails when the dyno
/// is told the epoch of the grant: it may have seen the newer one from another request by then.
#[test]
fn a_request_that_waits_for_its_body_goes_out_under_the_newest_epoch() {
    let mut scene = scene(1);
    let withheld = "connection: close\r\nexpect: 100-continue\r\ntransfer-encoding: chunked\r\nx-dynomesh-length: 4\r\n";
    // The block waits for the body for a second, which may be too short for a busy machine.
    let (got, back) = until("the body comes in time", || {
        let mut hop = scene.leader().begin("POST /wait/1", withheld, "").unwrap();
        hop.read_until("HTTP/1.1 100 Continue\r\n\r\n");
        let drained = scene.assign(Some("b1"), true, LONG);
        scene.directory.await_owned(drained, Phase::Draining);
        let back = scene.assign(Some("b1"), false, LONG);
        scene.directory.await_owned(back, Phase::Active);
        hop.say("4\r\nbody\r\n0\r\n\r\n");
        let (got, _) = hop.finish();
        (!got.contains("body-late")).then_some((got, back))
    });
    assert!(got.contains("200 OK") && got.contains(&format!("x-dynomesh-epoch: {}\r\n", back.0)), "{back:?}: {got}");
}

#[test]
fn a_move_finishes_what_runs_shorter_than_its_cut_and_then_releases() {
    let mut scene = scene(1);
    let hop = scene.streaming(800);
    let moved = scene.assign(Some("b2"), false, LONG);
    until("the dyno drains", || scene.directory.view().owner(&d1()).filter(|owned| owned.phase == Phase::Draining).map(drop));
    let (got, _) = hop.finish();
    assert!(is_whole(&got), "{got}");
    scene.directory.await_released(moved);
    assert_eq!((scene.dyno.running(), scene.dyno.overlaps()), (0, 0));
}

/// P10, P12: the drain is known to every replica, and the one that carries the request cuts it. Fails when only the leader cuts. The
/// wish by which leadership is handed over first is obeyed and told of on the way.
#[test]
fn a_drained_replica_hands_over_streams_on_and_cuts_what_a_drained_dyno_still_runs() {
    let mut scene = scene(3);
    let old = NodeName::new(scene.leader().name()).unwrap();
    let mut hop = scene.streaming(6_000);
    scene.directory.wish(old.as_str(), true);
    until("another leads", || scene.directory.leader().filter(|leader| *leader != old));
    until("it still streams", || (scene.directory.state_of(old.as_str()) == Some(NodeState::Draining)).then_some(()));
    hop.read_until("first");
    assert_eq!(scene.dyno.running(), 1);

    let drained = scene.assign(Some("b1"), true, Span::from_millis(200));
    let (got, _) = hop.finish();
    assert!(!is_whole(&got), "{got}");
    assert_eq!(scene.dyno.running(), 1, "the dyno ended before the cut: the test tells nothing");
    scene.directory.await_owned(drained, Phase::Draining);
    assert_eq!(scene.replica(&old).metric("dynomesh_block_drain_cuts_total"), 1.0);
    until("nothing is left to do", || (scene.directory.state_of(old.as_str()) == Some(NodeState::Drained)).then_some(()));
    let gone = scene.assign(None, false, Span::ZERO);
    scene.directory.await_released(gone);
    assert_eq!(scene.dyno.running(), 0, "released while it worked");

    scene.directory.wish(old.as_str(), false);
    until("it serves again", || (scene.directory.state_of(old.as_str()) == Some(NodeState::Serving)).then_some(()));
}

/// P9: a dyno that was proven idle once may be busy with the next request when that is cut. Fails when a proof from before the cut counts.
#[test]
fn a_proof_that_a_dyno_was_idle_before_says_nothing_about_a_request_cut_since() {
    let mut scene = scene(1);
    let other = PlayedDyno::start("d2");
    let epoch = scene.directory.assign(&other, Some("b1"), false, LONG);
    scene.directory.await_owned(epoch, Phase::Active);
    // One of each; the long one stays in doubt, so that what was found out about the other is not forgotten.
    let hops = [scene.streaming(9_000), scene.streaming(300)];
    for dyno in [&scene.dyno, &other] {
        scene.directory.assign(dyno, Some("b1"), true, Span::ZERO);
    }
    hops.into_iter().for_each(|hop| assert!(!is_whole(&hop.finish().0)));
    let free = until("one of them is idle", || [&scene.dyno, &other].into_iter().find(|dyno| dyno.running() == 0));
    let reassign = |directory: &mut PlayedDirectory, drain| {
        let epoch = directory.assign(free, Some("b1"), drain, Span::ZERO);
        directory.await_owned(epoch, if drain { Phase::Draining } else { Phase::Active });
    };
    reassign(&mut scene.directory, false);
    let again = scene.streaming(1_500);
    reassign(&mut scene.directory, true);
    assert!(!is_whole(&again.finish().0));
    reassign(&mut scene.directory, false);
    assert_eq!(free.running(), 1, "the dyno ended before the cut: the test tells nothing");
    scene.serve_next();
    assert_eq!(free.overlaps(), 0, "a request came while the cut one still ran");
}
