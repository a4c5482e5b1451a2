//! Probes by GET, each a request in a place of its dyno.

use super::*;

/// A leader whose app has its dynos asked by GET.
fn asking() -> Router {
    let (mut router, _) = leading();
    let spec = AppSpec { policy: Policy { probe: Probe::Get("/up".into()), ..spec().policy }, ..spec() };
    router.apply(at(0), Index(5), Command::SetApp { spec: Box::new(spec), version: Version(2) });
    router
}

/// The first probe of a dyno, and when it is due.
fn probe_of(router: &mut Router, dyno: &DynoId, from: u64) -> (u64, DueProbe) {
    for ms in from..from + 60_000 {
        for due in router.probes_due(at(ms)) {
            if due.probing.dyno == *dyno {
                return (ms, due);
            }
            router.probed(at(ms), &due.probing, Some(Probed::Passed));
            if let Some(pick) = due.pick {
                router.end(at(ms), pick.slot, Outcome::Done);
            }
        }
    }
    panic!("{dyno} is never probed");
}

/// Requests until no dyno takes any more.
fn fill(router: &mut Router, ms: u64) -> Vec<Pick> {
    std::iter::from_fn(|| if let Admission::Go(pick) = router.admit(at(ms), &ask(&app())) { Some(pick) } else { None }).collect()
}

/// Its only place would be a request's while the question runs (P9).
#[test]
fn a_held_slot_does_not_lapse_under_the_probe_in_its_place() {
    let mut router = asking();
    let picks = fill(&mut router, 1);
    let [failed, _] = &picks[..] else { panic!("two dynos of one slot each") };
    router.end(at(2), failed.slot, Outcome::Error);
    let (began, due) = probe_of(&mut router, &failed.dyno, 3);
    assert!(due.pick.is_none() && due.probing.place == failed.slot, "in the place of the request that failed");
    let held = began + limits().hold.as_millis() + 1;
    router.sweep(at(held));
    assert_eq!(fill(&mut router, held).len(), 0, "the probe is under way");
    router.probed(at(held + 1), &due.probing, None);
    router.sweep(at(held + 2));
    assert_eq!(fill(&mut router, held + 2).len(), 1);
}

#[test]
fn a_held_slot_is_in_doubt_when_nobody_saw_the_end_of_the_probe_in_its_place() {
    let mut router = asking();
    let picks = fill(&mut router, 1);
    router.end(at(2), picks[0].slot, Outcome::Error);
    let (began, due) = probe_of(&mut router, &picks[0].dyno, 3);
    router.probe_lost(at(began + 500), &due.probing);
    router.probed(at(began + 500), &due.probing, Some(Probed::Failed));
    router.sweep(at(began + 60_000));
    assert_eq!(router.doubts().iter().map(|doubt| (doubt.slot, doubt.facts.since)).collect::<Vec<_>>(), [(picks[0].slot, at(began + 500))]);
}

/// The place of the later one would be free while its question runs.
#[test]
fn the_answer_of_an_earlier_probe_does_not_end_a_later_one() {
    let mut router = asking();
    let dyno = DynoId::new("d1").unwrap();
    let (began, earlier) = probe_of(&mut router, &dyno, 1);
    router.lead(at(began + 1), Term(2), ReplicaId(2));
    router.lead(at(began + 2), Term(3), ReplicaId(1));
    router.end(at(began + 3), earlier.pick.as_ref().unwrap().slot, Outcome::Done);
    let (again, later) = probe_of(&mut router, &dyno, began + 4);
    router.probed(at(again + 1), &earlier.probing, Some(Probed::Passed));
    assert!(fill(&mut router, again + 2).iter().all(|pick| pick.dyno != dyno), "the later one is under way");
    router.end(at(again + 3), later.pick.as_ref().unwrap().slot, Outcome::Done);
    router.probed(at(again + 3), &later.probing, Some(Probed::Passed));
    assert!(fill(&mut router, again + 4).iter().any(|pick| pick.dyno == dyno));
}
