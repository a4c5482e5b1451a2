//! The app of a cluster, as its users see it: commands, dynos, clients, and what was seen in the end.

use dynomesh_core::id::DynoId;
use dynomesh_core::time::{Span, Time};
use serde_json::Value;

use super::{APP, Cluster, HOST, Ran, SETTLE_MAX, run};
use crate::check::{Report, no_leak};
use crate::client::{Ask, Client};
use crate::dyno::SampleDyno;
use crate::history::{Exchange, History};
use crate::{clock, wait};

impl Cluster {
    /// Runs a command against this mesh.
    pub fn run(&self, args: &[&str]) -> Ran {
        run(&self.binary, Some(self.ready().admin), args)
    }

    /// What a command says as JSON.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        self.run(&[args, &["-o", "json"]].concat()).expect_json()
    }

    /// The entries of `NOUN list`, each with the given field as text.
    #[track_caller]
    pub fn list(&self, noun: &str, field: &str) -> Vec<String> {
        let listed = self.json(&[noun, "list"]);
        let entries = listed.as_array().unwrap_or_else(|| panic!("{noun} list is no array: {listed}"));
        entries.iter().map(|entry| entry[field].as_str().map_or_else(|| entry[field].to_string(), str::to_owned)).collect()
    }

    /// Creates the app [`APP`] with more arguments.
    pub fn create_app(&self, args: &[&str]) {
        self.run(&[&["app", "create", APP, "--host", HOST, "--max-conns", "1"], args].concat()).expect_ok();
    }

    /// Starts sample dynos, adds them to the app [`APP`], and waits until each has been given a request.
    pub fn add_dynos(&mut self, count: usize, max_conns: u32) {
        for _ in 0..count {
            self.added += 1;
            let id = DynoId::new(&format!("d{}", self.added)).expect("a letter and a number");
            let dyno = SampleDyno::start(&self.binary, &self.path("dynos"), id, max_conns);
            let (address, max_conns) = (dyno.address.to_string(), max_conns.to_string());
            self.run(&["dyno", "add", APP, &address, "--id", dyno.id.as_str(), "--max-conns", &max_conns]).expect_ok();
            self.dynos.push(dyno);
        }
        self.await_routed(HOST);
        self.check_no_leak().assert_holds();
    }

    /// Waits until every edge has a GET of this host answered by the app: each learns of it in its own time.
    #[track_caller]
    pub fn await_routed(&self, host: &str) {
        for edge in self.ready().edges {
            let client = Client::new(vec![edge.http], host);
            let answered = || client.send(Ask::probe().deadline(Span::from_secs(5))).ok().map(drop);
            wait::until(&format!("{} routes {host}", edge.name), SETTLE_MAX, answered);
        }
    }

    /// Keeps a dyno that the test started itself, so that its journal counts.
    pub fn adopt(&mut self, dyno: SampleDyno) {
        self.dynos.push(dyno);
    }

    /// Kills a dyno that was removed from the mesh. What it saw stays in the history.
    pub fn retire(&mut self, place: usize) {
        let mut dyno = self.dynos.remove(place);
        dyno.kill();
        self.retired.push(dyno);
    }

    /// The sample dynos.
    pub fn dynos(&self) -> &[SampleDyno] {
        &self.dynos
    }

    /// The sample dynos, to kill or restart them.
    pub fn dynos_mut(&mut self) -> &mut [SampleDyno] {
        &mut self.dynos
    }

    /// A client of all edges that asks for [`HOST`].
    pub fn client(&self) -> Client {
        Client::new(self.ready().edges.iter().map(|edge| edge.http).collect(), HOST)
    }

    /// What clients and dynos saw so far.
    pub fn history(&self, exchanges: Vec<Exchange>) -> History {
        Self::history_of(self.dynos.iter().chain(&self.retired), exchanges)
    }

    fn history_of<'a>(dynos: impl Iterator<Item = &'a SampleDyno>, exchanges: Vec<Exchange>) -> History {
        let mut history = History { exchanges, ..History::default() };
        for dyno in dynos {
            let added = history.add_dyno(dyno.id.clone(), dyno.max_conns, dyno.journal_path());
            added.unwrap_or_else(|error| panic!("the journal of {}: {error}", dyno.id));
        }
        history
    }

    /// Waits until no dyno runs a request.
    #[track_caller]
    pub fn await_idle(&self) {
        let idle = || self.dynos.iter().all(|dyno| dyno.in_flight() == 0).then_some(());
        wait::until("every dyno is idle", SETTLE_MAX, idle);
    }

    /// Sends bursts of more requests than there are slots until every slot is used in one, or [`SETTLE_MAX`] has passed, and reports
    /// on the last. Call it when load has ended and every fault is healed.
    pub fn check_no_leak(&self) -> Report {
        let client = self.client();
        let deadline = clock::now() + SETTLE_MAX;
        loop {
            self.await_idle();
            let report = no_leak::check(&self.burst(&client));
            if report.violations.is_empty() || clock::now() > deadline {
                return report;
            }
        }
    }

    fn burst(&self, client: &Client) -> History {
        let from: Time = clock::now();
        let slots: u32 = self.dynos.iter().map(|dyno| dyno.max_conns).sum();
        // As many again as there are slots: blocks are drawn at random, and those that wait fill up what the draw left free.
        let asks = (0..2 * slots).map(|_| Ask::get("/burst").service(Span::from_millis(100)));
        let exchanges = client.send_all(asks);
        Self::history_of(self.dynos.iter(), exchanges).since(from)
    }
}
