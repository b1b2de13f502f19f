//! What the scheduler's log says about who comes and goes, as data: the shell words it, tests compare it.

use crate::{
    ids::{AgentId, ClientId, TaskId},
    message::FailureKind,
};

/// Something for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// A cluster is past its preload and takes tasks, for the first time or again.
    ClusterReady {
        /// Which.
        cluster: AgentId,
        /// Its name, which others may have too.
        name: String,
        /// How many workers it has.
        workers: usize,
    },
    /// A cluster said goodbye.
    ClusterLeft {
        /// Which.
        cluster: AgentId,
        /// Its name.
        name: String,
        /// Its words.
        reason: String,
        /// Tasks that it had and that go elsewhere.
        tasks: usize,
    },
    /// A cluster went without a word.
    ClusterLost {
        /// Which.
        cluster: AgentId,
        /// Its name.
        name: String,
        /// How that was noticed.
        loss: Loss,
        /// Tasks that it had and that go elsewhere.
        tasks: usize,
    },
    /// Clusters have different versions of one module. The former one is called for a while, then neither.
    ModulesDiffer {
        /// Which module, and which cluster has what.
        message: String,
    },
    /// A client greeted.
    ClientConnected {
        /// Which.
        client: ClientId,
        /// Its name.
        name: String,
        /// It was here before and is still known.
        resumed: bool,
    },
    /// Somebody cancels the task of another client.
    Canceling {
        /// Which.
        task: TaskId,
        /// `module.path:function`.
        call: String,
        /// Who, with name and id.
        by: String,
    },
    /// The scheduler ends, and what it accepted ends with it.
    Aborting {
        /// Tasks that have not ended.
        tasks: usize,
        /// Clients that they belong to.
        clients: usize,
    },
    /// A task failed, not by what a worker said. Not all are told of by themselves, see [`Note::TasksFailedMore`].
    TaskFailed {
        /// Which.
        task: TaskId,
        /// `module.path:function`.
        call: String,
        /// Name of the worker that had it last, empty if that is not known.
        worker: String,
        /// Its cluster, empty if that is not known.
        cluster: String,
        /// How it failed.
        kind: FailureKind,
        /// Why.
        message: String,
    },
    /// So many more failed within a second.
    TasksFailedMore {
        /// How many.
        count: u64,
    },
    /// A client is forgotten with its tasks.
    ClientLeft {
        /// Which.
        client: ClientId,
        /// Its name.
        name: String,
        /// It did not say goodbye, but nothing for too long.
        silent: bool,
        /// Tasks that end with it.
        unfinished: u64,
    },
}

/// How the loss of a cluster was noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Its connection was closed.
    Closed,
    /// Nothing was heard for too long.
    Silent,
    /// What came on its connection cannot be trusted.
    Untrusted,
    /// It greeted on a new connection before the end of the old one was noticed.
    Replaced,
}
