"""Table and source contracts: data in YAML files beside this module, and their small loader.

A table contract names its grain, keys, columns and expectations; a source contract maps the
headers of one kind of export to our fields. Both are plain frozen dataclasses.
"""

from .sources import FIELDS, SourceContract, SourceField, source_contracts, value_map
from .tables import Column, Expectation, TableContract, contract_for, contract_names

__all__ = [
    "FIELDS",
    "Column",
    "Expectation",
    "SourceContract",
    "SourceField",
    "TableContract",
    "contract_for",
    "contract_names",
    "source_contracts",
    "value_map",
]
