//! Serves the compiled-in kinds from memory, to everyone who can reach the address.
//!
//! `cargo run -p apiserver --example serve -- 127.0.0.1:8001`, then
//! `kubectl --server=http://127.0.0.1:8001 get playlists`.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use apiserver::{Anonymous, Server, ServerConfig};
use resource::{Kinds, Objects, ObjectsOptions, OsRandom, TokenKey};
use storage_core::Memory;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address: SocketAddr = match std::env::args().nth(1) {
        Some(address) => address.parse()?,
        None => SocketAddr::from(([127, 0, 0, 1], 8001)),
    };
    let options = ObjectsOptions::new(TokenKey::random(&OsRandom)?);
    let kinds = Arc::new(Kinds::built_in());
    let objects = Objects::new(Arc::new(Memory::new()), kinds, options);

    let mut config = ServerConfig::new(address);
    config.authentication.anonymous = Anonymous::Everything;
    let server = Server::bind(config, objects).await?;
    println!("http://{}", server.local_addr());

    let shutdown = CancellationToken::new();
    let serving = server.serve(shutdown.clone());
    tokio::pin!(serving);
    tokio::select! {
        () = &mut serving => (),
        signal = tokio::signal::ctrl_c() => {
            signal?;
            shutdown.cancel();
            serving.await;
        }
    }
    Ok(())
}
