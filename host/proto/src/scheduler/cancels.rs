//! Cancels, by a task's own client and by anybody else.

use crate::{
    ids::{ClientId, PeerId, TaskId, Time},
    message::{Cancel, CancelReply, CancelTask, FailureKind, Message, StopReason},
    task::{Event, State},
};

use super::{Effect, Note, Scheduler, endings::Ending, tasks::TaskKey};

impl Scheduler {
    /// A client cancels tasks of its own.
    pub(super) fn cancel(&mut self, now: Time, id: ClientId, cancels: Vec<Cancel>, out: &mut Vec<Effect>) {
        for cancel in cancels {
            if let Some(key) = self.live(TaskId { client: id, number: cancel.number }) {
                self.cancel_one(now, key, out);
            }
        }
    }

    /// A client orders the end of any task.
    pub(super) fn cancel_tasks(
        &mut self,
        now: Time,
        (id, peer): (ClientId, PeerId),
        orders: Vec<CancelTask>,
        out: &mut Vec<Effect>,
    ) {
        for CancelTask { request, task } in orders {
            let (found, state) = match self.live(task).map(|key| (key, self.tasks.get_mut(key))) {
                Some((key, Some(task))) => {
                    let state = task.state.name().to_owned();
                    if task.state != State::Canceling && task.id.client != id {
                        let name = self.clients.get(&id).map_or("", |client| client.name.as_str());
                        let by = format!("{name} ({id})");
                        task.canceled_by = Some(by.as_str().into());
                        let call = self.monitor.call(task.slot).to_owned();
                        out.push(Effect::Note(Note::Canceling { task: task.id, call, by }));
                    }
                    self.cancel_one(now, key, out);
                    (true, state)
                }
                _ => (false, self.what_is_known(task)),
            };
            self.peers.send(peer, Message::CancelReply(vec![CancelReply { request, found, state }]));
        }
    }

    /// Why there is no such task, as far as that is known.
    fn what_is_known(&self, task: TaskId) -> String {
        if let Some(state) = self.monitor.fate(task) {
            return format!("it has ended: {state}");
        }
        match self.clients.get(&task.client) {
            Some(client) if client.has_ended(task.number) => "it has ended".to_owned(),
            Some(_) => "it ended some time ago, or was never submitted".to_owned(),
            None => format!("{} is not connected; tasks end with their client", task.client),
        }
    }

    fn cancel_one(&mut self, now: Time, key: TaskKey, out: &mut Vec<Effect>) {
        if self.tasks.step(key, Event::Cancel).is_ok() {
            self.stop_attempt(key, StopReason::Cancel);
        } else if self.tasks.get(key).is_some_and(|task| task.state == State::Waiting) {
            let ending = Ending::failed(Event::ConfirmCancel, FailureKind::Canceled, "canceled before it ran");
            self.finish(now, key, ending, out);
        }
    }
}
