"""``python -m gradlens``."""

from gradlens.cli import main

if __name__ == "__main__":
    main()
