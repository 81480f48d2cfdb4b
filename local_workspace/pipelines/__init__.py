"""Declarative pipelines: definitions, updates, their events; the graph runs in a child process."""
