fn main() {
    let _ = sealpool_dsn::dsn!("host=/var/run/postgresql dbname=shop");
}
