//! Clients and clusters as the simulation sees them: the real cores, with processors and callers made up around them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{
    agent::{Agent, AgentConfig, Handed, InterruptCause},
    capability::Capabilities,
    client::{ClientConfig, ClientCore},
    ids::{AgentId, ClientId, ModuleHash, ObjectId, Time},
    message::{Failure, FailureKind, FunctionInfo, Identity, ModuleInfo, Outcome, Role, WorkerInfo},
};

use crate::sim::rng::Rng;

/// What a task does, by its number alone, so that every attempt does the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    Quick,
    Slow,
    Large,
    Traps,
    /// Kills its processor, every time.
    Deadly,
}

impl Manner {
    pub(super) fn of(number: u64) -> Self {
        match number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 59 {
            0..=1 => Self::Slow,
            2..=4 => Self::Large,
            5 => Self::Traps,
            6 => Self::Deadly,
            _ => Self::Quick,
        }
    }

    pub(super) fn run_us(self, rng: &mut Rng) -> u64 {
        match self {
            Self::Slow => rng.between(50_000, 400_000),
            _ => rng.between(5, 800),
        }
    }

    /// How it may end if nobody interferes.
    pub(super) fn ends(self) -> Option<FailureKind> {
        match self {
            Self::Quick | Self::Slow | Self::Large => None,
            Self::Traps => Some(FailureKind::Trap),
            Self::Deadly => Some(FailureKind::ProcessorDied),
        }
    }
}

pub(super) fn failed(kind: FailureKind) -> Outcome {
    Outcome::Failed(Failure { kind, message: "simulated".to_owned(), value: None, trace: None })
}

pub(super) fn module() -> ModuleInfo {
    ModuleInfo {
        path: "m".to_owned(),
        identity: Identity { hash: ModuleHash([7; 32]), preload: None },
        functions: vec![FunctionInfo { interface: None, name: "f".to_owned(), signature: vec![] }],
    }
}

pub(super) struct ClientNode {
    pub(super) id: ClientId,
    pub(super) core: ClientCore,
    /// Its connection as the world numbers it.
    pub(super) link: Option<usize>,
    pub(super) registered: Option<crate::ids::FunctionId>,
    pub(super) to_submit: u64,
    pub(super) submitted: u64,
    pub(super) open: BTreeMap<u64, bool>,
    /// Objects that it has put, and the open tasks that use them.
    pub(super) objects: BTreeMap<ObjectId, BTreeSet<u64>>,
    pub(super) is_dead: bool,
    /// It knows that its goodbye may not have been heard.
    pub(super) is_unheard: bool,
}

impl ClientNode {
    pub(super) fn new(now: Time, number: u64, to_submit: u64) -> Self {
        let id = ClientId(0x100 + number);
        let config = ClientConfig {
            id,
            name: format!("client {number}"),
            build: String::new(),
            role: Role::Client,
            connect_timeout_ms: 3_600_000,
            timeout_ms: 3_600_000,
            heartbeat_ms: 500,
            profiling: false,
            stream_output: false,
        };
        Self {
            id,
            core: ClientCore::new(config, now),
            link: None,
            registered: None,
            to_submit,
            submitted: 0,
            open: BTreeMap::new(),
            objects: BTreeMap::new(),
            is_dead: false,
            is_unheard: false,
        }
    }
}

/// One worker's processor.
#[derive(Default)]
pub(super) struct Processor {
    /// Counts the processes, so that what was planned for an older one is recognised.
    pub(super) process: u64,
    pub(super) is_alive: bool,
    pub(super) queue: VecDeque<Handed>,
    pub(super) running: Option<(Handed, Time)>,
}

pub(super) struct AgentNode {
    pub(super) core: Agent,
    /// Raised with every new process.
    pub(super) life: u64,
    pub(super) tags: Vec<Capabilities>,
    pub(super) queues: u64,
    pub(super) processors: Vec<Processor>,
    pub(super) link: Option<usize>,
    /// Stopped until then, as by SIGSTOP.
    pub(super) stalled: Option<Time>,
    pub(super) is_dead: bool,
    /// Interrupts that its guests do not obey.
    pub(super) deaf: u64,
}

impl AgentNode {
    pub(super) fn new(now: Time, number: u64, life: u64, tags: Vec<Capabilities>, queue_size: u32) -> Self {
        let infos = tags.iter().enumerate().map(|(index, capabilities)| WorkerInfo {
            name: format!("worker {number}.{index}"),
            capabilities: capabilities.clone(),
            queue_size,
        });
        let mut config =
            AgentConfig::new(AgentId(0x1000 * number + life), format!("cluster {number}"), infos.collect());
        config.heartbeat_interval_ms = 300;
        config.death_timeout_ms = 3_600_000;
        let mut core = Agent::new(config, now);
        core.start(now);
        core.announce(vec![module()]);
        let processors = tags.iter().map(|_| Processor::default()).collect();
        let queues = u64::from(queue_size) * tags.len() as u64;
        Self { core, life, tags, queues, processors, link: None, stalled: None, is_dead: false, deaf: 10 }
    }

    /// What the shared pages say, before a tick.
    pub(super) fn tell_pages(&mut self, now: Time) {
        for (worker, processor) in self.processors.iter().enumerate() {
            let running = processor.running.as_ref().map(|(handed, since)| (handed.sequence, *since));
            self.core.processor_running(now, worker as u16, running);
        }
    }
}

pub(super) fn interrupted(cause: InterruptCause) -> Outcome {
    failed(match cause {
        InterruptCause::Cancel => FailureKind::Canceled,
        InterruptCause::Timeout => FailureKind::Timeout,
    })
}
