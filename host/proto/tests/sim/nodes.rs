//! Clients and clusters as the simulation sees them: the real cores, with processors and callers made up around them.

use std::collections::{BTreeMap, VecDeque};

use scaler_proto::{
    agent::{Agent, AgentConfig, Handed, InterruptCause},
    capability::Capabilities,
    client::{ClientConfig, ClientCore},
    ids::{AgentId, ClientId, ModuleHash, Time},
    message::{Failure, FailureKind, FunctionInfo, Identity, ModuleInfo, Outcome, Role, WorkerInfo},
};

use crate::rng::Rng;

/// What a task does, by its number alone, so that every attempt does the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Quick,
    Slow,
    Large,
    Traps,
    /// Kills its processor, every time.
    Deadly,
}

impl Manner {
    pub(crate) fn of(number: u64) -> Self {
        match number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 59 {
            0..=1 => Self::Slow,
            2..=4 => Self::Large,
            5 => Self::Traps,
            6 => Self::Deadly,
            _ => Self::Quick,
        }
    }

    pub(crate) fn run_us(self, rng: &mut Rng) -> u64 {
        match self {
            Self::Slow => rng.between(50_000, 400_000),
            _ => rng.between(5, 800),
        }
    }

    /// How it may end if nobody interferes.
    pub(crate) fn ends(self) -> Option<FailureKind> {
        match self {
            Self::Quick | Self::Slow | Self::Large => None,
            Self::Traps => Some(FailureKind::Trap),
            Self::Deadly => Some(FailureKind::ProcessorDied),
        }
    }
}

pub(crate) fn failed(kind: FailureKind) -> Outcome {
    Outcome::Failed(Failure { kind, message: "simulated".to_owned(), value: None, trace: None })
}

pub(crate) fn module() -> ModuleInfo {
    ModuleInfo {
        path: "m".to_owned(),
        identity: Identity { hash: ModuleHash([7; 32]), preload: None },
        functions: vec![FunctionInfo { interface: None, name: "f".to_owned(), signature: vec![] }],
    }
}

pub(crate) struct ClientNode {
    pub(crate) id: ClientId,
    pub(crate) core: ClientCore,
    /// Its connection as the world numbers it.
    pub(crate) link: Option<usize>,
    pub(crate) registered: Option<scaler_proto::ids::FunctionId>,
    pub(crate) to_submit: u64,
    pub(crate) submitted: u64,
    pub(crate) open: BTreeMap<u64, bool>,
    pub(crate) is_dead: bool,
}

impl ClientNode {
    pub(crate) fn new(now: Time, number: u64, to_submit: u64) -> Self {
        let id = ClientId(0x100 + number);
        let config = ClientConfig {
            id,
            name: format!("client {number}"),
            build: String::new(),
            role: Role::Client,
            connect_timeout_ms: 3_600_000,
            timeout_ms: 3_600_000,
            heartbeat_ms: 500,
        };
        Self {
            id,
            core: ClientCore::new(config, now),
            link: None,
            registered: None,
            to_submit,
            submitted: 0,
            open: BTreeMap::new(),
            is_dead: false,
        }
    }
}

/// One worker's processor.
#[derive(Default)]
pub(crate) struct Processor {
    /// Counts the processes, so that what was planned for an older one is recognised.
    pub(crate) process: u64,
    pub(crate) is_alive: bool,
    pub(crate) queue: VecDeque<Handed>,
    pub(crate) running: Option<(Handed, Time)>,
}

pub(crate) struct AgentNode {
    pub(crate) core: Agent,
    /// Raised with every new process.
    pub(crate) life: u64,
    pub(crate) tags: Vec<Capabilities>,
    pub(crate) queues: u64,
    pub(crate) processors: Vec<Processor>,
    pub(crate) link: Option<usize>,
    /// Stopped until then, as by SIGSTOP.
    pub(crate) stalled: Option<Time>,
    pub(crate) is_dead: bool,
    /// Interrupts that its guests do not obey.
    pub(crate) deaf: u64,
}

impl AgentNode {
    pub(crate) fn new(now: Time, number: u64, life: u64, tags: Vec<Capabilities>, queue_size: u32) -> Self {
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
    pub(crate) fn tell_pages(&mut self, now: Time) {
        for (worker, processor) in self.processors.iter().enumerate() {
            let running = processor.running.as_ref().map(|(handed, since)| (handed.sequence, *since));
            self.core.processor_running(now, worker as u16, running);
        }
    }
}

pub(crate) fn interrupted(cause: InterruptCause) -> Outcome {
    failed(match cause {
        InterruptCause::Cancel => FailureKind::Canceled,
        InterruptCause::Timeout => FailureKind::Timeout,
    })
}
