//! A domain that the client learns from data, with the server of the example.

#[path = "../../../examples/other_domain/shop.rs"]
mod shop;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use requery::client::{
    BodyError, BodyValue, Client, ClientConfig, HeldState, Message, ModelRequest, Source, Status, TableKey,
    TableSource, View,
};
use requery::protocol::Watched;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::gate::{Gate, Verdict};
use super::{quick, until, until_fresh};
use crate::app::PATIENCE;
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

/// A source with a fault of its own, which the driver runs into.
#[derive(Clone)]
struct Faulty(TableSource);

impl Source for Faulty {
    type Key = TableKey;
    type Body = Value;
    type Options = ();
    type Detail = ();

    fn requests(&self, key: &TableKey) -> Vec<ModelRequest> {
        self.0.requests(key)
    }

    fn parse(&self, key: &TableKey, parts: &[Bytes]) -> Result<Value, BodyError> {
        self.0.parse(key, parts)
    }

    fn message(&self, text: &[u8]) -> Message<Self> {
        Message::new(self.0.message(text).signal)
    }

    fn name(&self, entry: &Watched<TableKey>) -> String {
        self.0.name(entry)
    }

    fn kind_name(&self, _: u16) -> &str {
        panic!("a fault of the source")
    }
}

impl BodyValue<Faulty> for Value {
    fn of(body: &Arc<Value>) -> Option<Arc<Self>> {
        Some(Arc::clone(body))
    }

    fn into_body(self) -> Value {
        self
    }
}

#[tokio::test]
async fn every_wait_ends_when_the_driver_panics() {
    let (shop, address) = Shop::serve().await.unwrap();
    let source = TableSource::from_json(TABLES).unwrap();
    let config = ClientConfig::new(format!("http://{address}")).with_settings(quick());
    let client = Client::connect_to(Faulty(source.clone()), config).unwrap();
    let mut orders = client.watch::<Value>(source.key("orders").unwrap());
    until_fresh(&mut orders).await;
    // The name of the notice is asked for when its fetch begins.
    shop.place("ada", 1);
    timeout(PATIENCE, async { while orders.changed().await {} }).await.expect("the wait ends");
    assert!(orders.view().state != HeldState::Fresh);
    assert!(!timeout(PATIENCE, client.changes().next()).await.unwrap());
    assert_eq!((client.is_closed(), client.status()), (true, Status::Disabled));
    client.close().await;
}

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

/// A type of an application that makes its value anew at each look.
#[derive(Debug)]
struct Orders(usize);

impl BodyValue<TableSource> for Orders {
    fn of(body: &Arc<Value>) -> Option<Arc<Self>> {
        Some(Arc::new(Self(body.as_array()?.len())))
    }

    fn into_body(self) -> Value {
        json!(vec![(); self.0])
    }
}

#[tokio::test]
async fn a_value_that_is_made_at_each_look_is_no_new_value() {
    let (shop, address) = Shop::serve().await.unwrap();
    let source = TableSource::from_json(TABLES).unwrap();
    let config = ClientConfig::new(format!("http://{address}")).with_settings(quick());
    let client = Client::connect_to(source.clone(), config).unwrap();
    let mut orders = client.watch::<Orders>(source.key("orders").unwrap());
    until_fresh(&mut orders).await;
    let view = timeout(PATIENCE, orders.value_changed()).await.unwrap().unwrap();
    assert_eq!(view.value.unwrap().0, 0);
    assert!(orders.value_changed().now_or_never().is_none());
    shop.place("ada", 1);
    let view = timeout(PATIENCE, orders.value_changed()).await.unwrap().unwrap();
    assert_eq!(view.value.unwrap().0, 1);
}
