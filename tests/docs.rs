use sealpool::Config;

#[test]
fn the_reference_lists_the_settings_as_they_are() {
    let page = include_str!("../docs/configuration.md");
    assert!(
        page.ends_with(&Config::reference()),
        "put the output of `cargo run -p sealpool-examples --example reference -- table` at the end of docs/configuration.md"
    );
}
