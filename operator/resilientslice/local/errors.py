"""What the local runtime says when it can't continue: one sentence for a person, never a traceback."""


class LocalError(Exception):
    """The runtime can't start or continue. The message says what was wrong, where, and what to do; exit code 2."""


class NotSettledError(LocalError):
    """The slice did not come to rest in the time given. The message lists what is still missing."""
