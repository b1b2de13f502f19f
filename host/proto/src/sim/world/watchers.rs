//! Watchers in the world: quick ones, slow ones and such that begin anew for no reason. What they see is made of
//! updates alone, and in the end it must be what the scheduler sees.

use super::{Event, Node, World};
use crate::{
    ids::{PeerId, Time},
    message::{Ack, Hello, Message, Role, Topic, Update, Watch},
    session::{Packet, Receipt, Session},
    sim::check::{Checked, must, same_picture},
    view::{Changes, View},
};

/// A watcher that has heard nothing for so long connects again.
const SILENCE_MS: u64 = 3_000;
const LOOK_US: u64 = 1_000_000;
/// Everything quiet and nothing lost any more, a mirror must be the picture after so long.
const AGREE_MS: u64 = 15_000;
const UPDATE_BYTES_MAX: usize = 256 * 1024;

pub(super) struct WatcherNode {
    pub(super) link: Option<usize>,
    session: Session,
    epoch: u64,
    heard: Time,
    /// How long it takes to read an update.
    slow_us: u64,
    number: u64,
    view: View,
}

impl WatcherNode {
    pub(super) fn new(now: Time, slow_us: u64) -> Self {
        let (session, view) = (Session::default(), View::default());
        Self { link: None, session, epoch: 0, heard: now, slow_us, number: 0, view }
    }
}

impl World {
    /// Some watchers, who come at some time.
    pub(super) fn add_watchers(&mut self) {
        for index in 0..self.rng.between(0, 3) as usize {
            let slow_us = self.rng.pick(&[0, 10_000, 400_000, 2_500_000]).unwrap_or(0);
            self.watchers.push(WatcherNode::new(self.now, slow_us));
            let delay = self.rng.between(0, 1_500_000);
            self.after_us(delay, Event::Dial(Node::Watcher(index)));
            self.after_us(delay + LOOK_US, Event::WatcherLooks(index));
        }
    }

    pub(super) fn watcher_connected(&mut self, index: usize, link: usize) {
        let watcher = &mut self.watchers[index];
        (watcher.link, watcher.session, watcher.number, watcher.heard) = (Some(link), Session::default(), 0, self.now);
        let hello = Hello::new(Role::Monitor, index as u64, format!("watcher {index}"));
        self.watcher_says(index, Message::Hello(vec![hello]));
    }

    fn watcher_says(&mut self, index: usize, message: Message) {
        let watcher = &mut self.watchers[index];
        let epoch = if matches!(message, Message::Hello(_)) { 0 } else { watcher.epoch };
        if let Some(link) = watcher.link {
            let packet = watcher.session.stamp(epoch, message);
            self.transmit(link, packet, true);
        }
    }

    fn watcher_watches(&mut self, index: usize) {
        self.watcher_says(index, Message::Watch(vec![Watch { topics: vec![Topic::Tasks, Topic::Logs] }]));
    }

    pub(super) fn watcher_hears(&mut self, index: usize, link: usize, packet: Packet) -> Checked {
        let watcher = &mut self.watchers[index];
        if watcher.link != Some(link) {
            return Ok(());
        }
        watcher.heard = self.now;
        if matches!(packet.message, Message::Reset(_)) {
            self.redial(Some(link));
            return Ok(());
        }
        match watcher.session.receive(packet.sequence, packet.ack) {
            Receipt::Fresh => {}
            Receipt::Repeated => return Ok(()),
            Receipt::Gap => {
                self.redial(Some(link));
                return Ok(());
            }
        }
        match packet.message {
            Message::Welcome(welcomes) => {
                watcher.epoch = welcomes[0].epoch;
                self.watcher_watches(index);
            }
            Message::Update(updates) => {
                for update in updates {
                    watcher.apply(&update)?;
                }
                let slow_us = watcher.slow_us;
                self.after_us(slow_us, Event::WatcherAcknowledges(index, link));
                if self.rng.once_in(40) {
                    self.watcher_watches(index);
                }
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn watcher_acknowledges(&mut self, index: usize, link: usize) {
        if self.watchers[index].link == Some(link) {
            self.watcher_says(index, Message::Ack(vec![Ack {}]));
        }
    }

    pub(super) fn watcher_looks(&mut self, index: usize) {
        self.after_us(LOOK_US, Event::WatcherLooks(index));
        let watcher = &self.watchers[index];
        if watcher.heard.plus_ms(SILENCE_MS) < self.now {
            self.redial(watcher.link);
        }
    }

    /// All mirrors become the picture, now that nothing happens any more.
    pub(super) fn watchers_agree(&mut self) -> Checked {
        let limit = self.now.plus_ms(AGREE_MS);
        let agree = |world: &Self| {
            let view = world.scheduler.view_in_full(world.now);
            world.watchers.iter().all(|watcher| same_picture(&watcher.view, &view))
        };
        while self.now < limit && !agree(self) {
            // Pictures are dear: one look for many steps.
            for _ in 0..32 {
                self.step()?;
            }
        }
        let view = self.scheduler.view_in_full(self.now);
        for (index, watcher) in self.watchers.iter().enumerate() {
            must(same_picture(&watcher.view, &view), "mirrors", || {
                let peer = watcher.link.map(|link| PeerId(link as u64));
                format!("watcher {index} ({peer:?}) does not see what the scheduler sees")
            })?;
        }
        Ok(())
    }
}

impl WatcherNode {
    fn apply(&mut self, update: &Update) -> Checked {
        let Update { number, previous, changes, .. } = update;
        must(changes.len() <= UPDATE_BYTES_MAX, "update bounds", || format!("{} bytes", changes.len()))?;
        must(*previous == 0 || *previous == self.number, "updates in order", || {
            format!("update {number} builds upon {previous}, the last one was {}", self.number)
        })?;
        if *previous == 0 {
            self.view = View::default();
        }
        self.number = *number;
        let changes: Result<Changes, _> = rmp_serde::from_slice(changes);
        must(changes.is_ok(), "updates", || format!("{changes:?}"))?;
        self.view.apply(changes.unwrap_or_default());
        Ok(())
    }
}
