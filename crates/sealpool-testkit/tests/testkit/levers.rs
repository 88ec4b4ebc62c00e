use std::io::{Read, Write};
use std::net::TcpStream;

use sealpool_testkit::{Cluster, Installation, OffsetDateTime, Pki};

use crate::client::{Login, value};

const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Every lever on every version: reloading is not the same code in all of them.
fn clusters() -> impl Iterator<Item = Cluster> {
    Installation::all()
        .into_iter()
        .map(|found| Cluster::builder().installation(found).start().unwrap())
}

fn answer(cluster: &Cluster) -> u8 {
    let mut stream = TcpStream::connect(cluster.addr()).unwrap();
    stream.write_all(&SSL_REQUEST).unwrap();
    let mut answer = [0];
    stream.read_exact(&mut answer).unwrap();
    answer[0]
}

#[test]
fn tls_goes_off_and_on_at_once() {
    for cluster in clusters() {
        for _ in 0..20 {
            cluster.ssl_off().unwrap();
            assert_eq!(answer(&cluster), b'N');
            cluster.ssl_on().unwrap();
            assert_eq!(answer(&cluster), b'S');
        }
    }
}

#[tokio::test]
async fn a_setting_holds_for_the_next_session() {
    for cluster in clusters() {
        for value_set in ["1s", "it's \\ both", "2s"] {
            cluster.set("Application_Name", value_set).unwrap();
            let client = Login::to(&cluster).connect().await.unwrap();
            let row = client
                .query_one("show application_name", &[])
                .await
                .unwrap();
            assert_eq!(row.get::<_, &str>(0), value_set);
        }
    }
}

#[tokio::test]
async fn another_certificate_is_served_at_once() {
    for cluster in clusters() {
        let good = cluster.pki().leaf().dns("localhost").issue();
        let yesterday = OffsetDateTime::now_utc() - std::time::Duration::from_secs(86_400 / 2);
        let expired = cluster
            .pki()
            .leaf()
            .dns("localhost")
            .not_after(yesterday)
            .issue();
        let stranger = Pki::new().leaf().dns("localhost").issue();
        let remade = cluster.pki().remade().leaf().dns("localhost").issue();
        let elsewhere = cluster.pki().leaf().dns("elsewhere.example").issue();
        let ca = cluster.pki().leaf().dns("localhost").marked_as_ca().issue();
        let selfsigned = cluster.pki().leaf().dns("localhost").self_signed().issue();
        let client = cluster.pki().leaf().dns("localhost").client_auth().issue();
        for (leaf, refusal) in [
            (expired, "certificate expired"),
            (stranger, "UnknownIssuer"),
            (remade, "BadSignature"),
            (elsewhere, "certificate not valid for name \"localhost\""),
            (ca, "CaUsedAsEndEntity"),
            (selfsigned, "UnknownIssuer"),
            (
                client,
                "certificate does not allow extended key usage for server authentication",
            ),
        ] {
            cluster.swap_certificate(&leaf).unwrap();
            let text = Login::to(&cluster).connect().await.unwrap_err();
            assert!(text.contains(refusal), "{refusal} in {text}");
            assert_eq!(value(&cluster, "select 1").await, "1", "{refusal}");
            cluster.swap_certificate(&good).unwrap();
            Login::to(&cluster).connect().await.unwrap();
        }
    }
}

#[tokio::test]
async fn who_may_log_in_changes_at_once() {
    for cluster in clusters() {
        cluster.hba("").unwrap();
        let text = Login::to(&cluster).connect().await.unwrap_err();
        assert!(text.contains("no pg_hba.conf entry"), "{text}");
        cluster
            .hba("hostssl app app 127.0.0.1/32 scram-sha-256")
            .unwrap();
        Login::to(&cluster).connect().await.unwrap();
    }
}

#[tokio::test]
async fn what_the_server_refuses_is_an_error_and_undone() {
    for cluster in clusters() {
        for (refused, reason) in [
            (
                cluster.set("work_mem", "plenty"),
                "invalid value for parameter \"work_mem\": \"plenty\"",
            ),
            (
                cluster.set("no_such_thing", "1"),
                "unrecognized configuration parameter \"no_such_thing\"",
            ),
            (
                cluster.set("max_connections", "9"),
                "cannot be changed without restarting the server",
            ),
            (
                cluster.set("ssl_ca_file", "/nowhere/ca.pem"),
                "SSL configuration was not reloaded",
            ),
            (cluster.hba("nonsense"), "was not reloaded"),
        ] {
            let text = refused.unwrap_err().to_string();
            assert!(
                text.contains("did not take the new configuration") && text.contains(reason),
                "{reason} in {text}"
            );
        }
        cluster.set("work_mem", "5MB").unwrap();
        assert_eq!(value(&cluster, "show work_mem").await, "5MB");
        Login::to(&cluster).connect().await.unwrap();
    }
}

#[test]
fn a_lever_on_a_dead_server_says_so() {
    for cluster in clusters() {
        let pid = std::fs::read_to_string(cluster.data_dir().join("postmaster.pid")).unwrap();
        let kill = [
            "-c",
            "kill -s KILL \"$1\"",
            "sh",
            pid.lines().next().unwrap(),
        ];
        assert!(
            std::process::Command::new("sh")
                .args(kill)
                .status()
                .unwrap()
                .success()
        );
        for _ in 0..2 {
            let text = cluster.set("work_mem", "5MB").unwrap_err().to_string();
            assert!(
                text.contains("ended instead of reloading its configuration; its log ends with:"),
                "{text}"
            );
            assert!(text.contains("ready to accept connections"), "{text}");
        }
        cluster.start_again().unwrap();
        cluster.set("work_mem", "5MB").unwrap();
    }
}
