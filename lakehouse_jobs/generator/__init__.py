"""A seeded generator of a finance team's exports: demo and test data, all of it invented.

Companies, vendors, TINs, amounts and texts are made up; a resemblance is chance. Scores measured
on these rows say nothing about real books and are never quoted as accuracy.
"""

from .broken import add_broken
from .build import Options, build_lines, build_vendors
from .export import write_exports

__all__ = ["Options", "add_broken", "build_lines", "build_vendors", "write_exports"]
