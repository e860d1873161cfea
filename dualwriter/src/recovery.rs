//! Finishing what somebody began: rolls intents forward, from any process, at any time.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::try_join_all;
use storage_core::{
    Conflict, Error, ErrorKind, ListQuery, Op, Outcome, Precondition, ResourceKey, Result,
    Revision, Scope, StorageBackend, StorageBackendExt, Stored, Transaction, Write,
};
use tokio::time::{Instant, sleep};

use crate::bugs::{Bug, planted};
use crate::fence::{Asks, Base, is_refusal};
use crate::inner::Inner;
use crate::intent::{Intent, IntentOp, Work};
use crate::view::{POLL_MAX, POLL_MIN};
use crate::{Kind, Side, observe};

/// How often one attempt at an intent starts again when records change under it.
const ATTEMPTS: usize = 16;
/// Intents that are settled per page of the list of intents.
const INTENTS_PAGE: usize = 200;

/// What a list of intents says of one; not what it is to write, which may be large.
#[derive(Clone, Debug)]
pub(crate) struct ListedIntent {
    /// The object that is written.
    pub(crate) object: ResourceKey,
    /// Another one each time that somebody takes the intent over.
    pub(crate) revision: Revision,
    /// When the write began.
    pub(crate) started_ms: u64,
}

/// What became of an intent.
#[derive(Clone, Debug)]
pub(crate) enum Settled {
    /// Both stores have the write.
    Done { legacy: Revision, unified: Revision },
    /// Legacy refused it; neither store has it.
    Refused(Conflict),
    /// A copy was given up; whoever wants it asks again.
    GivenUp,
    /// It was gone, or somebody else took it.
    Gone,
}

/// All intents of one transaction, as they were read at one revision.
struct Claim {
    members: Vec<(ResourceKey, Intent)>,
    revision: Revision,
    /// Names the write: the revision of its first attempt.
    name: Revision,
}

impl Inner {
    /// Reads the intent on an object.
    pub(crate) async fn intent(&self, object: &ResourceKey) -> Result<Option<Stored>> {
        self.unified.get(&self.keys.intent(object), None).await
    }

    /// Waits until nobody is writing the object; after a while helps whoever does. Writers of this
    /// process are not waited for: they are alive, and a read beside them may answer either way.
    pub(crate) async fn settle(&self, object: &ResourceKey, deadline: Instant) -> Result<()> {
        let Some(first) = self.intent(object).await? else {
            return Ok(());
        };
        let (mut seen, mut since, mut pause) = (first, Instant::now(), POLL_MIN);
        loop {
            let intent = Intent::decode(&seen)?;
            if self.is_live_here(intent.header.owner, object) {
                return Ok(());
            }
            let orphan = self.owns(intent.header.owner);
            if orphan || since.elapsed() >= self.options.help_after {
                self.help(object).await?;
            } else {
                sleep(pause).await;
                pause = (pause * 2).min(POLL_MAX);
            }
            match self.intent(object).await? {
                None => return Ok(()),
                Some(now) if now.revision != seen.revision => (seen, since) = (now, Instant::now()),
                Some(_) => {}
            }
            if Instant::now() >= deadline {
                let context = format!("a write to {object} is not finished yet");
                return Err(Error::new(ErrorKind::Unavailable, "read", context));
            }
        }
    }

    /// Settles the intents on a range, as far as they are there now.
    pub(crate) async fn settle_scope(&self, scope: &Scope, deadline: Instant) -> Result<()> {
        for object in self.intents_in(scope).await? {
            self.settle(&object, deadline).await?;
        }
        Ok(())
    }

    /// Returns the objects of a range that have an intent.
    pub(crate) async fn intents_in(&self, scope: &Scope) -> Result<Vec<ResourceKey>> {
        if let Scope::Object(object) = scope {
            let intent = self.intent(object).await?;
            return Ok(intent.map(|_| object.clone()).into_iter().collect());
        }
        let records = match Kind::of_scope(scope) {
            Some(kind) => self.keys.intents_of(&kind),
            None => self.keys.all_intents(),
        };
        let listed = self.list_intents(records).await?.into_iter();
        let objects = listed.map(|intent| intent.object);
        Ok(objects.filter(|object| scope.contains(object)).collect())
    }

    /// Returns the intents whose records are in a range.
    pub(crate) async fn list_intents(&self, records: Scope) -> Result<Vec<ListedIntent>> {
        let mut query = ListQuery::live(records).limit(INTENTS_PAGE);
        let mut intents = Vec::new();
        loop {
            let page = self.unified.list(&query).await?;
            for stored in &page.items {
                let header = Intent::decode(stored)?.header;
                intents.push(ListedIntent {
                    object: header.object,
                    revision: stored.revision,
                    started_ms: header.started_ms,
                });
            }
            match page.next {
                Some(cursor) => query = query.after(cursor),
                None => return Ok(intents),
            }
        }
    }

    /// Rolls the intent on an object forward, unless a writer of this process is at it.
    pub(crate) async fn help(&self, object: &ResourceKey) -> Result<Settled> {
        let Ok(_slot) = self.slots.try_take(std::slice::from_ref(object)) else {
            return Ok(Settled::Gone);
        };
        observe::intent_recovered(&Kind::of(object));
        self.resolve(object, None).await
    }

    /// Rolls the intent on an object forward, any or only the one of a certain write.
    ///
    /// Takes it over under a new revision, so that the late owner cannot apply it; does the legacy
    /// part unless legacy has it, so that it happens once; applies it in unified.
    pub(crate) async fn resolve(
        &self,
        object: &ResourceKey,
        name: Option<Revision>,
    ) -> Result<Settled> {
        let Some(claim) = self.claim(object, name).await? else {
            return Ok(Settled::Gone);
        };
        match claim.members[0].1.header.work {
            Work::Copy => {
                self.release(&claim).await?;
                Ok(Settled::GivenUp)
            }
            Work::WriteLegacyDecides | Work::WriteUnifiedDecided
                if planted(Bug::RecoveryRollsBack) =>
            {
                self.release(&claim).await?;
                Ok(Settled::GivenUp)
            }
            Work::WriteLegacyDecides | Work::WriteUnifiedDecided => self.roll_forward(&claim).await,
        }
    }

    /// Tries to finish an own write whose fate is not known, for a little while.
    pub(crate) async fn resolve_own(
        &self,
        object: &ResourceKey,
        name: Revision,
    ) -> Result<Settled> {
        const TRIES: u32 = 3;
        let mut pause = Duration::from_millis(5);
        let mut result = self.resolve(object, Some(name)).await;
        for _ in 1..TRIES {
            if result.is_ok() {
                break;
            }
            sleep(pause).await;
            pause *= 4;
            result = self.resolve(object, Some(name)).await;
        }
        result
    }

    async fn roll_forward(&self, claim: &Claim) -> Result<Settled> {
        let legacy = match self.redo(claim).await? {
            Redone::Done(revision) => revision,
            Redone::Refused(conflict) => {
                return Ok(match self.release(claim).await? {
                    Outcome::Committed { .. } => Settled::Refused(conflict),
                    // What refused it may be this write, done by who took it over.
                    Outcome::Conflict(_) => Settled::Gone,
                });
            }
            Redone::Passed => return Ok(Settled::Gone),
        };
        let apply = self.apply(&claim.members, claim.revision, legacy);
        match self.unified.commit_one(apply).await? {
            Outcome::Committed { revision } => Ok(Settled::Done {
                legacy,
                unified: revision,
            }),
            Outcome::Conflict(_) => Ok(Settled::Gone),
        }
    }

    /// Returns the transaction that makes a write visible in unified and removes its intents.
    pub(crate) fn apply(
        &self,
        members: &[(ResourceKey, Intent)],
        held: Revision,
        legacy: Revision,
    ) -> Transaction {
        let first = &members[0].1;
        let mut apply = Transaction {
            at_least: first.header.at_least.max(Some(legacy)),
            operation: first.header.operation,
            time: Some(first.header.time),
            writes: Vec::with_capacity(members.len() * 2),
        };
        for (_, intent) in members {
            let write = intent.write();
            if write.op != Op::Check {
                apply.writes.push(Write {
                    precondition: Precondition::Any,
                    ..write
                });
            }
        }
        apply.writes.extend(self.removals(members, held));
        apply
    }

    /// Returns the writes that remove intents, if they are still where they were seen.
    pub(crate) fn removals(&self, members: &[(ResourceKey, Intent)], held: Revision) -> Vec<Write> {
        let precondition = if planted(Bug::ApplyWithoutIntent) {
            Precondition::Any
        } else {
            Precondition::Revision(held)
        };
        members
            .iter()
            .map(|(object, _)| Write {
                key: self.keys.intent(object),
                precondition,
                op: Op::Delete(bytes::Bytes::new()),
            })
            .collect()
    }

    /// Removes the intents of a claim without writing anything.
    async fn release(&self, claim: &Claim) -> Result<Outcome> {
        let removal = Transaction {
            writes: self.removals(&claim.members, claim.revision),
            ..Transaction::default()
        };
        self.unified.commit_one(removal).await
    }

    async fn redo(&self, claim: &Claim) -> Result<Redone> {
        let mut read_before = None;
        for _ in 0..ATTEMPTS {
            let mut writes = vec![];
            for (kind, epoch) in epochs(claim) {
                // What allows it is what legacy checks: a mode without a journal leaves no fences, so
                // after a change of mode a write that was finished before it would be done again.
                let view = self.load(&kind).await?;
                if !view.allows_finishing(epoch) {
                    return Ok(Redone::Passed);
                }
                writes.push(view.guard(Side::Legacy)?);
            }
            let read = claim.members.iter().map(async |(object, intent)| {
                let read = self.in_legacy(object).await?;
                Ok::<_, Error>((read.base(), read.written_by(claim.name, intent)))
            });
            let (bases, written): (Vec<_>, Vec<_>) = try_join_all(read).await?.into_iter().unzip();
            // Whoever took it over may have done it, and others may have written since.
            let intent = self.intent(&claim.members[0].0).await?;
            if intent.is_none_or(|intent| intent.revision != claim.revision) {
                return Ok(Redone::Passed);
            }
            if let Some(revision) = written_at(claim, &written) {
                return Ok(Redone::Done(revision));
            }
            let (part, asks) = self.legacy_part(&claim.members, &bases, claim.name);
            writes.extend(part);
            let first = &claim.members[0].1;
            let redo = Transaction {
                writes,
                at_least: first.header.at_least.max(Some(claim.name)),
                operation: first.header.operation,
                time: Some(first.header.time),
            };
            match self.legacy.commit_one(redo).await? {
                Outcome::Committed { revision } if asks == Asks::ToWrite => {
                    return Ok(Redone::Done(revision));
                }
                Outcome::Conflict(conflict) if is_as_read(&conflict, claim, &bases) => {
                    // Objects are read one by one: the write itself may have come between two, and be
                    // what refuses it. A second look that finds the same is one at all of them.
                    let partly = written.iter().any(Option::is_some);
                    if !partly || read_before.as_ref() == Some(&bases) {
                        return Ok(Redone::Refused(conflict));
                    }
                }
                Outcome::Committed { .. } | Outcome::Conflict(_) => {}
            }
            read_before = Some(bases);
        }
        let context = format!("{} keeps changing in legacy", claim.members[0].0);
        Err(Error::new(
            ErrorKind::Unavailable,
            "finish a write",
            context,
        ))
    }

    /// Takes over all intents of the transaction that has one on this object.
    async fn claim(&self, object: &ResourceKey, wanted: Option<Revision>) -> Result<Option<Claim>> {
        for _ in 0..ATTEMPTS {
            let Some(stored) = self.intent(object).await? else {
                return Ok(None);
            };
            let Some(mut members) = self.chain(&stored).await? else {
                continue;
            };
            let name = members[0].1.header.first.unwrap_or(stored.revision);
            if wanted.is_some_and(|wanted| wanted != name) {
                return Ok(None);
            }
            let mut takeover = Transaction::default();
            for (object, intent) in &mut members {
                intent.header.first = Some(name);
                intent.header.owner = self.options.instance.0;
                takeover.writes.push(Write {
                    key: self.keys.intent(object),
                    precondition: Precondition::Revision(stored.revision),
                    op: Op::Put(intent.encode()),
                });
            }
            if let Outcome::Committed { revision } = self.unified.commit_one(takeover).await? {
                return Ok(Some(Claim {
                    members,
                    revision,
                    name,
                }));
            }
        }
        Ok(None)
    }

    /// Reads all intents of a transaction; none if they changed meanwhile.
    async fn chain(&self, member: &Stored) -> Result<Option<Vec<(ResourceKey, Intent)>>> {
        let mut next = Some(Intent::decode(member)?.header.head);
        let mut members = Vec::new();
        while let Some(object) = next {
            let Some(stored) = self.intent(&object).await? else {
                return Ok(None);
            };
            if stored.revision != member.revision {
                return Ok(None);
            }
            let intent = Intent::decode(&stored)?;
            next = intent.header.next.clone();
            members.push((object, intent));
        }
        Ok(Some(members))
    }
}

/// Returns the kinds that a claim touches, each with the epoch in which its write began.
fn epochs(claim: &Claim) -> BTreeMap<Kind, u64> {
    let members = claim.members.iter();
    members
        .map(|(key, intent)| (Kind::of(key), intent.header.epoch))
        .collect()
}

/// Tells whether legacy refuses a write by what was read, which is not that write; else its owner
/// came late, and what refused it is the write itself.
fn is_as_read(conflict: &Conflict, claim: &Claim, bases: &[Base]) -> bool {
    let mut read = claim.members.iter().zip(bases);
    is_refusal(&claim.members, conflict)
        && read.any(|((object, _), base)| {
            *object == conflict.key && base.revision() == conflict.actual
        })
}

/// Returns legacy's revision of a write, if all of it is what was read.
fn written_at(claim: &Claim, written: &[Option<Revision>]) -> Option<Revision> {
    let members = claim.members.iter().zip(written);
    let mut effects = members
        .filter(|((_, intent), _)| intent.header.op != IntentOp::Check)
        .map(|(_, written)| *written);
    let first = effects.next()??;
    effects.all(|at| at == Some(first)).then_some(first)
}

enum Redone {
    Done(Revision),
    Refused(Conflict),
    /// Somebody else took it over, or its epoch is over: it is settled without us.
    Passed,
}
