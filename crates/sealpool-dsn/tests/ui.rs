//! What the compiler says of a literal that `dsn!` refuses.

#[test]
fn refused_literals_say_what_to_write() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}

#[test]
fn constants_of_every_kind_are_taken() {
    const FROM_PIECES: &str = concat!("postgresql://app@", "db.example.net", "/shop");
    let dsn = sealpool_dsn::dsn!(FROM_PIECES);
    assert_eq!(dsn.as_str(), FROM_PIECES);
    let dsn = sealpool_dsn::dsn!(
        "host=db.example.net,203.0.113.9 port=6432 sslmode=verify-ca sslrootcert=/etc/ca.pem"
    );
    assert!(sealpool_dsn::Dsn::parse(dsn.as_str()).is_ok());
}
