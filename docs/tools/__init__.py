"""Tools that build the documentation; `python -m docs.build` uses them."""
