//! The interface `scaler:guest/host` that guests made with the SDK import; every task has it, granted or not.

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker, WasmStr};

use crate::state::{NotGranted, State};
use crate::{LogLevel, LogSource};

/// The contract is `guest-sdk/wit/`.
const INTERFACE: &str = "scaler:guest/host@0.1.0";

/// `level` of the interface.
#[derive(Clone, Copy, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "only the derived lifting makes values, from what the guest sent")]
enum Level {
    #[component(name = "trace")]
    Trace,
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
}

impl From<Level> for LogLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Trace => Self::Trace,
            Level::Debug => Self::Debug,
            Level::Info => Self::Info,
            Level::Warn => Self::Warn,
            Level::Error => Self::Error,
        }
    }
}

/// Offers the interface.
pub(crate) fn add_to_linker<T: State>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    let mut host = linker.instance(INTERFACE)?;
    host.func_wrap("log", |mut store: StoreContextMut<'_, T>, (level, message): (Level, WasmStr)| {
        let text = message.to_str(&store)?.into_owned();
        store.data_mut().task().log.lines(LogSource::Guest(level.into()), &text);
        Ok(())
    })?;
    host.func_wrap("panicked", |mut store: StoreContextMut<'_, T>, (message,): (WasmStr,)| {
        let text = message.to_str(&store)?.into_owned();
        store.data_mut().task().keep_panic(&text);
        Ok(())
    })?;
    host.func_wrap("random-u64", |mut store: StoreContextMut<'_, T>, (): ()| {
        let task = store.data_mut().task();
        if !task.random_granted {
            return Err(NotGranted { what: "random numbers", grant: "random" }.into());
        }
        task.saw_the_world = true;
        Ok((random_u64()?,))
    })?;
    Ok(())
}

/// Fresh from the kernel, so that two tasks from one snapshot differ.
fn random_u64() -> std::io::Result<u64> {
    let mut bytes = [0_u8; 8];
    // SAFETY: the pointer and the length describe `bytes`, which the kernel fills.
    let filled = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    match usize::try_from(filled) {
        Ok(8) => Ok(u64::from_ne_bytes(bytes)),
        _ => Err(std::io::Error::last_os_error()),
    }
}
