//! What the client core makes of the scheduler's messages on a connection that stands.

use super::{ClientCore, canceled, failure};
use crate::{
    client::Effect,
    ids::Time,
    message::{FailureKind, Message, Outcome, RegisterFailed, Registered, Stranded, TaskResult},
    payload::Payload,
};

impl ClientCore {
    pub(super) fn take(&mut self, now: Time, message: Message, out: &mut Vec<Effect>) {
        match message {
            Message::TaskResult(entries) => entries.into_iter().for_each(|result| self.result(now, result, out)),
            Message::Credit(entries) => entries.into_iter().for_each(|credit| self.grant(credit)),
            Message::Registered(entries) => entries.into_iter().for_each(|registered| self.registered(registered, out)),
            Message::RegisterFailed(entries) => {
                entries.into_iter().for_each(|failed| self.register_failed(failed, out))
            }
            Message::Parked(entries) => {
                for parked in entries {
                    if let Some(registration) = self.registrations.get_mut(&parked.request) {
                        registration.parked = true;
                        self.demands.insert(parked.request);
                        out.push(Effect::Parked(parked));
                    }
                }
            }
            Message::Changed(entries) => {
                for changed in entries {
                    let Some(registration) = self.registrations.get_mut(&changed.request) else { continue };
                    if let Some(now) = &changed.now {
                        registration.known = Some(now.clone());
                    }
                    out.push(Effect::Changed(changed));
                }
            }
            Message::Pulse(entries) => {
                for address in entries.into_iter().filter_map(|pulse| pulse.object_storage_address) {
                    if self.storage.as_ref() != Some(&address) {
                        self.storage = Some(address.clone());
                        out.push(Effect::Storage(address));
                    }
                }
            }
            Message::Answer(entries) => {
                for answer in entries {
                    if self.queries.remove(&answer.request).is_some() {
                        out.push(Effect::Answered(Box::new(answer)));
                    }
                }
            }
            Message::ShutdownReply(entries) => {
                for reply in entries {
                    if reply.accepted {
                        return self.shut_down(&reply.reason, out);
                    }
                    if self.shutdowns.remove(&reply.request).is_some() {
                        out.push(Effect::ShutdownReply(reply));
                    }
                }
            }
            Message::Stranded(entries) => out.extend(entries.into_iter().map(|Stranded { call, tasks, reason }| {
                let waits = if tasks > 1 { format!("{tasks} calls of {call} wait") } else { format!("{call} waits") };
                Effect::Warning(format!("{waits}: {reason}"))
            })),
            Message::TaskLog(lines) => out.push(Effect::Output(lines)),
            Message::Ack(_) => {}
            other => out
                .push(Effect::Warning(format!("the scheduler sent a message of kind {:?} to a client", other.kind()))),
        }
    }

    fn result(&mut self, now: Time, result: TaskResult, out: &mut Vec<Effect>) {
        // A number that is not here has ended: a result that was sent again.
        let Some(task) = self.tasks.remove(&result.number) else { return };
        self.there -= u64::from(task.counted);
        if let (2.., Payload::Stored { id, .. }) = (task.puts, &task.call.arguments) {
            // The scheduler may have deleted them before they were put again.
            self.releases.push(*id);
        }
        let TaskResult { number, outcome, stats } = result;
        let is_busy = matches!(&outcome, Outcome::Failed(failure) if failure.kind == FailureKind::Busy);
        match (is_busy && task.call.patient, task.canceling) {
            (false, _) => out.push(Effect::Ended { number, tag: task.call.tag, outcome, stats }),
            (true, true) => {
                out.push(Effect::Ended { number, tag: task.call.tag, outcome: Outcome::Failed(canceled()), stats });
            }
            (true, false) => self.refused(now, task, out),
        }
    }

    fn registered(&mut self, registered: Registered, out: &mut Vec<Effect>) {
        let Some(registration) = self.registrations.get_mut(&registered.request) else { return };
        let held = std::mem::take(&mut registration.held);
        let former = registration.known.replace(registered.clone());
        let fresh = !std::mem::replace(&mut registration.current, true);
        registration.parked = false;
        self.demands.remove(&registered.request);
        let same_signature = |former: &Registered| former.info.signature == registered.info.signature;
        for number in held {
            let Some(task) = self.tasks.get_mut(&number) else { continue };
            let fits = |former: &Registered| former.function == task.call.function && same_signature(former);
            if former.as_ref().is_some_and(fits) {
                task.call.function = registered.function;
                self.waiting.push_back(number);
            } else if let Some(task) = self.tasks.remove(&number) {
                let message = "the function changed while the scheduler restarted: submit the call again".to_owned();
                self.ended.push((number, task.call.tag, failure(FailureKind::Aborted, message)));
            }
        }
        if fresh || former.as_ref() != Some(&registered) {
            out.push(Effect::Registered(registered));
        }
    }

    fn register_failed(&mut self, failed: RegisterFailed, out: &mut Vec<Effect>) {
        let Some(registration) = self.registrations.remove(&failed.request) else { return };
        self.demands.remove(&failed.request);
        for number in registration.held {
            if let Some(task) = self.tasks.remove(&number) {
                self.ended.push((number, task.call.tag, failure(FailureKind::Rejected, failed.message.clone())));
            }
        }
        out.push(Effect::RegisterFailed(failed));
    }
}
