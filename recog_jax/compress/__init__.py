"""Lighter models: pruning, int8; see README.md beside this file."""
