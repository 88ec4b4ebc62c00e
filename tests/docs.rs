use std::fs;

use sealpool::{Config, Pool};

#[test]
fn the_reference_lists_the_settings_as_they_are() {
    let page = include_str!("../docs/configuration.md");
    assert!(
        page.ends_with(&Config::reference()),
        "put the output of `cargo run -p sealpool-examples --example reference -- table` at the end of docs/configuration.md"
    );
}

#[test]
fn the_tables_of_several_hosts_make_pools() {
    let page = include_str!("../docs/several-hosts.md");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.toml");
    let mut tables = 0;
    for block in page.split("```toml\n").skip(1) {
        let (text, _) = block.split_once("```").unwrap();
        fs::write(&path, text).unwrap();
        for line in text.lines() {
            let Some(table) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) else {
                continue;
            };
            let config = Config::from_toml(&path, table).unwrap_or_else(|error| panic!("{error}"));
            Pool::builder(config)
                .build()
                .unwrap_or_else(|error| panic!("{error}"));
            tables += 1;
        }
    }
    assert_eq!(tables, 4);
}
