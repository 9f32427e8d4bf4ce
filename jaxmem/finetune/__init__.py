"""Recipes that adapt a trained model."""
