//! A package whose `build.rs` checks its configuration, built by cargo.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::Path, process::Command};

/// Copies the fixture, so that cargo finds a package of its own and no file of ours changes.
fn package(toml: &str) -> tempfile::TempDir {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    for file in ["build.rs", "src/main.rs"] {
        let target = folder.path().join(file);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(here.join("tests/fixture").join(file), target).unwrap();
    }
    fs::create_dir(folder.path().join("config")).unwrap();
    fs::write(folder.path().join("config/prod.toml"), toml).unwrap();
    let manifest = format!(
        "[package]\nname = \"fixture\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n\
         [build-dependencies]\nsealpool-build = {{ path = \"{}\" }}\n",
        here.display()
    );
    fs::write(folder.path().join("Cargo.toml"), manifest).unwrap();
    fs::copy(
        here.join("../../Cargo.lock"),
        folder.path().join("Cargo.lock"),
    )
    .unwrap();
    folder
}

fn build(package: &tempfile::TempDir) -> (bool, String) {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fixture");
    let output = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--color", "never", "--target-dir"])
        .arg(target)
        .current_dir(package.path())
        .output()
        .unwrap();
    (
        output.status.success(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

#[test]
fn a_configuration_that_permits_plaintext_fails_the_build() {
    let wrong = fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixture/config/prod.toml"),
    );
    let package = package(&wrong.unwrap());
    let (succeeded, shown) = build(&package);
    assert!(!succeeded, "{shown}");
    for line in [
        "config/prod.toml:3:16: tls.mode: this permits plaintext when TLS fails; write verify-full, or leave it out",
        "  |",
        "3 | mode = \"prefer\"",
        "  |        ^^^^^^^^",
    ] {
        assert!(
            shown
                .lines()
                .any(|shown| shown.ends_with(&format!("fixture@0.0.0: {line}"))),
            "{line}\n{shown}"
        );
    }

    let right = "[db]\nhost = \"db.example.net\"\ntls = { mode = \"require\" }\n";
    fs::write(package.path().join("config/prod.toml"), right).unwrap();
    let (succeeded, shown) = build(&package);
    assert!(succeeded, "a corrected file is checked again: {shown}");
}
