//! The seeds of the fuzzer, each whole, cut at every byte and with every byte left out.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use sealpool_dsn::{Dialect, Dsn};

#[test]
fn seeds_and_their_neighbours_are_read_without_panic() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/parse");
    let mut seeds = 0;
    for entry in std::fs::read_dir(corpus).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        seeds += 1;
        for (at, c) in text.char_indices() {
            let (head, tail) = text.split_at(at);
            for changed in [
                head.to_owned(),
                tail.to_owned(),
                format!("{head}{}", tail.get(c.len_utf8()..).unwrap()),
            ] {
                for dialect in Dialect::ALL {
                    let _ = Dsn::parse_as(dialect, &changed);
                }
                if let Err(error) = Dsn::parse(&changed) {
                    assert!(changed.get(error.span()).is_some(), "{changed:?} {error:?}");
                }
            }
        }
    }
    assert!(seeds > Dialect::ALL.len(), "a seed for each dialect");
}
