//! The only crate that names wasmtime: one call in a fresh instance, under grants and limits.
