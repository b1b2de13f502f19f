//! Servers as child processes of this program: started by role, waited for by their ready line, stopped in order.
//!
//! `demo` and `bench` stand on it: the servers are the real ones, each in a process of its own, as a user would
//! start them.

use std::{
    fs::{self, File},
    io,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const READY_WAIT: Duration = Duration::from_secs(60);
const STOP_WAIT: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(5);

/// Lets a child be told to end when the thread that starts it ends, however that comes.
pub(crate) fn die_with_parent(command: &mut Command) {
    // SAFETY: between fork and exec only prctl is called, which is async-signal-safe and touches no memory.
    unsafe {
        command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        });
    }
}

/// A server that runs. Killed when dropped, unless it was stopped.
#[derive(Debug)]
pub(crate) struct Server {
    role: &'static str,
    child: Child,
    log: PathBuf,
    ready: Value,
}

impl Server {
    /// Starts this program in a role, with its output in `<folder>/<name>.log` and `folder` as working directory.
    pub(crate) fn spawn(role: &'static str, name: &str, folder: &Path, arguments: &[&str]) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let out = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = Command::new(std::env::current_exe().context("the path of this program is not known")?);
        command
            .arg(role)
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            // Ctrl-C goes to us alone: we stop the servers in order.
            .process_group(0);
        die_with_parent(&mut command);
        let child = command.spawn().with_context(|| format!("cannot start the {role}"))?;
        Ok(Self { role, child, log, ready: Value::Null })
    }

    /// Waits for the ready line.
    pub(crate) fn wait_ready(&mut self) -> Result<&Value> {
        let end = Instant::now() + READY_WAIT;
        loop {
            if let Some(ready) = self.ready_line() {
                self.ready = ready;
                return Ok(&self.ready);
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the {} ended with {status} before it was ready:\n{}", self.role, self.last_lines());
            }
            if Instant::now() > end {
                bail!("the {} was not ready within {READY_WAIT:?}:\n{}", self.role, self.last_lines());
            }
            thread::sleep(POLL);
        }
    }

    /// An address from the ready line.
    pub(crate) fn address(&self, key: &str) -> Result<String> {
        let address = self.ready.get(key).and_then(Value::as_str);
        Ok(address.with_context(|| format!("the ready line of the {} has no {key}", self.role))?.to_owned())
    }

    /// The process ids of a cluster's processors when it became ready.
    pub(crate) fn processors(&self) -> Vec<u32> {
        let pids = self.ready.get("processor_pids").and_then(Value::as_array);
        pids.into_iter().flatten().filter_map(Value::as_u64).filter_map(|pid| u32::try_from(pid).ok()).collect()
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to stop and waits.
    pub(crate) fn stop(&mut self) -> Result<ExitStatus> {
        if let Some(status) = self.child.try_wait()? {
            return Ok(status);
        }
        if let Some(pid) = Pid::from_raw(self.child.id().cast_signed()) {
            kill_process(pid, Signal::TERM)?;
        }
        let end = Instant::now() + STOP_WAIT;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            thread::sleep(POLL);
        }
        self.child.kill()?;
        self.child.wait()?;
        bail!("the {} did not stop within {STOP_WAIT:?} and was killed; its log is {}", self.role, self.log.display())
    }

    fn ready_line(&self) -> Option<Value> {
        let text = fs::read_to_string(&self.log).ok()?;
        text.lines().filter(|line| line.starts_with('{')).find_map(|line| {
            let value: Value = serde_json::from_str(line).ok()?;
            value.get("ready").is_some().then_some(value)
        })
    }

    fn last_lines(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// CPU time that a process has used so far, its ended and waited-for children not included.
pub(crate) fn cpu_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The command name is in parentheses and may hold blanks; user and system time are fields 14 and 15.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = [11, 12].iter().filter_map(|field| fields.get(*field)?.parse::<u64>().ok()).sum();
    Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// Highest resident memory of a process so far.
pub(crate) fn peak_rss_bytes(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kib =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Three TCP ports of the loopback interface that are free now.
pub(crate) fn free_ports() -> Result<[u16; 3]> {
    let listeners = [(); 3].map(|()| std::net::TcpListener::bind("127.0.0.1:0"));
    let mut ports = [0; 3];
    for (port, listener) in ports.iter_mut().zip(listeners) {
        *port = listener
            .and_then(|listener| listener.local_addr())
            .context("no free port on the loopback interface")?
            .port();
    }
    Ok(ports)
}
