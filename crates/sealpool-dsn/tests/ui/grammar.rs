fn main() {
    let _ = sealpool_dsn::dsn!("postgresql://app@db.example.net/shop#main");
}
