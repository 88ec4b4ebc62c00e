use std::sync::Arc;

use sealpool::{Class, Outcome};

use super::{laned, refused};
use crate::{
    outcome::{rows, table},
    rig::{Rig, on_both},
};

on_both! {
    on_shared() => a_transaction_that_gets_past_the_check;
    on_shared() => a_change_of_the_session_that_gets_past_the_check;
    on_shared() => a_setting_changed_deep_inside_a_function;
}

/// Whoever is told that his statement was done finds it done.
async fn a_transaction_that_gets_past_the_check(rig: Arc<Rig>) {
    let pool = rig.pool(laned(&rig, 1));
    let admin = rig.pool(rig.config()).acquire().await.unwrap();
    let table = table(&admin, "smuggled").await;
    let lane = pool.lane();
    let smuggler = lane.unchecked();
    let insert = format!("insert into {table} values ($1)");
    // All are prepared, and then sent one behind the other.
    lane.execute(&insert, &[&0]).await.unwrap();
    lane.query("select pg_sleep($1)", &[&0.0]).await.unwrap();
    let begin = async || (line!(), smuggler.execute("begin", &[]).await);
    let (sleep, before, (line, begin), behind, last) = tokio::join!(
        lane.query("select pg_sleep($1)", &[&0.3]),
        lane.execute(&insert, &[&1]),
        begin(),
        lane.execute(&insert, &[&2]),
        lane.execute(&insert, &[&3]),
    );
    sleep.unwrap();
    before.unwrap();
    assert_eq!(rows(&admin, &table, 1).await, 1);
    let place = format!("{}:{line}:", file!());
    let error = begin.unwrap_err();
    assert_eq!(refused(&error), (Outcome::Unknown, Class::Statement));
    for (id, result) in [(2, behind), (3, last)] {
        let done = rows(&admin, &table, id).await;
        match result {
            Ok(_) => assert_eq!(done, 1, "it was sent again, elsewhere"),
            Err(error) => {
                assert_eq!(
                    refused(&error),
                    (Outcome::Unknown, Class::Statement),
                    "{error}"
                );
                assert_eq!(done, 0, "and the transaction was not committed");
                assert!(error.to_string().contains(&place), "{error}");
            }
        }
    }
    let counts = rig.record.counts();
    assert!(
        counts.evicted.len() == 1 && counts.evicted[0].starts_with(&place),
        "{counts:?}"
    );
    let logged = crate::log::lines();
    let mut logged = logged.lines();
    assert!(logged.any(|line| line.contains("on the lane") && line.contains(&place)));
    // Nobody vouches for his own.
    let vouched = smuggler.retry_reads();
    let error = vouched.execute("begin", &[]).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown);
    lane.execute(&insert, &[&4]).await.unwrap();
    assert_eq!(rows(&admin, &table, 4).await, 1);
    assert_eq!(rig.record.counts().closed.get("dirty"), Some(&2));
}

async fn a_change_of_the_session_that_gets_past_the_check(rig: Arc<Rig>) {
    let admin = rig.pool(rig.config()).acquire().await.unwrap();
    let table = table(&admin, "changed").await;
    let insert = format!("insert into {table} values ($1)");
    for (times, change) in [
        "set work_mem = '2MB'",
        "listen a",
        "discard all",
        "do $$ begin end $$",
    ]
    .into_iter()
    .enumerate()
    {
        let pool = rig.pool(laned(&rig, 1));
        let lane = pool.lane();
        lane.execute(&insert, &[&0]).await.unwrap();
        let smuggler = lane.unchecked();
        smuggler.execute(change, &[]).await.expect("it was done");
        let id = i32::try_from(times).unwrap() + 1;
        let result = lane.execute(&insert, &[&id]).await;
        result.expect("the next one has another connection");
        assert_eq!(rows(&admin, &table, id).await, 1);
        assert_eq!(rig.record.counts().evicted.len(), times + 1, "{change}");
        assert_eq!(rig.record.counts().closed.get("dirty"), Some(&(times + 1)));
    }
}

async fn a_setting_changed_deep_inside_a_function(rig: Arc<Rig>) {
    let pool = rig.pool(laned(&rig, 1));
    let lane = pool.lane();
    let name = format!("deep_{}", fastrand::u64(..));
    let create = format!(
        "create function {name}() returns text language sql as $$ select set_config('TimeZone', 'Asia/Tokyo', false) $$"
    );
    let admin = rig.pool(rig.config()).acquire().await.unwrap();
    admin.batch_execute(&create).await.unwrap();
    let call = format!("select {name}()");
    lane.query(&call, &[]).await.unwrap();
    let row = lane.query_one("show timezone", &[]).await.unwrap();
    assert_ne!(row.get::<_, &str>(0), "Asia/Tokyo");
    assert_eq!(rig.record.counts().evicted.len(), 1);
}
