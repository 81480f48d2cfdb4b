"""Bronze, Silver and Gold of the finance lakehouse, on the Spark Connect API only.

`lakehouse` says where data lives, `sources` brings raw records in, `transforms` are pure
`DataFrame -> DataFrame` functions, `contracts` hold the tables and their expectations as data,
`main` has the entry points. The same code runs on Databricks and on an embedded engine.
"""

__version__ = "0.1.0"
