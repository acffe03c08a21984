"""The one exception that users are meant to read."""


class QlabError(Exception):
    """An error that says, in one sentence, what was expected, what came, where, and what to do.
    Raised for everything that a user can fix: bad input, a missing file, a full disk. Anything else
    that escapes is a defect of qlab and keeps its traceback."""
