"""python -m benchmarks [NAME ...]: runs them and writes benchmarks/results/NAME.json."""

from __future__ import annotations

import sys
from importlib import import_module

from . import BENCHMARKS
from .report import write


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"unknown benchmark {unknown[0]}; there are {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    for name in names or BENCHMARKS:
        result = import_module(f"{__package__}.{name}").run()
        path = write(name, result)
        for case in result["cases"]:
            print(
                f"{name}: {case['name']}: {case['ours']} {result['unit']}, "
                f"{case['reference_name']} {case['reference']} {result['unit']}, "
                f"ratio {case['ratio']}"
            )
        print(f"{name}: written to {path}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
