fn main() {
    let _ = sealpool_dsn::dsn!("host=db.example.net sslmode=verify-all");
}
