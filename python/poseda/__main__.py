"""``python -m poseda`` and the command ``poseda``."""

import sys


def main() -> None:
    """Runs the command line; Ctrl-C while it still loads is no traceback either."""
    try:
        from poseda.cli import main as run

        run()
    except KeyboardInterrupt:
        print("poseda: stopped", file=sys.stderr)
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
