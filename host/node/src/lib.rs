//! Everything that runs: configuration, servers, agent, processor and the command line.
//!
//! The roles are plain functions of their settings. [`cli`] finds out which one is meant, reads the settings, starts
//! the log and turns the outcome into an exit code; nothing else in the project ends the process.

pub mod agent;
pub mod bench;
mod carried;
pub mod cli;
pub mod compiler;
pub mod config;
pub mod demo;
mod doctor;
pub mod exit;
mod follow;
pub mod guest;
mod line;
pub mod logging;
pub mod palette;
mod plural;
mod presence;
pub mod processor;
pub mod ready;
mod resolve;
pub mod scheduler;
pub mod signals;
mod stack;
pub mod storage;
pub mod top;
pub mod ui;
mod usage;
pub mod watch;
