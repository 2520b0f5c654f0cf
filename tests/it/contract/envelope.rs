//! The envelope of a message that a client does not know.

use proptest::prelude::*;
use requery::protocol::{Incoming, UnknownFrame};
use serde_json::{Value, json};

use crate::random_cases::cases;

fn unknown(text: &str) -> UnknownFrame {
    match serde_json::from_str(text) {
        Ok(Incoming::Unknown(unknown)) => unknown,
        other => panic!("{text}\n{other:?}"),
    }
}

#[test]
fn the_envelope_of_an_unknown_message_is_read() {
    let cursor = Some("e:5:5:".parse().unwrap());
    let none = UnknownFrame::default();
    for (text, expected) in [
        (
            r#"{"type":"task.renamed","payload":{"task_id":1},"cursor":"e:5:5:"}"#,
            UnknownFrame { cursor: cursor.clone(), ..none.clone() },
        ),
        (
            r#"{"cursor":"e:5:5:","more":true,"spread_ms":7,"type":9}"#,
            UnknownFrame { cursor: cursor.clone(), more: true, spread_ms: Some(7) },
        ),
        (r#"{"type":"event.logged","payload":{},"cursor":"e:5:5:"}"#, UnknownFrame { cursor, ..none.clone() }),
        (
            r#"{"type":"heartbeat","payload":{},"cursor":"garbage","more":true}"#,
            UnknownFrame { more: true, ..none.clone() },
        ),
        (r#"{"type":"heartbeat","payload":{}}"#, none.clone()),
        (r#"{"cursor":null,"more":null,"spread_ms":null}"#, none.clone()),
        (r#"["e:5:5:",true,7]"#, none.clone()),
        (r#""e:5:5:""#, none.clone()),
        ("null", none),
    ] {
        assert_eq!(unknown(text), expected, "{text}");
    }
}

/// A cursor that is given twice names no cursor.
#[test]
fn a_repeated_field_leaves_the_envelope_empty() {
    assert_eq!(unknown(r#"{"type":"x","cursor":"e:5:5:","cursor":"e:6:6:"}"#), UnknownFrame::default());
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z:0-9,]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z_]{1,8}", inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(200), failure_persistence: None, ..ProptestConfig::default() })]

    /// One field that does not parse hides no other field.
    #[test]
    fn each_field_of_an_envelope_is_read_for_itself(
        payload in any_json(),
        cursor in prop_oneof![Just(json!("e:5:5:")), any_json()],
        more in prop_oneof![Just(json!(true)), any_json()],
        spread_ms in prop_oneof![any::<u32>().prop_map(Value::from), any_json()],
    ) {
        let message = json!({
            "type": "of.tomorrow", "payload": payload, "cursor": cursor, "more": more, "spread_ms": spread_ms, "new": 1,
        });
        let read = unknown(&message.to_string());
        prop_assert_eq!(read.cursor, cursor.as_str().and_then(|text| text.parse().ok()));
        prop_assert_eq!(read.more, more.as_bool().unwrap_or(false));
        prop_assert_eq!(read.spread_ms, spread_ms.as_u64().and_then(|ms| u32::try_from(ms).ok()));
    }
}
