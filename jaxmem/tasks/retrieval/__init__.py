"""Retrieval: an encoder learns that a query and its document belong together."""
