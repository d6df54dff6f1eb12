"""`make bench`: measures, prints a table, writes build/bench.json."""

from __future__ import annotations

import json
import pathlib

from tests.bench import explain, ledger, policies, register, startup, verify

OUT = pathlib.Path("build/bench.json")


def main() -> None:
    """Run everything, the quick things first; each row is printed as it comes."""
    found = []
    print(f"{'name':52} {'value':>10} {'unit':5} {'reference':>10} {'ratio':>8} {'goal':>8} met")
    for measure in (startup.rows, explain.rows, policies.rows, ledger.rows, verify.rows, register.rows):
        for row in measure():
            found.append(row)
            cells = [f"{row['name']:52}", f"{row['value']:>10}", f"{row['unit']:5}"]
            cells += [f"{'' if row[key] is None else row[key]:>{width}}" for key, width in (("reference", 10), ("ratio", 8), ("goal", 8))]
            print(*cells, {True: "yes", False: "no", None: ""}[row["met"]], flush=True)
            OUT.parent.mkdir(exist_ok=True)
            OUT.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
