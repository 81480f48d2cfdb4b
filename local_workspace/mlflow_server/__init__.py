"""MLflow behind the workspace's own host and token: its server process, registry, artifacts."""
