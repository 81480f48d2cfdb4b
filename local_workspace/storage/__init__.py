"""Files: Volumes."""
