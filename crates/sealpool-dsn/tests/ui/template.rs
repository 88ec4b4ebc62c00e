fn main() {
    let _ = sealpool_dsn::dsn!("postgresql://your_user@db.example.net/shop");
}
