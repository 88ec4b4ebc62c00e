use std::{
    net::SocketAddr,
    time::{Duration, Instant, SystemTime},
};

use sealpool_dsn::TargetSessionAttrs;

use super::{
    Certificate, Connector, Opened,
    attempt::{Target, unreachable},
    deadline::Deadline,
    dial,
    findings::{AddressDiagnosis, Check, Diagnosis, Finding, PlaintextProbe},
    probe,
    role::Role,
    seal,
};
use crate::{
    error::{Attempt, Stage, chain},
    event::{CertificateRole, Server},
    policy::{Host, Opening, Policy, RootNames},
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// A certificate that ends sooner deserves a look.
const SOON: Duration = Duration::from_secs(14 * 24 * 60 * 60);
/// Clocks that differ by more make certificates too early or too late.
const SKEW: f64 = 60.0;

impl Connector {
    /// Goes the whole way to a query, stage by stage, for every address of every host, and says what it finds. Nothing
    /// is kept, and the limits of `connect.*` hold for each stage.
    pub async fn diagnose(&self, plaintext: PlaintextProbe) -> Diagnosis {
        let policy = self.policy();
        let mut addresses = Vec::new();
        for host in &policy.hosts {
            addresses.extend(self.examine_host(&policy, host, plaintext).await);
        }
        Diagnosis {
            files: self.examine_files(),
            addresses,
        }
    }

    fn examine_files(&self) -> Vec<Finding> {
        let certificates = self.own_certificates().into_iter();
        certificates
            .map(|(role, certificate)| {
                let whose = match role {
                    CertificateRole::Client => "our certificate",
                    CertificateRole::Root | CertificateRole::Server => "the trusted root",
                };
                dated(Check::Files, whose, &certificate)
            })
            .collect()
    }

    async fn examine_host(
        &self,
        policy: &Policy,
        host: &Host,
        plaintext: PlaintextProbe,
    ) -> Vec<AddressDiagnosis> {
        let started = Instant::now();
        let resolved = dial::resolve(&self.0.resolver, host, policy.network.limits.resolve).await;
        let took = started.elapsed();
        let addresses = match resolved {
            Ok(addresses) => addresses,
            Err(error) => {
                let attempt = unreachable(host, None, Stage::Resolve, error);
                return vec![unexamined(host, None, refused(&attempt, took))];
            }
        };
        let mut examined = Vec::new();
        for address in addresses {
            let resolved = format!("{} is {}", host.name, address.ip());
            let finding = Finding::good(Check::Resolve, resolved).after(took);
            let mut diagnosis = unexamined(host, Some(address), finding);
            self.examine(policy, host, address, &mut diagnosis).await;
            if plaintext == PlaintextProbe::Ask && !is_dead(&diagnosis) {
                ask_plaintext(policy, address, &mut diagnosis).await;
            }
            examined.push(diagnosis);
        }
        examined
    }

    async fn examine(
        &self,
        policy: &Policy,
        host: &Host,
        address: SocketAddr,
        into: &mut AddressDiagnosis,
    ) {
        let end = Deadline::after(policy.network.limits.host);
        let server = Server {
            host: &host.name,
            port: host.port,
            address,
        };
        let started = Instant::now();
        let stream = match dial::connect(address, &policy.network, end).await {
            Ok(stream) => stream,
            Err(error) => {
                let attempt = unreachable(host, Some(address), Stage::Tcp, error);
                return into.findings.push(refused(&attempt, started.elapsed()));
            }
        };
        let connected = Finding::good(Check::Tcp, format!("{address} takes connections"));
        into.findings.push(connected.after(started.elapsed()));

        let started = Instant::now();
        let limit = end.cap(policy.network.limits.tls);
        let attempt = seal::Attempt::start(self.observer(), server);
        let (stream, sealed) = match attempt.seal(stream, host, &policy.tls, limit).await {
            Ok(sealed) => sealed,
            Err(failed) => {
                into.chain.clone_from(&failed.chain);
                let attempt = failed.at(host, address);
                return into.findings.push(refused(&attempt, started.elapsed()));
            }
        };
        let session = &sealed.session;
        into.chain = session.chain().to_vec();
        into.root = root(&policy.tls.roots, &into.chain);
        let negotiated = format!(
            "TLS {}, keys exchanged by {}, verified as {}",
            session.protocol_version(),
            session.key_exchange_group(),
            session.server_name()
        );
        into.findings
            .push(Finding::good(Check::Tls, negotiated).after(started.elapsed()));
        let dates = into
            .chain
            .iter()
            .map(|certificate| dated(Check::Tls, "the certificate", certificate));
        into.findings.extend(dates);

        let started = Instant::now();
        let login = match self.login(policy, host, end).await {
            Ok(login) => login,
            Err(attempt) => return into.findings.push(refused(&attempt, started.elapsed())),
        };
        let target = Target {
            policy,
            login: &login,
            host,
            wanted: TargetSessionAttrs::Any,
            end,
        };
        let opened = match self.log_in(stream, sealed, target, server).await {
            Ok(opened) => opened,
            Err(attempt) => return into.findings.push(refused(&attempt, started.elapsed())),
        };
        let method = opened.method.map_or("none", |method| method.as_str());
        let logged_in = format!(
            "logged in as {}, method {method}, channel binding {}",
            login.user,
            opened.tls.channel_binding()
        );
        into.findings
            .push(Finding::good(Check::Auth, logged_in).after(started.elapsed()));
        into.session = Some(opened.tls.clone());
        examine_server(policy, opened, into).await;
        if policy.tls.negotiation.opening == Opening::Postgres {
            let direct = match probe::takes_direct(policy, host, address).await {
                true => "available: tls.negotiation = direct saves a round trip",
                false => "not available, as before PostgreSQL 17",
            };
            let direct = format!("direct negotiation is {direct}");
            into.findings.push(Finding::good(Check::Direct, direct));
        }
    }
}

async fn examine_server(policy: &Policy, opened: Opened, into: &mut AddressDiagnosis) {
    let Opened {
        client,
        driver,
        task: _,
        owner,
        condition: _,
        method: _,
        losses: _,
        losses_before: _,
        tls: _,
        generation: _,
        host: _,
        port: _,
        address: _,
        endpoint: _,
    } = opened;
    let asked = probe::facts(&client, policy.network.limits.startup).await;
    drop((client, owner));
    // The goodbye; it has a limit of its own.
    let _ = driver.await;
    let (facts, took, skew) = match asked {
        Ok(answer) => answer,
        Err(error) => {
            let message = format!("the server does not say what it is: {}", chain(&error));
            let finding = Finding::warning(
                Check::Server,
                message,
                "look into the server's log; a pooler may stand in front of it",
            );
            return into.findings.push(finding);
        }
    };
    let seen = match (&facts.tls_version, &facts.cipher) {
        (Some(version), Some(cipher)) => format!("which sees {version} with {cipher}"),
        _ => "which sees no TLS: somebody in front of it ends it".to_owned(),
    };
    let server = format!("PostgreSQL {}, {seen}", facts.version);
    into.findings.push(
        match facts.tls_version {
            Some(_) => Finding::good(Check::Server, server),
            None => Finding::warning(
                Check::Server,
                server,
                "make sure that the way from there to PostgreSQL is encrypted too",
            ),
        }
        .after(took),
    );
    let role = Role::of(facts.in_recovery, facts.read_only);
    let is = match (facts.in_recovery, facts.read_only) {
        (true, _) => "a standby",
        (false, true) => "a primary that takes no writes",
        (false, false) => "a primary that takes writes",
    };
    let wanted = policy.network.role;
    into.findings.push(match role.unfit(wanted) {
        None => Finding::good(Check::Startup, format!("the server is {is}")),
        Some(why) => Finding::failed(
            Check::Startup,
            format!("{why}, and connect.target_session_attrs wants {wanted}"),
            "add the host that has this role, or change connect.target_session_attrs",
        ),
    });
    let clocks = match skew {
        ..=-1.0 => format!("the server's clock is {:.1} s behind ours", -skew),
        1.0.. => format!("the server's clock is {skew:.1} s ahead of ours"),
        _ => "the server's clock agrees with ours".to_owned(),
    };
    into.findings.push(if skew.abs() < SKEW {
        Finding::good(Check::Clock, clocks)
    } else {
        Finding::warning(
            Check::Clock,
            clocks,
            "set both by NTP: certificates have dates",
        )
    });
    into.server = Some(facts);
}

async fn ask_plaintext(policy: &Policy, address: SocketAddr, into: &mut AddressDiagnosis) {
    into.accepts_plaintext = probe::takes_plaintext(policy, address).await;
    into.findings.push(match into.accepts_plaintext {
        Some(true) => Finding::warning(
            Check::Plaintext,
            "the server takes sessions without TLS from here too, from whoever asks for one",
            "write hostssl instead of host in pg_hba.conf, and reload the server",
        ),
        Some(false) => Finding::good(
            Check::Plaintext,
            "the server takes no session without TLS from here",
        ),
        None => Finding::good(
            Check::Plaintext,
            "the server does not say whether it takes sessions without TLS",
        ),
    });
}

/// There is no use in asking it more.
fn is_dead(diagnosis: &AddressDiagnosis) -> bool {
    let last = diagnosis.findings.last();
    last.is_some_and(|finding| finding.check == Check::Tcp && finding.level == super::Level::Failed)
}

fn unexamined(host: &Host, address: Option<SocketAddr>, first: Finding) -> AddressDiagnosis {
    AddressDiagnosis {
        host: host.name.to_string(),
        port: host.port,
        address,
        findings: vec![first],
        chain: Vec::new(),
        root: None,
        session: None,
        server: None,
        accepts_plaintext: None,
    }
}

/// Where a chain that was verified ends.
fn root(roots: &RootNames, chain: &[Certificate]) -> Option<String> {
    let mut issuers = chain.iter().map(Certificate::issuer);
    match roots {
        RootNames::Own(names) => issuers.find(|issuer| names.contains(issuer)),
        RootNames::Public(_) => issuers.next_back(),
    }
}

/// An attempt that failed, as a finding: what mends it stands at the end of what is wrong.
fn refused(attempt: &Attempt, took: Duration) -> Finding {
    let check = match attempt.stage {
        Stage::Resolve => Check::Resolve,
        Stage::Tcp => Check::Tcp,
        Stage::Tls => Check::Tls,
        Stage::Auth => Check::Auth,
        Stage::Setup | Stage::Startup => Check::Startup,
    };
    let problem = attempt.problem.as_str();
    let known = attempt.failure.and_then(|failure| {
        let what = problem.strip_suffix(failure.fix())?.strip_suffix("; ")?;
        Some((what, failure.fix()))
    });
    let (what, fix) = known
        .or_else(|| problem.rsplit_once("; "))
        .unwrap_or((problem, "look into the server's log"));
    let said = attempt.source.as_deref().map(|source| chain(source));
    // What came before TLS ended is nobody's word.
    let message = match said {
        Some(said) if attempt.failure.is_none() => format!("{what}: {said}"),
        _ => what.to_owned(),
    };
    Finding {
        failure: attempt.failure,
        ..Finding::failed(check, message, fix)
    }
    .after(took)
}

fn dated(check: Check, whose: &str, certificate: &Certificate) -> Finding {
    let subject = match certificate.subject() {
        empty if empty.is_empty() => format!("for {}", certificate.names().join(", ")),
        subject => subject,
    };
    let Ok(left) = certificate.not_after().duration_since(SystemTime::now()) else {
        return Finding::warning(
            check,
            format!("{whose} {subject} has expired"),
            "renew it, or remove it",
        );
    };
    let days = left.as_secs() / DAY.as_secs();
    let message = format!("{whose} {subject} is valid for {days} more days");
    let life = certificate
        .not_after()
        .duration_since(certificate.not_before())
        .unwrap_or_default();
    // One made for less time than that is not late but short-lived.
    if left < SOON && life > SOON {
        Finding::warning(check, message, "renew it before it ends")
    } else {
        Finding::good(check, message)
    }
}
