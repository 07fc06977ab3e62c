"""What a config needs on devices that are not here: compiled, not run."""
