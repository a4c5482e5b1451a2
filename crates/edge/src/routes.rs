//! Which app a host belongs to, and which blocks can serve it: a snapshot, replaced whole whenever the map changes.
//!
//! A request reads one snapshot from beginning to end without a lock. Snapshots hold no state of their own: leaders live in
//! [`Seats`], loads in [`Loads`], budgets in [`Budgets`], and all of these outlive a snapshot, so that a change of the map forgets
//! nothing an edge has learned by itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use dashmap::DashMap;
use dynomesh_core::dispatch::{Budget, BudgetSettings};
use dynomesh_core::id::AppName;
use dynomesh_core::map::MapView;
use dynomesh_core::time::Time;
use dynomesh_runtime::http::headers::Load as Word;
use http::HeaderValue;

use crate::load::{Load, Loads};
use crate::metrics::{AppCounts, Metrics};
use crate::seat::{Seat, Seats};

/// Longest host name that is looked up, in bytes; a longer one belongs to no app.
const HOST_LEN_MAX: usize = 253;

/// An app as requests see it.
#[derive(Debug)]
pub(crate) struct App {
    /// Its name.
    pub(crate) name: AppName,
    /// Its name, ready to be sent to blocks.
    pub(crate) header: HeaderValue,
    /// Whether an `Idempotency-Key` makes a request idempotent.
    pub(crate) idempotency_key: bool,
    /// Blocks that have dynos of it, in order of their names.
    pub(crate) places: Vec<Place>,
    /// What its retries are paid from.
    pub(crate) budget: Arc<Mutex<Budget>>,
    /// What is counted of it; see [`App::counts`].
    pub(crate) counts: OnceLock<AppCounts>,
}

/// A block as a place for one app.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// Who leads it.
    pub(crate) seat: Arc<Seat>,
    /// How loaded the app is there.
    pub(crate) load: Arc<Load>,
}

/// All hosts.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    hosts: HashMap<Box<str>, Arc<App>>,
    any: Option<Arc<App>>,
}

/// Everything routes are made from, and the current ones.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    /// Leaders.
    pub(crate) seats: Seats,
    /// Loads.
    pub(crate) loads: Loads,
    /// Retry budgets.
    pub(crate) budgets: Budgets,
    routes: ArcSwap<Routes>,
}

/// The retry budget of each app.
#[derive(Debug, Default)]
pub(crate) struct Budgets {
    settings: BudgetSettings,
    entries: DashMap<AppName, Arc<Mutex<Budget>>>,
}

// === impl App ===

impl App {
    /// What is counted of it.
    pub(crate) fn counts(&self, metrics: &Metrics) -> &AppCounts {
        self.counts.get_or_init(|| metrics.of_app(self.name.as_str()))
    }

    /// Pays in for a request.
    pub(crate) fn pay_in(&self, now: Time) {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner).request(now);
    }

    /// Takes one retry out of the budget, if it has one.
    pub(crate) fn withdraw(&self, now: Time) -> bool {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner).withdraw(now)
    }
}

// === impl Routes ===

impl Routes {
    /// The app of a host as written in a request, port and all: an app that names the host, else the one that takes any.
    pub(crate) fn find(&self, authority: &str) -> Option<&Arc<App>> {
        let host = host_of(authority);
        if host.len() > HOST_LEN_MAX {
            return self.any.as_ref();
        }
        let found = if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
            self.hosts.get(host.to_ascii_lowercase().as_str())
        } else {
            self.hosts.get(host)
        };
        found.or(self.any.as_ref())
    }

    /// All hosts, in order, for the log.
    pub(crate) fn known(&self) -> Vec<&str> {
        let mut known: Vec<&str> = self.hosts.keys().map(AsRef::as_ref).chain(self.any.iter().map(|_| "*")).collect();
        known.sort_unstable();
        known
    }

    /// Whether there is an app, and every one has a block that is led.
    pub(crate) fn lead_somewhere(&self) -> bool {
        let led = |app: &Arc<App>| app.places.iter().any(|place| place.seat.leader().is_some());
        self.len() > 0 && self.hosts.values().chain(&self.any).all(led)
    }

    /// How many hosts there are.
    pub(crate) fn len(&self) -> usize {
        self.hosts.len() + usize::from(self.any.is_some())
    }
}

/// The host of an authority: without port, and without the dot that may end a full name.
pub(crate) fn host_of(authority: &str) -> &str {
    let host = match (authority.starts_with('['), authority.find(']')) {
        (true, Some(end)) => &authority[..=end],
        _ => authority.split(':').next().unwrap_or(authority),
    };
    host.strip_suffix('.').unwrap_or(host)
}

// === impl Directory ===

impl Directory {
    /// Nothing known yet.
    pub(crate) fn new(budget: BudgetSettings) -> Self {
        Directory { budgets: Budgets { settings: budget, entries: DashMap::new() }, ..Directory::default() }
    }

    /// The current routes.
    pub(crate) fn routes(&self) -> Arc<Routes> {
        self.routes.load_full()
    }

    /// Takes a new view of the map.
    pub(crate) fn update(&self, map: &MapView, now: Time) {
        for fact in map.leaders() {
            self.seats.of(&fact.block).absorb(fact);
        }
        for fact in map.all_loads() {
            let word = Word { used: fact.used, slots: fact.slots, queued: fact.queued };
            self.loads.of(&fact.block, &fact.app).told_by_map((fact.term, fact.seq), word, now);
        }
        let mut routes = Routes::default();
        for fact in map.apps() {
            let Some(spec) = &fact.spec else { continue };
            let app = Arc::new(App {
                name: fact.name.clone(),
                header: HeaderValue::try_from(fact.name.as_str()).expect("an app's name is visible ASCII"),
                idempotency_key: spec.policy.idempotency_key,
                places: self.places(map, &fact.name),
                budget: self.budgets.of(&fact.name, now),
                counts: OnceLock::new(),
            });
            for host in &spec.hosts {
                if host.as_str() == "*" {
                    routes.any.get_or_insert_with(|| app.clone());
                } else {
                    routes.hosts.entry(host.as_str().into()).or_insert_with(|| app.clone());
                }
            }
        }
        self.routes.store(Arc::new(routes));
    }

    /// The blocks that have slots of the app and whose leader was ever known.
    fn places(&self, map: &MapView, app: &AppName) -> Vec<Place> {
        let serving = map.loads(app).filter(|fact| fact.slots > 0 && map.leader(&fact.block).is_some());
        serving.map(|fact| Place { seat: self.seats.of(&fact.block), load: self.loads.of(&fact.block, app) }).collect()
    }
}

impl Budgets {
    fn of(&self, app: &AppName, now: Time) -> Arc<Mutex<Budget>> {
        let new = || Arc::new(Mutex::new(Budget::new(self.settings, now)));
        self.entries.entry(app.clone()).or_insert_with(new).clone()
    }
}

#[cfg(test)]
mod tests {
    use dynomesh_core::app::{AppSpec, Policy};
    use dynomesh_core::id::{BlockName, GroupId, ReplicaId, Term, Version};
    use dynomesh_core::map::fact::{AppFact, Fact, LeaderFact, LoadFact, ReplicaFact};

    use super::*;

    fn app(name: &str, hosts: &[&str]) -> Fact {
        let name = AppName::new(name).unwrap();
        let hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
        let spec = AppSpec { name: name.clone(), hosts, policy: Policy::default() };
        Fact::App(AppFact { name, version: Version(1), spec: Some(spec) })
    }

    fn leader(block: &str) -> Fact {
        let replica = ReplicaFact { id: ReplicaId(1), http: "127.0.0.1:1".parse().unwrap(), grpc: "127.0.0.1:2".parse().unwrap() };
        let block = BlockName::new(block).unwrap();
        Fact::Leader(LeaderFact {
            block,
            group: GroupId(1),
            term: Term(1),
            seq: 1,
            leader: ReplicaId(1),
            replicas: vec![replica],
            zone: None,
        })
    }

    fn load(block: &str, name: &str, seq: u64, slots: u32) -> Fact {
        let (block, app) = (BlockName::new(block).unwrap(), AppName::new(name).unwrap());
        Fact::Load(LoadFact { block, app, term: Term(1), seq, slots, used: 0, queued: 0, dynos: slots })
    }

    fn directory(facts: impl IntoIterator<Item = Fact>) -> (Directory, MapView) {
        let mut map = MapView::new();
        for fact in facts {
            map.absorb(fact);
        }
        let directory = Directory::default();
        directory.update(&map, Time::ZERO);
        (directory, map)
    }

    #[test]
    fn a_named_host_wins_over_any_host() {
        let (directory, _) = directory([app("shop", &["shop.example", "[::1]"]), app("demo", &["*"])]);
        let routes = directory.routes();
        let find = |host| routes.find(host).map(|app| app.name.as_str().to_owned());
        for host in ["shop.example", "SHOP.example:8080", "shop.example.", "[::1]:80", "[::1]"] {
            assert_eq!(find(host).as_deref(), Some("shop"), "{host}");
        }
        for host in ["other", "shop.example.org", "", "[::2]", "localhost:8080", &"x".repeat(300)] {
            assert_eq!(find(host).as_deref(), Some("demo"), "{host}");
        }
        assert_eq!(routes.known(), ["*", "[::1]", "shop.example"]);
    }

    #[test]
    fn without_an_app_for_any_host_an_unknown_one_is_unknown() {
        let (directory, _) = directory([app("shop", &["shop.example"])]);
        assert!(directory.routes().find("other").is_none());
    }

    #[test]
    fn only_blocks_with_slots_and_a_leader_are_places() {
        let facts =
            [app("shop", &["*"]), leader("b1"), leader("b2"), load("b1", "shop", 1, 8), load("b2", "shop", 1, 0), load("b3", "shop", 1, 4)];
        let (directory, mut map) = directory(facts);
        let blocks = |directory: &Directory| -> Vec<String> {
            let routes = directory.routes();
            routes.find("x").unwrap().places.iter().map(|place| place.seat.name().to_string()).collect()
        };
        assert_eq!(blocks(&directory), ["b1"]);
        map.absorb(load("b1", "shop", 2, 0));
        map.absorb(load("b2", "shop", 2, 4));
        directory.update(&map, Time::ZERO);
        assert_eq!(blocks(&directory), ["b2"], "the dynos moved");
    }

    #[test]
    fn what_was_learned_outlives_a_change_of_the_map() {
        let (directory, mut map) = directory([app("shop", &["*"]), leader("b1"), load("b1", "shop", 1, 8)]);
        let before = directory.routes().find("x").unwrap().places[0].clone();
        let in_flight = before.load.begin();
        before.seat.fail(&before.seat.leader().unwrap());
        map.absorb(load("b1", "shop", 2, 9));
        directory.update(&map, Time::ZERO);
        let after = &directory.routes().find("x").unwrap().places[0].clone();
        assert_eq!((after.load.own(), after.load.slots(), after.seat.leader()), (1, 9, None));
        drop(in_flight);
    }
}
