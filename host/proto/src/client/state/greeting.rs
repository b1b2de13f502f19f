//! The beginning of a connection: the greeting, and what goes out again because the scheduler may not have it.

use super::{ClientCore, Stage, canceled, failure};
use crate::{
    client::{Closed, Effect, Place},
    ids::{PeerId, Time},
    message::{Credit, FailureKind, Hello, Message, Outcome, TaskStats, VERSION, VERSION_MIN, Welcome},
};

/// So many heartbeats fit into the time after which a scheduler gives a silent client up.
const HEARTBEATS_IN_TIMEOUT: u64 = 3;

impl ClientCore {
    /// The link has a connection; any older one is forgotten.
    pub fn connected(&mut self, now: Time, peer: PeerId, out: &mut Vec<Effect>) {
        if self.is_over() {
            return;
        }
        self.forget_connection();
        self.stage = Stage::Greeting(peer);
        self.stirred = now;
        let hello = Hello {
            profiling: self.config.profiling,
            stream_output: self.config.stream_output,
            build: self.config.build.clone(),
            epoch: self.epoch,
            heartbeat_ms: self.heartbeat_ms,
            ..Hello::new(self.config.role, self.config.id.0, self.config.name.clone())
        };
        // Epoch 0: nothing on this connection belongs to one before the scheduler has named its own.
        out.push(Effect::Send(peer, self.session.stamp(0, Message::Hello(vec![hello]))));
    }

    pub(super) fn welcome(&mut self, now: Time, peer: PeerId, welcome: Welcome, out: &mut Vec<Effect>) {
        if !(VERSION_MIN..=VERSION).contains(&welcome.version) {
            let reason =
                format!("it speaks protocol version {}, this client {VERSION_MIN} to {VERSION}", welcome.version);
            return self.close(Closed::Refused { reason }, out);
        }
        let restarted = self.epoch != 0 && self.epoch != welcome.epoch;
        if self.epoch == welcome.epoch {
            out.push(Effect::Warning("connected to the scheduler again".to_owned()));
        }
        self.epoch = welcome.epoch;
        self.stage = Stage::Up(peer);
        self.heartbeat_ms = match welcome.timeout_ms {
            0 => self.config.heartbeat_ms,
            timeout_ms => self.config.heartbeat_ms.min((timeout_ms / HEARTBEATS_IN_TIMEOUT).max(1)),
        };
        self.next_heartbeat = now.plus_ms(self.heartbeat_ms);
        self.said = None;
        self.shutdown_grace = None;
        if restarted && self.shutdowns.values().any(|sent| *sent) {
            return self.shut_down("the scheduler ended, and another one was started", out);
        }
        let resumed = welcome.resumed && !restarted;
        if resumed {
            self.grant(welcome.credit);
        } else {
            self.used = Credit::default();
            self.credit = welcome.credit;
        }
        if restarted {
            self.drop_what_the_old_scheduler_had(out);
        }
        self.submit_again(resumed);
        self.modules_sent = 0;
        // Said again even where it is known: the message may have been lost with the connection.
        self.untold = self.objects.keys().copied().collect();
        self.withdrawn.clear();
        self.demands.clear();
        self.registers = self.registrations.keys().copied().collect();
        for registration in self.registrations.values_mut() {
            registration.parked = false;
            registration.current &= !restarted;
        }
        self.queries.values_mut().for_each(|sent| *sent = false);
        self.shutdowns.values_mut().for_each(|sent| *sent = false);
        self.storage.clone_from(&welcome.object_storage_address);
        out.push(Effect::Connected(welcome));
    }

    /// A scheduler without a journal was started anew: what it had accepted is gone, its numbers mean nothing.
    fn drop_what_the_old_scheduler_had(&mut self, out: &mut Vec<Effect>) {
        self.releases.clear();
        let lost: Vec<u64> = self
            .tasks
            .iter()
            .filter(|(_, task)| task.place == Place::Accepted || task.canceling)
            .map(|(number, _)| *number)
            .collect();
        for number in lost {
            let Some(task) = self.tasks.remove(&number) else { continue };
            let failure = if task.canceling {
                canceled()
            } else {
                let message = "the scheduler restarted and has no journal: submit the call again".to_owned();
                failure(FailureKind::Aborted, message)
            };
            let (tag, outcome) = (task.call.tag, Outcome::Failed(failure));
            out.push(Effect::Ended { number, tag, outcome, stats: TaskStats::default() });
        }
        for registration in self.registrations.values_mut() {
            registration.current = false;
            registration.held.clear();
        }
    }

    /// Everything without a result goes out again, in order; the scheduler ignores what it knows.
    fn submit_again(&mut self, resumed: bool) {
        self.waiting.clear();
        self.later.clear();
        self.cancels.clear();
        for registration in self.registrations.values_mut() {
            registration.held.clear();
        }
        for (number, task) in &mut self.tasks {
            task.counted &= resumed;
            task.place = if task.place == Place::Accepted && resumed { Place::Accepted } else { Place::Held };
            match self.registrations.get_mut(&task.call.registration) {
                Some(registration) if !registration.current => registration.held.push(*number),
                _ => self.waiting.push_back(*number),
            }
        }
        self.there = self.tasks.values().filter(|task| task.counted).count() as u64;
    }

    pub(super) fn grant(&mut self, credit: Credit) {
        self.credit.tasks = self.credit.tasks.max(credit.tasks);
        self.credit.bytes = self.credit.bytes.max(credit.bytes);
    }
}
