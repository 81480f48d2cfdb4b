"""python -m lakehouse_jobs.generator --out DIR --seed 7 --companies 3 --months 6 --lines 3000"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from . import Options, add_broken, write_exports


def main(argv: list[str] | None = None) -> int:
    """Writes the exports and prints one JSON line: files, bytes, lines."""
    parser = argparse.ArgumentParser(prog="python -m lakehouse_jobs.generator", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder that receives the ZIPs")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--companies", type=int, default=3)
    parser.add_argument("--months", type=int, default=6)
    parser.add_argument("--lines", type=int, default=3000, help="records in all files together")
    parser.add_argument("--start", default="2025-07", help="first month, YYYY-MM")
    parser.add_argument("--vendors-per-kind", type=int, default=8)
    parser.add_argument("--broken", action="store_true", help="add files that must be refused")
    args = parser.parse_args(argv)
    options = Options(
        seed=args.seed,
        companies=args.companies,
        months=args.months,
        lines=args.lines,
        start=args.start,
        vendors_per_kind=args.vendors_per_kind,
    )
    paths = write_exports(args.out, options)
    broken = add_broken(args.out) if args.broken else {}
    size = sum(path.stat().st_size for path in paths)
    report = {"files": len(paths), "bytes": size, "lines": args.lines, "broken": len(broken)}
    print(json.dumps(report))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
