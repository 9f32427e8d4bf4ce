"""A user's mistakes: one message, exit code 2, no traceback."""


class UserError(ValueError):
  """Something that the user can mend; the message names the thing and the remedy."""
