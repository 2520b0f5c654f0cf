pub fn openapi() -> String { String::new() }
