//! The imports of `wit/host.wit`, by hand, and what stands for them in a native build.

#[cfg(target_family = "wasm")]
mod imports {
    #[link(wasm_import_module = "scaler:guest/host@0.1.0")]
    unsafe extern "C" {
        #[link_name = "log"]
        pub(super) fn log(level: i32, message: *const u8, length: usize);
        #[link_name = "panicked"]
        pub(super) fn panicked(message: *const u8, length: usize);
        #[link_name = "random-u64"]
        pub(super) safe fn random_u64() -> u64;
    }
}

/// `log` of the host; the level's number is its place in the enum.
pub(crate) fn log(level: crate::log::Level, message: &str) {
    #[cfg(target_family = "wasm")]
    // SAFETY: pointer and length are those of a live string, and the host only reads them.
    unsafe {
        imports::log(level as i32, message.as_ptr(), message.len());
    }
    #[cfg(not(target_family = "wasm"))]
    eprintln!("[{level:?}] {message}");
}

/// `panicked` of the host.
#[cfg(target_family = "wasm")]
pub(crate) fn panicked(message: &str) {
    // SAFETY: pointer and length are those of a live string, and the host only reads them.
    unsafe { imports::panicked(message.as_ptr(), message.len()) }
}

/// `random-u64` of the host.
pub(crate) fn random_u64() -> u64 {
    #[cfg(target_family = "wasm")]
    return imports::random_u64();
    #[cfg(not(target_family = "wasm"))]
    {
        use std::hash::{BuildHasher, RandomState};
        RandomState::new().hash_one(0_u64)
    }
}
