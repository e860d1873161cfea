//! Finishing what somebody began.

use super::{Base, InTime, Op, Protocol, Recovery, State, Without};

impl Protocol {
    pub(super) fn take(s: &mut State, recovery: usize) {
        let name = s.name();
        if let Some(intent) = &mut s.intent {
            intent.name = name;
            s.recoveries[recovery] = match intent.op {
                Some(_) => Recovery::Taken(*intent),
                None => Recovery::Redone { name, op: None },
            };
        }
    }

    pub(super) fn recheck(&self, s: &mut State, recovery: usize) {
        let Recovery::Read(intent, read) = s.recoveries[recovery] else {
            unreachable!("only what was read is checked")
        };
        let base = Base {
            present: read.value.is_some(),
            at: read.at,
        };
        let written = match intent.op {
            Some(Op::Create(new) | Op::Update(new)) => {
                read.value == Some(new) && read.at >= intent.first
            }
            _ => read.value.is_none() && read.by == intent.first,
        };
        s.recoveries[recovery] = if !s.holds_intent(intent.name) && self.has(Without::SecondLook) {
            Recovery::Idle
        } else if written {
            let (name, op) = (intent.name, intent.op);
            Recovery::Redone { name, op }
        } else {
            Recovery::Checked(intent, base)
        };
    }

    pub(super) fn redo(&self, s: &mut State, recovery: usize) {
        let Recovery::Checked(intent, base) = s.recoveries[recovery] else {
            unreachable!("only what was checked is redone")
        };
        let (name, Some(op)) = (intent.name, intent.op) else {
            unreachable!("a copy is not redone")
        };
        s.recoveries[recovery] = match self.in_time(s, op, base, intent.first) {
            InTime::Written(written) => {
                s.legacy = written;
                Recovery::Redone { name, op: Some(op) }
            }
            InTime::Refused(_) if base == s.base() || !self.has(Without::RefusalAsRead) => {
                Recovery::Redone { name, op: None }
            }
            // The owner's write may have come late.
            InTime::Refused(_) | InTime::OtherBase => Recovery::Taken(intent),
        };
    }

    pub(super) fn finish(s: &mut State, recovery: usize) {
        let Recovery::Redone { name, op } = s.recoveries[recovery] else {
            unreachable!("only what was redone is finished")
        };
        if s.holds_intent(name) {
            if let Some(op) = op {
                s.set_unified(Self::target(op));
                s.raise();
            }
            s.intent = None;
        }
        s.recoveries[recovery] = Recovery::Idle;
    }
}
