//! Calls, literals and JSON: what is read prints as itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scaler_proto::{call::Call, value::Value};

fuzz_target!(|text: &str| {
    if let Ok(call) = Call::parse(text) {
        let printed = call.to_string();
        assert_eq!(Call::parse(&printed).map(|call| call.to_string()), Ok(printed));
    }
    let _ = Value::from_json(text);
});
