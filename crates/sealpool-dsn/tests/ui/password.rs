fn main() {
    let _ = sealpool_dsn::dsn!("postgresql://app:Winter-9Kq@db.example.net/shop");
}
