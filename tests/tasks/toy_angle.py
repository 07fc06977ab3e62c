"""Classes as angles on a circle: a head, a loss and a metric of its own."""

import dataclasses

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from recog_jax.tasks import base


class Headed(nn.Module):
  """The model of the config, with a head that points to a place on a circle."""

  model: nn.Module

  @nn.compact
  def __call__(self, x, *, train):
    _, taps = self.model(x, train=train)
    return nn.Dense(2, name='angle')(taps['features']), taps


def _apart(angle, other):
  """Distance of angles in radians, 0..pi."""
  return abs((angle - other + np.pi) % (2 * np.pi) - np.pi)


@dataclasses.dataclass(frozen=True)
class Angle(base.BaseTask):
  """Class k of v lies at k / v of the circle."""

  num_outputs: int
  weight: float

  headline = 'within_a_class'
  higher_is_better = True

  @property
  def coefficients(self):
    return {'cosine': self.weight}

  def whole(self, module):
    return Headed(module)

  def _angles(self, batch):
    return batch['targets'] * (2 * jnp.pi / self.num_outputs)

  def loss(self, outputs, batch):
    x, y = outputs['logits'].T / jnp.linalg.norm(outputs['logits'], axis=1)
    angle = self._angles(batch)
    cosine = x * jnp.cos(angle) + y * jnp.sin(angle)
    valid = batch['valid']
    total = jnp.where(valid, 1 - cosine, 0).sum()
    return {'cosine': (total, valid.sum(dtype=jnp.float32))}

  def records(self, outputs, batch):
    x, y = outputs['logits'].T
    said = jnp.arctan2(y, x)
    return {**super().records(outputs, batch), 'said': said} | {
      'true': self._angles(batch)
    }

  def row_metrics(self, records, lookup):
    apart = _apart(records['said'], records['true'])
    return {'within_a_class': apart < 2 * np.pi / self.num_outputs}


def make_angle(*, info, weight=1.0):
  return Angle(len(info.label_names), weight)
