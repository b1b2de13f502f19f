//! The contact with the scheduler: how long it may be silent, and what happens when a connection is given up.

use super::{ClientCore, Sent, Stage};
use crate::{
    client::Effect,
    ids::Time,
    message::Goodbye,
    session::{Receipt, Session},
};

/// A connection on which nothing arrived for three heartbeats, and at least this long, is given up.
const SILENCE_MS: u64 = 5_000;

impl ClientCore {
    /// When the whole session is given up.
    pub(super) fn contact_deadline(&self) -> Time {
        match self.heard {
            None => self.started.plus_ms(self.config.connect_timeout_ms),
            Some(heard) => heard.plus_ms(self.config.timeout_ms),
        }
    }

    /// When this connection is given up.
    pub(super) fn silence_deadline(&self) -> Time {
        self.stirred.plus_ms(self.heartbeat_ms.saturating_mul(3).max(SILENCE_MS))
    }

    /// What was said on this connection and not acknowledged may be lost.
    pub(super) fn forget_connection(&mut self) {
        self.stage = Stage::Down;
        self.session = Session::default();
        self.owed = 0;
        self.owed_since = None;
        for (_, sent) in self.unacknowledged.drain(..) {
            if let Sent::Releases(objects) = sent {
                self.releases.extend(objects);
            }
        }
    }

    /// Something arrived after the goodbye was sent: it only matters whether it says that the goodbye was heard.
    pub(super) fn depart(&mut self, receipt: Receipt, farewell: u64, out: &mut Vec<Effect>) {
        match receipt {
            Receipt::Fresh if self.session.acknowledged() >= farewell => self.stage = Stage::Closed,
            Receipt::Fresh | Receipt::Repeated => {}
            Receipt::Gap => self.part_unheard(out),
        }
    }

    pub(super) fn part_unheard(&mut self, out: &mut Vec<Effect>) {
        self.stage = Stage::Closed;
        let text = "the scheduler did not confirm the goodbye; it may keep what was under way for a while";
        out.push(Effect::Warning(text.to_owned()));
    }

    /// Another connection, unless there is nothing left to say on it.
    pub(super) fn redial(&mut self, why: &str, out: &mut Vec<Effect>) {
        if self.is_over() {
            return self.part_unheard(out);
        }
        self.forget_connection();
        out.push(Effect::Warning(format!("connecting again: {why}")));
        out.push(Effect::Redial);
    }

    pub(super) fn goodbye(&mut self, goodbye: Option<Goodbye>, out: &mut Vec<Effect>) {
        let reason = goodbye.map(|goodbye| goodbye.reason).unwrap_or_default();
        if self.shutdowns.values().any(|sent| *sent) {
            return self.shut_down(&reason, out);
        }
        let why = format!("the scheduler left: {reason}");
        self.said = Some(reason);
        self.redial(&why, out);
    }
}
