"""The command `modelyard`, also installed as `kubectl-modelyard`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run one verb and exit with its code."""
    if sys.argv[1:2] == ["fetch"]:
        # In a pod every start waits for this: nothing but the standard library and the S3 client is loaded.
        from modelyard.cli.container import fetch  # noqa: PLC0415

        sys.exit(fetch.main())
    from modelyard.cli import app  # noqa: PLC0415

    app.run()


if __name__ == "__main__":
    main()
