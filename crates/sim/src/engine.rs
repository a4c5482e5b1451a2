//! Virtual time: every request, probe and clock of a simulation is a task, and time leaps from one task's waking to the next.
//!
//! The parts of a simulated mesh are then written as they are thought of: ask, wait for the answer, ask the next. There is one thread
//! and one order of events for a seed: timers fire by time, those of the same instant in the order in which they were set, and all
//! chance comes from the world's own generator. Nothing here reads a clock.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use dynomesh_core::time::{Span, Time};
use rand::SeedableRng;
use rand::rngs::StdRng;

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// A handle to one simulated world; clones are the same world.
#[derive(Clone)]
pub struct World(Rc<Inner>);

struct Inner {
    now: Cell<Time>,
    /// The task that runs now: whoever has to wait notes it, and wakes it later.
    current: Cell<u32>,
    /// Time, order and task of each timer in one number, so that the heap compares and moves as little as can be.
    timers: RefCell<BinaryHeap<Reverse<u128>>>,
    set: Cell<u32>,
    ready: RefCell<VecDeque<u32>>,
    tasks: RefCell<Vec<Option<Task>>>,
    vacant: RefCell<Vec<u32>>,
    rng: RefCell<StdRng>,
    events: Cell<u64>,
    stopped: Cell<bool>,
}

/// Waits until a time; see [`World::sleep`].
#[must_use]
pub struct Sleep<'a> {
    world: &'a World,
    until: Time,
    set: bool,
}

/// Where a value is put for a task that waits for it; see [`World::promise`].
pub struct Giver<T>(Rc<Promise<T>>);

/// Waits for a value; ready with `None` if its giver is dropped.
#[must_use]
pub struct Promised<T>(Rc<Promise<T>>);

struct Promise<T> {
    value: Cell<Option<T>>,
    waiter: Cell<Option<u32>>,
    over: Cell<bool>,
    world: Rc<Inner>,
}

// === impl World ===

impl World {
    /// A world at time zero whose chance follows from `seed` alone.
    pub fn new(seed: u64) -> Self {
        World(Rc::new(Inner {
            now: Cell::new(Time::ZERO),
            current: Cell::new(0),
            timers: RefCell::default(),
            set: Cell::new(0),
            ready: RefCell::default(),
            tasks: RefCell::default(),
            vacant: RefCell::default(),
            rng: RefCell::new(StdRng::seed_from_u64(seed)),
            events: Cell::new(0),
            stopped: Cell::new(false),
        }))
    }

    /// The time.
    pub fn now(&self) -> Time {
        self.0.now.get()
    }

    /// Events so far: how often a task was run.
    pub fn events(&self) -> u64 {
        self.0.events.get()
    }

    /// Lets `draw` use the world's chance.
    pub fn chance<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        draw(&mut self.0.rng.borrow_mut())
    }

    /// Waits.
    pub fn sleep(&self, span: Span) -> Sleep<'_> {
        self.sleep_until(self.now() + span)
    }

    /// Waits until `until`; ready at once if that has passed.
    pub fn sleep_until(&self, until: Time) -> Sleep<'_> {
        Sleep { world: self, until, set: false }
    }

    /// A value to come.
    pub fn promise<T>(&self) -> (Giver<T>, Promised<T>) {
        let promise = Promise { value: Cell::new(None), waiter: Cell::new(None), over: Cell::new(false), world: self.0.clone() };
        let promise = Rc::new(promise);
        (Giver(promise.clone()), Promised(promise))
    }

    /// Starts a task; it runs when the one that runs now waits.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        let mut tasks = self.0.tasks.borrow_mut();
        let place = match self.0.vacant.borrow_mut().pop() {
            Some(place) => place,
            None => {
                tasks.push(None);
                u32::try_from(tasks.len() - 1).expect("far fewer than 2^32 tasks live at once")
            }
        };
        tasks[place as usize] = Some(Box::pin(task));
        self.0.ready.borrow_mut().push_back(place);
    }

    /// Runs until nothing is left to do or `until` has come, then ends all tasks that still wait.
    pub fn run(&self, until: Time) {
        while !self.0.stopped.get() {
            self.run_ready();
            let Some(Reverse(timer)) = self.0.timers.borrow_mut().pop() else { break };
            #[expect(clippy::cast_possible_truncation, reason = "the number is a time in its upper half and a task in its lowest quarter")]
            let (at, task) = (Time::from_nanos((timer >> 64) as u64), timer as u32);
            if at > until {
                break;
            }
            self.0.now.set(at);
            self.run_task(task);
        }
        self.end();
    }

    /// Makes [`World::run`] return before the next event. For the task that knows that all is done, while clocks and probes go on.
    pub fn stop(&self) {
        self.0.stopped.set(true);
    }

    fn end(&self) {
        self.0.timers.borrow_mut().clear();
        // A task that is dropped may drop what others wait for, so none may be borrowed meanwhile.
        let tasks: Vec<Option<Task>> = self.0.tasks.borrow_mut().iter_mut().map(Option::take).collect();
        drop(tasks);
        self.0.ready.borrow_mut().clear();
    }

    fn run_ready(&self) {
        while !self.0.stopped.get() {
            let next = self.0.ready.borrow_mut().pop_front();
            match next {
                Some(task) => self.run_task(task),
                None => return,
            }
        }
    }

    /// Runs a task until it waits. A waking that comes too late, to a task that has ended or waits for something else by now, is
    /// harmless: whatever waits asks again whether its time has come.
    fn run_task(&self, place: u32) {
        let taken = self.0.tasks.borrow_mut().get_mut(place as usize).and_then(Option::take);
        let Some(mut task) = taken else { return };
        self.0.current.set(place);
        self.0.events.set(self.0.events.get() + 1);
        match task.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => {
                if let Some(home) = self.0.tasks.borrow_mut().get_mut(place as usize) {
                    *home = Some(task);
                }
            }
            Poll::Ready(()) => self.0.vacant.borrow_mut().push(place),
        }
    }

    fn wake_at(&self, at: Time) {
        let set = self.0.set.get();
        self.0.set.set(set.wrapping_add(1));
        let timer = u128::from(at.as_nanos()) << 64 | u128::from(set) << 32 | u128::from(self.0.current.get());
        self.0.timers.borrow_mut().push(Reverse(timer));
    }
}

// === impl waiting ===

impl Future for Sleep<'_> {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.world.now() >= self.until {
            return Poll::Ready(());
        }
        if !self.set {
            self.set = true;
            self.world.wake_at(self.until);
        }
        Poll::Pending
    }
}

impl<T> Giver<T> {
    /// Gives the value and wakes who waits for it.
    pub fn give(self, value: T) {
        self.0.value.set(Some(value));
    }

    /// Whether nobody waits for it any more.
    pub fn is_idle(&self) -> bool {
        Rc::strong_count(&self.0) == 1
    }
}

impl<T> Drop for Giver<T> {
    fn drop(&mut self) {
        self.0.over.set(true);
        if let Some(waiter) = self.0.waiter.take() {
            self.0.world.ready.borrow_mut().push_back(waiter);
        }
    }
}

impl<T> Future for Promised<T> {
    type Output = Option<T>;
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<T>> {
        let promise = &self.0;
        if promise.over.get() {
            return Poll::Ready(promise.value.take());
        }
        promise.waiter.set(Some(promise.world.current.get()));
        Poll::Pending
    }
}

/// Which of two came first; see [`race`].
pub enum First<A, B> {
    /// The first one named, also if both came in the same instant.
    One(A),
    /// The other.
    Other(B),
}

/// Waits for whichever comes first and lets go of the other.
pub async fn race<A: Future, B: Future>(one: A, other: B) -> First<A::Output, B::Output> {
    let (mut one, mut other) = (pin!(one), pin!(other));
    poll_fn(move |cx| {
        if let Poll::Ready(value) = one.as_mut().poll(cx) {
            return Poll::Ready(First::One(value));
        }
        other.as_mut().poll(cx).map(First::Other)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(millis: u64) -> Span {
        Span::from_millis(millis)
    }

    #[test]
    fn tasks_wake_in_the_order_of_time_and_then_of_setting() {
        let world = World::new(1);
        let seen = Rc::new(RefCell::new(Vec::new()));
        for (name, span) in [("c", 20), ("a", 10), ("b", 10)] {
            let (world, seen) = (world.clone(), seen.clone());
            let told = world.clone();
            world.spawn(async move {
                told.sleep(ms(span)).await;
                seen.borrow_mut().push((name, told.now().as_nanos() / 1_000_000));
            });
        }
        world.run(Time::FAR);
        assert_eq!(*seen.borrow(), [("a", 10), ("b", 10), ("c", 20)]);
    }

    #[test]
    fn a_promise_wakes_its_waiter_and_a_dropped_one_too() {
        let world = World::new(1);
        let seen = Rc::new(RefCell::new(Vec::new()));
        let (giver, promised) = world.promise::<u32>();
        let (dropped, broken) = world.promise::<u32>();
        let at = seen.clone();
        world.spawn(async move {
            let (given, nothing) = (promised.await, broken.await);
            at.borrow_mut().extend([given, nothing]);
        });
        let later = world.clone();
        world.spawn(async move {
            later.sleep(ms(5)).await;
            giver.give(7);
            later.sleep(ms(5)).await;
            drop(dropped);
        });
        world.run(Time::FAR);
        assert_eq!(*seen.borrow(), [Some(7), None]);
    }

    #[test]
    fn a_race_is_won_by_the_first() {
        let world = World::new(1);
        let (clock, seen) = (world.clone(), Rc::new(Cell::new(0)));
        let told = seen.clone();
        world.spawn(async move {
            if let First::Other(()) = race(clock.sleep(ms(20)), clock.sleep(ms(10))).await {
                told.set(clock.now().since(Time::ZERO).as_millis());
            }
        });
        world.run(Time::FAR);
        assert_eq!(seen.get(), 10);
    }

    #[test]
    fn a_world_ends_at_its_time_and_lets_go_of_all_tasks() {
        let world = World::new(1);
        let kept = Rc::new(());
        let (inside, clock) = (kept.clone(), world.clone());
        world.spawn(async move {
            let _inside = inside;
            loop {
                clock.sleep(ms(10)).await;
            }
        });
        world.run(Time::ZERO + ms(95));
        assert_eq!((world.now(), Rc::strong_count(&kept)), (Time::ZERO + ms(90), 1));
    }
}
