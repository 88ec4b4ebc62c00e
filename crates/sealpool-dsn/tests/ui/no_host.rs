fn main() {
    let _ = sealpool_dsn::dsn!("postgresql:///shop");
}
