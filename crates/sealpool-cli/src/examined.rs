//! A diagnosis in words and in JSON.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use humantime::format_rfc3339_seconds as date;
use sealpool::{AddressDiagnosis, Certificate, Check, Diagnosis, Finding, Level};
use serde_json::{Value, json};

pub(crate) fn json(diagnosis: &Diagnosis) -> Value {
    let failure = diagnosis.failure();
    let told = diagnosis
        .addresses
        .iter()
        .find(|address| address.session.is_some());
    let server = diagnosis
        .addresses
        .iter()
        .find(|address| address.server.is_some() || address.accepts_plaintext.is_some());
    json!({
        "outcome": if failure.is_some() { "failed" } else { "ok" },
        "stage": failure.map(|finding| finding.check.as_str()),
        "error_type": failure.and_then(error_type),
        "message": failure.map(|finding| &finding.message),
        "help": failure.and_then(|finding| finding.fix.as_ref()),
        "files": diagnosis.files.iter().map(finding).collect::<Vec<_>>(),
        "hosts": diagnosis.addresses.iter().map(address).collect::<Vec<_>>(),
        "session": told.and_then(session),
        "server": server.map(|address| json!({
            "version": address.server.as_ref().map(|server| &server.version),
            "accepts_plaintext": address.accepts_plaintext,
        })),
    })
}

fn error_type(finding: &Finding) -> Option<&'static str> {
    finding.failure.map(|failure| failure.as_str())
}

fn address(address: &AddressDiagnosis) -> Value {
    json!({
        "host": address.host,
        "port": address.port,
        "address": address.address.map(|address| address.to_string()),
        "findings": address.findings.iter().map(finding).collect::<Vec<_>>(),
        "root": address.root,
        "chain": address.chain.iter().map(certificate).collect::<Vec<_>>(),
    })
}

fn finding(finding: &Finding) -> Value {
    json!({
        "level": finding.level.as_str(),
        "check": finding.check.as_str(),
        "error_type": error_type(finding),
        "message": finding.message,
        "help": finding.fix,
        "milliseconds": finding.duration.map(|duration| duration.as_secs_f64() * 1000.0),
    })
}

fn session(address: &AddressDiagnosis) -> Option<Value> {
    let session = address.session.as_ref()?;
    let server = address.server.as_ref();
    Some(json!({
        "tls_version": session.protocol_version().as_str(),
        "cipher": server.and_then(|server| server.cipher.as_ref()),
        "key_exchange_group": session.key_exchange_group().as_str(),
        "channel_binding": session.channel_binding().as_str(),
        "certificate": certificate(session.certificate()),
    }))
}

fn certificate(certificate: &Certificate) -> Value {
    let hex = certificate
        .sha256()
        .iter()
        .fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
    json!({
        "subject": certificate.subject(),
        "issuer": certificate.issuer(),
        "names": certificate.names(),
        "not_before": date(certificate.not_before()).to_string(),
        "not_after": date(certificate.not_after()).to_string(),
        "sha256": hex,
        "pin": certificate.pin(),
    })
}

pub(crate) fn text(diagnosis: &Diagnosis) -> String {
    let mut text = String::new();
    if !diagnosis.files.is_empty() {
        text.push_str("files\n");
        lines(&mut text, &diagnosis.files);
    }
    for address in &diagnosis.addresses {
        let _ = write!(text, "{}:{}", address.host, address.port);
        if let Some(address) = address.address {
            let _ = write!(text, " at {}", address.ip());
        }
        text.push('\n');
        lines(&mut text, &address.findings);
        tree(&mut text, address);
    }
    text.push_str(match diagnosis.failure() {
        None => "all is well: a pool would work\n",
        Some(_) => "a pool would not work as it is configured\n",
    });
    text
}

fn lines(text: &mut String, findings: &[Finding]) {
    for finding in findings {
        let Finding {
            level,
            check,
            message,
            fix,
            failure,
            duration,
            ..
        } = finding;
        let (word, colour) = match level {
            Level::Failed => ("FAILED ", AnsiColor::Red),
            Level::Warning => ("warning", AnsiColor::Yellow),
            Level::Good => ("good   ", AnsiColor::Green),
            _ => ("       ", AnsiColor::White),
        };
        let style = Style::new().fg_color(Some(colour.into()));
        let _ = write!(text, "  {style}{word}{style:#}  {:9}  ", check.as_str());
        if let Some(failure) = failure {
            let _ = write!(text, "{failure}: ");
        }
        text.push_str(&plain(message));
        if let Some(duration) = duration.filter(|_| *check != Check::Files) {
            let _ = write!(text, " ({:.1} ms)", duration.as_secs_f64() * 1000.0);
        }
        text.push('\n');
        if let Some(fix) = fix {
            let _ = writeln!(text, "{:22}fix: {}", "", plain(fix));
        }
    }
}

/// What a server says must not steer the terminal.
fn plain(text: &str) -> String {
    text.replace(char::is_control, "?")
}

/// The chain as the server presented it, and the issuer at its end.
fn tree(text: &mut String, address: &AddressDiagnosis) {
    let AddressDiagnosis { chain, root, .. } = address;
    let Some(last) = chain.last() else { return };
    text.push_str("  certificates, the server's own first\n");
    for (depth, certificate) in chain.iter().enumerate() {
        let indent = 2 * depth + 4;
        let _ = writeln!(text, "{:indent$}{}", "", plain(&certificate.subject()));
        let names = certificate.names();
        if !names.is_empty() {
            let _ = writeln!(text, "{:indent$}  for {}", "", plain(&names.join(", ")));
        }
        let _ = writeln!(
            text,
            "{:indent$}  from {} to {}",
            "",
            date(certificate.not_before()),
            date(certificate.not_after())
        );
    }
    let indent = 2 * chain.len() + 4;
    match root {
        Some(root) => {
            let _ = writeln!(text, "{:indent$}{}, which is trusted", "", plain(root));
        }
        None if last.issuer() != last.subject() => {
            let _ = writeln!(text, "{:indent$}issued by {}", "", plain(&last.issuer()));
        }
        None => {}
    }
}
