//! Prints what the crate knows of its own settings: the table of `docs/configuration.md`, a TOML template, a JSON schema.
//!
//! `cargo run -p sealpool-examples --example reference -- table|template|schema`
use sealpool::Config;

fn main() -> Result<(), String> {
    match std::env::args().nth(1).as_deref() {
        Some("table") => print!("{}", Config::reference()),
        Some("template") => print!("{}", Config::template("db")),
        Some("schema") => print!("{}", Config::schema()),
        _ => return Err("say table, template or schema".to_owned()),
    }
    Ok(())
}
