//! The leader's side of a change: one at a time, from first step to last.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dynomesh_core::id::{Address, ReplicaId};
use tokio::time::timeout;

use super::{Change, MembersError, Order, Refusal, list};
use crate::machine::Machine;
use crate::options::Member;
use crate::replica::{Inner, TransferError, transfer};

/// A leader whose first entry is not applied yet is waited for this long.
const READY_MAX: Duration = Duration::from_secs(2);

/// Holds the right to change the members.
struct Turn<'a>(&'a Mutex<Option<String>>);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.lock().expect("nothing panics while it holds the change") = None;
    }
}

impl<M: Machine> Inner<M> {
    /// Makes one change; refused while another is under way.
    pub(crate) async fn change(self: &Arc<Self>, order: Order) -> Result<Change, MembersError> {
        let _turn = self.turn(order.to_string())?;
        self.lead_ready().await?;
        match order {
            Order::Add(at) => self.add(at).await,
            Order::Remove(id) => self.remove(id).await,
            Order::Replace { old, by } => self.replace(old, by).await,
        }
    }

    /// Only the first step of adding.
    pub(crate) async fn add_learner(&self, at: Address) -> Result<Member, MembersError> {
        let _turn = self.turn(format!("add the learner at {at}"))?;
        self.lead_ready().await?;
        let new = self.newcomer(at).await?;
        self.learn(&new).await?;
        Ok(new)
    }

    /// The rest of adding.
    pub(crate) async fn promote(&self, id: ReplicaId) -> Result<Change, MembersError> {
        let _turn = self.turn(format!("give replica {id} a vote"))?;
        self.lead_ready().await?;
        let new = self.find(id.0).ok_or_else(|| self.unknown(id))?;
        self.caught_up(id.0).await?;
        self.enfranchise(id).await?;
        Ok(self.done(Some(new), None))
    }

    fn turn(&self, change: String) -> Result<Turn<'_>, MembersError> {
        let mut under_way = self.changing.lock().expect("nothing panics while it holds the change");
        if let Some(change) = under_way.clone() {
            return Err(MembersError::Busy { change });
        }
        *under_way = Some(change);
        Ok(Turn(&self.changing))
    }

    /// What was decided in earlier terms is known to a leader only once its own first entry is applied.
    async fn lead_ready(&self) -> Result<(), MembersError> {
        self.leads().ok_or_else(|| self.not_leader())?;
        let mut role = self.role.clone();
        let _ = timeout(READY_MAX, role.wait_for(|role| role.is_ready_leader() || !role.is_leader())).await;
        match self.role_now().is_ready_leader() {
            true => Ok(()),
            false => Err(self.not_leader()),
        }
    }

    async fn add(&self, at: Address) -> Result<Change, MembersError> {
        let new = self.newcomer(at).await?;
        self.come(&new).await?;
        Ok(self.done(Some(new), None))
    }

    async fn come(&self, new: &Member) -> Result<(), MembersError> {
        self.learn(new).await?;
        self.caught_up(new.id.0).await?;
        self.enfranchise(new.id).await
    }

    async fn remove(self: &Arc<Self>, id: ReplicaId) -> Result<Change, MembersError> {
        if self.find(id.0).is_none() && !self.applied.roll().retired.contains(id.0) {
            return Err(self.unknown(id));
        }
        self.leave(id, None).await?;
        Ok(self.done(None, Some(id)))
    }

    /// Takes a member out; a leader that is to go hands over first, and the change goes on at its successor.
    async fn leave(self: &Arc<Self>, id: ReplicaId, successor: Option<ReplicaId>) -> Result<(), MembersError> {
        if id != self.identity.replica() {
            return self.take_out(id, successor).await;
        }
        let mut others = self.voters();
        others.remove(&id.0);
        self.keeps_quorum(others, &format!("remove replica {id}")).await?;
        self.settle().await?;
        match transfer(self, None).await {
            Ok(()) | Err(TransferError::NotLeader | TransferError::Ended) => Err(self.not_leader()),
            Err(error) => {
                let text = format!("replica {id} leads and could not hand over: {error}. Wait until another replica has caught up");
                Err(MembersError::refused(Refusal::Quorum, text))
            }
        }
    }

    async fn replace(self: &Arc<Self>, old: Option<ReplicaId>, by: Address) -> Result<Change, MembersError> {
        let new = self.newcomer(by).await?;
        let old = match old {
            Some(old) => old,
            None => match self.guess(&new).await? {
                Some(old) => old,
                None => return self.add(by).await,
            },
        };
        self.replaceable(old, &new)?;
        if self.moves(old, &new).await {
            // It votes while the new one catches up: no less can fail meanwhile than before.
            self.learn(&new).await?;
            self.caught_up(new.id.0).await?;
        }
        match self.find(old.0) {
            Some(_) => self.leave(old, Some(new.id)).await?,
            None if self.applied.roll().retired.successor(old.0).is_none() => self.retire(old, Some(new.id)).await?,
            None => {}
        }
        self.come(&new).await?;
        Ok(self.done(Some(new), Some(old)))
    }

    fn replaceable(&self, old: ReplicaId, new: &Member) -> Result<(), MembersError> {
        let (member, retired, successor) = {
            let roll = self.applied.roll();
            (self.find(old.0).is_some(), roll.retired.contains(old.0), roll.retired.successor(old.0))
        };
        if old == new.id {
            let text = format!("replica {old} itself answers at {}: it is not dead, or its directory has to be emptied first", new.grpc);
            return Err(MembersError::refused(Refusal::Address, text));
        }
        if !member && !retired {
            return Err(self.unknown(old));
        }
        match successor.filter(|by| !member && *by != new.id.0) {
            Some(by) => {
                let text = format!("replica {} took the place of replica {old} already; to have one more member, add it", ReplicaId(by));
                Err(MembersError::refused(Refusal::Retired, text))
            }
            None => Ok(()),
        }
    }

    /// Whether `old` answers and can stay until `new` has caught up.
    async fn moves(&self, old: ReplicaId, new: &Member) -> bool {
        let Some(member) = self.find(old.0) else { return false };
        let apart = member.grpc != new.grpc && member.http != new.http;
        apart && !self.heard_of(&BTreeSet::from([old.0]), 1).await.is_empty()
    }

    /// Whose place `new` takes, if nobody said so; `None` if it only has to go on coming.
    async fn guess(&self, new: &Member) -> Result<Option<ReplicaId>, MembersError> {
        if let Some(old) = self.applied.roll().retired.predecessor(new.id.0) {
            return Ok(Some(ReplicaId(old)));
        }
        let others: BTreeSet<u64> = self.all().iter().map(|member| member.id.0).filter(|id| *id != new.id.0).collect();
        let heard = self.heard_of(&others, others.len()).await;
        let silent: Vec<ReplicaId> = others.difference(&heard).map(|id| ReplicaId(*id)).collect();
        match silent[..] {
            [old] => Ok(Some(old)),
            [] if self.voters().contains(&new.id.0) => Ok(None),
            _ => {
                let text = format!(
                    "name the replica to replace: silent are {}, heard are {}",
                    list(&silent),
                    list(heard.iter().map(|id| ReplicaId(*id)))
                );
                Err(MembersError::refused(Refusal::Ambiguous, text))
            }
        }
    }

    fn unknown(&self, id: ReplicaId) -> MembersError {
        let text = format!("replica {id} is no member; members are {}", list(self.all().iter().map(|member| member.id)));
        MembersError::refused(Refusal::Unknown, text)
    }

    fn done(&self, added: Option<Member>, removed: Option<ReplicaId>) -> Change {
        Change { added, removed, members: self.all() }
    }
}
