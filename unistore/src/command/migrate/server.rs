use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use apiserver::Response;
use async_trait::async_trait;
use dualwriter::{Forced, Kind, Mode, Repair, Transition};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::bar::Bar;
use super::reach::{OnDifference, Reach};
use crate::identity;
use crate::migration::{
    Migration, MigrationObject, MigrationStatus, Refused, Synced, Task, Verified, Work, WorkState,
    path,
};
use crate::settings::DATA_DIR;

/// How often a server is asked how far it is.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// How long a server that does not answer is asked again while it works.
const SILENCE_BOUND: Duration = Duration::from_secs(30);

/// How long a change that has begun is waited for.
const CHANGE_BOUND: Duration = Duration::from_secs(60);

/// The code of an answer to an order that could not be carried out now.
const UNAVAILABLE: u16 = 503;

/// The code of an answer to an order that the state of things does not allow.
const CONFLICT: u16 = 409;

/// A server that is asked through its API.
pub(super) struct Server {
    client: apiserver::Client,
}

impl Server {
    /// Finds the server of a data directory.
    pub(super) fn find(data_dir: Option<PathBuf>) -> Result<Self> {
        let data_dir = data_dir.unwrap_or_else(|| DATA_DIR.into());
        Ok(Self {
            client: client(&data_dir).with_context(|| {
                format!(
                    "no server has {} as its data directory; name it with --data-dir, or both \
                     stores with --legacy and --store",
                    data_dir.display()
                )
            })?,
        })
    }
}

#[async_trait]
impl Reach for Server {
    fn after_interrupt(&self) -> &'static str {
        "the server goes on with what it was asked for; `unistore migrate status` tells how far it is"
    }

    async fn status(&self, kind: &Kind) -> Result<Migration> {
        let response = self.client.get(&path(kind)).await?;
        let mut status = shown(kind, &read(&response)?)?;
        // Both are for those who know nothing but the object.
        status.conditions.clear();
        status.work = None;
        let name = kind.to_string();
        Ok(Migration { name, status })
    }

    async fn set_mode(
        &self,
        kind: &Kind,
        to: Mode,
        forced: Forced,
    ) -> Result<Result<Transition, Refused>> {
        let before = self.status(kind).await?.status;
        let mut spec = json!({"mode": to.number()});
        match forced {
            Forced::No => {}
            Forced::SkipSync => spec["skipSync"] = true.into(),
            Forced::AcceptLoss => spec["acceptLoss"] = true.into(),
        }
        let response = self.patch(kind, &spec).await?;
        if response.code == CONFLICT {
            let now = self.status(kind).await?.status;
            let shut = now.gates.iter().find(|gate| gate.mode == to.number());
            if let Some(gate) = shut.filter(|gate| !gate.open) {
                return Ok(Err(Refused {
                    from: now.mode,
                    to: to.number(),
                    gate: gate.gate.clone().unwrap_or_default(),
                    how: gate.how.clone().unwrap_or_default(),
                }));
            }
        }
        if response.code == UNAVAILABLE {
            let why = reason(&response);
            bail!("{kind} did not change, or not yet: {why}; see `unistore migrate status`");
        }
        read(&response)?;
        self.await_mode(kind, to).await?;
        let from = Mode::from_number(before.mode)?;
        Ok(Ok(Transition { from, to }))
    }

    async fn sync(&self, kind: &Kind) -> Result<Synced> {
        let bar = Bar::new("syncing")?;
        let done = self.work(kind, Task::Sync, "syncRequest", &bar).await?;
        done.synced.context("the server does not say what it did")
    }

    async fn verify(
        &self,
        kind: &Kind,
        repair: Repair,
        on_difference: OnDifference<'_>,
    ) -> Result<Verified> {
        let bar = Bar::new("comparing")?;
        let (task, field) = match repair {
            Repair::No => (Task::Verify, "verifyRequest"),
            Repair::Yes => (Task::Repair, "repairRequest"),
        };
        let found = self.work(kind, task, field, &bar).await?.verified;
        let found = found.context("the server does not say what it found")?;
        bar.aside(|| found.differences.iter().for_each(on_difference));
        Ok(found)
    }
}

impl Server {
    /// Asks for work and waits for its end.
    async fn work(&self, kind: &Kind, task: Task, field: &str, bar: &Bar) -> Result<Work> {
        let request = request()?;
        let mut spec = json!({});
        spec[field] = request.as_str().into();
        read(&self.patch(kind, &spec).await?)?;
        loop {
            let object = self.poll(kind).await?;
            let ours = |work: &Work| work.task == task && work.request == request;
            let Some(work) = shown(kind, &object)?.work.filter(ours) else {
                bail!(
                    "the server has forgotten what it was asked for: it was restarted, or somebody \
                     asked for something else since; see `unistore migrate status`"
                );
            };
            bar.show(work.compared, work.total);
            match work.state {
                WorkState::Running => sleep(POLL_INTERVAL).await,
                WorkState::Complete | WorkState::Incomplete => return Ok(work),
                WorkState::Failed => bail!("{}", work.message),
            }
        }
    }

    /// Waits until a mode is in force. An order of the mode that a change leads to already is
    /// answered at once.
    async fn await_mode(&self, kind: &Kind, to: Mode) -> Result<()> {
        let deadline = Instant::now() + CHANGE_BOUND;
        loop {
            let now = shown(kind, &self.poll(kind).await?)?;
            match now.changing_to {
                None if now.mode == to.number() => return Ok(()),
                None => bail!("{kind} is in mode {}: another order was faster", now.mode),
                Some(_) if Instant::now() < deadline => sleep(POLL_INTERVAL).await,
                Some(to) => bail!(
                    "{kind} has begun to change from mode {} to mode {to}, and is not through; see \
                     `unistore migrate status`",
                    now.mode
                ),
            }
        }
    }

    /// Asks how a kind stands, again if the server does not answer: what was ordered goes on there.
    async fn poll(&self, kind: &Kind) -> Result<MigrationObject> {
        let deadline = Instant::now() + SILENCE_BOUND;
        loop {
            match self.client.get(&path(kind)).await {
                Ok(response) if response.code != UNAVAILABLE => return read(&response),
                Ok(_) | Err(_) if Instant::now() < deadline => sleep(POLL_INTERVAL).await,
                Ok(response) => return read(&response),
                Err(error) => {
                    return Err(error).with_context(|| {
                        let seconds = SILENCE_BOUND.as_secs();
                        format!(
                            "the server has not answered for {seconds} s; what was ordered may go on"
                        )
                    });
                }
            }
        }
    }

    async fn patch(&self, kind: &Kind, spec: &Value) -> Result<Response> {
        let patch = json!({"spec": spec}).to_string();
        Ok(self.client.merge_patch(&path(kind), patch).await?)
    }
}

fn client(data_dir: &Path) -> Result<apiserver::Client> {
    let file = data_dir.join(identity::KUBECONFIG);
    let text = std::fs::read_to_string(&file)
        .with_context(|| format!("cannot read {}", file.display()))?;
    let known = identity::read_kubeconfig(&text)
        .with_context(|| format!("{} is not as the server wrote it", file.display()))?;
    let client = apiserver::Client::new(&known.server, &known.trusted, &known.token)?;
    Ok(client)
}

/// Takes the object out of an answer, or the reason why there is none.
fn read(response: &Response) -> Result<MigrationObject> {
    match response.code {
        200 | 201 => Ok(MigrationObject::read(&response.body)?),
        404 => bail!("the server has one store only: start it with --legacy"),
        code => {
            bail!("the server refuses ({code}): {}", reason(response))
        }
    }
}

fn reason(response: &Response) -> String {
    let status: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    let message = status["message"].as_str();
    message.unwrap_or("no reason was given").to_owned()
}

fn shown(kind: &Kind, object: &MigrationObject) -> Result<MigrationStatus> {
    let status = object.status.clone();
    status.with_context(|| format!("the server does not say how {kind} stands"))
}

/// Returns a text that nobody used before.
fn request() -> Result<String> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).context("no randomness from the system")?;
    Ok(format!("migrate-{:016x}", u64::from_le_bytes(bytes)))
}
