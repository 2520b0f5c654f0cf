//! A fingerprint of a JSON value. The order of keys does not change it.

use serde_json::Value;

use crate::agent::checksum;

/// The FNV-1a hash of the texts and the value.
pub fn fingerprint(texts: &[&str], value: &Value) -> u64 {
    let mut hash = Fnv(checksum::BEGINNING);
    texts.iter().for_each(|text| hash.text(text));
    hash.value(value);
    hash.0
}

struct Fnv(u64);

impl Fnv {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0 = checksum::carry_on(self.0, bytes);
    }

    /// Hashes a text with its length, so that `ab` then `c` differs from `a` then `bc`.
    fn text(&mut self, text: &str) {
        self.bytes(&(text.len() as u64).to_le_bytes());
        self.bytes(text.as_bytes());
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.bytes(b"n"),
            Value::Bool(yes) => self.bytes(if *yes { b"t" } else { b"f" }),
            Value::Number(number) => self.text(&number.to_string()),
            Value::String(text) => {
                self.bytes(b"s");
                self.text(text);
            }
            Value::Array(items) => {
                self.bytes(b"[");
                items.iter().for_each(|item| self.value(item));
                self.bytes(b"]");
            }
            Value::Object(fields) => {
                self.bytes(b"{");
                let mut fields: Vec<_> = fields.iter().collect();
                fields.sort_by_key(|(key, _)| *key);
                for (key, value) in fields {
                    self.text(key);
                    self.value(value);
                }
                self.bytes(b"}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::fingerprint;

    #[test]
    fn equal_values_have_equal_fingerprints() {
        assert_eq!(fingerprint(&["a"], &json!({"x": 1, "y": [2]})), fingerprint(&["a"], &json!({"y": [2], "x": 1})));
        assert_ne!(fingerprint(&["a"], &json!({"x": 1})), fingerprint(&["a"], &json!({"x": "1"})));
        assert_ne!(fingerprint(&["a", "b"], &json!(null)), fingerprint(&["ab", ""], &json!(null)));
    }

    #[test]
    fn the_fingerprint_never_changes_between_versions() {
        assert_eq!(fingerprint(&["", "Bash"], &json!({"command": "true"})), 0xbebba21b344941ac);
    }
}
