"""What goes wrong, in two kinds; each is one message without a traceback."""


class UserError(ValueError):
  """Something that the user can mend: exit code 2. Names the thing and the remedy."""


class RunError(RuntimeError):
  """A run that cannot go on: exit code 1. Names the thing and the remedy."""
