"""Raw records of the finance exports, as Bronze keeps them.

`unpack` opens ZIPs in plain Python (shared by both ways in), `landing` reads them as a batch with
a ledger (embedded engine), `stream` reads what `unpack` has staged as a stream (Auto Loader on
Databricks, files elsewhere).
"""
