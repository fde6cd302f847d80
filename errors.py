"""The one exception that means: the user can mend this; and how a script shows it."""

import sys
from collections.abc import Callable


class InputError(ValueError):
    """A bad input. The message says what was given and where, what is allowed, and what to do."""


def run_script(main: Callable[[], None]) -> None:
    """Run a script's `main`; an `InputError` becomes one line on stderr and exit status 2.

    Everything else keeps its traceback: it is a defect of this project, not of the input.
    """
    try:
        main()
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
