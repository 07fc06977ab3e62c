"""jax.jit for tests, most of whose time is the compiler's."""

import functools

import jax

# Quick to compile and slower to run; in tests that compile often.
quick_jit = functools.partial(
  jax.jit, compiler_options={'xla_backend_optimization_level': 0}
)
