"""Memory for long-context sequence models: `y, state = f(x, state, reset)`."""

__version__ = "0.1.0"
