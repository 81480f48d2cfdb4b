"""The Thrift call interface of a SQL warehouse (TCLIService), on the statements of the REST API."""
