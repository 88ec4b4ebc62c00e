#![no_main]

use libfuzzer_sys::fuzz_target;
use sealpool_dsn::{Dialect, Dsn};

fuzz_target!(|text: &str| {
    for dialect in Dialect::ALL {
        let _ = Dsn::parse_as(dialect, text);
    }
    match Dsn::parse(text) {
        Ok(dsn) => assert!(!dsn.hosts.is_empty()),
        Err(error) => assert!(text.get(error.span()).is_some()),
    }
});
