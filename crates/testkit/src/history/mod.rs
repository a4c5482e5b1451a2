//! What happened, as clients and dynos saw it, and what was done to the mesh meanwhile.
//!
//! A history is plain data and is written to a file whole: a run that failed is judged again from there, by anybody, without a mesh.

mod call;
mod census;
mod exchange;
mod form;
mod incident;
#[cfg(test)]
pub(crate) mod invented;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::Path;

use dynomesh_agent::demo::journal::{self, Line};
use dynomesh_core::id::DynoId;
use dynomesh_core::time::Time;
use serde::{Deserialize, Serialize};

pub use call::{Call, Operation, Returned};
pub use census::{Census, Listed};
pub use exchange::{Answer, Exchange, Outcome};
pub use incident::{Burst, Incident};

/// All sides of a test. Its times are those of one machine, since its boot ([`crate::clock`]).
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    /// What clients asked and were answered, in the order they were done.
    pub exchanges: Vec<Exchange>,
    /// Whether these are all requests of all clients, but for questions whether an app is up.
    pub whole: bool,
    /// What each dyno wrote down, in the order it did.
    pub dynos: BTreeMap<DynoId, Diary>,
    /// What was done to the mesh.
    pub incidents: Vec<Incident>,
    /// What was asked of the registers of the admin API.
    pub calls: Vec<Call>,
    /// Which block should own which dyno, as the control plane said when everything was healed.
    pub census: Option<Census>,
    /// When more requests than there are slots were sent at once, with nothing else under way.
    pub bursts: Vec<Burst>,
    /// When the last fault was taken away; `None` where there was none, or one stayed.
    #[serde(with = "form::time_maybe")]
    pub healed: Option<Time>,
    /// When the last request had its outcome and the journals were read.
    #[serde(with = "form::time_maybe")]
    pub ended: Option<Time>,
}

/// What one dyno saw.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Diary {
    /// Requests it may have in flight.
    pub max_conns: u32,
    /// Its journal.
    pub lines: Vec<Line>,
}

// === impl History ===

impl History {
    /// Reads the journal of a dyno and adds it.
    pub fn add_dyno(&mut self, id: DynoId, max_conns: u32, journal: &Path) -> io::Result<()> {
        let lines = journal::read(journal)?;
        self.dynos.insert(id, Diary { max_conns, lines });
        Ok(())
    }

    /// Writes it to a file.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        serde_json::to_writer(&mut file, self)?;
        file.flush()
    }

    /// Reads what [`History::save`] wrote.
    pub fn load(path: &Path) -> io::Result<Self> {
        Ok(serde_json::from_reader(BufReader::new(File::open(path)?))?)
    }

    /// The part of each journal that was written at `from` or later.
    pub fn since(mut self, from: Time) -> Self {
        for diary in self.dynos.values_mut() {
            diary.lines.retain(|line| line.boot_ns >= from.as_nanos());
        }
        self.exchanges.retain(|exchange| exchange.begun >= from);
        self
    }

    /// How often dynos began the request that its client named `key`.
    pub fn runs(&self, key: &str) -> usize {
        let lines = self.dynos.values().flat_map(|diary| &diary.lines);
        lines.filter(|line| matches!(&line.event, journal::Event::Start(start) if start.key.as_deref() == Some(key))).count()
    }
}

impl Diary {
    /// The blocks that sent the dyno requests.
    pub fn blocks(&self) -> BTreeSet<&str> {
        let block = |line| match line {
            &Line { event: journal::Event::Start(ref start), .. } => start.block.as_deref(),
            _ => None,
        };
        self.lines.iter().filter_map(block).collect()
    }
}

#[cfg(test)]
mod tests {
    use hyper::Method;
    use hyper::header::HeaderMap;

    use super::invented::answer;
    use super::*;

    #[test]
    fn a_history_is_read_as_it_was_saved() {
        let mut history = History::default().dyno("d", 2).start("d", 1, "a", Some(("b1", 4))).end("d", 1);
        let mut told = answer(Some("no-slot"));
        told.headers.append("x-two", "1".parse().unwrap());
        told.headers.append("x-two", "2".parse().unwrap());
        history = history.asked(Method::PATCH, "a", Outcome::Failed(told)).asked(Method::GET, "b", Outcome::Unknown("reset".into()));
        history.incidents.push(Incident { block: Some("b1".into()), cut_off: true, ..Incident::at("freeze", "b1-1", Time::from_nanos(5)) });
        let operation = Operation::CompareAndSet { expected: 0, value: Some("x".into()) };
        let returned = Returned::Unknown("gone".into());
        let (begun, ended) = (Time::ZERO, Time::from_nanos(1));
        history.calls.push(Call { register: "app/a".into(), operation, begun, ended, returned });
        let listed = Listed { dyno: DynoId::new("d").unwrap(), block: Some("b1".into()), epoch: 4, ..Listed::default() };
        history.census = Some(Census { at: Time::from_nanos(9), dynos: vec![listed] });
        history.bursts.push(Burst { began: Time::from_nanos(7), ended: Time::from_nanos(8) });
        history.healed = Some(Time::from_nanos(6));

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history.json");
        history.save(&path).unwrap();
        let read = History::load(&path).unwrap();
        assert_eq!(format!("{read:?}"), format!("{history:?}"));
    }

    #[test]
    fn a_history_of_little_is_read() {
        let read: History = serde_json::from_str(r#"{"healed":3}"#).unwrap();
        assert_eq!((read.healed, read.ended, read.dynos.len()), (Some(Time::from_nanos(3)), None, 0));
    }

    #[test]
    fn an_exchange_made_light_keeps_what_is_judged() {
        let mut told = answer(None);
        (told.text, told.headers) = ("long".into(), HeaderMap::new());
        for name in ["x-demo-key", "x-demo-dyno", "server", "x-dynomesh-queue-ms"] {
            told.headers.insert(name, "1".parse().unwrap());
        }
        let history = History::default().asked(Method::GET, "a", Outcome::Ok(told));
        let light = history.exchanges[0].clone().light();
        let answer = light.expect_ok();
        assert_eq!((answer.text.as_str(), answer.headers.len(), answer.dyno()), ("", 2, Some("1")));
    }
}
