use std::collections::HashMap;

use parking_lot::Mutex;
use storage_core::{Conflict, Op, Precondition, ResourceKey, Result, Revision, Stored, Write};

use crate::Side;
use crate::bugs::{Bug, planted};
use crate::inner::Inner;
use crate::intent::{Intent, IntentOp, Work};
use crate::record::corrupt;

/// Most objects whose base a process remembers; beyond it, all are looked up again.
const CACHED_BASES_MAX: usize = 100_000;

/// What legacy holds of an object, which is what a write to it replaces.
///
/// Every write in legacy requires its base to be unchanged: the object's revision, or for an
/// object that is not there, the fence that its last deletion left. So a write that comes late,
/// after another one of the same object, is refused, and who finishes somebody else's write does
/// not do it twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    /// The object, at this revision.
    Present(Revision),
    /// No object, and its fence at this revision, if it ever had one.
    Absent { fence: Option<Revision> },
}

impl Base {
    /// An object of which nothing is known but that it should not be there.
    pub(crate) const NEW: Self = Self::Absent { fence: None };

    pub(crate) const fn revision(self) -> Option<Revision> {
        match self {
            Self::Present(at) => Some(at),
            Self::Absent { .. } => None,
        }
    }

    /// Returns what a committed write leaves.
    pub(crate) const fn after(op: IntentOp, at: Revision) -> Self {
        match op {
            IntentOp::Put | IntentOp::Check => Self::Present(at),
            IntentOp::Delete => Self::Absent { fence: Some(at) },
        }
    }
}

/// Where the bases of objects were seen last: guesses, which legacy checks.
#[derive(Debug, Default)]
pub(crate) struct BaseCache(Mutex<HashMap<ResourceKey, Base>>);

impl BaseCache {
    fn get(&self, object: &ResourceKey) -> Option<Base> {
        self.0.lock().get(object).copied()
    }

    pub(crate) fn learn(&self, object: &ResourceKey, base: Base) {
        let mut cache = self.0.lock();
        if cache.len() >= CACHED_BASES_MAX {
            cache.clear();
        }
        cache.insert(object.clone(), base);
    }

    pub(crate) fn forget(&self, object: &ResourceKey) {
        self.0.lock().remove(object);
    }
}

/// What was read in legacy of an object.
#[derive(Clone, Debug)]
pub(crate) struct InLegacy {
    pub(crate) object: Option<Stored>,
    /// Looked up only if the object is not there.
    fence: Option<Fence>,
}

/// A small record in legacy that says which write deleted an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fence {
    deleted_by: Revision,
    at: Revision,
}

impl InLegacy {
    pub(crate) fn base(&self) -> Base {
        match &self.object {
            Some(object) => Base::Present(object.revision),
            None => Base::Absent {
                fence: self.fence.map(|fence| fence.at),
            },
        }
    }

    /// Returns legacy's revision of the write `name`, if that is what was read.
    ///
    /// Its revision in legacy is not below its name, and the name is above all that legacy held of
    /// the object when it was given: see [`Inner::raise_journal`]. What else is above it is a copy
    /// that came late, or was written by somebody who does not know of the mode.
    pub(crate) fn written_by(&self, name: Revision, intent: &Intent) -> Option<Revision> {
        match (intent.header.op, &self.object, self.fence) {
            (IntentOp::Put, Some(object), _) => {
                let same = object.value == intent.value
                    && (object.key.is_internal()
                        || (object.operation == intent.header.operation
                            && object.time == intent.header.time));
                (object.revision >= name && same).then_some(object.revision)
            }
            (IntentOp::Delete, None, Some(fence)) => (fence.deleted_by == name).then_some(fence.at),
            (IntentOp::Put | IntentOp::Delete | IntentOp::Check, _, _) => None,
        }
    }
}

/// What a request to legacy is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asks {
    ToWrite,
    /// Legacy will refuse the write, by what is believed: its preconditions alone are sent, so that
    /// a request that comes late does nothing.
    WhetherRefused,
}

impl Inner {
    /// Reads what legacy holds of an object.
    pub(crate) async fn in_legacy(&self, object: &ResourceKey) -> Result<InLegacy> {
        let legacy = self.store(Side::Legacy);
        let stored = legacy.get(object, None).await?;
        let fence = match stored {
            Some(_) => None,
            None => legacy.get(&self.keys.fence(object), None).await?,
        };
        let fence = fence.map(|stored| {
            let deleted_by = parse(&stored)?;
            let at = stored.revision;
            Ok(Fence { deleted_by, at })
        });
        Ok(InLegacy {
            object: stored,
            fence: fence.transpose()?,
        })
    }

    /// Reads the base of an object.
    pub(crate) async fn base(&self, object: &ResourceKey) -> Result<Base> {
        Ok(self.in_legacy(object).await?.base())
    }

    /// Returns what a write will probably find in legacy. Before its intent is placed: what legacy
    /// held then is not the write itself, done by somebody else.
    pub(crate) async fn probable_base(
        &self,
        object: &ResourceKey,
        intent: &Intent,
    ) -> Result<Base> {
        let known = self.bases.get(object);
        let header = &intent.header;
        match (header.op, header.work, header.precondition, known) {
            // Legacy is not asked.
            (IntentOp::Check, Work::WriteUnifiedDecided, ..)
            | (IntentOp::Check, _, Precondition::Any, _) => Ok(Base::NEW),
            (_, Work::WriteLegacyDecides, Precondition::Revision(at), _) => Ok(Base::Present(at)),
            (_, _, Precondition::Absent, Some(Base::Present(_)) | None) => Ok(Base::NEW),
            (_, _, _, Some(known)) => Ok(known),
            (_, _, _, None) => {
                let base = self.base(object).await?;
                self.bases.learn(object, base);
                Ok(base)
            }
        }
    }

    /// Returns the legacy part of the write `name`: what legacy does if the bases are right, or only
    /// the question whether it refuses, if by the bases it does.
    pub(crate) fn legacy_part(
        &self,
        members: &[(ResourceKey, Intent)],
        bases: &[Base],
        name: Revision,
    ) -> (Vec<Write>, Asks) {
        let mut writes = Vec::with_capacity(members.len() * 2);
        let mut hopeless = false;
        for ((_, intent), base) in members.iter().zip(bases) {
            let write = intent.write();
            let asked = asked_of_legacy(intent);
            if write.op == Op::Check && asked.is_none_or(|asked| asked == Precondition::Any) {
                continue;
            }
            // A check is of its base as well: a request that comes late, after others refused it,
            // does not find that the precondition holds by now.
            hopeless |= asked.is_some_and(|asked| !asked.holds(base.revision()));
            writes.extend(self.fenced(write, *base, name, asked));
        }
        if !hopeless {
            return (writes, Asks::ToWrite);
        }
        let asks = members.iter().filter_map(|(object, intent)| {
            asked_of_legacy(intent).map(|asked| Write::check(object.clone(), asked))
        });
        (asks.collect(), Asks::WhetherRefused)
    }

    /// Returns the writes that replace a base in legacy, and only that one.
    pub(crate) fn fenced(
        &self,
        write: Write,
        base: Base,
        name: Revision,
        asked: Option<Precondition>,
    ) -> impl Iterator<Item = Write> + use<> {
        let (object, fence) = match base {
            Base::Present(at) => (Precondition::Revision(at), Precondition::Any),
            Base::Absent { fence } => (
                Precondition::Absent,
                fence.map_or(Precondition::Absent, Precondition::Revision),
            ),
        };
        let (object, fence) = if planted(Bug::NoFence) {
            (asked.unwrap_or(Precondition::Any), Precondition::Any)
        } else {
            (object, fence)
        };
        let key = self.keys.fence(&write.key);
        let fence = match (&write.op, base) {
            (Op::Delete(_), _) => Some(Write {
                key,
                precondition: fence,
                op: Op::Put(name.to_string().into()),
            }),
            (Op::Put(_) | Op::Check, Base::Absent { .. }) => Some(Write::check(key, fence)),
            (Op::Put(_) | Op::Check, Base::Present(_)) => None,
        };
        let write = Write {
            precondition: object,
            ..write
        };
        fence.into_iter().chain([write])
    }
}

/// Tells whether legacy refused what the caller asked for; else a base was wrong.
pub(crate) fn is_refusal(members: &[(ResourceKey, Intent)], conflict: &Conflict) -> bool {
    let member = members.iter().find(|(object, _)| *object == conflict.key);
    member.is_some_and(|(_, intent)| asked_of_legacy(intent) == Some(conflict.expected))
}

/// Returns the caller's precondition if legacy decides it.
fn asked_of_legacy(intent: &Intent) -> Option<Precondition> {
    match intent.header.work {
        Work::WriteLegacyDecides => Some(intent.header.precondition),
        Work::WriteUnifiedDecided | Work::Copy => None,
    }
}

fn parse(stored: &Stored) -> Result<Revision> {
    std::str::from_utf8(&stored.value)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| corrupt(&stored.key, "is not a revision"))
}
