use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use apiserver::{Server, ServerConfig};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use storage_core::{Durability, StorageBackend, SystemClock};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use unistore::{Layers, registry, retention};

use crate::cli::ServeArguments;
use crate::config_file::ConfigFile;
use crate::data_dir::DataDir;
use crate::health::StoreProbe;
use crate::identity::{Identity, KUBECONFIG};
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::signals::Signals;

/// The exit code of a server that a second signal ended at once, as shells have it.
const EXIT_INTERRUPTED: u8 = 130;

/// Serves a store until a signal comes.
pub(crate) async fn run(arguments: ServeArguments, file: &ConfigFile) -> Result<ExitCode> {
    let settings = Settings::new(arguments, file)?;
    let mut signals = Signals::listen()?;
    raise_file_limit();
    let data = DataDir::open(&settings.data_dir)?;
    let store = registry::open(&settings.store).await?;
    let layers = Layers::new(store);
    let shutdown = CancellationToken::new();
    let mut tasks = JoinSet::new();
    let server = bind(&settings, &data, &layers, &mut tasks, &shutdown).await?;
    announce(&settings, &data, &layers, &server);
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
    let (probe, health) = StoreProbe::new(layers.store())?;
    let objects = unistore::objects(layers.store())
        .await
        .context("cannot prepare the store")?;
    let config = ServerConfig {
        tls: Some(identity.tls.clone()),
        authentication: identity.authentication.clone(),
        metrics: Some(metrics.renderer()),
        checks: vec![Arc::new(health)],
        clock,
        ..ServerConfig::new(listen)
    };
    let server = Server::bind(config, objects).await?;
    identity.write_kubeconfig(data, server.local_addr())?;
    tasks.spawn(probe.run(shutdown.clone()));
    tasks.spawn(metrics.upkeep(shutdown.clone()));
    tasks.spawn(retention::run(
        layers.store(),
        settings.retention.clone(),
        settings.retention_interval,
        shutdown.clone(),
    ));
    Ok(server)
}

/// Tells where the server is and what to type next.
fn announce(settings: &Settings, data: &DataDir, layers: &Layers, server: &Server) {
    let address = crate::identity::reachable(server.local_addr());
    println!("serving {} on https://{address}", settings.store);
    if layers.store().info().durability == Durability::Volatile {
        println!("the store is in memory: it is gone when the server stops");
    }
    println!("now type:");
    let kubeconfig = data.file(KUBECONFIG);
    println!(
        "  kubectl --kubeconfig={} get playlists",
        kubeconfig.display()
    );
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
