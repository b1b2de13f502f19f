//! A scheduler whose queue is full: patient calls come back, in order and never in a hurry; others fail.

use super::*;

/// A scheduler with room for so many tasks of this client, played by the test.
struct Room {
    pair: Pair,
    /// What it holds, by number, with the order (the tag) of the call.
    held: Vec<(u64, u64)>,
    room: usize,
    refusals: usize,
    /// Numbers given to calls that come back.
    next: u64,
    /// Tags of the calls that were carried out, in that order.
    done: Vec<u64>,
    tags: std::collections::BTreeMap<u64, u64>,
}

fn busy(number: u64) -> TaskResult {
    let outcome = Outcome::Failed(failure(FailureKind::Busy, "3 tasks wait already".to_owned()));
    TaskResult { number, outcome, stats: TaskStats::default() }
}

impl Room {
    fn new(room: usize) -> Self {
        let (held, done, tags) = (Vec::new(), Vec::new(), std::collections::BTreeMap::new());
        Self { pair: Pair::ready(1 << 40), held, room, refusals: 0, next: 1_000_000, done, tags }
    }

    fn submit(&mut self, numbers: std::ops::RangeInclusive<u64>) {
        for number in numbers {
            let call = Call { patient: true, ..call(number, Payload::Inline(vec![0x91, 1])) };
            self.tags.insert(number, call.tag);
            self.pair.core.submit(number, call);
        }
    }

    /// The scheduler answers what was sent; calls that come back are given to the core again, as a shell does.
    fn answer(&mut self) {
        let mut refused = Vec::new();
        for number in self.pair.submitted() {
            if self.held.len() < self.room {
                self.held.push((number, self.tags[&number]));
            } else {
                refused.push(busy(number));
            }
        }
        self.refusals += refused.len();
        if !refused.is_empty() {
            self.pair.say(Message::TaskResult(refused));
        }
        for event in std::mem::take(&mut self.pair.events) {
            let Effect::Refused { order, call } = event else { panic!("nothing has ended: {event:?}") };
            self.next += 1;
            self.tags.insert(self.next, call.tag);
            self.pair.core.submit_again_as(self.next, order, *call);
        }
    }

    /// The oldest task that it holds ends.
    fn end_one(&mut self) {
        let (number, tag) = self.held.remove(0);
        self.done.push(tag);
        self.pair.answer(&[number]);
        self.pair.events.clear();
    }
}

#[test]
fn a_patient_call_comes_back_in_its_place_and_all_are_done_in_order() {
    let mut room = Room::new(5);
    room.submit(1..=200);
    room.pair.turn();
    while room.done.len() < 200 {
        room.answer();
        if !room.held.is_empty() {
            room.end_one();
        }
        room.pair.wait(1);
    }
    for (tag, done) in (101..).zip(&room.done) {
        assert!(done.abs_diff(tag) <= 2, "at most what crossed with an end has changed places: {:?}", room.done);
    }
    assert_eq!(room.pair.core.unfinished(), 0);
    // The first burst, then at most one trial in ten milliseconds.
    assert!(room.refusals < 195 + 30, "{} refusals", room.refusals);
}

#[test]
fn without_room_it_is_tried_ever_less_often_and_nothing_is_awake_in_between() {
    let mut room = Room::new(0);
    room.submit(1..=50);
    room.pair.turn();
    room.answer();
    assert_eq!(room.refusals, 50);
    let (mut wakes, end) = (0, room.pair.now.plus_ms(4_000));
    while let Some(deadline) = room.pair.core.next_deadline().filter(|deadline| *deadline <= end) {
        assert!(deadline > room.pair.now, "a deadline that has passed keeps the shell awake");
        room.pair.now = deadline;
        room.pair.turn();
        room.answer();
        room.pair.acknowledge();
        wakes += 1;
    }
    assert!((5..=30).contains(&(room.refusals - 50)), "{} trials", room.refusals - 50);
    assert!(wakes < 60, "{wakes} wake-ups in four seconds");
    // Somebody else's tasks have ended: the next trial finds room, and more of it is used each time.
    room.room = usize::MAX;
    for _ in 0..200 {
        room.pair.wait(100);
        room.answer();
        room.pair.acknowledge();
    }
    assert_eq!(room.held.iter().map(|(_, tag)| *tag).collect::<Vec<_>>(), (101..=150).collect::<Vec<_>>());
}

#[test]
fn who_is_not_patient_hears_of_it_and_who_cancels_is_done() {
    let mut room = Room::new(0);
    room.pair.submit(1);
    room.submit(2..=4);
    room.pair.turn();
    assert_eq!(room.pair.submitted(), [1, 2, 3, 4]);
    room.pair.core.cancel(2);
    room.pair.say(Message::TaskResult(vec![busy(1), busy(2)]));
    assert_eq!(room.pair.ended(), [(1, Some(FailureKind::Busy)), (2, Some(FailureKind::Canceled))]);
    // One that waits for room ends at once; one that is not patient does not wait behind those that are.
    room.pair.say(Message::TaskResult(vec![busy(3)]));
    let Some(Effect::Refused { order: 3, call }) = room.pair.events.pop() else { panic!("comes back") };
    room.pair.core.submit_again_as(103, 3, *call);
    room.pair.submit(5);
    room.pair.turn();
    assert_eq!(room.pair.submitted(), [5]);
    room.pair.core.cancel(103);
    room.pair.turn();
    assert!(matches!(room.pair.events[..], [Effect::Ended { number: 103, tag: 103, .. }]), "{:?}", room.pair.events);
}
