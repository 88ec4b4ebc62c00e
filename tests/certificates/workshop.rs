use std::path::PathBuf;

use sealpool_testkit::{LeafBuilder, Pki};

/// What is made for one run of the table: who the server may be, and what a client may have been given.
pub(super) struct Workshop {
    pub(super) pki: Pki,
    pub(super) stranger: Pki,
    pub(super) remade: Pki,
    pub(super) folder: tempfile::TempDir,
}

impl Workshop {
    pub(super) fn new() -> Self {
        let pki = Pki::new();
        Self {
            remade: pki.remade(),
            stranger: Pki::new(),
            folder: tempfile::tempdir().unwrap(),
            pki,
        }
    }

    /// A server's certificate as it should be, to be spoilt in one way.
    pub(super) fn local(&self) -> LeafBuilder<'_> {
        self.pki
            .leaf()
            .common_name("the table's server")
            .dns("localhost")
    }

    pub(super) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    pub(super) fn root(&self) -> String {
        let path = self.file("root.pem", self.pki.root_pem());
        path.to_str().unwrap().to_owned()
    }

    pub(super) fn list(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        self.file(name, content).to_str().unwrap().to_owned()
    }
}
