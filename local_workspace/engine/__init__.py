"""The SQL engine behind a small interface, and the catalog it reads."""
