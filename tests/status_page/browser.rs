use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Starting a browser is what takes longest on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// A page in a Chromium without a window, driven by the DevTools protocol over a pipe.
pub(crate) struct Browser {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    calls: u64,
    session: Option<String>,
    /// What the page has told of itself.
    pub(crate) told: Vec<Value>,
    _home: TempDir,
}

impl Browser {
    /// Whatever it asks of other machines goes to `proxy`.
    pub(crate) fn start(proxy: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        // It reads commands from descriptor 3 and answers on 4.
        let script = r#"exec chromium "$@" 3<&0 4>&1 </dev/null >/dev/null"#;
        let profile = format!("--user-data-dir={}", home.path().display());
        let proxy = format!("--proxy-server={proxy}");
        let mut child = Command::new("sh")
            .args(["-c", script, "chromium", "--headless=new", &profile, &proxy])
            .args([
                "--remote-debugging-pipe",
                // There is no sandbox for root, nor in most containers; what it opens is ours.
                "--no-sandbox",
                "--disable-gpu",
                // The one of a container may be too small.
                "--disable-dev-shm-usage",
                "--disable-background-networking",
                "--disable-breakpad",
                "--disable-component-update",
                "--disable-default-apps",
                "--disable-extensions",
                "--disable-sync",
                "--no-default-browser-check",
                "--no-first-run",
                "about:blank",
            ])
            .env("HOME", home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(home.path().join("stderr")).unwrap())
            .spawn()
            .unwrap();
        let (sender, from) = channel();
        let answers = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            for answer in answers.split(0).map_while(Result::ok) {
                let answer = serde_json::from_slice(&answer).expect("JSON");
                if sender.send(answer).is_err() {
                    return;
                }
            }
        });
        let mut browser = Self {
            to: child.stdin.take().unwrap(),
            child,
            from,
            calls: 0,
            session: None,
            told: Vec::new(),
            _home: home,
        };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }));
        let target = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", target);
        browser.session = session["sessionId"].as_str().map(ToOwned::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser
    }

    pub(crate) fn call(&mut self, method: &str, params: Value) -> Value {
        self.calls += 1;
        let id = self.calls;
        let mut call = json!({ "id": id, "method": method, "params": params });
        if let Some(session) = &self.session {
            call["sessionId"] = session.as_str().into();
        }
        // One that could not be started says so when it is waited for.
        let _ = self.to.write_all(format!("{call}\0").as_bytes());
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.hear(deadline, method);
            if answer["id"] != id {
                self.told.push(answer);
                continue;
            }
            assert!(answer.get("error").is_none(), "{method}: {answer}");
            return answer["result"].clone();
        }
    }

    fn hear(&mut self, deadline: Instant, method: &str) -> Value {
        let left = deadline.saturating_duration_since(Instant::now());
        match self.from.recv_timeout(left) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Timeout) => panic!("{method}: no answer in {PATIENCE:?}"),
            Err(RecvTimeoutError::Disconnected) => panic!(
                "chromium has ended: {}\ninstall Chromium (Debian's package `chromium`) if it is missing",
                fs::read_to_string(self._home.path().join("stderr")).unwrap_or_default()
            ),
        }
    }

    pub(crate) fn open(&mut self, url: &str) {
        self.call("Page.navigate", json!({ "url": url }));
    }

    /// The value of an expression, once its promise is kept if it is one.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let params =
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let value = self.call("Runtime.evaluate", params);
        assert!(
            value.get("exceptionDetails").is_none(),
            "{expression}: {value}"
        );
        value["result"]["value"].clone()
    }

    /// What a reader sees.
    pub(crate) fn text(&mut self) -> String {
        let text = self.value("document.body ? document.body.innerText : ''");
        text.as_str().unwrap().to_owned()
    }

    pub(crate) fn look_like(&mut self, width: u32, scheme: &str) {
        let size =
            json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", size);
        let features = json!([
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]);
        self.call(
            "Emulation.setEmulatedMedia",
            json!({ "features": features }),
        );
    }

    /// Keeps a picture of the whole page with what the tests put out.
    pub(crate) fn picture(&mut self, name: &str) -> PathBuf {
        let size = self.value("[innerWidth, document.documentElement.scrollHeight]");
        let clip = json!({ "x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1 });
        let params = json!({ "captureBeyondViewport": true, "clip": clip });
        let picture = self.call("Page.captureScreenshot", params);
        let picture = BASE64_STANDARD.decode(picture["data"].as_str().unwrap());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("screenshots");
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join(name);
        fs::write(&file, picture.unwrap()).unwrap();
        file
    }

    /// The addresses that the page has asked for.
    pub(crate) fn requests(&mut self) -> Vec<String> {
        self.value("0");
        let sent = self
            .told
            .iter()
            .filter(|event| event["method"] == "Network.requestWillBeSent");
        sent.map(|event| {
            let url = event["params"]["request"]["url"].as_str();
            url.unwrap().to_owned()
        })
        .collect()
    }

    /// What stands in the console, and what should not have happened at all.
    pub(crate) fn complaints(&mut self) -> Vec<&Value> {
        self.value("0");
        let complains = |event: &&Value| {
            [
                "Log.entryAdded",
                "Runtime.consoleAPICalled",
                "Runtime.exceptionThrown",
            ]
            .contains(&event["method"].as_str().unwrap_or_default())
        };
        self.told.iter().filter(complains).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self
            .to
            .write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        let deadline = Instant::now() + Duration::from_secs(10);
        // Its profile can be removed once it has written its last.
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
