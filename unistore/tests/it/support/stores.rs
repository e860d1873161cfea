use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{Connection, Executor, MySqlConnection, PgConnection};
use tempfile::TempDir;

/// The engines that end-to-end tests run on, as a comma-separated list.
const VARIABLE: &str = "UNISTORE_TEST_STORES";
const ALL: &str = "redb,sled,sqlite,postgres,mysql";

/// An empty store for one test, gone with this value.
pub(crate) struct Store {
    pub(crate) engine: String,
    pub(crate) url: String,
    // Holds the server's data directory, and the store of an embedded engine.
    pub(crate) folder: TempDir,
    database: Option<Database>,
}

impl Store {
    /// Makes an empty store of an engine.
    pub(crate) fn new(engine: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (url, database) = match engine {
            "postgres" | "mysql" => {
                let database = Database::create(engine);
                (database.url.clone(), Some(database))
            }
            embedded => {
                let path = folder.path().join("store");
                (format!("{embedded}:{}", path.display()), None)
            }
        };
        Self {
            engine: engine.to_owned(),
            url,
            folder,
            database,
        }
    }

    /// Returns a folder for a server of this store.
    pub(crate) fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Some(database) = &self.database {
            database.drop_it();
        }
    }
}

/// Returns the engines to test.
pub(crate) fn engines() -> Vec<String> {
    let list = std::env::var(VARIABLE).unwrap_or_else(|_| ALL.into());
    list.split(',')
        .map(|engine| engine.trim().to_owned())
        .collect()
}

/// A database of its own on a test server.
struct Database {
    engine: String,
    server: String,
    name: String,
    url: String,
}

impl Database {
    fn create(engine: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let variable = match engine {
            "postgres" => "UNISTORE_TEST_POSTGRES",
            _ => "UNISTORE_TEST_MYSQL",
        };
        let server = std::env::var(variable).unwrap_or_else(|_| {
            panic!("{variable} is not set: run `cargo xtask test`, which starts the servers, or name engines without a server in {VARIABLE}")
        });
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("unistore_it_{}_{number}", std::process::id());
        let (base, _) = server.rsplit_once('/').unwrap();
        let database = Self {
            engine: engine.to_owned(),
            url: format!("{base}/{name}"),
            server,
            name,
        };
        database.execute(format!("CREATE DATABASE {}", database.name));
        database
    }

    fn drop_it(&self) {
        let force = match self.engine.as_str() {
            "postgres" => " WITH (FORCE)",
            _ => "",
        };
        self.execute(format!("DROP DATABASE {}{force}", self.name));
    }

    /// Runs a statement on the server, from tests with a runtime and from those without one.
    fn execute(&self, statement: String) {
        let work = async {
            let statement = sqlx::AssertSqlSafe(statement);
            match self.engine.as_str() {
                "postgres" => {
                    let mut connection = PgConnection::connect(&self.server).await.unwrap();
                    connection.execute(statement).await.unwrap();
                }
                _ => {
                    let mut connection = MySqlConnection::connect(&self.server).await.unwrap();
                    connection.execute(statement).await.unwrap();
                }
            }
        };
        let run = || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(work);
        };
        std::thread::scope(|scope| scope.spawn(run).join().unwrap());
    }
}
