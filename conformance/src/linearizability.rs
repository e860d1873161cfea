//! Is a history of operations on one object linearizable?
//!
//! The search of Wing and Gong with Lowe's memo ("Testing for linearizability", 2017): take any
//! operation that was called before the first unexplained answer, apply it to a register, go on;
//! never visit the same set of explained operations with the same register twice.
//!
//! An operation whose outcome is unknown may have happened at any time after its call, or never.
//! Values are unique numbers that the client gave, so a read tells which write it saw.

use std::collections::HashSet;

/// What a client asked of one object. `None` is the absent object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Reads the value.
    Read,
    /// Sets the value if it is `expected`: create, guarded update and guarded delete are all this.
    CompareAndSet {
        /// The value that must be there.
        expected: Option<u64>,
        /// The value to set.
        new: Option<u64>,
    },
}

/// What the client was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A read's value.
    Value(Option<u64>),
    /// The value was set.
    Set,
    /// The value was another one: nothing was set.
    Refused,
    /// An error that says for certain that nothing was set.
    Failed,
    /// No answer, or one that does not tell: it may have been set, once, or not.
    Unknown,
}

/// One operation of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// When it was called, on a clock that all clients share.
    pub call: u64,
    /// When it was answered; ignored for [`Answer::Unknown`].
    pub answered: u64,
    /// What was asked.
    pub request: Request,
    /// What was told.
    pub answer: Answer,
}

/// The verdict on a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is an order that explains every answer.
    Linearizable,
    /// There is none. Holds the longest explanation that was found, as indices into the history.
    Illegal(Vec<usize>),
    /// The search looked at `states_max` states without an end: shorten the history.
    Undecided,
}

/// Looks for an order of the operations in which each answer is true.
///
/// Cost grows with the number of operations that overlap, above all unknown ones: keep to about 8
/// clients, 1,000 operations and 1 % unknown answers per object.
#[must_use]
pub fn check(initial: Option<u64>, history: &[Operation], states_max: usize) -> Verdict {
    let mut order: Vec<usize> = (0..history.len()).collect();
    order.retain(|&i| !is_without_effect(&history[i]));
    order.sort_by_key(|&i| history[i].call);
    Search::new(history, order, states_max).run(initial)
}

/// An unknown read explains nothing, a failed operation did nothing.
fn is_without_effect(operation: &Operation) -> bool {
    operation.answer == Answer::Failed
        || (operation.answer == Answer::Unknown && operation.request == Request::Read)
}

struct Search<'a> {
    history: &'a [Operation],
    /// The operations by call time.
    order: Vec<usize>,
    done: Vec<u64>,
    seen: HashSet<(Vec<u64>, Option<u64>)>,
    states_max: usize,
    longest: Vec<usize>,
}

/// One step of the search: where it stands and which candidate it tries next.
struct Frame {
    state: Option<u64>,
    taken: Option<usize>,
    next: usize,
}

impl<'a> Search<'a> {
    fn new(history: &'a [Operation], order: Vec<usize>, states_max: usize) -> Self {
        let done = vec![0; order.len().div_ceil(64)];
        Self {
            history,
            order,
            done,
            seen: HashSet::new(),
            states_max,
            longest: Vec::new(),
        }
    }

    fn run(mut self, initial: Option<u64>) -> Verdict {
        let mut stack = vec![Frame {
            state: initial,
            taken: None,
            next: 0,
        }];
        while let Some(frame) = stack.last_mut() {
            let Some(deadline) = self.first_deadline() else {
                return Verdict::Linearizable;
            };
            match self.candidate(frame, deadline) {
                Some((position, state)) => {
                    self.mark(position);
                    if self.seen.insert((self.done.clone(), state)) {
                        stack.push(Frame {
                            state,
                            taken: Some(position),
                            next: 0,
                        });
                        self.remember(&stack);
                    } else {
                        self.unmark(position);
                    }
                    if self.seen.len() > self.states_max {
                        return Verdict::Undecided;
                    }
                }
                None => {
                    if let Some(position) = stack.pop().and_then(|frame| frame.taken) {
                        self.unmark(position);
                    }
                }
            }
        }
        Verdict::Illegal(self.longest)
    }

    /// Returns when the first operation that still needs an explanation was answered.
    fn first_deadline(&self) -> Option<u64> {
        let open = |position: &usize| !self.is_done(*position);
        (0..self.order.len())
            .filter(open)
            .filter_map(|position| self.deadline(position))
            .min()
    }

    fn deadline(&self, position: usize) -> Option<u64> {
        let operation = self.operation(position);
        (operation.answer != Answer::Unknown).then_some(operation.answered)
    }

    /// Finds the next operation that may come now: called before the deadline and true.
    fn candidate(&self, frame: &mut Frame, deadline: u64) -> Option<(usize, Option<u64>)> {
        while frame.next < self.order.len() {
            let position = frame.next;
            if self.operation(position).call > deadline {
                return None;
            }
            frame.next += 1;
            if self.is_done(position) {
                continue;
            }
            if let Some(state) = step(frame.state, self.operation(position)) {
                return Some((position, state));
            }
        }
        None
    }

    fn remember(&mut self, stack: &[Frame]) {
        if stack.len() > self.longest.len() + 1 {
            let taken = stack.iter().filter_map(|frame| frame.taken);
            self.longest = taken.map(|position| self.order[position]).collect();
        }
    }

    fn operation(&self, position: usize) -> &Operation {
        &self.history[self.order[position]]
    }

    fn is_done(&self, position: usize) -> bool {
        self.done[position / 64] & (1 << (position % 64)) != 0
    }

    fn mark(&mut self, position: usize) {
        self.done[position / 64] |= 1 << (position % 64);
    }

    fn unmark(&mut self, position: usize) {
        self.done[position / 64] &= !(1 << (position % 64));
    }
}

/// Applies an operation to the register; none if its answer would not be true.
fn step(state: Option<u64>, operation: &Operation) -> Option<Option<u64>> {
    match (operation.request, operation.answer) {
        (Request::Read, Answer::Value(value)) => (value == state).then_some(state),
        (Request::CompareAndSet { expected, new }, Answer::Set | Answer::Unknown) => {
            (expected == state).then_some(new)
        }
        (Request::CompareAndSet { expected, .. }, Answer::Refused) => {
            (expected != state).then_some(state)
        }
        (Request::Read, _) | (Request::CompareAndSet { .. }, Answer::Value(_) | Answer::Failed) => {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES_MAX: usize = 1_000_000;

    fn read(call: u64, answered: u64, value: Option<u64>) -> Operation {
        Operation {
            call,
            answered,
            request: Request::Read,
            answer: Answer::Value(value),
        }
    }

    fn set(times: (u64, u64), change: (Option<u64>, Option<u64>), answer: Answer) -> Operation {
        let request = Request::CompareAndSet {
            expected: change.0,
            new: change.1,
        };
        Operation {
            call: times.0,
            answered: times.1,
            request,
            answer,
        }
    }

    fn legal(history: &[Operation]) -> bool {
        match check(None, history, STATES_MAX) {
            Verdict::Linearizable => true,
            Verdict::Illegal(_) => false,
            Verdict::Undecided => panic!("undecided"),
        }
    }

    #[test]
    fn legal_histories_are_explained() {
        let create = set((0, 10), (None, Some(1)), Answer::Set);
        let legal_ones: [&[Operation]; 8] = [
            &[],
            &[create, read(11, 12, Some(1))],
            // A read beside a write may see either side of it.
            &[create, read(1, 2, None)],
            &[create, read(1, 2, Some(1))],
            // Unknown and never happened; unknown and happened late.
            &[
                set((0, 1), (None, Some(1)), Answer::Unknown),
                read(5, 6, None),
            ],
            &[
                set((0, 1), (None, Some(1)), Answer::Unknown),
                read(5, 6, None),
                read(7, 8, Some(1)),
            ],
            // Two racing creates: one wins, the other is refused.
            &[
                create,
                set((0, 10), (None, Some(2)), Answer::Refused),
                read(11, 12, Some(1)),
            ],
            // A failed write is never seen.
            &[
                create,
                set((11, 12), (Some(1), Some(2)), Answer::Failed),
                read(13, 14, Some(1)),
            ],
        ];
        for (index, history) in legal_ones.iter().enumerate() {
            assert!(legal(history), "history {index}: {history:?}");
        }
    }

    #[test]
    fn illegal_histories_are_refused() {
        let create = set((0, 10), (None, Some(1)), Answer::Set);
        let update = set((11, 20), (Some(1), Some(2)), Answer::Set);
        let delete = set((21, 30), (Some(2), None), Answer::Set);
        let illegal: [(&str, &[Operation]); 14] = [
            ("lost write", &[create, read(11, 12, None)]),
            ("stale read", &[create, update, read(21, 22, Some(1))]),
            ("value from nowhere", &[create, read(11, 12, Some(9))]),
            (
                "read from the future",
                &[
                    read(0, 1, Some(1)),
                    set((5, 6), (None, Some(1)), Answer::Set),
                ],
            ),
            (
                "resurrected",
                &[create, update, delete, read(31, 32, Some(2))],
            ),
            (
                "old value back",
                &[create, update, read(21, 22, Some(2)), read(23, 24, Some(1))],
            ),
            (
                "two winners",
                &[create, set((0, 10), (None, Some(2)), Answer::Set)],
            ),
            (
                "no winner",
                &[
                    set((0, 1), (None, Some(1)), Answer::Refused),
                    set((0, 1), (None, Some(2)), Answer::Refused),
                ],
            ),
            (
                "dirty read",
                &[
                    set((0, 10), (None, Some(1)), Answer::Failed),
                    read(2, 3, Some(1)),
                ],
            ),
            (
                "unknown seen, then gone",
                &[
                    set((0, 1), (None, Some(1)), Answer::Unknown),
                    read(2, 3, Some(1)),
                    read(4, 5, None),
                ],
            ),
            (
                "unknown applied twice",
                &[
                    set((0, 1), (None, Some(1)), Answer::Unknown),
                    read(2, 3, Some(1)),
                    set((4, 5), (Some(1), None), Answer::Set),
                    read(6, 7, Some(1)),
                ],
            ),
            (
                "lost update",
                &[
                    create,
                    update,
                    set((21, 22), (Some(1), Some(3)), Answer::Set),
                ],
            ),
            (
                "refused although it matched",
                &[create, set((11, 12), (Some(1), Some(2)), Answer::Refused)],
            ),
            (
                "readers disagree on the order",
                &[
                    create,
                    set((11, 30), (Some(1), Some(2)), Answer::Set),
                    read(12, 13, Some(2)),
                    read(14, 15, Some(1)),
                ],
            ),
        ];
        for (name, history) in illegal {
            assert!(!legal(history), "{name} was taken: {history:?}");
        }
    }

    #[test]
    fn an_illegal_history_shows_how_far_it_could_be_explained() {
        let history = [set((0, 1), (None, Some(1)), Answer::Set), read(2, 3, None)];
        assert_eq!(check(None, &history, STATES_MAX), Verdict::Illegal(vec![0]));
    }

    #[test]
    fn the_search_is_bounded() {
        let unknown = |n: u64| set((0, 1), (None, Some(n)), Answer::Unknown);
        let delete = |n: u64| set((0, 1), (Some(n), None), Answer::Unknown);
        let mut history: Vec<_> = (1..20).flat_map(|n| [unknown(n), delete(n)]).collect();
        history.push(read(2, 3, Some(99)));
        assert_eq!(check(None, &history, 1_000), Verdict::Undecided);
    }
}
