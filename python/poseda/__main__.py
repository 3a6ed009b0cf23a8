"""``python -m poseda`` is the command ``poseda``."""

from poseda.cli import main

if __name__ == "__main__":
    main()
