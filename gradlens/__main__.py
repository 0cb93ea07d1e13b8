"""``python -m gradlens``."""

from gradlens.commands.main import main

if __name__ == "__main__":
    main()
