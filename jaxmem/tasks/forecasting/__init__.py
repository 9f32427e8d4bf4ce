"""Forecasting: windows of a table over time, and what comes after them."""
