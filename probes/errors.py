"""The one exception that means "the user gave something that cannot work"."""


class InputError(ValueError):
    """A mistake in what the user gave.

    The message is one line that says what is wrong and what to do about it. The command line prints it and
    leaves with exit code 2, without a traceback.
    """
