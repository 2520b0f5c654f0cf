//! JSON with the places where things stand in the text, so that a text can be changed without being written anew.

use serde::de::IgnoredAny;

/// How deep a text may be nested. Settings are a handful deep.
const DEEPEST: usize = 512;

/// A value.
#[derive(Debug)]
pub struct Node {
    /// Where it begins.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// What it is.
    pub kind: Kind,
}

/// What a value is.
#[derive(Debug)]
pub enum Kind {
    /// An object's members in order.
    Object(Vec<Member>),
    /// An array's values in order.
    Array(Vec<Node>),
    /// A text, without its escapes.
    Text(String),
    /// A number, `true`, `false` or `null`.
    Word,
}

/// A member of an object.
#[derive(Debug)]
pub struct Member {
    /// Where its key begins.
    pub start: usize,
    /// Its key, without escapes.
    pub key: String,
    /// Its value.
    pub value: Node,
}

/// What is wrong with a text, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// The byte.
    pub at: usize,
    /// What is there.
    pub what: String,
}

impl Flaw {
    /// At a byte.
    pub fn at(at: usize, what: impl Into<String>) -> Self {
        Self { at, what: what.into() }
    }
}

impl Node {
    /// Reads a text. A byte order mark is passed over.
    ///
    /// # Errors
    /// It is not JSON.
    pub fn parse(text: &str) -> Result<Self, Flaw> {
        let mut reader = Reader { text, at: if text.starts_with('\u{feff}') { 3 } else { 0 } };
        let node = reader.value(0)?;
        reader.blank()?;
        match reader.peek() {
            None => Ok(node),
            Some(_) => Err(Flaw::at(reader.at, "expected nothing more")),
        }
    }

    /// The last member of that key: where there are several, the last one counts.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match &self.kind {
            Kind::Object(members) => members.iter().rev().find(|member| member.key == key).map(|member| &member.value),
            Kind::Array(_) | Kind::Text(_) | Kind::Word => None,
        }
    }

    /// The text that it is.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) => Some(text),
            Kind::Object(_) | Kind::Array(_) | Kind::Word => None,
        }
    }

    /// The values of an array; of anything else none.
    pub fn items(&self) -> &[Self] {
        match &self.kind {
            Kind::Array(items) => items,
            Kind::Object(_) | Kind::Text(_) | Kind::Word => &[],
        }
    }

    /// The members of an object; of anything else none.
    pub fn members(&self) -> &[Member] {
        match &self.kind {
            Kind::Object(members) => members,
            Kind::Array(_) | Kind::Text(_) | Kind::Word => &[],
        }
    }

    /// Where what it contains stands, each with its key.
    pub fn parts(&self) -> Vec<(usize, usize)> {
        match &self.kind {
            Kind::Object(members) => members.iter().map(|member| (member.start, member.value.end)).collect(),
            Kind::Array(items) => items.iter().map(|item| (item.start, item.end)).collect(),
            Kind::Text(_) | Kind::Word => Vec::new(),
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn blank(&mut self) -> Result<(), Flaw> {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        let rest = &self.text[self.at..];
        if rest.starts_with("//") || rest.starts_with("/*") {
            return Err(Flaw::at(self.at, "a comment, which JSON does not have"));
        }
        Ok(())
    }

    fn value(&mut self, depth: usize) -> Result<Node, Flaw> {
        self.blank()?;
        let start = self.at;
        if depth > DEEPEST {
            return Err(Flaw::at(start, format!("nested more than {DEEPEST} deep")));
        }
        let kind = match self.peek() {
            None => return Err(Flaw::at(start, "the text ends where a value is expected")),
            Some(b'{') => {
                let mut members = Vec::new();
                self.list(b'}', |reader| {
                    let start = reader.at;
                    if reader.peek() != Some(b'"') {
                        return Err(Flaw::at(start, "expected a name in quotes"));
                    }
                    let key = reader.string()?;
                    reader.blank()?;
                    if reader.peek() != Some(b':') {
                        return Err(Flaw::at(reader.at, "expected a colon"));
                    }
                    reader.at += 1;
                    members.push(Member { start, key, value: reader.value(depth + 1)? });
                    Ok(())
                })?;
                Kind::Object(members)
            }
            Some(b'[') => {
                let mut items = Vec::new();
                self.list(b']', |reader| {
                    items.push(reader.value(depth + 1)?);
                    Ok(())
                })?;
                Kind::Array(items)
            }
            Some(b'"') => Kind::Text(self.string()?),
            Some(_) => {
                let rest = &self.text[start..];
                let word = rest.split([',', ':', '[', ']', '{', '}', '"', '/', ' ', '\t', '\n', '\r']).next();
                let word = word.unwrap_or_default();
                if serde_json::from_str::<IgnoredAny>(word).is_err() {
                    return Err(Flaw::at(start, "expected a value"));
                }
                self.at += word.len();
                Kind::Word
            }
        };
        Ok(Node { start, end: self.at, kind })
    }

    fn list(&mut self, close: u8, mut item: impl FnMut(&mut Self) -> Result<(), Flaw>) -> Result<(), Flaw> {
        self.at += 1;
        let mut comma = None;
        loop {
            self.blank()?;
            if self.peek() == Some(close) {
                if let Some(comma) = comma {
                    return Err(Flaw::at(comma, "a comma with nothing behind it"));
                }
                self.at += 1;
                return Ok(());
            }
            item(self)?;
            self.blank()?;
            match self.peek() {
                Some(b',') => {
                    comma = Some(self.at);
                    self.at += 1;
                }
                Some(found) if found == close => comma = None,
                _ => return Err(Flaw::at(self.at, format!("expected a comma or {}", char::from(close)))),
            }
        }
    }

    fn string(&mut self) -> Result<String, Flaw> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek() {
                None => return Err(Flaw::at(start, "a text that does not end")),
                Some(b'"') => break,
                Some(b'\\') => self.at += 2,
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
        let text = self.text.get(start..self.at).unwrap_or_default();
        // A lone half of a surrogate pair is legal in a file, and no key or command of ours has one.
        serde_json::from_str(text).or_else(|error| match serde_json::from_str::<IgnoredAny>(text) {
            Ok(_) => Ok(text.to_owned()),
            Err(_) => Err(Flaw::at(start, format!("not a text: {}", plain(&error)))),
        })
    }
}

/// What a parser says, without the place in its part of the text.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}
