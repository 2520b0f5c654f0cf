//! The texts of the demo: projects, prompts, questions and notes. They are invented.

/// A project, and the jobs in it.
pub struct DemoProject {
    /// The name of the project and of its folder.
    pub name: &'static str,
    /// The files that agents read and change.
    pub files: &'static [&'static str],
    /// The command that runs the tests.
    pub test: &'static str,
    /// The command that builds the project.
    pub build: &'static str,
    /// The command that runs the linter.
    pub lint: &'static str,
    /// The prompt of each job, and the agent's answer at its end.
    pub jobs: &'static [(&'static str, &'static str)],
}

/// The projects.
pub const PROJECTS: &[DemoProject] = &[
    DemoProject {
        name: "storefront",
        files: &["src/cart/totals.ts", "src/cart/coupon.ts", "src/checkout/Summary.tsx", "test/cart/totals.test.ts"],
        test: "npm test -- test/cart",
        build: "npm run build",
        lint: "npx tsc --noEmit",
        jobs: &[
            (
                "The cart total is off by one cent when two coupons are combined. Find out why and fix it.",
                "Each line was rounded on its own. The total is now rounded once, and a test holds it.",
            ),
            (
                "Move the address form to the new Field component. Keep the ids, the e2e tests use them.",
                "The form uses Field now; ids and labels are what they were, and all e2e tests pass.",
            ),
            (
                "Show the delivery date in the order summary, in the customer's time zone.",
                "The summary shows the date in the customer's zone and falls back to the shop's.",
            ),
        ],
    },
    DemoProject {
        name: "ledger-api",
        files: &["ledger/postings.py", "ledger/models.py", "ledger/reconcile.py", "tests/test_postings.py"],
        test: "pytest -q tests",
        build: "docker build -t ledger-api .",
        lint: "ruff check ledger",
        jobs: &[
            (
                "Split postings.amount into debit and credit, with a migration that can be undone.",
                "Postings have debit and credit; the migration copies 41,220 rows and goes back again.",
            ),
            (
                "Reconciliation takes 40 seconds for a month. Profile it and make it fast.",
                "It loaded each account anew for every posting. One query now: 40 s became 1.3 s.",
            ),
        ],
    },
    DemoProject {
        name: "relay-worker",
        files: &["src/queue.rs", "src/worker.rs", "src/retry.rs", "tests/restart.rs"],
        test: "cargo test --test restart",
        build: "cargo build --release",
        lint: "cargo clippy --all-targets",
        jobs: &[
            (
                "Two messages are lost when the worker restarts under load. Find the cause.",
                "It acknowledged before the write was durable. The order is changed and a test restarts it 200 times.",
            ),
            (
                "Retries should back off with jitter instead of every five seconds.",
                "Retries wait 0.5 s to 30 s with full jitter, and the metrics count them.",
            ),
        ],
    },
    DemoProject {
        name: "field-notes",
        files: &["app/import.py", "app/species.py", "templates/day.html", "tests/test_import.py"],
        test: "python -m pytest -q",
        build: "make package",
        lint: "ruff format --check app",
        jobs: &[
            (
                "Import the June notes; some of the names are in Arabic and Japanese 🐦",
                "All 312 notes are in. Names keep their script, and lists sort by locale.",
            ),
            (
                "The day page is slow with many photos. Load them when they come into view.",
                "Photos load as they come into view; the page is ready in 0.4 s instead of 3.",
            ),
        ],
    },
];

/// Further prompts of a person, each with the agent's answer.
pub const FOLLOW_UPS: &[(&str, &str)] = &[
    ("Looks good. Please add a test for the empty case too.", "There is a test for the empty case now."),
    ("Can you explain the change in two sentences for the changelog?", "Done; it is under Unreleased, two sentences."),
    ("Rename the helper to something that says what it does.", "Renamed, and its three callers with it."),
];

/// Questions of agents, each with the person's answer.
pub const QUESTIONS: &[(&str, &str)] = &[
    ("Should the old endpoint stay for one more release?", "Keep it one more release"),
    ("Round half up or half even?", "Half even"),
    ("May I change the column in place, or add a new one?", "Add a new one"),
];

/// The todo list of an agent.
pub const TODOS: &[&str] =
    &["Find where it happens", "Write a test that fails", "Fix it", "Tidy up and run everything"];

/// The parts of a release, each with its commands.
pub const RELEASE: &[(&str, &[&str])] = &[
    ("Write the changelog", &["git log --oneline v2.3.0..", "git tag --list"]),
    ("Build and sign the packages", &["make package", "cosign sign-blob dist/checksums.txt"]),
    ("Run the long tests", &["make load-test", "make soak-test"]),
    ("Roll out to staging", &["kubectl apply -f deploy/staging", "kubectl rollout status deployment/web"]),
];

/// Notes of a person on bookmarks.
pub const NOTES: &[&str] =
    &["Show this at the stand-up", "Is this the same as last week?", "Nice find", "Ask about this"];
