use std::sync::Arc;

use resource::{Kinds, Objects, ObjectsOptions, OsRandom, Result, TokenKey};
use storage_core::StorageBackend;

/// Returns the objects of a store, with the kinds that are compiled in.
///
/// # Errors
/// If the store cannot be read or written: it keeps the key that signs continue tokens.
pub async fn objects(store: Arc<dyn StorageBackend>) -> Result<Objects> {
    let key = TokenKey::load_or_create(&store, &OsRandom).await?;
    let kinds = Arc::new(Kinds::built_in());
    Ok(Objects::new(store, kinds, ObjectsOptions::new(key)))
}
