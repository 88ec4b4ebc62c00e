use base64::{Engine as _, prelude::BASE64_STANDARD};
use clap::Args;
use sealpool::{Certificate, Connector, Diagnosis, PlaintextProbe};

use crate::{
    examined,
    explain::refused,
    report::Report,
    source::{Missing, Source},
};

/// Goes the whole way to a query, stage by stage, and says what it finds.
///
/// Files and their certificates, name resolution, TCP, TLS, the login, the role, for every address of every host. Where
/// something fails it says why, and what mends it. Of a session without TLS it asks whether the server would take one,
/// with invented names.
#[derive(Args, Debug)]
pub(crate) struct Doctor {
    #[command(flatten)]
    source: Source,
    /// Does not ask whether the server takes sessions without TLS
    #[arg(long)]
    skip_plaintext_probe: bool,
    /// Prints JSON
    #[arg(long, group = "form")]
    json: bool,
    /// Prints the certificates that the server presents, as PEM
    #[arg(long, group = "form")]
    show_chain: bool,
    /// Prints the server's key as `tls.pin` takes it
    #[arg(long, group = "form")]
    print_pin: bool,
}

impl Doctor {
    pub(crate) fn run(self) -> Report {
        let Self {
            source,
            skip_plaintext_probe,
            json,
            show_chain,
            print_pin,
        } = self;
        let connector = match source.read() {
            Ok(config) => Connector::new(config),
            Err(Missing::Refused(error)) => Err(error),
            Err(Missing::Wrong(problem)) => return Report::wrong(problem),
        };
        let connector = match connector {
            Ok(connector) => connector,
            Err(error) => return refused(&error, json),
        };
        let probe = match skip_plaintext_probe || show_chain || print_pin {
            true => PlaintextProbe::Skip,
            false => PlaintextProbe::Ask,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let diagnosis = match runtime {
            Ok(runtime) => runtime.block_on(connector.diagnose(probe)),
            Err(error) => return Report::wrong(format!("no runtime: {error}")),
        };
        if show_chain || print_pin {
            return presented(&diagnosis, if show_chain { pem } else { pin });
        }
        let text = match json {
            true => examined::json(&diagnosis).to_string(),
            false => examined::text(&diagnosis),
        };
        match diagnosis.failure() {
            None => Report::good(text),
            Some(_) => Report::failed(text),
        }
    }
}

/// What was presented may be printed whether it was accepted or not.
fn presented(diagnosis: &Diagnosis, print: fn(&[Certificate]) -> String) -> Report {
    let chains = diagnosis.addresses.iter().map(|address| &address.chain);
    let text: String = chains
        .filter(|chain| !chain.is_empty())
        .map(|chain| print(chain))
        .collect();
    if text.is_empty() {
        return Report::failed(examined::text(diagnosis));
    }
    Report::good(text)
}

fn pem(chain: &[Certificate]) -> String {
    let mut text = String::new();
    for certificate in chain {
        text.push_str(&format!(
            "# {}\n-----BEGIN CERTIFICATE-----\n",
            certificate.subject()
        ));
        let base64 = BASE64_STANDARD.encode(certificate.der());
        let mut rest = base64.as_str();
        while let Some((line, more)) = rest.split_at_checked(64) {
            text.push_str(&format!("{line}\n"));
            rest = more;
        }
        if !rest.is_empty() {
            text.push_str(&format!("{rest}\n"));
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    text
}

fn pin(chain: &[Certificate]) -> String {
    let Some(leaf) = chain.first() else {
        return String::new();
    };
    format!(
        "{}\n# the key of {}: whoever stands between could have presented another, so compare it on the server:\n\
         # openssl x509 -in server.crt -pubkey -noout | openssl pkey -pubin -outform DER | openssl dgst -sha256 -binary | base64\n",
        leaf.pin(),
        leaf.subject()
    )
}
