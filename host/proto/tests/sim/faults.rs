//! The scheduler's core, as it is or with a fault that is put between it and the world.

use scaler_proto::{
    capability::Capabilities,
    ids::{PeerId, Time},
    message::Message,
    scheduler::{Effect, Scheduler},
    session::Packet,
};

/// What a core could do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It loses an outcome that an agent reported.
    SwallowDone,
    /// It sends a result twice.
    RepeatResult,
    /// It does not look at the tags that tasks ask for.
    IgnoreTags,
}

/// A scheduler with at most one fault.
pub(crate) struct Suspect {
    pub(crate) core: Scheduler,
    fault: Option<Fault>,
    seen: u32,
}

impl Suspect {
    pub(crate) fn new(core: Scheduler, fault: Option<Fault>) -> Self {
        Self { core, fault, seen: 0 }
    }

    pub(crate) fn handle(&mut self, now: Time, peer: PeerId, mut packet: Packet, out: &mut Vec<Effect>) {
        match (&mut packet.message, self.fault) {
            (Message::Done(dones), Some(Fault::SwallowDone)) => {
                self.seen += 1;
                if self.seen == 3 {
                    dones.pop();
                }
            }
            (Message::Submit(submits), Some(Fault::IgnoreTags)) => {
                submits.iter_mut().for_each(|submit| submit.capabilities = Capabilities::none());
            }
            _ => {}
        }
        self.core.handle(now, peer, packet, out);
    }

    pub(crate) fn tick(&mut self, now: Time, out: &mut Vec<Effect>) {
        self.core.tick(now, out);
        if self.fault != Some(Fault::RepeatResult) {
            return;
        }
        for effect in out {
            let Effect::Send(_, Packet { message: Message::TaskResult(results), .. }) = effect else { continue };
            self.seen += 1;
            if self.seen == 3 {
                results.push(results[0].clone());
            }
        }
    }
}
