"""Statements about the catalog and the tables in it, answered without the engine's own catalog."""
