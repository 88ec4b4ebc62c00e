use std::thread;

use crate::{
    process::eventually,
    service::{CANARY, Service},
};

#[test]
fn axum_on_postgresql_15() {
    a_request_under_way_comes_to_its_end(15);
}

#[test]
fn axum_on_postgresql_18() {
    a_request_under_way_comes_to_its_end(18);
}

#[test]
fn actix_on_postgresql_15() {
    workers_leave_no_connection_behind(15);
}

#[test]
fn actix_on_postgresql_18() {
    workers_leave_no_connection_behind(18);
}

fn a_request_under_way_comes_to_its_end(major: u32) {
    let service = Service::start(env!("CARGO_BIN_EXE_axum_service"), major);
    assert_eq!(service.get("/stock/apple"), (200, "100".to_owned()));
    assert_eq!(service.get(&format!("/stock/{CANARY}")).0, 404);
    assert_eq!(service.post(&format!("/orders/{CANARY}")).0, 409);
    let orders = "select count(*) from orders";
    assert_eq!(service.sql(orders).unwrap(), [[Some("0".to_owned())]]);
    thread::scope(|scope| {
        let locked = scope.spawn(|| service.sql("begin; lock table stock; select pg_sleep(600)"));
        sees(
            &service,
            "query like '%pg_sleep%' and wait_event = 'PgSleep'",
        );
        let order = scope.spawn(|| service.post("/orders/apple"));
        sees(&service, "wait_event_type = 'Lock'");
        service.told_to_stop();
        let release =
            "select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'PgSleep'";
        service.sql(release).unwrap();
        assert!(locked.join().unwrap().is_err());
        assert_eq!(order.join().unwrap().0, 200);
    });
    service.stopped();
}

/// Waits until the server has a session of which this is true.
fn sees(service: &Service, what: &str) {
    let count =
        format!("select count(*) from pg_stat_activity where pid <> pg_backend_pid() and {what}");
    eventually(what, || match service.sql(&count).unwrap() {
        found if found == [[Some("1".to_owned())]] => Ok(()),
        found => Err(format!("{found:?}")),
    });
}

fn workers_leave_no_connection_behind(major: u32) {
    let service = Service::start(env!("CARGO_BIN_EXE_actix_service"), major);
    service.comes_to("/readyz", 200);
    // As many at once as there are workers, and more.
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let (status, now) = service.get("/now");
                assert!(status == 200 && now.starts_with("20"), "{status} {now}");
            });
        }
    });
    let (status, scraped) = service.get("/metrics");
    assert_eq!(status, 200);
    let running = r#"sealpool_state{db_client_connection_pool_name="orders",state="running"} 1"#;
    assert!(scraped.contains(running), "{scraped}");
    service.told_to_stop();
    service.stopped();
}
