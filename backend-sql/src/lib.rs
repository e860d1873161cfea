//! Storage on SQLite, PostgreSQL and MySQL.
