"""`make demo`: the main job on real parts, each step checked by a query."""

from tools.demo.run import run, stop
