use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use apiserver::{HealthCheck, Server, ServerConfig};
use dualwriter::{DualWriter, Side};
use resource::{OsRandom, TokenKey};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use storage_core::{Durability, StorageBackend, SystemClock};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use unistore::{Layers, retention};

use crate::authority::Authority;
use crate::cli::ServeArguments;
use crate::config_file::ConfigFile;
use crate::data_dir::DataDir;
use crate::health::{Need, StoreProbe};
use crate::identity::{Identity, KUBECONFIG};
use crate::metrics::Metrics;
use crate::migration::{self, Migrations};
use crate::open::open;
use crate::say::say;
use crate::settings::Settings;
use crate::signals::Signals;
use crate::unified_storage::kinds;

/// The exit code of a server that a second signal ended at once, as shells have it.
const EXIT_INTERRUPTED: u8 = 130;

/// Serves a store until a signal comes.
pub(crate) async fn run(arguments: ServeArguments, file: &ConfigFile) -> Result<ExitCode> {
    let settings = Settings::new(arguments, file)?;
    let mut signals = Signals::listen()?;
    raise_file_limit();
    let data = DataDir::open(&settings.data_dir)?;
    let layers = open(&settings.store, settings.legacy.as_ref()).await?;
    let shutdown = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let server = bind(&settings, &data, &layers, &mut tasks, &shutdown).await?;
    if let Err(error) = announce(&settings, &data, &layers, &server) {
        tracing::warn!(%error, "it serves nevertheless");
    }
    let serving = server.serve(shutdown.clone());
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        () = &mut serving => {}
        () = signals.next() => {
            tracing::info!("stopping; a second signal stops at once");
            shutdown.cancel();
            tokio::select! {
                () = &mut serving => {}
                () = signals.next() => return Ok(ExitCode::from(EXIT_INTERRUPTED)),
            }
        }
    }
    shutdown.cancel();
    while tasks.join_next().await.is_some() {}
    layers.shutdown().await;
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Brings kinds to the modes that the configuration asks for. What cannot be done is logged, and
/// the modes that are stored stay in force.
async fn apply_modes(dual_writer: &DualWriter) {
    if let Err(error) = dual_writer.apply_config().await {
        tracing::warn!(%error, "the configured modes could not be applied, the stored ones are in force");
    }
}

/// Brings everything together that a server needs, up to its open socket.
async fn bind(
    settings: &Settings,
    data: &DataDir,
    layers: &Layers,
    tasks: &mut JoinSet<()>,
    shutdown: &CancellationToken,
) -> Result<Server> {
    let clock = Arc::new(SystemClock);
    let listen = settings.listen;
    // Short and before anything is served: files, keys, one password hash.
    let identity = tokio::task::block_in_place(|| {
        Identity::load_or_create(data, listen.ip(), settings.tls.as_ref(), &SystemClock)
    })?;
    let metrics = Metrics::start()?;
    if let Some(dual_writer) = layers.dual_writer() {
        apply_modes(dual_writer).await;
    }
    let (probes, checks): (Vec<_>, Vec<_>) = probes(layers)?.into_iter().unzip();
    let objects = unistore::objects(layers.store())
        .await
        .context("cannot prepare the store")?;
    let mut elsewhere = BTreeMap::new();
    if let Some(dual_writer) = layers.dual_writer() {
        let dual_writer = Arc::clone(dual_writer);
        let migrations = Migrations::new(dual_writer, kinds(), shutdown.clone()).await?;
        let token_key = TokenKey::load_or_create(&layers.store(), &OsRandom).await?;
        let shown = migrations.objects(objects.kinds(), token_key)?;
        elsewhere.insert(migration::GROUP.to_owned(), shown);
        tasks.spawn(migrations.run());
    }
    let config = ServerConfig {
        elsewhere,
        authorizer: Arc::new(Authority),
        tls: Some(identity.tls.clone()),
        authentication: identity.authentication.clone(),
        metrics: Some(metrics.renderer()),
        checks,
        clock,
        ..ServerConfig::new(listen)
    };
    let server = Server::bind(config, objects).await?;
    identity.write_kubeconfig(data, server.local_addr())?;
    for probe in probes {
        tasks.spawn(probe.run(shutdown.clone()));
    }
    tasks.spawn(metrics.upkeep(shutdown.clone()));
    tasks.spawn(retention::run(
        layers.store(),
        settings.retention.clone(),
        settings.retention_interval,
        shutdown.clone(),
    ));
    Ok(server)
}

/// Returns what asks each store now and then, and what shows its answers.
fn probes(layers: &Layers) -> Result<Vec<(StoreProbe, Arc<dyn HealthCheck>)>> {
    let stores = match layers.dual_writer() {
        None => vec![("store", layers.store(), Need::Always)],
        Some(dual_writer) => [("store", Side::Unified), ("legacy", Side::Legacy)]
            .into_iter()
            .filter_map(|(name, side)| {
                let need = Need::ByMode(Arc::clone(dual_writer), side);
                Some((name, layers.side(side)?, need))
            })
            .collect(),
    };
    let probes = stores.into_iter().map(|(name, store, need)| {
        let (probe, health) = StoreProbe::new(name, store, need)?;
        let health: Arc<dyn HealthCheck> = Arc::new(health);
        Ok((probe, health))
    });
    probes.collect()
}

/// Tells where the server is and what to type next.
fn announce(settings: &Settings, data: &DataDir, layers: &Layers, server: &Server) -> Result<()> {
    let address = crate::identity::reachable(server.local_addr());
    say(format_args!(
        "serving {} on https://{address}",
        settings.store
    ))?;
    if let Some(legacy) = &settings.legacy {
        say(format_args!("moving away from {}", legacy.store))?;
    }
    if layers.store().info().durability == Durability::Volatile {
        say("the store is in memory: it is gone when the server stops")?;
    }
    say("now type:")?;
    let kubeconfig = data.file(KUBECONFIG);
    say(format_args!(
        "  kubectl --kubeconfig={} get playlists",
        kubeconfig.display()
    ))
}

/// Takes as many open files as the system allows: each connection and each watch is one.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}
