"""The embedded workspace: the Databricks REST contract in front of engines that run here."""

__version__ = "0.1.0"
