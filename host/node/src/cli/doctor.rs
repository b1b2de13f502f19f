//! `scaler doctor`: what is missing on this machine, and what to do about it.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use serde_json::json;

use super::output;
use crate::{
    doctor::{self, Finding, Verdict},
    exit,
};

#[derive(Clone, Debug, clap::Args)]
pub(super) struct DoctorArgs {
    /// As one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn doctor(arguments: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let findings = doctor::examine();
    let is_well = findings.iter().all(|finding| finding.verdict != Verdict::Problem);
    let text = if arguments.json { object(&findings, is_well) } else { picture(&findings) };
    output::written(io::stdout().lock().write_all(text.as_bytes()))?;
    Ok(ExitCode::from(if is_well { exit::SUCCESS } else { exit::FAILED }))
}

fn picture(findings: &[Finding]) -> String {
    let mut text = String::new();
    let width = findings.iter().map(|finding| finding.name.len()).max().unwrap_or(0);
    for Finding { name, verdict, what, remedy } in findings {
        text.push_str(&format!("{:<7}  {name:<width$}  {what}\n", verdict.word()));
        for line in remedy.iter().flat_map(|remedy| remedy.lines()) {
            text.push_str(&format!("{:<7}  {:<width$}  -> {line}\n", "", ""));
        }
    }
    text
}

fn object(findings: &[Finding], is_well: bool) -> String {
    let checks = findings.iter().map(|Finding { name, verdict, what, remedy }| {
        json!({"check": name, "verdict": verdict.word(), "what": what, "remedy": remedy})
    });
    json!({"ok": is_well, "checks": checks.collect::<Vec<_>>()}).to_string() + "\n"
}
