//! Watches a shop: two tables of another domain, which the client learns from data.
//!
//! The file `shop.rs` is the server. It sends the frames of the wire contract with notices of its own.
//!
//! ```sh
//! cargo run --example other_domain
//! ```

mod shop;

use std::error::Error;
use std::io::Write;

use requery::client::{Client, ClientConfig, TableSource};
use serde_json::Value;

/// The read models that a notice makes stale, and the requests that fetch a read model.
const TABLES: &str = r#"{
    "notices": {
        "order.placed": ["orders", "customer:{customer}"],
        "customers.removed": ["customer:*"]
    },
    "models": {
        "orders": ["api/orders"],
        "customer:{name}": ["api/customers/{name}"]
    }
}"#;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (shop, address) = shop::Shop::serve().await?;
    let source = TableSource::from_json(TABLES)?;
    let client = Client::connect_to(source.clone(), ClientConfig::new(format!("http://{address}")))?;
    let mut orders = client.watch::<Value>(source.key("orders")?);
    let mut ada = client.watch::<Value>(source.key("customer:ada")?);
    for (customer, amount) in [("ada", 30), ("bob", 5), ("ada", 12)] {
        let id = shop.place(customer, amount);
        let shown = orders.wait_for(|view| view.value.as_ref().is_some_and(|orders| orders[id]["id"] == id)).await;
        let orders = shown.and_then(|view| view.value).ok_or("the client ended")?;
        writeln!(std::io::stdout(), "orders: {orders}")?;
    }
    let spent = ada.wait_for(|view| view.value.as_ref().is_some_and(|customer| customer["spent"] == 42)).await;
    writeln!(std::io::stdout(), "ada: {}", spent.and_then(|view| view.value).ok_or("the client ended")?)?;
    client.close().await;
    Ok(())
}
