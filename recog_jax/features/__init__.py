"""Acoustic features that run under numpy and under jax.numpy."""

from recog_jax.features.base import Features
from recog_jax.features.extract import (
  Fbank,
  LogMel,
  Mfcc,
  make_features,
)

__all__ = ['Fbank', 'Features', 'LogMel', 'Mfcc', 'make_features']
