"""The contract: one module per API, each with a ``router``; they know HTTP, the rooms the work."""
