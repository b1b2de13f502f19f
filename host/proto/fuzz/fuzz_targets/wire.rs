//! Messages and values from the wire: decoded or refused, never more than that.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scaler_proto::{value::Value, wire};

fuzz_target!(|frames: Vec<Vec<u8>>| {
    if let Some(first) = frames.first() {
        let _ = Value::decode(first);
    }
    let _ = wire::decode(frames);
});
