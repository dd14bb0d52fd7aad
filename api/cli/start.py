"""Where the command line starts: it loads nothing itself, so that Ctrl-C while it loads is told too.

What a command does with an interruption once it works is its own matter.
"""

import sys

INTERRUPTED = "interrupted; what was acknowledged is kept. Run the same command again."


def main() -> int:
    """Load the command line and run it; returns the exit code."""
    try:
        from api.cli.main import main as run  # noqa: PLC0415 - loading it is what may be interrupted

        return run()
    except KeyboardInterrupt:
        sys.stderr.write(f"{INTERRUPTED}\n")
        return 130
