"""Definitions for Spark Declarative Pipelines; thin, over the transforms that the job's tasks use."""
