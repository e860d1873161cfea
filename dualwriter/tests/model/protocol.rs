//! The protocol as states and steps.

mod recovery;

use stateright::{Model, Property};

/// A value of the object; absent when it does not exist.
pub(crate) type Value = Option<u8>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Op {
    Create(u8),
    Update(u8),
    Delete,
    Get,
    List,
}

/// What a client was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Told {
    Done,
    Exists,
    Missing,
    /// A definite error.
    Failed,
    Unknown,
    Read(Value),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Call {
    op: Op,
    /// The calls that were answered before this one began, as a set of bits.
    before: u8,
    told: Option<Told>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Intent {
    name: u8,
    /// The name before anybody took it over: the name of the write.
    first: u8,
    /// None for a copy by a sync.
    op: Option<Op>,
}

/// What legacy holds: the value, the revision of the object or of the fence that its deletion left,
/// and the name of the write that it is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct InLegacy {
    value: Value,
    at: u8,
    by: u8,
}

/// What a write replaces in legacy: the object at its revision, or none with its fence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Base {
    present: bool,
    at: u8,
}

/// How a write in legacy ends that requires its base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InTime {
    Written(InLegacy),
    Refused(Refusal),
    OtherBase,
}

/// Where a client's call stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum At {
    #[default]
    Idle,
    Intent,
    Legacy,
    /// The base was wrong and is to be read.
    Base,
    /// It was read; is the intent still its own?
    Check,
    Apply,
    /// Legacy refused; the intent is to be removed.
    Refused {
        refusal: Refusal,
        /// By what was there before the write had a name.
        older: bool,
    },
    Read,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Refusal {
    Exists,
    Missing,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Client {
    next: u8,
    at: At,
    call: u8,
    mode: u8,
    name: u8,
    base: Base,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Copying {
    #[default]
    Idle,
    Placed {
        name: u8,
    },
    ReadLegacy {
        name: u8,
        value: Value,
    },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Recovery {
    #[default]
    Idle,
    Taken(Intent),
    Read(Intent, InLegacy),
    Checked(Intent, Base),
    /// Nothing is to be applied if legacy refused.
    Redone {
        name: u8,
        op: Option<Op>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    mode: u8,
    /// What each process believes the mode to be.
    believed: [u8; 2],
    legacy: InLegacy,
    unified: Value,
    tombstone: bool,
    intent: Option<Intent>,
    next_name: u8,
    clients: Vec<Client>,
    syncs: [(Copying, u8); 2],
    synced: bool,
    recoveries: [Recovery; 2],
    faults: u8,
    crashes: u8,
    calls: Vec<Call>,
}

/// How a call to a store ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum End {
    Well,
    FailedBefore,
    FailedAfter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    Start(usize),
    Intent(usize, End),
    Legacy(usize, End),
    Apply(usize, End),
    ReadBase(usize),
    CheckIntent(usize),
    TakeBack(usize, End),
    Answer(usize),
    Crash(usize),
    SyncPlace(usize),
    SyncRead(usize),
    SyncApply(usize),
    ChangeMode,
    Learn(usize),
    Take(usize),
    Reread(usize),
    Recheck(usize),
    Redo(usize),
    Finish(usize),
}

/// A part of the protocol that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Without {
    Nothing,
    /// A write in legacy requires what it replaces to be unchanged.
    Fence,
    /// After the base was read, the intent is looked at.
    SecondLook,
    /// A recovery believes a refusal only if it is of what it read.
    RefusalAsRead,
    Barrier,
    IntentAwareReads,
    TombstoneAwareFallback,
}

/// Whether processes may lag behind a change of mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Processes {
    Alike,
    Lagging,
}

#[derive(Clone, Debug)]
pub(crate) struct Protocol {
    pub(crate) without: Without,
    pub(crate) processes: Processes,
    pub(crate) programs: Vec<Vec<Op>>,
    pub(crate) initial: (Value, Value),
    pub(crate) faults: u8,
    pub(crate) crashes: u8,
    pub(crate) syncers: usize,
    /// How many recoveries run side by side, two at most.
    pub(crate) recoveries: usize,
    /// An error that is told as definite must have had no effect.
    pub(crate) strict: bool,
}

impl Protocol {
    fn has(&self, part: Without) -> bool {
        self.without != part
    }

    fn write(op: Op, value: Value) -> Result<Value, Refusal> {
        match (op, value) {
            (Op::Create(_), Some(_)) => Err(Refusal::Exists),
            (Op::Create(new), None) | (Op::Update(new), Some(_)) => Ok(Some(new)),
            (Op::Update(_) | Op::Delete, None) => Err(Refusal::Missing),
            (Op::Delete, Some(_)) => Ok(None),
            (Op::Get | Op::List, _) => unreachable!("a read writes nothing"),
        }
    }

    fn target(op: Op) -> Value {
        match op {
            Op::Create(new) | Op::Update(new) => Some(new),
            Op::Delete | Op::Get | Op::List => None,
        }
    }

    fn get(&self, s: &State, mode: u8) -> Value {
        match mode {
            2 => s.legacy.value,
            3 if s.unified.is_some() => s.unified,
            3 if s.tombstone && self.has(Without::TombstoneAwareFallback) => None,
            3 => s.legacy.value,
            _ => s.unified,
        }
    }

    fn list(s: &State, mode: u8) -> Value {
        if mode == 2 { s.legacy.value } else { s.unified }
    }

    fn is_quiet(s: &State) -> bool {
        s.clients.iter().all(|c| c.at == At::Idle)
            && s.syncs.iter().all(|(at, _)| *at == Copying::Idle)
            && s.intent.is_none()
            && s.recoveries.iter().all(|at| *at == Recovery::Idle)
    }

    /// Tells whether some order of the calls explains every answer, and the last value if given.
    fn is_linearizable(&self, s: &State, last: Option<Value>) -> bool {
        self.explain(&s.calls, 0, self.initial.0, last)
    }

    fn explain(&self, calls: &[Call], done: u8, value: Value, last: Option<Value>) -> bool {
        if done.count_ones() as usize == calls.len() {
            return last.is_none_or(|last| last == value);
        }
        calls.iter().enumerate().any(|(index, call)| {
            let bit = 1 << index;
            if done & bit != 0 || call.before & !done != 0 {
                return false;
            }
            let stays = || self.explain(calls, done | bit, value, last);
            let happens = || {
                let writes = !matches!(call.op, Op::Get | Op::List);
                let new = writes.then(|| Self::write(call.op, value).ok()).flatten();
                new.is_some_and(|new| self.explain(calls, done | bit, new, last))
            };
            match call.told {
                Some(Told::Done) => happens(),
                Some(Told::Exists) => value.is_some() && stays(),
                Some(Told::Missing) => value.is_none() && stays(),
                Some(Told::Read(read)) => value == read && stays(),
                Some(Told::Failed) if self.strict => stays(),
                Some(Told::Failed | Told::Unknown) | None => stays() || happens(),
            }
        })
    }
}

impl State {
    fn op(&self, client: usize) -> Op {
        self.calls[usize::from(self.clients[client].call)].op
    }

    fn tell(&mut self, client: usize, told: Told) {
        let c = &mut self.clients[client];
        self.calls[usize::from(c.call)].told = Some(told);
        (c.at, c.name) = (At::Idle, 0);
    }

    fn set_unified(&mut self, value: Value) {
        if value.is_some() {
            self.tombstone = false;
        } else if self.unified.is_some() {
            self.tombstone = true;
        }
        self.unified = value;
    }

    fn base(&self) -> Base {
        Base {
            present: self.legacy.value.is_some(),
            at: self.legacy.at,
        }
    }

    fn name(&mut self) -> u8 {
        self.next_name += 1;
        self.next_name - 1
    }

    /// Names that are given from now on are above all that legacy holds.
    fn raise(&mut self) {
        self.next_name = self.next_name.max(self.legacy.at + 1);
    }

    fn holds_intent(&self, name: u8) -> bool {
        self.intent.is_some_and(|intent| intent.name == name)
    }

    fn fault(&mut self) {
        self.faults -= 1;
    }
}

impl From<Refusal> for Told {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Exists => Self::Exists,
            Refusal::Missing => Self::Missing,
        }
    }
}

impl Protocol {
    fn client_actions(&self, s: &State, client: usize, actions: &mut Vec<Action>) {
        let c = &s.clients[client];
        let ends: &[End] = if s.faults > 0 {
            &[End::Well, End::FailedBefore, End::FailedAfter]
        } else {
            &[End::Well]
        };
        match c.at {
            At::Idle if usize::from(c.next) < self.programs[client].len() => {
                actions.push(Action::Start(client));
            }
            At::Idle => {}
            At::Intent if s.intent.is_none() || c.mode != s.mode => {
                actions.extend(ends.iter().map(|end| Action::Intent(client, *end)));
            }
            At::Intent => {}
            At::Legacy => actions.extend(ends.iter().map(|end| Action::Legacy(client, *end))),
            At::Base => actions.push(Action::ReadBase(client)),
            At::Check => actions.push(Action::CheckIntent(client)),
            At::Apply => actions.extend(ends.iter().map(|end| Action::Apply(client, *end))),
            At::Refused { .. } => {
                actions.extend(ends.iter().map(|end| Action::TakeBack(client, *end)));
            }
            At::Read => {
                let unaware = !self.has(Without::IntentAwareReads);
                if unaware || s.intent.is_none() || c.mode >= 4 {
                    actions.push(Action::Answer(client));
                }
            }
        }
        if !matches!(c.at, At::Idle | At::Read) && s.crashes > 0 {
            actions.push(Action::Crash(client));
        }
    }

    fn change_is_possible(&self, s: &State) -> bool {
        let recovered = s.recoveries.iter().all(|at| *at == Recovery::Idle);
        let drained = s.intent.is_none() && recovered;
        let learned = s.mode != 3 || s.believed.iter().all(|mode| *mode >= 3);
        s.synced && s.mode < 4 && (!self.has(Without::Barrier) || (drained && learned))
    }

    fn start(&self, s: &mut State, client: usize) {
        let op = self.programs[client][usize::from(s.clients[client].next)];
        let answered = s.calls.iter().enumerate().filter(|(_, c)| c.told.is_some());
        let before = answered.fold(0, |set, (index, _)| set | 1 << index);
        s.calls.push(Call {
            op,
            before,
            told: None,
        });
        let mode = match self.processes {
            Processes::Alike => s.mode,
            Processes::Lagging => s.believed[client % 2],
        };
        let base = s.base();
        let c = &mut s.clients[client];
        c.next += 1;
        c.base = base;
        c.call = u8::try_from(s.calls.len() - 1).unwrap();
        c.mode = mode;
        c.at = match op {
            Op::Get | Op::List => At::Read,
            Op::Create(_) | Op::Update(_) | Op::Delete => At::Intent,
        };
    }

    /// Places the intent, or in mode 4 writes unified, if the epoch is still the one believed in.
    fn place(&self, s: &mut State, client: usize, end: End) -> Option<()> {
        let op = s.op(client);
        if s.clients[client].mode != s.mode {
            s.clients[client].mode = s.mode;
            if self.processes == Processes::Lagging {
                s.believed[client % 2] = s.mode;
            }
            return Some(());
        }
        if end == End::FailedBefore {
            s.fault();
            s.tell(client, Told::Failed);
            return Some(());
        }
        if s.mode >= 4 {
            return Self::write_unified(s, client, op, end);
        }
        let name = s.name();
        s.intent = Some(Intent {
            name,
            first: name,
            op: Some(op),
        });
        s.clients[client].name = name;
        if end == End::Well {
            s.clients[client].at = At::Legacy;
        } else {
            s.fault();
            s.tell(client, Told::Unknown);
        }
        Some(())
    }

    fn write_unified(s: &mut State, client: usize, op: Op, end: End) -> Option<()> {
        match (Self::write(op, s.unified), end) {
            (Ok(value), _) => {
                s.set_unified(value);
                if end == End::Well {
                    s.tell(client, Told::Done);
                } else {
                    s.fault();
                    s.tell(client, Told::Unknown);
                }
                Some(())
            }
            (Err(refusal), End::Well) => {
                s.tell(client, refusal.into());
                Some(())
            }
            (Err(_), _) => None,
        }
    }

    /// What legacy does with the write `name`, which replaces a base.
    fn in_time(&self, s: &State, op: Op, base: Base, name: u8) -> InTime {
        let written = Self::write(op, s.legacy.value).map(|value| InLegacy {
            value,
            at: name.max(s.legacy.at + 1),
            by: name,
        });
        if !self.has(Without::Fence) {
            return written.map_or_else(InTime::Refused, InTime::Written);
        }
        let creates = matches!(op, Op::Create(_));
        match written {
            Err(refusal) if creates || !base.present => InTime::Refused(refusal),
            Ok(written) if base == s.base() => InTime::Written(written),
            Ok(_) | Err(_) => InTime::OtherBase,
        }
    }

    fn write_legacy(&self, s: &mut State, client: usize, end: End) -> Option<()> {
        let (op, name, base) = (s.op(client), s.clients[client].name, s.clients[client].base);
        if end == End::FailedBefore {
            s.fault();
            s.tell(client, Told::Unknown);
            return Some(());
        }
        match self.in_time(s, op, base, name) {
            InTime::Written(written) => {
                s.legacy = written;
                if end == End::Well {
                    s.clients[client].at = At::Apply;
                } else {
                    s.fault();
                    s.tell(client, Told::Unknown);
                }
                Some(())
            }
            InTime::Refused(refusal) if end == End::Well => {
                let older = s.legacy.value.is_some() && s.legacy.at < name;
                s.clients[client].at = At::Refused { refusal, older };
                Some(())
            }
            InTime::OtherBase if end == End::Well => {
                s.clients[client].at = At::Base;
                Some(())
            }
            InTime::Refused(_) | InTime::OtherBase => None,
        }
    }

    fn check_intent(&self, s: &mut State, client: usize) {
        if s.holds_intent(s.clients[client].name) || !self.has(Without::SecondLook) {
            s.clients[client].at = At::Legacy;
        } else {
            s.tell(client, Told::Unknown);
        }
    }

    fn apply(s: &mut State, client: usize, end: End) {
        let (op, name) = (s.op(client), s.clients[client].name);
        if !s.holds_intent(name) {
            s.tell(client, Told::Unknown);
            return;
        }
        if end == End::FailedBefore {
            s.fault();
            s.tell(client, Told::Unknown);
            return;
        }
        s.set_unified(Self::target(op));
        s.raise();
        s.intent = None;
        if end == End::Well {
            s.tell(client, Told::Done);
        } else {
            s.fault();
            s.tell(client, Told::Unknown);
        }
    }

    fn take_back(s: &mut State, client: usize, end: End) {
        let At::Refused { refusal, older } = s.clients[client].at else {
            unreachable!("only a refused write is taken back")
        };
        let own = s.holds_intent(s.clients[client].name);
        if own && end != End::FailedBefore {
            s.intent = None;
        }
        if end != End::Well {
            s.fault();
        }
        if older || (own && end == End::Well) {
            s.tell(client, refusal.into());
        } else {
            s.tell(client, Told::Unknown);
        }
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            mode: 2,
            believed: [2; 2],
            legacy: InLegacy {
                value: self.initial.0,
                ..InLegacy::default()
            },
            unified: self.initial.1,
            tombstone: false,
            intent: None,
            next_name: 1,
            clients: vec![Client::default(); self.programs.len()],
            syncs: [
                (Copying::Idle, 1),
                (Copying::Idle, u8::from(self.syncers > 1)),
            ],
            synced: false,
            recoveries: [Recovery::Idle; 2],
            faults: self.faults,
            crashes: self.crashes,
            calls: vec![],
        }]
    }

    fn actions(&self, s: &State, actions: &mut Vec<Action>) {
        for client in 0..s.clients.len() {
            self.client_actions(s, client, actions);
        }
        for (sync, (at, left)) in s.syncs.iter().enumerate().take(self.syncers) {
            match at {
                Copying::Idle if *left > 0 && s.mode <= 2 && s.intent.is_none() => {
                    actions.push(Action::SyncPlace(sync));
                }
                Copying::Idle => {}
                Copying::Placed { .. } => actions.push(Action::SyncRead(sync)),
                Copying::ReadLegacy { .. } => actions.push(Action::SyncApply(sync)),
            }
        }
        if self.change_is_possible(s) {
            actions.push(Action::ChangeMode);
        }
        if self.processes == Processes::Lagging {
            for process in 0..2 {
                let mut own = s.clients.iter().skip(process).step_by(2);
                if s.believed[process] < s.mode && own.all(|c| c.at == At::Idle) {
                    actions.push(Action::Learn(process));
                }
            }
        }
        for (recovery, at) in s.recoveries.iter().enumerate().take(self.recoveries) {
            match at {
                Recovery::Idle if s.intent.is_some() && s.next_name < 7 => {
                    actions.push(Action::Take(recovery));
                }
                Recovery::Idle => {}
                Recovery::Taken(_) => actions.push(Action::Reread(recovery)),
                Recovery::Read(..) => actions.push(Action::Recheck(recovery)),
                Recovery::Checked(..) => actions.push(Action::Redo(recovery)),
                Recovery::Redone { .. } => actions.push(Action::Finish(recovery)),
            }
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut s = before.clone();
        match action {
            Action::Start(client) => self.start(&mut s, client),
            Action::Intent(client, end) => self.place(&mut s, client, end)?,
            Action::Legacy(client, end) => self.write_legacy(&mut s, client, end)?,
            Action::Apply(client, end) => Self::apply(&mut s, client, end),
            Action::ReadBase(client) => {
                let base = s.base();
                s.clients[client].base = base;
                s.clients[client].at = At::Check;
            }
            Action::CheckIntent(client) => self.check_intent(&mut s, client),
            Action::TakeBack(client, end) => Self::take_back(&mut s, client, end),
            Action::Answer(client) => {
                let mode = s.clients[client].mode;
                let value = match s.op(client) {
                    Op::Get => self.get(&s, mode),
                    _ => Self::list(&s, mode),
                };
                s.tell(client, Told::Read(value));
            }
            Action::Crash(client) => {
                s.crashes -= 1;
                s.tell(client, Told::Unknown);
            }
            Action::SyncPlace(sync) => {
                let name = s.name();
                s.intent = Some(Intent {
                    name,
                    first: name,
                    op: None,
                });
                s.syncs[sync] = (Copying::Placed { name }, s.syncs[sync].1 - 1);
            }
            Action::SyncRead(sync) => {
                if let Copying::Placed { name } = s.syncs[sync].0 {
                    let value = s.legacy.value;
                    s.syncs[sync].0 = Copying::ReadLegacy { name, value };
                }
            }
            Action::SyncApply(sync) => {
                if let Copying::ReadLegacy { name, value } = s.syncs[sync].0
                    && s.holds_intent(name)
                {
                    if s.unified != value {
                        s.set_unified(value);
                    }
                    s.intent = None;
                    s.synced = true;
                }
                s.syncs[sync].0 = Copying::Idle;
            }
            Action::ChangeMode => {
                s.mode += 1;
                if self.processes == Processes::Alike {
                    s.believed = [s.mode; 2];
                }
            }
            Action::Learn(process) => s.believed[process] = s.mode,
            Action::Take(recovery) => Self::take(&mut s, recovery),
            Action::Reread(recovery) => {
                if let Recovery::Taken(intent) = s.recoveries[recovery] {
                    s.recoveries[recovery] = Recovery::Read(intent, s.legacy);
                }
            }
            Action::Recheck(recovery) => self.recheck(&mut s, recovery),
            Action::Redo(recovery) => self.redo(&mut s, recovery),
            Action::Finish(recovery) => Self::finish(&mut s, recovery),
        }
        Some(s)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("D7: linearizable so far", |m: &Self, s: &State| {
                m.is_linearizable(s, None)
            }),
            Property::always(
                "D1 to D5: a last get is explained",
                |m: &Self, s: &State| {
                    !Self::is_quiet(s) || m.is_linearizable(s, Some(m.get(s, s.mode)))
                },
            ),
            Property::always("D6: a last list is explained", |m: &Self, s: &State| {
                !Self::is_quiet(s) || m.is_linearizable(s, Some(Self::list(s, s.mode)))
            }),
            Property::always("D8: the stores agree", |_: &Self, s: &State| {
                !(Self::is_quiet(s) && s.synced && s.mode <= 3) || s.legacy.value == s.unified
            }),
            Property::always("D13: unified explains everything", |m: &Self, s: &State| {
                !(Self::is_quiet(s) && s.synced) || m.is_linearizable(s, Some(s.unified))
            }),
        ]
    }
}
