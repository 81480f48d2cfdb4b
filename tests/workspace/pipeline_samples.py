"""Texts and files of which the tests of pipelines make theirs, and what they ask of the tables."""

from __future__ import annotations

import io
import json

ROOT = "/Volumes/main/landing/finance_exports/pipelines"
HEAD = """
from pyspark import pipelines as dp
from pyspark.sql import SparkSession, functions as F
spark = SparkSession.active()
"""


def rows(client, text):
    answer = client.statement_execution.execute_statement(text, "local")
    assert answer.result is not None, answer.status
    return answer.result.data_array or []


def put(client, folder, name, *records):
    text = "".join(json.dumps(record) + "\n" for record in records)
    client.files.upload(f"{folder}/in/{name}", io.BytesIO(text.encode()), overwrite=True)
