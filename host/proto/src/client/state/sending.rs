//! What the client core says: a turn's messages, in the order that the scheduler needs them.

use std::collections::BTreeMap;

use super::{ClientCore, Registration, Sent};
use crate::{
    client::{Call, Effect, Place, outbox::Outbox},
    ids::{PeerId, Time},
    message::{Cancel, Demand, Message, Query, Register, Release, Shutdown, Submit},
    payload::Payload,
};

impl ClientCore {
    pub(super) fn send(&mut self, peer: PeerId, message: Message, out: &mut Vec<Effect>) {
        self.owed = 0;
        self.owed_since = None;
        out.push(Effect::Send(peer, self.session.stamp(self.epoch, message)));
    }

    fn send_all<T>(&mut self, peer: PeerId, make: fn(Vec<T>) -> Message, entries: Vec<T>, out: &mut Vec<Effect>) {
        let mut outbox = Outbox::default();
        for entry in entries {
            if let Some(full) = outbox.push(entry, 0) {
                self.send(peer, make(full), out);
            }
        }
        if let Some(rest) = outbox.take() {
            self.send(peer, make(rest), out);
        }
    }

    pub(super) fn send_registrations(&mut self, peer: PeerId, out: &mut Vec<Effect>) {
        // One message a module: its signatures may be large.
        while let Some(module) = self.modules.get(self.modules_sent).cloned() {
            self.modules_sent += 1;
            self.send(peer, Message::RegisterModule(vec![module]), out);
        }
        let registers: Vec<Register> = std::mem::take(&mut self.registers)
            .into_iter()
            .filter_map(|request| self.registrations.get(&request))
            .map(|Registration { wanted, .. }| Register {
                request: wanted.request,
                module: wanted.module.clone(),
                function: wanted.function.clone(),
                capabilities: wanted.capabilities.clone(),
            })
            .collect();
        self.send_all(peer, Message::Register, registers, out);
        let mut demands: Vec<Demand> =
            std::mem::take(&mut self.withdrawn).into_iter().map(|request| Demand { request, held: 0 }).collect();
        for request in std::mem::take(&mut self.demands) {
            if let Some(registration) = self.registrations.get(&request) {
                // Who waited for the answer has it; what is held since is tasks that wait for the next one.
                let asked = if registration.known.is_some() { 0 } else { registration.demand };
                // None at all would withdraw the registration.
                if let held @ 1.. = asked + registration.held.len() as u64 {
                    demands.push(Demand { request, held });
                }
            }
        }
        self.send_all(peer, Message::Demand, demands, out);
    }

    pub(super) fn send_objects(&mut self, peer: PeerId, out: &mut Vec<Effect>) {
        let untold = std::mem::take(&mut self.untold);
        let puts = untold.into_iter().filter_map(|object| self.objects.get(&object).cloned()).collect();
        self.send_all(peer, Message::PutObject, puts, out);
    }

    pub(super) fn send_releases(&mut self, peer: PeerId, out: &mut Vec<Effect>) {
        let releases = std::mem::take(&mut self.releases);
        for objects in releases.chunks(Outbox::<Release>::ENTRIES_MAX) {
            let entries = objects.iter().map(|object| Release { object: *object }).collect();
            self.send(peer, Message::Release(entries), out);
            self.unacknowledged.push_back((self.session.last_sent(), Sent::Releases(objects.to_vec())));
        }
    }

    pub(super) fn send_submits(&mut self, now: Time, peer: PeerId, out: &mut Vec<Effect>) {
        let mut outbox = Outbox::default();
        while let Some(&number) = self.waiting.front() {
            if self.put_aside(number) {
                self.waiting.pop_front();
                continue;
            }
            let Some(task) = self.tasks.get_mut(&number) else {
                self.waiting.pop_front();
                continue;
            };
            let bytes = task.call.arguments.inline_length();
            if !task.counted {
                if self.used.tasks >= self.credit.tasks || self.used.bytes + bytes > self.credit.bytes {
                    break;
                }
                self.used.tasks += 1;
                self.used.bytes += bytes;
                task.counted = true;
                self.there += 1;
            }
            self.waiting.pop_front();
            if task.place == Place::Held {
                task.place = Place::Submitted;
                if !matches!(task.call.arguments, Payload::Inline(_)) {
                    task.puts += 1;
                    out.push(Effect::Put { number, tag: task.call.tag });
                }
            }
            if task.canceling {
                self.cancels.push(number);
            }
            let submit = task.call.to_submit(now, number);
            if let Some(full) = outbox.push(submit, bytes) {
                self.send_batch(peer, full, out);
            }
        }
        if let Some(rest) = outbox.take() {
            self.send_batch(peer, rest, out);
        }
        let cancels = std::mem::take(&mut self.cancels).into_iter().map(|number| Cancel { number }).collect();
        self.send_all(peer, Message::Cancel, cancels, out);
    }

    fn send_batch(&mut self, peer: PeerId, batch: Vec<Submit>, out: &mut Vec<Effect>) {
        let numbers = batch.iter().map(|submit| submit.number).collect();
        self.send(peer, Message::Submit(batch), out);
        self.unacknowledged.push_back((self.session.last_sent(), Sent::Submits(numbers)));
    }

    pub(super) fn send_requests(&mut self, peer: PeerId, out: &mut Vec<Effect>) {
        let unsent = |requests: &mut BTreeMap<u64, bool>| -> Vec<u64> {
            let fresh = requests.iter_mut().filter(|(_, sent)| !**sent);
            fresh.map(|(request, sent)| (*sent = true, *request).1).collect()
        };
        let queries = unsent(&mut self.queries).into_iter().map(|request| Query { request }).collect();
        self.send_all(peer, Message::Query, queries, out);
        let shutdowns = unsent(&mut self.shutdowns).into_iter().map(|request| Shutdown { request }).collect();
        self.send_all(peer, Message::Shutdown, shutdowns, out);
    }
}

impl Call {
    fn to_submit(&self, now: Time, number: u64) -> Submit {
        Submit {
            objects: self.objects.clone(),
            number,
            function: self.function,
            arguments: self.arguments.clone(),
            capabilities: self.capabilities.clone(),
            timeout_ms: self.timeout_ms,
            priority: self.priority,
            retries: self.retries,
            held_ms: now.since(self.called) / 1_000_000,
            patient: self.patient,
        }
    }
}
