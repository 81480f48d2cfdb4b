"""Programs that run as files in other environments; stdlib only."""
