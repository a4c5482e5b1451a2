//! Who asked for what, under which condition, and what came of it.
//!
//! What people and programs ask of the directory comes in an [`Ask`]: it names its caller, may demand that nothing has changed since the
//! caller looked, and may carry a key under which it takes effect once however often it is sent. Whatever changed something is
//! remembered as an [`Event`]; so are the directory's own steps. Both memories are bounded and part of the replicated state.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::command::{Command, Refusal, Reply};
use super::record::Place;
use super::state::DirectoryState;
use crate::id::{AppName, Index, Invalid};

/// Events remembered. Who follows them and falls further behind is told so.
pub const EVENTS_MAX: usize = 4_096;
/// Keys remembered; an older one takes effect again.
pub const KEYS_MAX: usize = 1_024;
/// Longest key, in bytes.
pub const KEY_LEN_MAX: usize = 128;
/// Longest caller's name and longest detail of an event, in bytes; what is longer is cut.
pub const TEXT_LEN_MAX: usize = 512;

/// A command as somebody asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// Who asks, as the control plane has recognised it.
    pub caller: String,
    /// When, in milliseconds of Unix time by the clock of the replica that was asked. Kept for people; nothing is decided by it.
    pub at_ms: u64,
    /// Sent again under this key, the command has no second effect and gets the same answer.
    pub key: Option<String>,
    /// The version that the caller believes its subject has, 0 for one that does not exist; anything else is refused as stale.
    pub expect: Option<u64>,
    /// The app that the caller believes the dyno is of.
    pub app: Option<AppName>,
    /// What is asked.
    pub command: Command,
}

/// One change of the directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Counts events from 1, without gaps; never goes back, not even over a recovery.
    pub seq: u64,
    /// When, in milliseconds of Unix time; 0 where nobody asked.
    pub at_ms: u64,
    /// Who asked; `mesh` for what blocks reported.
    pub caller: String,
    /// What was done, for example `dyno.move`.
    pub verb: String,
    /// To what: `dyno/a`.
    pub subject: String,
    /// The version it got, or 0.
    pub version: u64,
    /// What a reader should know besides, in a sentence; may be empty.
    pub detail: String,
}

/// What was asked, as far as it is remembered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Log {
    events: VecDeque<Event>,
    last: u64,
    answered: BTreeMap<String, Answered>,
    order: VecDeque<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Answered {
    caller: String,
    command: Command,
    reply: Reply,
}

/// Refuses a key that nothing may have.
pub fn check_key(key: &str) -> Result<(), Invalid> {
    let sound = !key.is_empty() && key.len() <= KEY_LEN_MAX && key.bytes().all(|byte| byte.is_ascii_graphic());
    if sound { Ok(()) } else { Err(Invalid::new("idempotency key", key, "must have 1 to 128 printable characters without spaces")) }
}

impl DirectoryState {
    /// Remembered events after the one numbered `after`, oldest first; `None` if some of those are forgotten.
    pub fn events_after(&self, after: u64) -> Option<impl Iterator<Item = &Event>> {
        let first = self.log.events.front().map_or(self.log.last + 1, |event| event.seq);
        (after >= first.saturating_sub(1)).then(|| self.log.events.iter().skip_while(move |event| event.seq <= after))
    }

    /// Number of the last event; 0 if there was none.
    pub fn last_event(&self) -> u64 {
        self.log.last
    }

    pub(super) fn asked(&mut self, at: Index, ask: Ask) -> Result<Reply, Refusal> {
        if let Some(key) = &ask.key
            && let Some(answered) = self.log.answered.get(key)
        {
            if answered.command == ask.command && answered.caller == ask.caller {
                return Ok(answered.reply.clone());
            }
            return Err(Refusal::exists(format!("idempotency key {key:?} was used for another call; draw a new one for each")));
        }
        if matches!(ask.command, Command::Asked(_)) {
            return Err(Refusal::precondition("a request that asks for a request"));
        }
        let recovers = matches!(ask.command, Command::Recover { .. });
        if self.recovering && !recovers {
            return Err(Refusal::precondition("the directory is being recovered from the map; try again when that is done"));
        }
        self.check_expected(&ask)?;
        let reply = self.decide(at, ask.command.clone())?;
        if reply.changed() {
            let (verb, subject, detail) = told(&ask.command, &reply);
            self.log.push(Event {
                seq: 0,
                at_ms: ask.at_ms,
                caller: cut(ask.caller.clone()),
                verb,
                subject,
                version: reply.stamp(),
                detail,
            });
        }
        if let Some(key) = ask.key {
            self.log.remember(key, Answered { caller: ask.caller, command: ask.command, reply: reply.clone() });
        }
        Ok(reply)
    }

    fn check_expected(&self, ask: &Ask) -> Result<(), Refusal> {
        let dyno = match &ask.command {
            Command::DrainDyno { id, .. } | Command::UndrainDyno { id } | Command::RemoveDyno { id, .. } | Command::MoveDyno { id, .. } => {
                self.dynos.get(id)
            }
            _ => None,
        };
        if let (Some(app), Some(dyno)) = (&ask.app, dyno)
            && dyno.spec.app != *app
        {
            return Err(Refusal::precondition(format!("dyno {} is of app {}, not of {app}", dyno.spec.id, dyno.spec.app)));
        }
        let (Some(expected), Some((what, version))) = (ask.expect, self.version_of(&ask.command)) else { return Ok(()) };
        match version {
            _ if version == expected => Ok(()),
            0 => Err(Refusal::stale(format!("{what} does not exist, and version {expected} of it was expected"))),
            _ if expected == 0 => Err(Refusal::stale(format!("{what} exists in version {version}, and was expected not to"))),
            _ => Err(Refusal::stale(format!("{what} is at version {version}, not {expected}; read it again and decide anew"))),
        }
    }

    /// What a command speaks of, and its version; 0 if it does not exist.
    fn version_of(&self, command: &Command) -> Option<(String, u64)> {
        let app = |name: &AppName| (format!("app {name}"), self.apps.get(name).map_or(0, |app| app.version.0));
        Some(match command {
            Command::CreateApp { spec } | Command::UpdateApp { spec } => app(&spec.name),
            Command::DeleteApp { name } => app(name),
            Command::AddDyno { id: Some(id), .. }
            | Command::DrainDyno { id, .. }
            | Command::UndrainDyno { id }
            | Command::RemoveDyno { id, .. }
            | Command::MoveDyno { id, .. } => {
                let present = self.dynos.get(id).filter(|dyno| dyno.place != Place::Removed);
                (format!("dyno {id}"), present.map_or(0, |dyno| dyno.epoch.0))
            }
            Command::DrainBlock { name }
            | Command::UndrainBlock { name }
            | Command::RemoveBlock { name }
            | Command::EvictBlock { name, .. } => (format!("block {name}"), self.blocks.get(name).map_or(0, |block| block.version.0)),
            Command::DrainNode { node, .. } => (format!("process {node}"), self.wishes.get(node).map_or(0, |wish| wish.version.0)),
            Command::SetSettings { .. } => ("the settings".into(), self.settings_version.0),
            _ => return None,
        })
    }

    /// Remembers a step that nobody asked for.
    pub(super) fn note(&mut self, command: &Command, reply: &Reply) {
        if reply.changed() {
            let (verb, subject, detail) = told(command, reply);
            self.log.push(Event { seq: 0, at_ms: 0, caller: "mesh".into(), verb, subject, version: reply.stamp(), detail });
        }
    }

    /// Forgets all events and keys: who compares states does not care how they came about.
    #[cfg(test)]
    pub(crate) fn forget_log(&mut self) {
        self.log = Log::default();
    }

    pub(super) fn check_log(&self) {
        let Log { events, last, answered, order } = &self.log;
        assert!(events.len() <= EVENTS_MAX && answered.len() <= KEYS_MAX, "more is remembered than may be");
        assert!(events.iter().rev().zip((1..=*last).rev()).all(|(event, seq)| event.seq == seq), "events are not numbered one by one");
        assert!(answered.len() == order.len() && order.iter().all(|key| answered.contains_key(key)), "keys and their order differ");
    }
}

impl Log {
    fn push(&mut self, event: Event) {
        self.last += 1;
        self.events.push_back(Event { seq: self.last, ..event });
        if self.events.len() > EVENTS_MAX {
            self.events.pop_front();
        }
    }

    fn remember(&mut self, key: String, answered: Answered) {
        self.order.push_back(key.clone());
        self.answered.insert(key, answered);
        if self.order.len() > KEYS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.answered.remove(&oldest);
        }
    }
}

impl Reply {
    /// Whether anything changed.
    pub fn changed(&self) -> bool {
        match self {
            Reply::Done { changed, .. } | Reply::App { changed, .. } | Reply::Dyno { changed, .. } | Reply::Block { changed, .. } => {
                *changed
            }
            Reply::Refused(_) => false,
        }
    }

    /// The version of what was spoken of; 0 if it has none.
    pub fn stamp(&self) -> u64 {
        match self {
            Reply::Done { stamp, .. } => *stamp,
            Reply::App { app, .. } => app.version.0,
            Reply::Dyno { dyno, .. } => dyno.epoch.0,
            Reply::Block { block, .. } => block.version.0,
            Reply::Refused(_) => 0,
        }
    }
}

/// A command as an event tells it: verb, subject, and what a reader should know besides.
pub fn told(command: &Command, reply: &Reply) -> (String, String, String) {
    let placed = || match reply {
        Reply::Dyno { dyno, .. } => dyno.block().map_or("waits for a block".into(), |block| format!("to block {block}")),
        _ => String::new(),
    };
    let (verb, subject, detail) = match command {
        Command::CreateApp { spec } => ("app.create", format!("app/{}", spec.name), String::new()),
        Command::UpdateApp { spec } => ("app.update", format!("app/{}", spec.name), String::new()),
        Command::DeleteApp { name } => ("app.delete", format!("app/{name}"), String::new()),
        Command::AddDyno { app, address, .. } => {
            let id = if let Reply::Dyno { dyno, .. } = reply { dyno.spec.id.to_string() } else { String::new() };
            ("dyno.add", format!("dyno/{id}"), format!("of app {app} at {address}, {}", placed()))
        }
        Command::DrainDyno { id, .. } => ("dyno.drain", format!("dyno/{id}"), String::new()),
        Command::UndrainDyno { id } => ("dyno.undrain", format!("dyno/{id}"), String::new()),
        Command::RemoveDyno { id, .. } => ("dyno.remove", format!("dyno/{id}"), String::new()),
        Command::MoveDyno { id, to, why } if why.is_empty() => ("dyno.move", format!("dyno/{id}"), format!("to block {to}")),
        Command::MoveDyno { id, to, why } => ("dyno.move", format!("dyno/{id}"), format!("to block {to}: {why}")),
        Command::BindBlock { name, group } => ("block.bind", format!("block/{name}"), format!("to group {group}")),
        Command::Released { dyno, block, epoch } => {
            ("dyno.released", format!("dyno/{dyno}"), format!("by block {block} up to epoch {epoch}"))
        }
        Command::DrainBlock { name } => ("block.drain", format!("block/{name}"), String::new()),
        Command::UndrainBlock { name } => ("block.undrain", format!("block/{name}"), String::new()),
        Command::RemoveBlock { name } => ("block.remove", format!("block/{name}"), String::new()),
        Command::EvictBlock { name, proof } => ("block.evict", format!("block/{name}"), format!("proof: {proof:?}").to_lowercase()),
        Command::DrainNode { node, drain: true } => ("node.drain", format!("node/{node}"), String::new()),
        Command::DrainNode { node, drain: false } => ("node.undrain", format!("node/{node}"), String::new()),
        Command::SetSettings { .. } => ("settings.set", "settings".into(), String::new()),
        Command::Recover { generation, .. } => ("directory.recover", "directory".into(), format!("generation {generation}")),
        Command::Asked(ask) => return told(&ask.command, reply),
    };
    (verb.into(), subject, cut(detail))
}

fn cut(text: String) -> String {
    if text.len() <= TEXT_LEN_MAX { text } else { text.chars().take(TEXT_LEN_MAX / 4).collect() }
}
