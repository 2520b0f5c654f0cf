//! A domain that the client learns from data, with the server of the example.

#[path = "../../../examples/other_domain/shop.rs"]
mod shop;

use std::time::Duration;

use requery::client::{Client, ClientConfig, HeldState, TableSource, View};
use serde_json::{Value, json};

use super::gate::{Gate, Verdict};
use super::{quick, until, until_fresh};
use shop::Shop;

const TABLES: &str = r#"{
    "notices": { "order.placed": ["orders", "customer:{customer}"], "customers.removed": ["customer:*"] },
    "models": { "orders": ["api/orders"], "customer:{name}": ["api/customers/{name}"] }
}"#;

/// Without the second kind of notice in the table, its notices are unknown: every read model may have changed.
const OLD_TABLES: &str = r#"{
    "notices": { "order.placed": ["orders", "customer:{customer}"] },
    "models": { "orders": ["api/orders"], "customer:{name}": ["api/customers/{name}"] }
}"#;

fn shows(expected: Value) -> impl Fn(&View<Value>) -> bool {
    move |view| view.is_fresh() && view.value.as_deref() == Some(&expected)
}

#[tokio::test]
async fn two_tables_of_another_domain_are_kept_current() {
    for (tables, orders_after) in [(TABLES, 0), (OLD_TABLES, 1)] {
        let (shop, address) = Shop::serve().await.unwrap();
        let gate = Gate::start(address, |_| Verdict::Pass).await;
        let source = TableSource::from_json(tables).unwrap();
        let config = ClientConfig::new(gate.url()).with_settings(quick());
        let client = Client::connect_to(source.clone(), config).unwrap();
        let watch = |name: &str| client.watch::<Value>(source.key(name).unwrap());
        let (mut orders, mut ada, mut bob) = (watch("orders"), watch("customer:ada"), watch("customer:bob"));
        until(&mut orders, shows(json!([]))).await;
        until(&mut ada, |view| view.state == HeldState::Gone).await;
        until(&mut bob, |view| view.state == HeldState::Gone).await;

        let of_bob = gate.requests("GET /api/customers/bob");
        shop.place("ada", 30);
        let view = until(&mut ada, shows(json!({"name": "ada", "spent": 30}))).await;
        assert_eq!(view.why.as_deref(), Some("order.placed"));
        until(&mut orders, shows(json!([{"id": 0, "customer": "ada", "amount": 30}]))).await;
        assert_eq!(gate.requests("GET /api/customers/bob"), of_bob, "the notice names ada alone");

        // A pause, so that the pace of a steady stream of notices does not count.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let of_orders = gate.requests("GET /api/orders");
        shop.remove_customers();
        until(&mut ada, |view| view.state == HeldState::Gone).await;
        until_fresh(&mut orders).await;
        assert_eq!(gate.requests("GET /api/orders") - of_orders, orders_after);
        client.close().await;
    }
}
