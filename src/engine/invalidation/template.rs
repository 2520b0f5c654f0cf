//! The template for a read model, or for all tasks, that a notice makes stale. It has at most one placeholder.

use std::fmt;

use crate::protocol::{NoticeFields, Watched};

/// The text of a read model, in which `{field}` stands for a field of the notice: `overview`, `task:{task_id}`.
///
/// The placeholder stands at the end of the text: no read model needs more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaleTemplate<'t> {
    /// The text before the placeholder.
    prefix: &'t str,
    /// The name of the field in the placeholder. None: the text has no placeholder.
    field: Option<&'t str>,
}

impl<'t> StaleTemplate<'t> {
    /// Parses a template. None: a brace has no partner, the placeholder is empty, or text follows the placeholder.
    pub const fn parse(text: &'t str) -> Option<Self> {
        let bytes = text.as_bytes();
        let mut placeholder = None;
        let mut at = 0;
        while at < bytes.len() {
            match (bytes[at], placeholder) {
                (b'{', None) => placeholder = Some(at),
                (b'}', Some(_)) if at + 1 == bytes.len() => {}
                (b'{' | b'}', _) => return None,
                _ => {}
            }
            at += 1;
        }
        match placeholder {
            None => Some(Self { prefix: text, field: None }),
            // A placeholder without a name (`{}`) has two bytes, so it is refused.
            Some(start) if start + 2 < bytes.len() && bytes[bytes.len() - 1] == b'}' => {
                let (prefix, placeholder) = text.split_at(start);
                let (_, name) = placeholder.split_at(1);
                let (name, _) = name.split_at(name.len() - 1);
                Some(Self { prefix, field: Some(name) })
            }
            Some(_) => None,
        }
    }

    /// The template with this text. In a constant, a text that is no template is a compile error.
    pub(super) const fn new(text: &'t str) -> Self {
        match Self::parse(text) {
            Some(template) => template,
            None => panic!("not a template"),
        }
    }

    /// The text before the placeholder.
    pub fn prefix(&self) -> &'t str {
        self.prefix
    }

    /// The name of the field in the placeholder, if there is one.
    pub fn field(&self) -> Option<&'t str> {
        self.field
    }

    /// The read model, or all tasks. None where the notice lacks the field or its value is `null`.
    pub fn fill(&self, fields: &NoticeFields<'_>) -> Option<Watched> {
        match self.field {
            None => self.prefix.parse().ok(),
            Some(field) => format!("{}{}", self.prefix, fields.text(field)?).parse().ok(),
        }
    }
}

impl fmt::Display for StaleTemplate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field {
            None => f.write_str(self.prefix),
            Some(field) => write!(f, "{}{{{field}}}", self.prefix),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::StaleTemplate;
    use crate::protocol::NoticeKind;

    #[test]
    fn text_round_trips() {
        for text in ["overview", "task:*", "task:{task_id}", "{project}"] {
            assert_eq!(StaleTemplate::parse(text).map(|template| template.to_string()).as_deref(), Some(text));
        }
    }

    #[test]
    fn unbalanced_or_inner_placeholders_are_refused() {
        for text in ["{", "}", "{}", "task:{task_id", "task:task_id}", "task:{a}{b}", "task:{a}:x", "task:{{a}}"] {
            assert_eq!(StaleTemplate::parse(text), None, "{text}");
        }
    }

    #[test]
    fn holes_fill_from_the_fields_of_the_notice() {
        let started = NoticeKind::TaskStarted.sample();
        let purged = NoticeKind::TasksPurged.sample();
        let fill = |text, notice: &crate::protocol::Notice| {
            let template = StaleTemplate::parse(text).expect("a template");
            template.fill(&notice.fields()).map(|watched| watched.to_string())
        };
        let parent = started.parent_task_id().expect("a parent");
        assert_eq!(fill("task:{parent_task_id}", &started), Some(format!("task:{parent}")));
        assert_eq!(fill("task:{parent_task_id}", &purged), None);
        assert_eq!(fill("task:{no_such_field}", &started), None);
        assert_eq!(fill("bookmarks", &purged).as_deref(), Some("bookmarks"));
    }
}
