use std::{
    fs,
    process::{Command, Output},
    sync::Arc,
};

use sealpool::{Config, Layer, Pool};

use crate::rig::{Rig, on_both};

on_both! {
    on_shared() => from_toml;
    on_shared() => from_the_environment;
    on_shared() => from_connection_strings;
    on_shared() => from_libpqs_variables;
    on_shared() => the_later_layer_counts;
}

fn toml(rig: &Rig, password: &str) -> String {
    format!(
        "[services.db]\nhost = \"localhost\"\nhostaddr = [\"127.0.0.1\"]\nport = {}\ndatabase = \"{}\"\nuser = \"{}\"\n\
         password = \"{password}\"\npool = {{ max_size = 3 }}\n\n[services.db.tls]\nroot = \"{}\"\n",
        rig.tap.port(),
        rig.cluster.database(),
        rig.cluster.user(),
        rig.cluster.root_file().display(),
    )
}

async fn from_toml(rig: Arc<Rig>) {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), toml(&rig, rig.cluster.password())).unwrap();
    let pool = rig.pool(Config::from_toml(file.path(), "services.db").unwrap());
    assert_eq!(pool.status().max_size, 3);
    pool.acquire()
        .await
        .unwrap()
        .query_one("select 1", &[])
        .await
        .unwrap();
}

/// A process with an environment of its own.
fn service(arguments: &[&str], variables: &[(&str, String)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_configured"));
    command.args(arguments).env_clear();
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    command.output().unwrap()
}

fn answer(output: &Output) -> String {
    assert!(output.status.success(), "{}", complaint(output));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}

async fn from_the_environment(rig: Arc<Rig>) {
    let mut variables = vec![
        ("APP_DB_HOST", "localhost".to_owned()),
        ("APP_DB_HOSTADDR", "127.0.0.1".to_owned()),
        ("APP_DB_PORT", rig.tap.port().to_string()),
        ("APP_DB_DATABASE", rig.cluster.database().to_owned()),
        ("APP_DB_USER", rig.cluster.user().to_owned()),
        ("APP_DB_PASSWORD", rig.cluster.password().to_owned()),
        (
            "APP_DB__TLS__ROOT",
            rig.cluster.root_file().display().to_string(),
        ),
        ("APP_DB_POOL__MAX_SIZE", "4".to_owned()),
        ("PGSSLMODE", "disable".to_owned()),
        (
            "SSLKEYLOGFILE",
            "/tmp/sealpool-must-not-write-this".to_owned(),
        ),
    ];
    let output = service(&["env", "APP_DB"], &variables);
    assert_eq!(
        answer(&output),
        "app true 1 used, 0 idle, 0 opening, 0 waiting of at most 4"
    );
    assert!(
        !fs::exists("/tmp/sealpool-must-not-write-this").unwrap(),
        "no key log"
    );

    variables.push(("APP_DB_TLS_MOD", "require".to_owned()));
    let output = service(&["env", "APP_DB"], &variables);
    assert_eq!(
        complaint(&output),
        "APP_DB_TLS_MOD: no setting has this name; did you mean APP_DB_TLS_MODE?"
    );
}

async fn from_connection_strings(rig: Arc<Rig>) {
    let (port, root) = (rig.tap.port(), rig.cluster.root_file().display());
    let (user, password) = (rig.cluster.user(), rig.cluster.password());
    let database = rig.cluster.database();
    let strings = [
        format!(
            "postgresql://{user}:{password}@localhost:{port}/{database}?sslmode=require&sslrootcert={root}&hostaddr=127.0.0.1"
        ),
        format!(
            "host=localhost hostaddr=127.0.0.1 port={port} dbname={database} user={user} password={password} \
             sslrootcert={root} sslmode=verify-full"
        ),
        format!(
            "Host=127.0.0.1;Port={port};Database={database};Username={user};Password={password};SSL Mode=VerifyFull;\
             Root Certificate={root};Maximum Pool Size=7"
        ),
        format!(
            "jdbc:postgresql://127.0.0.1:{port}/{database}?user={user}&password={password}&ssl=true&sslrootcert={root}"
        ),
    ];
    for string in strings {
        let config = Config::from_dsn(&string).unwrap();
        let pool = rig.pool(config);
        let row = pool
            .acquire()
            .await
            .unwrap()
            .query_one("select current_user::text", &[])
            .await;
        assert_eq!(row.unwrap().get::<_, String>(0), user);
        let output = service(
            &["variable", "DATABASE_URL"],
            &[("DATABASE_URL", string.clone())],
        );
        assert!(answer(&output).starts_with("app true"), "{output:?}");
        let azure = [("AZURE_POSTGRESQL_CONNECTIONSTRING", string.clone())];
        assert!(answer(&service(&["azure"], &azure)).starts_with("app true"));
        let output = service(&["env", "APP"], &[("APP_URL", string)]);
        assert!(answer(&output).starts_with("app true"), "{output:?}");
    }
}

async fn from_libpqs_variables(rig: Arc<Rig>) {
    let folder = tempfile::tempdir().unwrap();
    let passfile = folder.path().join("pgpass");
    let line = format!(
        "localhost:{}:*:app:{}\n",
        rig.tap.port(),
        rig.cluster.password()
    );
    fs::write(&passfile, format!("other:*:*:*:wrong\n{line}")).unwrap();
    let service_file = folder.path().join("services.conf");
    fs::write(
        &service_file,
        "# ours\n[other]\nport=1\n[shop]\nsslmode=verify-full\nuser=app\n",
    )
    .unwrap();
    let mut variables = vec![
        ("PGHOST", "localhost".to_owned()),
        ("PGHOSTADDR", "127.0.0.1".to_owned()),
        ("PGPORT", rig.tap.port().to_string()),
        ("PGDATABASE", rig.cluster.database().to_owned()),
        (
            "PGSSLROOTCERT",
            rig.cluster.root_file().display().to_string(),
        ),
        ("PGSERVICE", "shop".to_owned()),
        ("PGSERVICEFILE", service_file.display().to_string()),
        ("PGPASSFILE", passfile.display().to_string()),
    ];
    make_private(&passfile, 0o600);
    let output = service(&["libpq"], &variables);
    assert_eq!(
        answer(&output),
        "app true 1 used, 0 idle, 0 opening, 0 waiting of at most 10"
    );

    make_private(&passfile, 0o640);
    let output = service(&["libpq"], &variables);
    assert_eq!(
        complaint(&output),
        format!(
            "PGPASSFILE: passfile: {} can be read by others; chmod 0600 it, as libpq demands too",
            passfile.display()
        )
    );
    make_private(&passfile, 0o600);

    fs::write(&service_file, "[shop]\nuser=app\nsslmode=prefer\n").unwrap();
    let output = service(&["libpq"], &variables);
    assert_eq!(
        complaint(&output),
        format!(
            "{}:3:1: `sslmode` is `prefer`, which permits plaintext when TLS fails; remove it or write \
             `sslmode=verify-full`",
            service_file.display()
        )
    );
    variables.push(("PGSSLMODE", "disable".to_owned()));
    let output = service(&["libpq"], &variables);
    assert_eq!(
        complaint(&output),
        "PGSSLMODE: `sslmode` is `disable`, which permits plaintext; remove it or write `sslmode=verify-full`"
    );
}

fn make_private(path: &std::path::Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

async fn the_later_layer_counts(rig: Arc<Rig>) {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), toml(&rig, "wrong-77aa")).unwrap();
    let right = tempfile::NamedTempFile::new().unwrap();
    fs::write(
        right.path(),
        format!("password = \"{}\"\n", rig.cluster.password()),
    )
    .unwrap();
    let layers = [
        Layer::toml(file.path(), "services.db"),
        Layer::toml(right.path(), ""),
    ];
    let config = Config::layered(layers).unwrap().application_name("layered");
    let explained = config.explain();
    let origin = |name: &str| {
        let value = explained
            .values
            .iter()
            .find(|value| value.name == name)
            .unwrap();
        value.origin.to_string()
    };
    assert_eq!(
        origin("password"),
        format!("{}:1:1", right.path().display())
    );
    assert_eq!(origin("user"), format!("{}:6:8", file.path().display()));
    assert!(
        origin("application_name").starts_with("tests/sources.rs:"),
        "{}",
        origin("application_name")
    );
    assert_eq!(origin("pool.acquire_timeout"), "default");
    assert!(!explained.to_string().contains(rig.cluster.password()));
    rig.pool(config).acquire().await.unwrap();
}

/// Every source of configuration, a word in it that permits plaintext or an unverified server, and the whole message.
#[test]
fn plaintext_is_refused_in_every_source() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.toml");
    let shown = path.display().to_string();
    let refused = |config: Result<Config, sealpool::ConfigError>| {
        let built = config
            .map_err(sealpool::Error::from)
            .and_then(|c| Pool::builder(c).build());
        built.unwrap_err().to_string()
    };

    let error = refused(Ok(Config::new().host("db").user("app").tls_mode("allow")));
    let (place, rest) = error.split_once(": ").unwrap();
    assert!(place.starts_with("tests/sources.rs:"), "{error}");
    assert_eq!(
        rest,
        "tls.mode: this permits plaintext when TLS fails; write verify-full, or leave it out"
    );

    let error = refused(Config::from_dsn(
        "postgres://app:hunter2@db.example.net/shop?sslmode=disable",
    ));
    let (place, rest) = error.split_once(": ").unwrap();
    assert!(place.starts_with("tests/sources.rs:"), "{error}");
    assert_eq!(
        rest,
        "url: `sslmode` is `disable`, which permits plaintext (column 52 of it); remove it or write \
         `sslmode=verify-full`"
    );

    fs::write(
        &path,
        "[db]\nurl = \"Host=db;Username=app;Password=hunter2;SSL Mode=Prefer\"\n",
    )
    .unwrap();
    assert_eq!(
        refused(Config::from_toml(&path, "db")),
        format!(
            "{shown}:2:1: url: `SSL Mode` is `Prefer`, which permits plaintext when TLS fails (column 48 of it); \
             remove it or write `SSL Mode=VerifyFull`\n  |\n2 | url\n  | ^^^"
        )
    );
    fs::write(
        &path,
        "[db]\nhost = \"db\"\nuser = \"app\"\ntls = { mode = \"no-verify\" }\n",
    )
    .unwrap();
    assert_eq!(
        refused(Config::from_toml(&path, "db")),
        format!(
            "{shown}:4:16: tls.mode: this leaves the server unverified; write verify-full, or leave it out\n  |\n4 | \
             mode = \"no-verify\"\n  |        ^^^^^^^^^^^"
        )
    );

    let string = |text: &str| text.to_owned();
    type Row<'a> = (&'a [&'a str], &'a [(&'a str, String)], &'a str);
    let rows: &[Row<'_>] = &[
        (
            &["env", "APP"],
            &[
                ("APP_HOST", string("db")),
                ("APP_USER", string("app")),
                ("APP_TLS_MODE", string("off")),
            ],
            "APP_TLS_MODE: tls.mode: this permits plaintext; write verify-full, or leave it out",
        ),
        (
            &["env", "APP"],
            &[("APP_URL", string("postgres://app:hunter2@db/shop?ssl=0"))],
            "APP_URL: url: `ssl` is `0`, which permits plaintext (column 36 of it); remove it or write \
             `sslmode=verify-full`",
        ),
        (
            &["variable", "DATABASE_URL"],
            &[(
                "DATABASE_URL",
                string("postgres://app:hunter2@db/shop?sslmode=no-verify"),
            )],
            "DATABASE_URL: url: `sslmode` asks for TLS without verifying the server (column 40 of it); remove it, and \
             name the root of the server's certificate as `sslrootcert=/path/to/ca.pem`",
        ),
        (
            &["variable", "POSTGRESQLCONNSTR_shop"],
            &[(
                "POSTGRESQLCONNSTR_shop",
                string(
                    "Database=shop; Data Source=db; User Id=app; Password=hunter2; Ssl Mode=Disable",
                ),
            )],
            "POSTGRESQLCONNSTR_shop: url: `Ssl Mode` is `Disable`, which permits plaintext (column 72 of it); remove it \
             or write `SSL Mode=VerifyFull`",
        ),
        (
            &["azure"],
            &[
                ("AZURE_POSTGRESQL_HOST", string("db")),
                ("AZURE_POSTGRESQL_USER", string("app")),
                ("AZURE_POSTGRESQL_SSL", string("false")),
            ],
            "AZURE_POSTGRESQL_SSL: tls.mode: this permits plaintext; write verify-full, or leave it out",
        ),
        (
            &["libpq"],
            &[
                ("PGHOST", string("db")),
                ("PGUSER", string("app")),
                ("PGGSSENCMODE", string("require")),
            ],
            "PGGSSENCMODE: `gssencmode` asks for GSSAPI encryption, which would replace TLS; remove it, or write `disable`",
        ),
        (
            &["libpq"],
            &[
                ("PGHOST", string("/var/run/postgresql")),
                ("PGUSER", string("app")),
            ],
            "PGHOST: ",
        ),
        (
            &["toml+env", &shown, "APP"],
            &[("APP_TLS_MODE", string("prefer"))],
            "APP_TLS_MODE: tls.mode: this permits plaintext when TLS fails; write verify-full, or leave it out",
        ),
    ];
    for (arguments, variables, expected) in rows {
        let output = service(arguments, variables);
        assert!(!output.status.success(), "{arguments:?}");
        let complaint = complaint(&output);
        assert!(!complaint.contains("hunter2"), "{complaint}");
        if expected.ends_with(": ") {
            assert!(complaint.starts_with(expected), "{complaint}");
        } else {
            assert_eq!(complaint, *expected);
        }
    }
}

#[test]
fn a_string_and_the_parts_beside_it_may_not_contradict() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.toml");
    let url = "url = \"postgresql://app@a.example.net,b.example.net/shop\"\n";
    fs::write(
        &path,
        format!("{url}host = \"a.example.net, b.example.net\"\npassword = \"x\"\n"),
    )
    .unwrap();
    Config::from_toml(&path, "").expect("they say the same");
    fs::write(&path, format!("{url}host = \"b.example.net\"\n")).unwrap();
    assert_eq!(
        Config::from_toml(&path, "").unwrap_err().to_string(),
        format!(
            "{path}:2:8: host: {path}:1:1 (host) says something else; keep one of the two\n  |\n2 | host = \
             \"b.example.net\"\n  |        ^^^^^^^^^^^^^^^",
            path = path.display()
        )
    );
}

/// Files that are wrong in one way, and the whole message.
#[test]
fn a_wrong_file_is_shown_with_line_column_and_caret() {
    let rows = [
        (
            "[db]\nhost = \"db\"\npool = { max_size = \"ten\", acquire_timeout = \"1s\" }\n",
            "db.toml:3:21: pool.max_size: this value cannot be used; write a whole number from 0 to 4294967295\n  \
             |\n3 | max_size = \"ten\"\n  |            ^^^^^",
        ),
        (
            "[db]\nhost = \"db\"\npassword = 12345\n",
            "db.toml:3:1: password: this value cannot be used; write a text that is not empty (in quotes, also when it \
             is all digits)\n  |\n3 | password\n  | ^^^^^^^^",
        ),
        (
            "[db]\nhots = \"db\"\n",
            "db.toml:2:1: hots: no setting has this name; did you mean `host`?\n  |\n2 | hots\n  | ^^^^",
        ),
        (
            "[db]\nhost = \"db\"\n[db.pool]\nacquire_timeout = 30\n",
            "db.toml:4:19: pool.acquire_timeout: this value cannot be used; write a time with its unit, such as \
             `500ms`, `30s` or `5m`\n  |\n4 | acquire_timeout = 30\n  |                   ^^",
        ),
        (
            "[db]\nhost = \"db\"\nuser = \"app\"\ntls.mode = \"disable\"\n",
            "db.toml:4:12: tls.mode: this permits plaintext; write verify-full, or leave it out\n  |\n4 | mode = \
             \"disable\"\n  |        ^^^^^^^^^",
        ),
        (
            "[other]\n",
            "db.toml:1:1: there is no table [db]; add [db], or name the table that is meant",
        ),
        (
            "[db]\npassword = \"hunter2\nhost = \"db\"\n",
            "db.toml:2:20: invalid basic string, expected `\"`; correct the TOML there",
        ),
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db.toml");
    for (text, expected) in rows {
        fs::write(&path, text).unwrap();
        let result = Config::from_toml(&path, "db").map_err(sealpool::Error::from);
        let error = result
            .and_then(|config| Pool::builder(config).build())
            .unwrap_err();
        let shown = error
            .to_string()
            .replace(&format!("{}/", folder.path().display()), "");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert_eq!(shown, expected);
    }
}

#[test]
fn an_explanation_names_every_value_its_origin_and_what_each_word_means() {
    let config = Config::from_dsn(
        "host=db.example.net user=app password='' dbname='' sslmode=require sslrootcert=system connect_timeout=0",
    )
    .unwrap();
    let explained = config.explain().to_string();
    let here = explained.split(": read as").next().unwrap().to_owned();
    assert!(here.starts_with("tests/sources.rs:"), "{explained}");
    let shown = explained.replace(&here, "here");
    let lines: Vec<_> = shown
        .lines()
        .filter(|line| !line.ends_with("  default"))
        .collect();
    assert_eq!(
        lines,
        [
            "here: read as libpq keyword/value",
            "host                                 db.example.net                            here (host)",
            "port                                 5432                                      here (port)",
            "user                                 app                                       here (user)",
            "tls.mode                             verify-full                               here (sslrootcert)",
            "tls.root                             system                                    here (sslrootcert)",
            "here (sslmode): require asks for TLS; the certificate is verified as well, which is stricter than libpq",
            "here (sslrootcert): system asks for TLS and a certificate that is valid for the host's name",
            "warning (approximated) here (connect_timeout): nothing waits for ever here: the default of connect.timeout holds",
        ]
    );
}
