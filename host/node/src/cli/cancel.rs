//! `scaler cancel`: ends tasks from outside, whoever submitted them.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    process::ExitCode,
    time::Instant,
};

use anyhow::Result;
use scaler_proto::{
    ids::TaskId,
    message::{CancelReply, CancelTask, Message, Role},
};

use super::{connect::Connection, output};
use crate::{
    exit,
    line::{Line, Said},
};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct CancelArgs {
    #[command(flatten)]
    connection: Connection,
    /// Which tasks, as `scaler status --tasks`, logs, errors and the page show them
    #[arg(value_name = "TASK", required = true)]
    tasks: Vec<TaskId>,
    /// One JSON object a task
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn cancel(arguments: &CancelArgs) -> Result<ExitCode> {
    let replies = order(arguments)?;
    let mut stdout = io::stdout().lock();
    let mut text = String::new();
    let mut is_complete = true;
    for (task, reply) in arguments.tasks.iter().zip(replies.values()) {
        is_complete &= reply.found;
        let CancelReply { found, state, .. } = reply;
        if arguments.json {
            let line = serde_json::json!({ "task": task.to_string(), "canceled": found, "state": state });
            text.push_str(&format!("{line}\n"));
        } else if *found {
            text.push_str(&format!("{task} is canceled; it was {state}\n"));
        } else {
            text.push_str(&format!("{task} is not canceled: {state}\n"));
        }
    }
    output::written(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()))?;
    Ok(ExitCode::from(if is_complete { exit::SUCCESS } else { exit::FAILED }))
}

/// Sends the orders, and again after a loss: saying it twice does no harm. Gives the replies in the order of the tasks.
fn order(arguments: &CancelArgs) -> Result<BTreeMap<u64, CancelReply>> {
    let connection = &arguments.connection;
    let address = connection.parsed()?;
    let deadline = Instant::now() + connection.connect_timeout_seconds;
    let mut line = Line::dial(&address, Role::Client, "scaler cancel")?;
    let orders = || {
        let numbered = (0..).zip(&arguments.tasks);
        Message::CancelTask(numbered.map(|(request, task)| CancelTask { request, task: *task }).collect())
    };
    let mut replies = BTreeMap::new();
    while replies.len() < arguments.tasks.len() {
        match line.next()? {
            Some(Said::Welcome) => line.say(orders()),
            Some(Said::Refused(reason)) => {
                return Err(exit::coded(exit::FAILED, format!("the scheduler at {address} refused: {reason}")));
            }
            Some(Said::Message(Message::CancelReply(said))) => {
                // A reply that was sent again after a loss tells of an end that the first order has caused.
                for reply in said {
                    replies.entry(reply.request).or_insert(reply);
                }
            }
            Some(Said::Message(Message::Refused(refusals))) => {
                let reasons: Vec<_> = refusals.into_iter().map(|refused| refused.reason).collect();
                return Err(exit::coded(exit::FAILED, format!("the scheduler refused: {}", reasons.join("; "))));
            }
            Some(Said::Lost | Said::Message(_)) => {}
            None if Instant::now() >= deadline => return Err(connection.unreachable()),
            None => drop(line.wait(&[], Some(deadline))?),
        }
    }
    line.close();
    Ok(replies)
}
