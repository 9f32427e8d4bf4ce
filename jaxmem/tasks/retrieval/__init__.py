"""Retrieval: an encoder learns vectors that are near for a query and its document."""
