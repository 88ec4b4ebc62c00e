fn main() {
    let _ = sealpool_dsn::dsn!("Server=db.example.net;Database=shop");
}
