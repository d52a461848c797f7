"""The two ways in which a job ends without a fault of the program: bad input, and being asked to stop."""


class InputError(Exception):
    """Bad input by the user: the message names the file or key, what was expected and what to do."""


class Interrupted(Exception):
    """A job was asked to stop, or has no time left, and left a checkpoint."""
