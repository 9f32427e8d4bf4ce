"""Models that others have trained, as models of this library; a family a file."""
