"""Parts of pipeline_host.py: they run in the job's environment, with its pyspark."""
