//! Background jobs: the work that a server does beside answering requests.
//!
//! There are two kinds. A *required* job runs until the server stops it. Without it the streams would stay open but get
//! no notices, so the server ends when a required job ends. A *repeated* job does a bounded step of work, then waits.
//! If a step fails, the failure is logged and the step tried again, since the server answers requests without the job.

use std::fmt::Display;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::database::{Database, DatabaseError};

mod trouble;
pub use trouble::TroubleLog;

mod bring_in_log;
pub use bring_in_log::BringInLogJob;

mod keeper;
pub use keeper::{KeeperJob, LeaseJob, SchemaJob};

mod storage_probe;
pub use storage_probe::StorageProbeJob;

mod watch_file;
pub use watch_file::WatchFileJob;

/// The pause before a step is tried again after the database was busy or away.
const BUSY_PAUSE: Duration = Duration::from_secs(1);

/// The background jobs of one server.
#[derive(Default)]
pub struct Jobs {
    required: JoinSet<()>,
    repeated: JoinSet<()>,
    stop: CancellationToken,
}

/// A job that does a bounded step of work, again and again.
pub trait BackgroundJob: Send + 'static {
    /// The work as the log names it, after "could not": `fold the change log`.
    const PURPOSE: &'static str;

    /// The longest pause after a failed step, 1 s. Only a job whose every try costs other writers time makes it longer:
    /// each further failure then doubles the pause.
    const LONGEST_PAUSE: Duration = Duration::from_secs(1);

    /// Whether the job waits once before its first step.
    const WAITS_FIRST: bool = false;

    /// Does some of the work.
    fn step(&mut self) -> impl Future<Output = Result<StepProgress, JobError>> + Send;

    /// Waits until there can be work again.
    fn wait(&mut self) -> impl Future<Output = ()> + Send;
}

/// How far a step came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepProgress {
    /// There is more to do. A step that writes waits for the write lock and leaves it to others.
    More,
    /// There is no work until [`BackgroundJob::wait`] returns.
    Idle,
}

/// Why a step failed.
#[derive(Debug)]
pub enum JobError {
    /// The database is busy or away. Its own error is logged elsewhere, so the job only tries again.
    DatabaseUnusable,
    /// The text goes to the log.
    Failed(String),
}

impl From<DatabaseError> for JobError {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Busy
            | DatabaseError::Closed(_)
            | DatabaseError::Away(_)
            | DatabaseError::Storage(_)
            | DatabaseError::Damaged(_) => Self::DatabaseUnusable,
            DatabaseError::Index(_) | DatabaseError::Db(_) => Self::failed(error),
        }
    }
}

impl JobError {
    /// A failure that goes to the log.
    pub fn failed(error: impl Display) -> Self {
        Self::Failed(error.to_string())
    }
}

impl Jobs {
    /// Starts a required job. It has to end by itself soon after [`Jobs::stop_token`] is cancelled.
    pub fn start_required(&mut self, job: impl Future<Output = ()> + Send + 'static) {
        self.required.spawn(job);
    }

    /// Starts a repeated job.
    pub fn start_repeated<J: BackgroundJob>(&mut self, job: J) {
        let stop = self.stop.clone();
        self.repeated.spawn(async move {
            stop.run_until_cancelled(repeat(job)).await;
        });
    }

    /// Starts a repeated job that only one of the servers of a database does.
    pub fn start_keeper<J: BackgroundJob>(&mut self, job: J, database: &Database) {
        match database.is_shared() {
            true => self.start_repeated(KeeperJob::new(job, database.clone())),
            false => self.start_repeated(job),
        }
    }

    /// Cancelled when the jobs have to end.
    pub fn stop_token(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Waits for a required job to end, which none does before [`Jobs::stop`] unless it is broken.
    pub async fn required_job_ended(&mut self) -> Result<(), JoinError> {
        self.required.join_next().await.unwrap_or(Ok(()))
    }

    /// Ends all jobs and waits for them.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while self.required.join_next().await.is_some() {}
        while self.repeated.join_next().await.is_some() {}
    }
}

/// Repeats the steps of `job` for as long as the future is polled. Failures do not end it. A panic is a failure like
/// any other.
async fn repeat<J: BackgroundJob>(mut job: J) {
    let began = Instant::now();
    let mut trouble = TroubleLog::new(J::LONGEST_PAUSE);
    if J::WAITS_FIRST {
        job.wait().await;
    }
    loop {
        let failure = match AssertUnwindSafe(job.step()).catch_unwind().await {
            Ok(Ok(progress)) => {
                trouble.note_success();
                match progress {
                    StepProgress::More => tokio::task::yield_now().await,
                    StepProgress::Idle => job.wait().await,
                }
                continue;
            }
            Ok(Err(JobError::DatabaseUnusable)) => {
                tokio::time::sleep(BUSY_PAUSE).await;
                continue;
            }
            Ok(Err(JobError::Failed(failure))) => failure,
            Err(_) => "the job panicked".to_owned(),
        };
        if trouble.is_new(&failure, began.elapsed()) {
            tracing::error!(error = failure, "could not {}; trying again", J::PURPOSE);
        }
        tokio::time::sleep(trouble.pause()).await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::mpsc;

    use super::{BackgroundJob, JobError, Jobs, StepProgress};

    /// A job whose steps are the words of a script. It reports every step and every wait.
    struct ScriptedJob<const WAITS_FIRST: bool> {
        script: std::vec::IntoIter<&'static str>,
        report: mpsc::Sender<&'static str>,
    }

    impl<const WAITS_FIRST: bool> BackgroundJob for ScriptedJob<WAITS_FIRST> {
        const PURPOSE: &'static str = "play the script";
        const LONGEST_PAUSE: Duration = Duration::from_millis(1);
        const WAITS_FIRST: bool = WAITS_FIRST;

        async fn step(&mut self) -> Result<StepProgress, JobError> {
            let word = self.script.next().unwrap_or("idle");
            let _ = self.report.try_send(word);
            match word {
                "fail" => Err(JobError::failed("the script says so")),
                "panic" => panic!("the script says so"),
                "more" => Ok(StepProgress::More),
                _ => Ok(StepProgress::Idle),
            }
        }

        async fn wait(&mut self) {
            let _ = self.report.try_send("wait");
            if self.script.len() == 0 {
                std::future::pending::<()>().await;
            }
        }
    }

    #[tokio::test]
    async fn a_repeated_job_survives_failures_and_panics_and_waits_only_when_it_is_idle() {
        let (report, mut reported) = mpsc::channel(16);
        let mut jobs = Jobs::default();
        let script = vec!["more", "fail", "panic", "more", "idle", "fail", "idle"];
        jobs.start_repeated(ScriptedJob::<false> { script: script.into_iter(), report });
        let mut seen = Vec::new();
        while seen.iter().filter(|word| **word == "wait").count() < 2 {
            let next = tokio::time::timeout(Duration::from_secs(20), reported.recv()).await;
            seen.push(next.expect("a report in time").expect("a running job"));
        }
        assert_eq!(seen, ["more", "fail", "panic", "more", "idle", "wait", "fail", "idle", "wait"]);
        jobs.stop().await;
        assert_eq!(reported.recv().await, None);
    }

    #[tokio::test]
    async fn a_job_that_waits_first_takes_no_step_before() {
        let (report, mut reported) = mpsc::channel(16);
        let mut jobs = Jobs::default();
        jobs.start_repeated(ScriptedJob::<true> { script: vec!["idle"].into_iter(), report });
        for expected in ["wait", "idle", "wait"] {
            let next = tokio::time::timeout(Duration::from_secs(20), reported.recv()).await;
            assert_eq!(next.expect("a report in time"), Some(expected));
        }
        jobs.stop().await;
    }

    #[tokio::test]
    async fn a_required_job_that_ends_is_noticed() {
        let mut jobs = Jobs::default();
        let stop = jobs.stop_token();
        jobs.start_required(async move { stop.cancelled().await });
        jobs.start_required(async {});
        assert!(jobs.required_job_ended().await.is_ok());
        jobs.start_required(async { panic!("a broken job") });
        assert!(jobs.required_job_ended().await.is_err());
        jobs.stop().await;
    }
}
