"""Definitions for Spark Declarative Pipelines; thin, over the transforms of the job's tasks."""
