//! The check of the whole file while streams are open.

use std::time::{Duration, Instant};

use futures_util::FutureExt;

use crate::app::{App, sqlite3};

/// The server begins a check at its start. The check of `sqlite3` says how long one takes. Notices of writes in that time come at once.
#[tokio::test]
async fn notices_come_while_the_file_is_checked() {
    let app = App::start().await;
    app.sql(
        "insert into tasks (id, title) values ('00000000-0000-4000-8000-000000000001', 'large');
        insert into events (task_id, kind, body) with recursive n (i) as (select 1 union all select i + 1 from n where i < 900)
            select '00000000-0000-4000-8000-000000000001', 'log', hex(randomblob(15000)) from n",
    );
    let path = app.path();
    let folder = app.stop().await;
    while std::fs::metadata(&path).unwrap().len() < 48 << 20 {
        sqlite3(
            &path,
            "insert into events (task_id, kind, body) with recursive n (i) as (select 1 union all select i + 1 from n where i < 300)
            select '00000000-0000-4000-8000-000000000001', 'log', hex(randomblob(15000)) from n",
        );
    }
    assert!(std::fs::metadata(&path).unwrap().len() < 64 << 20);
    let began = Instant::now();
    assert_eq!(sqlite3(&path, "pragma quick_check"), "ok");
    let check = began.elapsed();

    let app = App::start_in(folder, |_| ()).await;
    let mut ws = app.ws("").await;
    ws.frame().await;
    let began = Instant::now();
    let (mut slowest, mut notices) = (Duration::ZERO, 0);
    while began.elapsed() < check * 2 {
        app.sql(
            "insert into bookmarks (task_id) values ('00000000-0000-4000-8000-000000000001')
            on conflict do update set note = note || '!'; update tasks set title = title || '!'",
        );
        let written = Instant::now();
        while ws.frame().await["type"] != "task.updated" {}
        slowest = slowest.max(written.elapsed());
        notices += 1;
        while ws.frame().now_or_never().is_some() {}
    }
    assert!(slowest * 2 < check, "{notices} notices, the slowest after {slowest:?}; a check takes {check:?}");
}
