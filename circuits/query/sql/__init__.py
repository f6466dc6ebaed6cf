"""SQL over a run: DuckDB tables, views and macros, at a local and at an untrusted level."""
