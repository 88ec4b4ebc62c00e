use std::fs;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Whom a server runs as when we are root, which PostgreSQL refuses.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Account {
    /// `nobody` if we are root, else nobody in particular: ourselves.
    pub(crate) fn for_server() -> Option<Self> {
        if !runs_as_root() {
            return None;
        }
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        // The number is the one that Linux and the BSDs have always given to `nobody`.
        Some(nobody_in(&passwd).unwrap_or(Self {
            uid: 65534,
            gid: 65534,
        }))
    }

    pub(crate) fn name(account: Option<&Self>) -> String {
        account.map_or_else(
            || "the current user".to_owned(),
            |account| format!("nobody (uid {})", account.uid),
        )
    }

    pub(crate) fn apply(&self, command: &mut Command) {
        command.uid(self.uid).gid(self.gid);
    }
}

/// The standard library has no `geteuid`, and calling it otherwise is unsafe; `id` is in POSIX.
pub(crate) fn runs_as_root() -> bool {
    static ROOT: OnceLock<bool> = OnceLock::new();
    *ROOT.get_or_init(|| {
        let id = Command::new("id").arg("-u").stdin(Stdio::null()).output();
        id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
    })
}

fn nobody_in(passwd: &str) -> Option<Account> {
    let line = passwd.lines().find(|line| line.starts_with("nobody:"))?;
    let mut numbers = line
        .split(':')
        .skip(2)
        .map_while(|field| field.parse().ok());
    Some(Account {
        uid: numbers.next()?,
        gid: numbers.next()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_found_by_name() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nnobody:x:99:98:nobody:/:/sbin/nologin\n";
        let nobody = nobody_in(passwd).unwrap();
        assert_eq!((nobody.uid, nobody.gid), (99, 98));
        assert!(nobody_in("root:x:0:0:root:/root:/bin/sh\n").is_none());
    }
}
