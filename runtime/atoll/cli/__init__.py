"""The command line: one file a verb; each parses its arguments and calls `serve`."""


def main() -> int:
    """Run the verb that the command line names; the exit status."""
    raise SystemExit(2)
