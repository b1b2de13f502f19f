//! Everything that runs: configuration, servers, agent, processor and the command line.

pub mod guest;
pub mod storage;
