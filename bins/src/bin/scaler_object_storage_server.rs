//! The original's name for `scaler object_storage_server`.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    scaler_node::cli::object_storage_server()
}
