"""A source, an augmentation, a model and a task that no package holds."""

import dataclasses

import cv2
import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from recog_jax.data.image.records import Info
from recog_jax.tasks.base import BaseTask

CLASSES = ('0', '45', '90', '135')


@dataclasses.dataclass(frozen=True)
class BarRecords:
  """Drawn when they are asked for, so that workers have something to do."""

  first: int
  count: int
  side: int

  in_memory = False
  uniform = True

  def __len__(self):
    return self.count

  def labels(self):
    return ((self.first + np.arange(self.count)) * 7 % 4).astype(np.int32)

  def take(self, ids):
    labels = self.labels()[ids]
    images = np.zeros((len(ids), self.side, self.side, 1), np.uint8)
    for image, label in zip(images, labels, strict=True):
      angle, half = np.pi * label / 4, self.side / 2
      x, y = half * np.cos(angle), half * np.sin(angle)
      ends = np.rint([[half - x, half + y], [half + x, half - y]]).astype(int)
      cv2.line(image, ends[0].tolist(), ends[1].tolist(), 255, 1)
    return {'image': images, 'label': labels}


class Bars:
  """Pictures of bars in four directions, as a source."""

  def __init__(self, *, side: int = 16):
    """Sets how large they are.

    Args:
      side: height and width in pixels.
    """
    self.side = side
    self.info = Info('bars', (side, side, 1), CLASSES)

  def sizes(self):
    return {'train': 256, 'val': 64, 'test': 64}

  def records(self, split):
    first = {'train': 0, 'val': 256, 'test': 320}[split]
    return BarRecords(first, self.sizes()[split], self.side)

  def fingerprint(self):
    return f'bars-{self.side}'


@dataclasses.dataclass(frozen=True)
class Darker:
  """Multiplies an image by a number between 1 - `most` and 1."""

  most: float = 0.3

  def __call__(self, images, draws):
    factor = 1 - self.most * draws.uniform('darker')
    return (images * factor[:, None, None, None]).astype(np.uint8)


class Net(nn.Module):
  """Two dense layers."""

  num_outputs: int
  width: int

  @nn.compact
  def __call__(self, x, *, train):
    x = nn.relu(nn.Dense(self.width, name='hidden')(x.reshape(len(x), -1)))
    return nn.Dense(self.num_outputs, name='head')(x), {'features': x}


def make_net(*, num_outputs: int, width: int = 16) -> Net:
  """The network.

  Args:
    width: units of the hidden layer.
  """
  return Net(num_outputs, width)


@dataclasses.dataclass(frozen=True)
class Direction(BaseTask):
  """A bar's direction as a point on a circle that it goes round twice."""

  weight: float

  num_outputs = 2
  headline = 'degrees'
  coefficients = property(lambda self: {'distance': self.weight})

  def loss(self, outputs, batch):
    angle = batch['targets'] * (jnp.pi / 2)
    place = jnp.stack([jnp.cos(angle), jnp.sin(angle)], 1)
    squared = jnp.square(outputs['logits'] - place).sum(1)
    valid = batch['valid'].astype(jnp.float32)
    return {'distance': ((squared * valid).sum(), valid.sum())}

  def records(self, outputs, batch):
    x, y = outputs['logits'].T
    said = jnp.rad2deg(jnp.arctan2(y, x)) / 2 % 180
    return {**super().records(outputs, batch), 'said': said} | {
      'true': batch['targets'] * 45.0
    }

  def row_metrics(self, records, lookup):
    apart = np.abs(records['said'] - records['true']) % 180
    return {'degrees': np.minimum(apart, 180 - apart)}


def make_direction(*, weight: float = 1.0) -> Direction:
  """The task.

  Args:
    weight: of the only term of the loss.
  """
  return Direction(weight)
