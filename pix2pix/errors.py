"""The one exception for mistakes that a user can mend."""


class UserError(Exception):
    """One sentence: what was got, what is allowed, what to do. The command line prints it and exits with the status."""

    exit_status = 2
