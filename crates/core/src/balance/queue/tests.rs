//! Single steps of the queue, and random stories against a shadow that keeps a plain list.

use rand::RngExt;
use rand::rngs::StdRng;

use super::*;
use crate::sweep::{draw, sweep};

const LIMITS: QueueSettings = QueueSettings { len_max: 3, must_len_max: 12, wait_max: Span::from_secs(10) };

fn at(millis: u64) -> Time {
    Time::ZERO + Span::from_millis(millis)
}

/// A queue with requests 0, 1, ... that arrived at these times and have a minute.
fn queue(settings: QueueSettings, arrivals: &[u64]) -> Queue<u64> {
    let mut queue = Queue::new(settings);
    for (key, millis) in (0..).zip(arrivals) {
        queue.push(at(*millis), key, key, at(*millis + 60_000)).unwrap();
    }
    queue
}

fn popped(item: Option<u64>, expired: &[u64]) -> Popped<u64> {
    Popped { item, expired: expired.to_vec() }
}

#[test]
fn the_first_to_come_is_the_first_to_go() {
    let mut queue = queue(LIMITS, &[0, 0, 1]);
    assert_eq!([0, 1, 2].map(|_| queue.pop(at(5)).item.unwrap()), [0, 1, 2]);
    assert_eq!(queue.pop(at(5)), popped(None, &[]));
    assert!(queue.is_empty());
}

#[test]
fn what_does_not_fit_is_handed_back() {
    let mut queue = queue(LIMITS, &[0, 0, 0]);
    assert_eq!(queue.push(at(1), 9, 99, at(1000)), Err((Full::Length, 99)));
    queue.pop(at(1));
    assert_eq!(queue.push(at(1), 9, 99, at(1000)), Ok(()));
    let mut closed = Queue::new(QueueSettings { len_max: 0, must_len_max: 0, ..LIMITS });
    assert_eq!(closed.push(at(1), 9, 99, at(1000)), Err((Full::Length, 99)));
    assert_eq!(closed.push_must(at(1), 9, 99, at(1000)), Err((Full::Length, 99)), "an app without a queue has none for anyone");
}

#[test]
fn a_request_that_must_queue_finds_room_where_others_do_not_but_not_without_end() {
    let mut queue = queue(LIMITS, &[0, 0, 0]);
    for key in 3..12 {
        assert_eq!(queue.push_must(at(0), key, key, at(60_000)), Ok(()));
    }
    assert_eq!(queue.push_must(at(0), 12, 12, at(60_000)), Err((Full::Length, 12)));
    assert_eq!(queue.len(), LIMITS.must_len_max);
}

#[test]
fn a_request_past_its_deadline_is_dropped_at_the_head_and_never_served() {
    let mut queue = Queue::new(LIMITS);
    queue.push(at(0), 0, 0, at(100)).unwrap();
    queue.push(at(0), 1, 1, at(60_000)).unwrap();
    queue.push(at(0), 2, 2, at(100)).unwrap();
    assert_eq!(queue.pop(at(100)), popped(Some(1), &[0]));
    assert_eq!(queue.pop(at(100)), popped(None, &[2]));
}

#[test]
fn no_wait_is_longer_than_the_limit_whatever_the_deadline() {
    let mut queue = queue(LIMITS, &[0]);
    assert_eq!(queue.next_expiry(), Some(at(10_000)));
    assert!(queue.expire(at(9_999)).is_empty());
    assert_eq!(queue.expire(at(10_000)), [0]);
    assert_eq!(queue.next_expiry(), None);
}

#[test]
fn whoever_expires_in_the_middle_is_found_by_time() {
    let mut queue = Queue::new(LIMITS);
    queue.push(at(0), 0, 0, at(500)).unwrap();
    queue.push(at(0), 1, 1, at(100)).unwrap();
    assert_eq!(queue.next_expiry(), Some(at(100)));
    assert_eq!(queue.expire(at(100)), [1]);
    assert_eq!(queue.pop(at(100)), popped(Some(0), &[]));
}

#[test]
fn a_request_whose_client_left_leaves_the_line() {
    let mut queue = queue(LIMITS, &[0, 0, 0]);
    assert_eq!((queue.remove(1), queue.remove(1)), (Some(1), None));
    assert_eq!(queue.pop(at(0)).item, Some(0));
    assert_eq!(queue.pop(at(0)).item, Some(2));
    assert_eq!(queue.remove(2), None, "it was served");
}

#[test]
fn a_leader_that_loses_office_hands_everyone_back_in_order() {
    let mut queue = queue(LIMITS, &[0, 0, 0]);
    queue.remove(1);
    assert_eq!(queue.drain_all(), [0, 2]);
    queue.check_invariants();
    assert_eq!((queue.len(), queue.next_expiry(), queue.oldest_wait(at(9))), (0, None, Span::ZERO));
}

#[test]
fn new_limits_bind_only_new_arrivals() {
    let mut queue = queue(LIMITS, &[0, 0, 0]);
    queue.set(QueueSettings { len_max: 1, must_len_max: 1, wait_max: Span::from_secs(1) });
    assert_eq!((queue.len(), queue.next_expiry()), (3, Some(at(10_000))));
    assert_eq!(queue.push(at(1), 9, 9, at(1000)), Err((Full::Length, 9)));
}

#[test]
#[should_panic(expected = "waits already")]
fn a_key_names_one_request() {
    let mut queue = queue(LIMITS, &[0]);
    let _ = queue.push(at(0), 0, 0, at(1000));
}

// --- overload

const WIDE: QueueSettings = QueueSettings { len_max: 100, ..LIMITS };

#[test]
fn half_the_limit_is_waited_without_question() {
    let mut queue = queue(WIDE, &[0]);
    assert_eq!(queue.push(at(5_000), 1, 1, at(60_000)), Ok(()));
    assert_eq!(queue.push(at(5_001), 2, 2, at(60_000)), Err((Full::Overload, 2)), "nothing was served for half the limit");
}

#[test]
fn past_half_the_limit_as_many_wait_as_the_service_rate_serves_in_time() {
    // One request a second was served while the oldest waited six: ten more will be in the ten seconds that an arrival has.
    let mut queue = queue(WIDE, &[0]);
    (0..6).for_each(|_| queue.served());
    let admitted = (1..100).take_while(|key| queue.push(at(6_000), *key, *key, at(60_000)).is_ok()).count();
    assert_eq!(1 + admitted, 10);
}

#[test]
fn an_arrival_with_little_time_left_is_bounded_by_that() {
    let mut queue = queue(WIDE, &[0]);
    (0..6).for_each(|_| queue.served());
    let admitted = (1..100).take_while(|key| queue.push(at(6_000), *key, *key, at(6_000 + 3_000)).is_ok()).count();
    assert_eq!(1 + admitted, 3);
}

#[test]
fn a_request_that_must_queue_is_refused_what_cannot_be_served_in_time() {
    let mut queue = queue(WIDE, &[0]);
    assert_eq!(queue.push_must(at(6_000), 1, 1, at(60_000)), Err((Full::Overload, 1)));
}

#[test]
fn overload_does_not_collapse() {
    // Twice as many come as can be served, each with five seconds. A queue bounded by length alone would serve only requests that are
    // about to expire; this one must go on serving at its rate, and let few of those that it took expire.
    let mut queue = Queue::new(QueueSettings { len_max: 1_000, must_len_max: 1_000, wait_max: Span::from_secs(10) });
    let (mut served, mut expired) = (0, 0);
    for millis in 0..60_000u64 {
        expired += queue.expire(at(millis)).len();
        if millis % 10 == 0 {
            let _ = queue.push(at(millis), millis, millis, at(millis + 5_000));
        }
        if millis % 20 == 0 && queue.pop(at(millis)).item.is_some() {
            queue.served();
            served += 1;
        }
        queue.check_invariants();
    }
    assert!(served > 2_990, "{served} of 3000 slots were used");
    assert!(expired < 300, "{expired} waited in vain");
}

// --- sweep

#[derive(Debug, Clone, Copy)]
enum Action {
    Push,
    PushMust,
    Pop,
    Remove,
    Expire,
    Drain,
    Set,
    Served,
}

const ACTIONS: &[(u32, Action)] = &[
    (30, Action::Push),
    (5, Action::PushMust),
    (12, Action::Pop),
    (4, Action::Remove),
    (4, Action::Expire),
    (1, Action::Drain),
    (1, Action::Set),
    (8, Action::Served),
];

/// One who waits, as the shadow sees it: key, arrival, end of patience, served before.
type Waiter = (u64, Time, Time, u64);

struct Story<'a> {
    rng: &'a mut StdRng,
    queue: Queue<u64>,
    shadow: Vec<Waiter>,
    settings: QueueSettings,
    now: Time,
    served: u64,
    key: u64,
}

impl Story<'_> {
    fn some_settings(rng: &mut StdRng) -> QueueSettings {
        let len_max = rng.random_range(0..20);
        QueueSettings { len_max, must_len_max: len_max * 4, wait_max: Span::from_millis(rng.random_range(1..500)) }
    }

    fn push(&mut self, must: bool) {
        let len_max = if must { self.settings.must_len_max } else { self.settings.len_max };
        self.key += 1;
        let deadline = self.now + Span::from_millis(self.rng.random_range(0..600));
        let expected = if self.shadow.len() >= len_max {
            Err((Full::Length, self.key))
        } else if self.overloaded(deadline) {
            Err((Full::Overload, self.key))
        } else {
            self.shadow.push((self.key, self.now, deadline.min(self.now + self.settings.wait_max), self.served));
            Ok(())
        };
        let pushed = match must {
            false => self.queue.push(self.now, self.key, self.key, deadline),
            true => self.queue.push_must(self.now, self.key, self.key, deadline),
        };
        assert_eq!(pushed, expected);
    }

    /// The rule as it is written, in fractions.
    fn overloaded(&self, deadline: Time) -> bool {
        let Some((_, arrived, _, served_before)) = self.shadow.first() else { return false };
        let waited = self.now.since(*arrived).as_secs_f64();
        let wait_max = self.settings.wait_max.as_secs_f64();
        let rate = (self.served - served_before) as f64 / waited;
        let remaining = self.now.until(deadline).as_secs_f64().min(wait_max);
        waited > remaining / 2.0 && self.shadow.len() as f64 >= rate * remaining - 1e-9
    }

    fn act(&mut self, action: Action) {
        let now = self.now;
        match action {
            Action::Push => self.push(false),
            Action::PushMust => self.push(true),
            Action::Pop => {
                let late = self.shadow.iter().take_while(|(_, _, expires, _)| *expires <= now).count();
                let expired: Vec<u64> = self.shadow.drain(..late).map(|(key, ..)| key).collect();
                let item = if self.shadow.is_empty() { None } else { Some(self.shadow.remove(0).0) };
                assert_eq!(self.queue.pop(now), Popped { item, expired });
            }
            Action::Remove => {
                let key = self.rng.random_range(0..=self.key);
                let expected = self.shadow.iter().position(|(known, ..)| *known == key).map(|at| self.shadow.remove(at).0);
                assert_eq!(self.queue.remove(key), expected);
            }
            Action::Expire => {
                let mut expired = self.queue.expire(now);
                expired.sort();
                assert_eq!(
                    expired,
                    self.shadow.extract_if(.., |(_, _, expires, _)| *expires <= now).map(|(key, ..)| key).collect::<Vec<_>>()
                );
            }
            Action::Drain => assert_eq!(self.queue.drain_all(), self.shadow.drain(..).map(|(key, ..)| key).collect::<Vec<_>>()),
            Action::Set => {
                self.settings = Self::some_settings(self.rng);
                self.queue.set(self.settings);
            }
            Action::Served => {
                self.served += 1;
                self.queue.served();
            }
        }
    }
}

#[test]
fn the_queue_agrees_with_its_shadow() {
    sweep("the_queue_agrees_with_its_shadow", 500, |rng| {
        let settings = Story::some_settings(rng);
        let mut story = Story { rng, queue: Queue::new(settings), shadow: Vec::new(), settings, now: at(0), served: 0, key: 0 };
        for _ in 0..300 {
            story.now += Span::from_millis(story.rng.random_range(0..40));
            let action = draw(story.rng, ACTIONS);
            story.act(action);
            story.queue.check_invariants();
            assert_eq!(story.queue.len(), story.shadow.len());
            assert_eq!(story.queue.next_expiry(), story.shadow.iter().map(|(_, _, expires, _)| *expires).min());
            let oldest = story.shadow.first().map_or(Span::ZERO, |(_, arrived, ..)| story.now.since(*arrived));
            assert_eq!(story.queue.oldest_wait(story.now), oldest);
        }
    });
}
