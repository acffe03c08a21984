"""The one exception that users are meant to read."""


class QlabError(Exception):
    """What was expected, what came, where, and what to do, in one sentence. Raised for everything a
    user can mend: bad input, a missing file, a full disk. Anything else that escapes is a defect of
    qlab and keeps its traceback."""
