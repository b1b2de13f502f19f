//! The only crate that names zmq: links between processes.
