use std::sync::Arc;

use conformance::traffic::Dice;
use kube::api::{DeleteParams, DynamicObject, PostParams, Preconditions};
use kube::{Api, Error, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::process::{BACKOFF, Process};
use crate::record::{Ask, Attempt, Marker, Record, Seen, Told};
use crate::support::client::playlist;

/// Clients that write the same objects through any of the processes.
pub(crate) struct Actors {
    /// Held while they act; dropping it aborts them.
    tasks: JoinSet<()>,
    stop: watch::Sender<bool>,
}

/// Who acts on what.
#[derive(Clone, Debug)]
pub(crate) struct Cast {
    pub(crate) actors: usize,
    /// Objects that they share, and what their names begin with.
    pub(crate) objects: usize,
    pub(crate) prefix: String,
    pub(crate) seed: u64,
}

impl Cast {
    /// Returns the names of all objects.
    pub(crate) fn names(&self) -> Vec<String> {
        (0..self.objects).map(|object| self.name(object)).collect()
    }

    fn name(&self, object: usize) -> String {
        format!("{}{object:03}", self.prefix)
    }
}

impl Actors {
    /// Lets them act, evenly spread over the processes.
    pub(crate) async fn start(
        cast: &Cast,
        processes: &[Arc<Process>],
        record: &Arc<Record>,
    ) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        for number in 0..cast.actors {
            let mut apis = Vec::new();
            for process in processes {
                apis.push(process.playlists().await);
            }
            let mut actor = Actor {
                cast: cast.clone(),
                home: number % processes.len(),
                processes: processes.to_vec(),
                apis,
                record: Arc::clone(record),
                dice: Dice::new(cast.seed * 1_000 + number as u64),
            };
            let stopped = stopped.clone();
            tasks.spawn(async move {
                while !*stopped.borrow() {
                    actor.act().await;
                }
            });
        }
        Self { tasks, stop }
    }

    /// Waits until each has its last answer.
    pub(crate) async fn stop(mut self) {
        self.stop.send_replace(true);
        while let Some(actor) = self.tasks.join_next().await {
            actor.unwrap();
        }
    }
}

struct Actor {
    cast: Cast,
    home: usize,
    processes: Vec<Arc<Process>>,
    apis: Vec<Api<DynamicObject>>,
    record: Arc<Record>,
    dice: Dice,
}

impl Actor {
    /// Looks at an object and then writes it as it saw it.
    async fn act(&mut self) {
        let object = self.dice.roll(self.cast.objects);
        let name = self.cast.name(object);
        let at = self.process().await;
        let Some(seen) = read(&self.record, &self.apis[at], at, &name).await else {
            tokio::time::sleep(BACKOFF).await;
            return;
        };
        let marker = self.record.marker();
        let ask = match (seen, self.dice.roll(10)) {
            (None, _) => Ask::Create(marker),
            (Some(over), 0..=6) => Ask::Update { marker, over },
            (Some(over), 7..=8) => Ask::Delete { over },
            (Some(_), _) => return,
        };
        // Not always the one that was read from.
        let at = match self.dice.roll(4) {
            0 => self.dice.roll(self.apis.len()),
            _ => at,
        };
        if self.processes[at].is_up() {
            write(&self.record, &self.apis[at], at, &name, ask).await;
        }
    }

    /// The own process, or another one while that is down.
    async fn process(&self) -> usize {
        let own_first = (0..self.processes.len()).map(|n| (self.home + n) % self.processes.len());
        for at in own_first {
            if self.processes[at].is_up() {
                return at;
            }
        }
        self.processes[self.home].up().await;
        self.home
    }
}

/// Reads an object; none if there was no answer.
pub(crate) async fn read(
    record: &Record,
    api: &Api<DynamicObject>,
    process: usize,
    name: &str,
) -> Option<Option<Seen>> {
    let call = record.tick();
    let told = match api.get_opt(name).await {
        Ok(found) => Told::Saw(found.map(|object| Seen {
            marker: marker_of(&object.data),
            version: version_of(&object),
            call,
        })),
        Err(error) => told(error),
    };
    record.add(Attempt {
        name: name.to_owned(),
        process,
        call,
        answered: record.tick(),
        answered_at: Instant::now(),
        ask: Ask::Read,
        told: told.clone(),
    });
    match told {
        Told::Saw(saw) => Some(saw),
        Told::Done(_) | Told::Refused | Told::Failed(_) | Told::Unknown(_) => None,
    }
}

/// Writes an object and notes what was told.
pub(crate) async fn write(
    record: &Record,
    api: &Api<DynamicObject>,
    process: usize,
    name: &str,
    ask: Ask,
) -> Told {
    let call = record.tick();
    let told = match ask {
        Ask::Read => unreachable!("a read is no write"),
        Ask::Create(marker) => {
            let object = object(name, marker);
            let created = api.create(&PostParams::default(), &object).await;
            created.map_or_else(told, |object| Told::Done(Some(version_of(&object))))
        }
        Ask::Update { marker, over } => {
            let mut object = object(name, marker);
            object.metadata.resource_version = Some(over.version.to_string());
            let replaced = api.replace(name, &PostParams::default(), &object).await;
            replaced.map_or_else(told, |object| Told::Done(Some(version_of(&object))))
        }
        Ask::Delete { over } => {
            let parameters = DeleteParams::default().preconditions(Preconditions {
                resource_version: Some(over.version.to_string()),
                uid: None,
            });
            let deleted = api.delete(name, &parameters).await;
            deleted.map_or_else(told, |_| Told::Done(None))
        }
    };
    record.add(Attempt {
        name: name.to_owned(),
        process,
        call,
        answered: record.tick(),
        answered_at: Instant::now(),
        ask,
        told: told.clone(),
    });
    told
}

/// What an error says of a request. Any other answer is a fault.
fn told(error: Error) -> Told {
    let Error::Api(status) = error else {
        // The connection broke: the request may have arrived.
        return Told::Unknown(error.to_string());
    };
    match status.code {
        404 | 409 => Told::Refused,
        429 | 503 => Told::Failed(status.message),
        504 if status
            .message
            .contains("the outcome of the write is unknown") =>
        {
            Told::Unknown(status.message)
        }
        // A process that has not heard of the version yet.
        504 if status.message.contains("Too large resource version") => {
            Told::Failed(status.message)
        }
        _ => panic!("an answer that nobody expects: {status:?}"),
    }
}

pub(crate) fn version_of(object: &DynamicObject) -> u64 {
    object.resource_version().unwrap().parse().unwrap()
}

/// A playlist with the marker in two places: half of a write would show.
fn object(name: &str, marker: Marker) -> DynamicObject {
    let mut object = playlist(name, &marker.to_string());
    object.data["spec"]["items"][0]["value"] = json!(format!("also {marker}"));
    object
}

/// Reads the marker of an object that [`object`] made.
pub(crate) fn marker_of(object: &Value) -> Marker {
    let spec = &object["spec"];
    let marker: Marker = spec["title"].as_str().unwrap().parse().unwrap();
    let also = spec["items"][0]["value"].as_str().unwrap();
    assert_eq!(also, format!("also {marker}"), "half of a write: {object}");
    marker
}
