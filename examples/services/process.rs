use std::{
    io::{BufRead as _, BufReader, Read, Write as _},
    os::unix::process::CommandExt as _,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// How long anything may take on a busy machine; without it, a wait for what does not come would never end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sends the signals that it reads. When there is no more to read we are gone, whatever ended us; then the process goes too,
/// and its folder. The shell closes its own output, so that the end of that means the end of the process.
const SUPERVISOR: &str = r#"
folder=$1
shift
"$@" & process=$!
exec >/dev/null 2>&1
trap '' HUP INT TERM
while read -r word; do
    case $word in
        wait) wait "$process"; status=$?; rm -rf "$folder"; exit "$status" ;;
        *) kill -s "$word" "$process" ;;
    esac
done
kill -s KILL "$process"
wait "$process"
rm -rf "$folder"
"#;

/// A process that ends with its test, in whatever way that ends, with a folder of its own.
#[derive(Debug)]
pub(crate) struct Process {
    supervisor: Child,
    orders: Option<ChildStdin>,
    output: Arc<Mutex<String>>,
    followers: [JoinHandle<()>; 2],
    _folder: TempDir,
}

impl Process {
    pub(crate) fn start(folder: TempDir, command: &[&str], variables: &[(&str, String)]) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", SUPERVISOR, "supervisor"]);
        shell.arg(folder.path()).args(command);
        shell
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap());
        shell.envs(variables.iter().map(|(name, value)| (name, value)));
        // A Ctrl-C is for the test; the shell has to live on to clean up.
        shell.process_group(0);
        shell.stdin(Stdio::piped());
        shell.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut supervisor = shell.spawn().unwrap();
        let output = Arc::default();
        let followers = [
            follow(supervisor.stdout.take().unwrap(), &output),
            follow(supervisor.stderr.take().unwrap(), &output),
        ];
        Self {
            orders: supervisor.stdin.take(),
            supervisor,
            output,
            followers,
            _folder: folder,
        }
    }

    /// What it has written so far.
    pub(crate) fn output(&self) -> String {
        self.output.lock().unwrap().clone()
    }

    /// What stands in its output behind `words`, up to the end of the line or a blank.
    pub(crate) fn says(&self, words: &str) -> String {
        eventually(&format!("{words:?} in its output"), || {
            let output = self.output();
            let (_, rest) = output.split_once(words).ok_or_else(|| output.clone())?;
            let (line, _) = rest.split_once('\n').ok_or_else(|| output.clone())?;
            Ok(line.split(' ').next().unwrap_or_default().to_owned())
        })
    }

    /// Sends a signal, named as in `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        writeln!(self.orders.as_ref().unwrap(), "{name}").unwrap();
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        eventually("its end", || {
            let is_over = self.followers.iter().all(JoinHandle::is_finished);
            is_over.then_some(()).ok_or_else(|| self.output())
        });
        self.signal("wait");
        (self.supervisor.wait().unwrap(), self.output())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.orders = None;
        let _ = self.supervisor.wait();
    }
}

fn follow(pipe: impl Read + Send + 'static, output: &Arc<Mutex<String>>) -> JoinHandle<()> {
    let output = Arc::clone(output);
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let mut output = output.lock().unwrap();
            output.push_str(&line);
            output.push('\n');
        }
    })
}

/// Waits for what must come to pass; the error says how it looks until then.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match look() {
            Ok(found) => return found,
            Err(seen) => assert!(
                Instant::now() < deadline,
                "{what}: not in {PATIENCE:?}, but {seen}"
            ),
        }
        thread::sleep(Duration::from_millis(20));
    }
}
