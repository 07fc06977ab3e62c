"""Image and speech recognition research in JAX, on many accelerators."""
