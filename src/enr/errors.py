"""The one error that users see: what was given, what is expected, what to do."""


class EnrError(Exception):
    """A mistake in the input that its user can mend.

    The message is one sentence that names what was given, what is expected and what to do.
    The command line prints it without a traceback and exits with status 2.
    """
