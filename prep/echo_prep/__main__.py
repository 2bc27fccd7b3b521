"""``echo-prep`` and ``python -m echo_prep``."""

from echo_common.cli.start import start


def main() -> None:
    """Run `echo-prep`; the console script's entry point."""
    start("echo_prep.cli")


if __name__ == "__main__":
    main()
