use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use super::account::Account;
use super::home::Home;
use super::log::Log;
use crate::{Error, Installation};

/// Runs the server and does what it reads from us. When there is no more to read we are gone, whatever ended us; then
/// the server goes too, and its folder.
///
/// A shell without job control starts its background jobs with SIGQUIT ignored, and the server takes a moment to change
/// that; hence the loop. PgBouncer never does, and is ended by SIGKILL: it has nothing to lose. The shell closes its own
/// standard error, so that the end of that pipe means the end of the server.
const SUPERVISOR: &str = r#"
folder=$1 last=$2
shift 2
"$@" & server=$!
exec 2>/dev/null
trap '' HUP INT TERM
while read -r word; do
    case $word in
        leave) wait "$server"; exit ;;
        remove) wait "$server"; rm -rf "$folder"; exit ;;
        *) kill -s "$word" "$server" ;;
    esac
done
while kill -s "$last" "$server"; do sleep 1; done
wait "$server"
rm -rf "$folder"
"#;

/// Data folder, roles and database, before the server first listens: single-user mode needs no password, port or wait.
const INITIALIZE: &str = r#"
set -e
bin=$1 folder=$2 checksums=$3
"$bin/initdb" -D "$folder/data" -U postgres -E UTF8 --locale=C --auth=reject --no-sync --no-instructions $checksums >/dev/null
"$bin/postgres" --single -D "$folder/data" -c fsync=off -c password_encryption=scram-sha-256 postgres \
    <"$folder/setup.sql" >/dev/null
rm "$folder/setup.sql"
exec "$bin/postgres" -D "$folder/data" -c "config_file=$folder/postgresql.conf"
"#;

const POSTGRESQL: &str = "QUIT";
const PGBOUNCER: &str = "KILL";

/// A running server under its supervisor.
#[derive(Debug)]
pub(crate) struct Server {
    supervisor: Child,
    orders: Option<ChildStdin>,
    /// The signal that ends it, as in `QUIT`.
    last: &'static str,
    log: Arc<Log>,
}

impl Server {
    /// Makes the data folder first. `setup.sql` has to be there.
    pub(crate) fn initialize(
        installation: &Installation,
        home: &Home,
        log: &Arc<Log>,
    ) -> Result<Self, Error> {
        // Checksums are the default since 18 and cost time.
        let checksums = if installation.major() >= 18 {
            "--no-data-checksums"
        } else {
            ""
        };
        let mut command = supervisor(home, POSTGRESQL);
        command.args(["sh", "-c", INITIALIZE, "sealpool-initialize"]);
        command
            .arg(installation.bin())
            .arg(home.folder())
            .arg(checksums);
        let program = installation.bin().join("postgres");
        Self::spawn(command, POSTGRESQL, &program, home, log)
    }

    /// Starts on the data folder that is there.
    pub(crate) fn start(
        installation: &Installation,
        home: &Home,
        log: &Arc<Log>,
    ) -> Result<Self, Error> {
        let mut command = supervisor(home, POSTGRESQL);
        let program = installation.bin().join("postgres");
        command.arg(&program).arg("-D").arg(home.data());
        command.arg("-c").arg(format!(
            "config_file={}",
            home.path("postgresql.conf").display()
        ));
        Self::spawn(command, POSTGRESQL, &program, home, log)
    }

    /// Starts another server, which takes nothing but the name of its file.
    pub(crate) fn run(
        program: &Path,
        file: &Path,
        home: &Home,
        log: &Arc<Log>,
    ) -> Result<Self, Error> {
        let mut command = supervisor(home, PGBOUNCER);
        command.arg(program).arg(file);
        Self::spawn(command, PGBOUNCER, program, home, log)
    }

    fn spawn(
        mut command: Command,
        last: &'static str,
        program: &Path,
        home: &Home,
        log: &Arc<Log>,
    ) -> Result<Self, Error> {
        let mut supervisor = command.spawn().map_err(|source| Error::Program {
            program: program.to_owned(),
            user: Account::name(home.account()),
            source,
        })?;
        if let Some(pipe) = supervisor.stderr.take() {
            log.follow(pipe);
        }
        Ok(Self {
            orders: supervisor.stdin.take(),
            supervisor,
            last,
            log: Arc::clone(log),
        })
    }

    /// Sends a signal, named as in `HUP`, to the postmaster.
    pub(crate) fn signal(&mut self, name: &str) {
        self.order(name);
    }

    /// Ends the supervisor of a server that is gone, and leaves the folder.
    pub(crate) fn leave(mut self) {
        self.finish("leave");
    }

    /// Stops without removing the folder, for another try on another port.
    pub(crate) fn give_up_port(mut self) {
        self.order(self.last);
        if self.log.wait_for_end(Duration::from_secs(10)) {
            self.finish("leave");
        }
    }

    fn order(&mut self, word: &str) {
        if let Some(orders) = &mut self.orders {
            // A supervisor that reads no more has already done the last that could be asked of it.
            let _ = writeln!(orders, "{word}");
        }
    }

    fn finish(&mut self, word: &str) {
        self.order(word);
        self.orders = None;
        let _ = self.supervisor.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.orders.is_none() {
            return;
        }
        self.order(self.last);
        if self.log.wait_for_end(Duration::from_secs(10)) {
            self.finish("remove");
        }
        // Otherwise the end of the pipe tells the supervisor to go on trying.
    }
}

fn supervisor(home: &Home, last: &str) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", SUPERVISOR, "sealpool-supervisor"])
        .arg(home.folder())
        .arg(last);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    // A Ctrl-C is for the test; the supervisor has to live on to clean up.
    command.current_dir("/").process_group(0);
    // The first two make messages what we wait for and spare initdb its search for a time zone.
    command.env("LC_ALL", "C").env("TZ", "UTC");
    // Where a standby's libpq looks for files that nobody has asked for.
    command.env("HOME", home.folder());
    for (name, _) in
        std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG"))
    {
        command.env_remove(name);
    }
    if let Some(account) = home.account() {
        account.apply(&mut command);
    }
    command
}
