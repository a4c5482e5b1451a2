//! The effects that commands wait for, each as a question to what the mesh reports: is it there, what is missing, will it ever come?

use dynomesh_proto::admin::v1 as wire;

use crate::Session;
use crate::error::CliError;
use crate::wait::{Progress, until};
use crate::word::{Phase, State};

/// What is waited for at a dyno.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The dyno takes requests and answers.
    Serves,
    /// The block it was assigned to under this epoch owns it.
    Adopted {
        /// The epoch of that assignment.
        epoch: u64,
    },
    /// The dyno takes nothing new and nothing runs there.
    Idle,
    /// The dyno is released and forgotten.
    Gone,
}

/// How a dyno stands, if it is listed.
type Seen = Option<wire::Dyno>;

impl Effect {
    /// How far the effect is on a dyno that is listed so, or not at all.
    pub(crate) fn progress(self, id: &str, seen: Seen) -> Progress<Seen> {
        let Some(dyno) = seen else {
            return match self {
                Effect::Gone => Progress::Done(None),
                _ => Progress::Never(format!("dyno {id} was removed meanwhile")),
            };
        };
        match self.of(id, &dyno) {
            Progress::Done(()) => Progress::Done(Some(dyno)),
            Progress::Missing(what) => Progress::Missing(what),
            Progress::Never(what) => Progress::Never(what),
        }
    }

    fn of(self, id: &str, dyno: &wire::Dyno) -> Progress<()> {
        use wire::DynoPhase::{Draining, Pending, Removing};
        let now = format!("dyno {id} is {}", Phase::word(dyno.phase()));
        let adopted = dyno.owner == dyno.block && dyno.owned_epoch >= dyno.epoch;
        match self {
            Effect::Gone => Progress::Missing(format!("{now}, {} in flight", dyno.in_flight)),
            _ if dyno.phase() == Removing => Progress::Never(format!("dyno {id} was removed meanwhile")),
            Effect::Serves if dyno.drain => Progress::Never(format!("dyno {id} is to be drained")),
            Effect::Idle if !dyno.drain => Progress::Never(format!("the drain of dyno {id} was taken back")),
            Effect::Adopted { epoch } if dyno.epoch > epoch => Progress::Never(format!("dyno {id} was moved again, to {}", dyno.block)),
            Effect::Idle if dyno.block.is_empty() => Progress::Done(()),
            _ if dyno.block.is_empty() => Progress::Missing(format!("{now}: no block is known yet")),
            Effect::Adopted { epoch } if dyno.epoch < epoch => {
                Progress::Missing(format!("{now}: the answering replica has not heard of the move"))
            }
            Effect::Adopted { .. } if adopted => Progress::Done(()),
            _ if dyno.phase() == Pending || !adopted => Progress::Missing(unadopted(&now, dyno)),
            Effect::Serves if dyno.state() != wire::DynoState::Up => {
                Progress::Missing(format!("{now} in {} and {} at {}", dyno.block, State::word(dyno.state()), dyno.addr))
            }
            Effect::Serves | Effect::Adopted { .. } => Progress::Done(()),
            Effect::Idle if dyno.phase() == Draining && dyno.in_flight == 0 => Progress::Done(()),
            Effect::Idle => Progress::Missing(format!("{now}, {} in flight", dyno.in_flight)),
        }
    }
}

fn unadopted(now: &str, dyno: &wire::Dyno) -> String {
    let mut text = format!("{now}: not yet adopted by {}", dyno.block);
    if !dyno.waits_for.is_empty() {
        text += &format!(", which waits for {} to let go ({} in flight)", dyno.waits_for.join(" and "), dyno.in_flight);
    }
    text
}

/// How far a block is from having no dynos; `most` is the largest number seen.
pub(crate) fn block_empty(name: &str, block: Option<wire::Block>, most: &mut u32) -> Progress<Option<wire::Block>> {
    let Some(block) = block else { return Progress::Done(None) };
    let left = block.assigned.max(block.dynos);
    *most = left.max(*most);
    match left {
        _ if !block.drain && !block.evicted => Progress::Never(format!("the drain of block {name} was taken back")),
        0 => Progress::Done(Some(block)),
        left => Progress::Missing(format!("{left} of {most} dynos left in block {name}")),
    }
}

/// A replica or an edge, as far as its drain is concerned.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Node {
    pub(crate) live: bool,
    pub(crate) state: String,
    pub(crate) drain: bool,
    pub(crate) leader: bool,
    pub(crate) in_flight: u32,
}

/// How far a process is from having nothing left to do.
pub(crate) fn node_drained(name: &str, node: Option<Node>) -> Progress<Node> {
    let Some(node) = node else { return Progress::Missing(format!("{name} is not listed")) };
    match &node {
        Node { drain: false, .. } => Progress::Never(format!("the drain of {name} was taken back")),
        Node { live: false, .. } => Progress::Missing(format!("{name} is not heard")),
        Node { leader: true, .. } => Progress::Missing(format!("{name} still leads")),
        Node { state, .. } if state == "drained" => Progress::Done(node),
        Node { state, in_flight, .. } => Progress::Missing(format!("{name} is {state}, {in_flight} in flight")),
    }
}

impl Session {
    /// Waits for an effect on a dyno; the dyno as it then stands, if it is still listed.
    pub(crate) async fn on_dyno(&self, id: &str, effect: Effect) -> Result<Seen, CliError> {
        until(self.wait_max, async || {
            let request = wire::ListDynosRequest { id: id.to_owned(), ..Default::default() };
            Ok(effect.progress(id, self.client.look(request).await?.dynos.into_iter().next()))
        })
        .await
    }

    /// Waits until a block has no dynos.
    pub(crate) async fn on_block(&self, name: &str) -> Result<Option<wire::Block>, CliError> {
        let mut most = 0;
        until(self.wait_max, async || {
            let block = match self.client.look(wire::GetBlockRequest { name: name.to_owned() }).await {
                Ok(block) => Some(block),
                // Removed, which takes that it is empty.
                Err(CliError::Refused(_)) => None,
                Err(error) => return Err(error),
            };
            Ok(block_empty(name, block, &mut most))
        })
        .await
    }
}
