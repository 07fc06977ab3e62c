"""Sweeps: many trials of `recog_jax.main`, here or on other machines.

`space` builds the overrides, `sweep` reads a sweep file, `local`, `skypilot`
and `slurm` run its trials, `status` shows how far they are, `search` chooses
the next trial from the results of those before. Nothing here imports jax.
"""
