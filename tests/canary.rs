use std::{fmt::Write as _, sync::Arc};

use sealpool::Config;

use crate::rig::{Rig, chain, on_both};

on_both! {
    on_shared() => no_log_line_holds_the_password;
}

const CANARY: &str = "Qz7Winter";

/// A string of each dialect; `@PW@` is the password.
const STRINGS: [&str; 8] = [
    "postgresql://app:@PW@@db.example.net:5432/shop?sslmode=require&application_name=orders",
    "postgresql:///shop?host=db.example.net&user=app&password=@PW@&sslmode=verify-full",
    "jdbc:postgresql://db.example.net:5432/shop?user=app&password=@PW@&ssl=true",
    "host=db.example.net dbname=shop user=app password=@PW@ sslmode=require connect_timeout=5",
    "Server=db.example.net;Database=shop;User Id=app;Password=@PW@;Ssl Mode=Require;Timeout=5",
    "Driver={PostgreSQL Unicode};Server=db.example.net;Uid=app;Pwd={@PW@};SSLmode=require",
    "pgsql:host=db.example.net;dbname=shop;user=app;password=@PW@;sslmode=require",
    "psql \"host=db.example.net user=app sslpassword=@PW@ sslmode=require\"",
];

const PIECES: [&str; 24] = [
    "@",
    ":",
    "/",
    "?",
    "#",
    "&",
    "=",
    "%",
    "+",
    ";",
    "'",
    "\"",
    "{",
    "}",
    "\\",
    " ",
    "\n",
    "é",
    "sslmode=disable",
    "&foo=",
    ";Foo=",
    "host=/tmp",
    "port=x",
    "%40",
];

/// One string with up to three pieces put in anywhere but inside the password, and up to three next to it.
fn mutated(random: &mut fastrand::Rng) -> String {
    let piece = |random: &mut fastrand::Rng| PIECES[random.usize(..PIECES.len())];
    let mut password = "\u{1}".to_owned();
    for _ in 0..random.usize(..4) {
        let at = random.choice([0, password.len()]).unwrap();
        password.insert_str(at, piece(random));
    }
    let mut text = STRINGS[random.usize(..STRINGS.len())].replace("@PW@", &password);
    for _ in 0..random.usize(..4) {
        let places: Vec<_> = text.char_indices().map(|(at, _)| at).collect();
        let at = places[random.usize(..places.len())];
        text.insert_str(at, piece(random));
    }
    text.replace('\u{1}', CANARY)
}

#[test]
fn nothing_that_is_printed_holds_the_password() {
    let mut random = fastrand::Rng::with_seed(7);
    let (mut accepted, mut refused, mut shown) = (0, 0, String::new());
    for _ in 0..100_000 {
        let text = mutated(&mut random);
        shown.clear();
        match Config::from_dsn(&text) {
            Ok(config) => {
                accepted += 1;
                // A password that moved into another field is that field's value, as for every driver.
                let is_secret = config
                    .explain()
                    .values
                    .iter()
                    .all(|value| !value.value.contains(CANARY));
                if is_secret {
                    write!(
                        shown,
                        "{config:?} {config:#?} {} {:?}",
                        config.explain(),
                        config.explain()
                    )
                    .unwrap();
                }
            }
            Err(error) => {
                refused += 1;
                write!(shown, "{error} {error:?} {:?} {}", error.key(), error.fix()).unwrap();
            }
        }
        assert!(!shown.contains(CANARY), "{text:?} -> {shown}");
    }
    assert!(
        accepted > 5_000 && refused > 5_000,
        "{accepted} accepted, {refused} refused"
    );
}

async fn no_log_line_holds_the_password(rig: Arc<Rig>) {
    rig.pool(rig.config()).acquire().await.unwrap();
    let refused = rig
        .pool(rig.config().password("wrong-Qz7Winter"))
        .acquire()
        .await
        .unwrap_err();
    tracing::error!("{} {refused:?}", chain(&refused));
    let logged = crate::log::lines();
    assert!(
        logged.contains("password authentication failed"),
        "the log is collected"
    );
    assert!(
        logged.contains("tokio_postgres"),
        "also that of the libraries below"
    );
    for canary in [rig.cluster.password(), CANARY] {
        assert!(!logged.contains(canary), "{logged}");
    }
}
