use super::{HookCommand, KeptContainers, add, find, remove};

fn hooks() -> Vec<HookCommand> {
    let hook = |event: &str| HookCommand { event: event.into(), command: "/x/requery hook codex".into(), timeout: 3 };
    vec![hook("Stop"), hook("PreToolUse")]
}

fn ours(command: &str) -> bool {
    command.starts_with("/x/requery")
}

#[test]
fn added_hooks_follow_the_layout_of_the_text() {
    let stop = r#"[{ "hooks": [{ "type": "command", "command": "/x/requery hook codex", "timeout": 3 }] }]"#;
    let both = |open: &str, between: &str, close: &str| {
        format!("{open}\"Stop\": {stop},{between}\"PreToolUse\": {stop}{close}")
    };
    for (before, after) in [
        ("", both("{\n  \"hooks\": {\n    ", "\n    ", "\n  }\n}\n")),
        ("\r\n", both("{\r\n  \"hooks\": {\r\n    ", "\r\n    ", "\r\n  }\r\n}\r\n")),
        ("{}", both("{\n  \"hooks\": {\n    ", "\n    ", "\n  }\n}")),
        ("{\n\t\"a\": 1\n}", both("{\n\t\"a\": 1,\n\t\"hooks\": {\n\t\t", "\n\t\t", "\n\t}\n}")),
        ("{\"a\":1}", both("{\"a\":1,\"hooks\": {", "", "}}")),
        ("{ \"a\": 1 , \"b\": 2 }", both("{ \"a\": 1 , \"b\": 2, \"hooks\": {", "", "} }")),
        ("{\n \"hooks\": {}, \"z\": [1,\n2] }", both("{\n \"hooks\": {\n  ", "\n  ", "\n }, \"z\": [1,\n2] }")),
    ] {
        let added = add(before, &hooks()).expect("added");
        assert_eq!(added, after);
        let found: Vec<_> = find(&added, ours).expect("found").into_iter().map(|placed| placed.hook).collect();
        assert_eq!(found, hooks());
    }
}

#[test]
fn changes_of_the_user_between_install_and_uninstall_stay() {
    let before = "{\n  \"hooks\": {\n    \"Stop\": [\n      {\n        \"hooks\": [{ \"type\": \"command\", \"command\": \"say done\" }]\n      }\n    ]\n  },\n  \"model\": \"opus\"\n}\n";
    let installed = add(before, &hooks()).expect("added");
    let edit =
        |text: &str| text.replace("opus\"", "sonnet\",\n  \"env\": { \"A\": \"é\" }").replace("say done", "say bye");
    let removed = remove(&edit(&installed), ours, &KeptContainers::of(before)).expect("removed");
    assert_eq!(removed, edit(before));
    // A member behind our hooks stays, too.
    let behind = installed.replacen("}] }]\n  },", "}] }],\n    \"Mine\": []\n  },", 1);
    let removed = remove(&behind, ours, &KeptContainers::of(before)).expect("removed");
    assert_eq!(removed, before.replacen("    ]\n  },", "    ],\n    \"Mine\": []\n  },", 1));
}

#[test]
fn a_foreign_hook_beside_ours_stays() {
    let text = r#"{"hooks": {"Stop": [{"matcher": "", "hooks": [{"command": "mine"}, {"command": "/x/requery hook codex"}]}]}}"#;
    let rest = r#"{"hooks": {"Stop": [{"matcher": "", "hooks": [{"command": "mine"}]}]}}"#;
    assert_eq!(remove(text, ours, &KeptContainers::default()).expect("removed"), rest);
}

#[test]
fn a_text_that_is_not_json_is_refused_with_the_place_of_its_flaw() {
    for (text, at, what) in [
        ("{\n  // mine\n}", 4, "a comment, which JSON does not allow"),
        ("/* mine */ {}", 0, "a comment, which JSON does not allow"),
        ("{} // mine", 3, "a comment, which JSON does not allow"),
        ("\u{feff}{\"a\": 1 /* x */}", 11, "a comment, which JSON does not allow"),
        ("{\"a\": [1, // x\n 2]}", 10, "a comment, which JSON does not allow"),
        ("{\"a\": 1,}", 7, "a trailing comma, which JSON does not allow"),
        ("{\"a\": [1 ,\n]}", 9, "a trailing comma, which JSON does not allow"),
        ("{\"a\": nul}", 9, "expected ident"),
        ("{\"a\":\u{a0}1}", 5, "expected value"),
        ("{\"a\" 1}", 5, "expected `:`"),
        ("{a: 1}", 1, "key must be a string"),
        ("{\"a\": 1} x", 9, "trailing characters"),
        ("{\"a\": \"x", 8, "the text ends too early"),
        ("{\"a\": 1", 7, "the text ends too early"),
        ("[]", 0, "the settings: expected an object"),
        ("{\"hooks\": []}", 10, "hooks: expected an object"),
        ("{\"hooks\": {\"Stop\": {}}}", 19, "hooks.Stop is not a list"),
    ] {
        let flaw = add(text, &hooks()).expect_err(text);
        assert_eq!((flaw.at, flaw.reason.as_str()), (at, what), "{text}");
    }
    let flaw = add("{\"a\": \"x\ny\"}", &hooks()).expect_err("a line break in a string");
    assert!(flaw.reason.starts_with("control character"), "{flaw:?}");
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(add(&deep, &hooks()).is_err());
}
