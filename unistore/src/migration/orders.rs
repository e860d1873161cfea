//! What a patch of an object sets off.

use dualwriter::{Kind, Mode, Progress, Repair, TransitionError};
use storage_core::{Error, ErrorKind, Result};
use tokio::sync::watch;

use super::object::Spec;
use super::work::{
    DIFFERENCES_SHOWN_MAX, Differing, FirstDifferences, Synced, Task, Verified, Work, WorkState,
};
use super::{Migrations, PROGRESS_INTERVAL};

impl Migrations {
    /// Does what a new spec asks for beyond the old one: changes the mode and waits for it; starts
    /// a sync or a comparison.
    pub(super) async fn fulfil(&self, kind: &Kind, old: &Spec, new: &Spec) -> Result<()> {
        let asked = |old: &str, new: &str| !new.is_empty() && old != new;
        let tasks = [
            (Task::Sync, &old.sync_request, &new.sync_request),
            (Task::Verify, &old.verify_request, &new.verify_request),
            (Task::Repair, &old.repair_request, &new.repair_request),
        ];
        let tasks = tasks
            .into_iter()
            .filter(|(_, old, new)| asked(old, new))
            .map(|(task, _, request)| (task, request));
        let tasks: Vec<_> = tasks.collect();
        if tasks.len() > 1 {
            return refuse("a sync and a comparison may not be asked for at the same time");
        }
        if let (Some(work), false) = (self.work(kind), tasks.is_empty())
            && work.state == WorkState::Running
        {
            return refuse(&format!(
                "a {:?} of {kind} is running, wait for its end",
                work.task
            ));
        }
        if new.mode != old.mode {
            self.change(kind, Mode::from_number(old.mode)?, new).await?;
        }
        for (task, request) in tasks {
            self.start(kind, task, request);
        }
        Ok(())
    }

    /// Changes the mode. Once begun it goes on, whether or not the client waits.
    async fn change(&self, kind: &Kind, from: Mode, spec: &Spec) -> Result<()> {
        let to = Mode::from_number(spec.mode)?;
        let forced = spec.forced(from, to);
        let (migrations, of) = (self.clone(), kind.clone());
        let changing = self
            .0
            .tasks
            .spawn(async move { migrations.0.dual_writer.set_mode(&of, to, forced).await });
        match changing.await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(TransitionError::Refused(refusal))) => refuse(&refusal.to_string()),
            Ok(Err(TransitionError::Storage(error))) => Err(error),
            Err(_) => {
                let context = "the change of mode was broken off";
                Err(Error::new(ErrorKind::Indeterminate, "order", context))
            }
        }
    }

    fn start(&self, kind: &Kind, task: Task, request: &str) {
        let begun = Work::begun(task, request);
        self.set_work(kind, begun.clone());
        let (migrations, kind) = (self.clone(), kind.clone());
        let shutdown = self.0.shutdown.clone();
        self.0.tasks.spawn(async move {
            // A sync that is cut off goes on where it was when it is asked for again.
            shutdown
                .run_until_cancelled(migrations.work_on(&kind, begun))
                .await;
        });
    }

    /// Does the work and shows how far it is.
    async fn work_on(&self, kind: &Kind, begun: Work) {
        let (progress, seen) = watch::channel(None);
        let mut tell = |now: Progress| {
            progress.send_replace(Some(now));
        };
        let working = self.carry_out(kind, &begun, &mut tell);
        let showing = async {
            let mut ticks = tokio::time::interval(PROGRESS_INTERVAL);
            loop {
                ticks.tick().await;
                let now = *seen.borrow();
                if let Some(now) = now {
                    self.set_work(kind, begun.at(now));
                    self.tell(kind).await;
                }
            }
        };
        let ended = tokio::select! {
            ended = working => ended,
            () = showing => return,
        };
        let total = (*seen.borrow()).map_or(0, |now| now.total);
        let ended = ended.unwrap_or_else(|error| begun.failed(error.to_string()));
        self.set_work(kind, Work { total, ..ended });
        self.tell(kind).await;
    }

    /// Shows at once what work has come to.
    async fn tell(&self, kind: &Kind) {
        if let Err(error) = self.refresh_one(kind).await {
            tracing::debug!(%kind, %error, "the progress of work is not shown");
        }
    }

    async fn carry_out(
        &self,
        kind: &Kind,
        begun: &Work,
        tell: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<Work> {
        let dual_writer = &self.0.dual_writer;
        let repair = match begun.task {
            Task::Sync => {
                let report = dual_writer.sync(kind, tell).await?;
                return Ok(begun.synced(Synced::from(report)));
            }
            Task::Verify => Repair::No,
            Task::Repair => Repair::Yes,
        };
        let mut shown = FirstDifferences::new(DIFFERENCES_SHOWN_MAX);
        let mut keep = |difference| shown.push(Differing::from(difference));
        let report = dual_writer.verify(kind, repair, &mut keep, tell).await?;
        Ok(begun.verified(Verified::new(report, shown)))
    }
}

/// Says that the state of things does not allow an order.
fn refuse(why: &str) -> Result<()> {
    Err(Error::new(ErrorKind::Conflict, "order", why))
}
