"""Explanations of subjects, and whether they can be believed."""

import dataclasses
import functools
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from recog_jax.engine.explaining.subjects import Subject
from recog_jax.errors import UserError, listed, unknown_name
from recog_jax.explain import faithfulness, layers, methods, scores
from recog_jax.explain.methods import METHODS, Method, Options

_HEADS = ('head', 'ctc_head')
_PROJECTIONS = 'attention/qkv'


@dataclasses.dataclass(frozen=True)
class Explanation:
  """A map of one subject by one method.

  Attributes:
    method: its name.
    baseline: its name; None where the method has none.
    layer: of Grad-CAM.
    map: float32 `h w`.
    signed: whether values below 0 speak against.
    numbers: what else is known, by name.
  """

  method: str
  baseline: str | None
  layer: str | None
  map: np.ndarray
  signed: bool
  numbers: Mapping[str, float]

  @property
  def title(self) -> str:
    more = self.baseline or self.layer
    return self.method + (f' ({more})' if more else '')


class Explainer:
  """Explains subjects of one model; programs are compiled once for a shape."""

  def __init__(
    self, variables: Any, options: Options | None = None, seed: int = 0
  ):
    self._variables = variables
    self._options = options or Options()
    self._seed = seed
    self._programs: dict[Any, Callable[..., Any]] = {}
    # What is found out once for subjects of one kind and size.
    self._has: dict[Any, dict[str, list[str]]] = {}
    self._layers: dict[Any, str] = {}

  def has(self, subject: Subject) -> dict[str, list[str]]:
    """What methods can look at: `layer`, the paths of layers; `attention`."""
    key = subject.score_of, subject.x.shape
    if key not in self._has:
      self._has[key] = self._find(subject)
    return self._has[key]

  def _find(self, subject: Subject) -> dict[str, list[str]]:
    found = layers.shapes(self._score(subject), jnp.asarray(subject.x))
    h, w = subject.x.shape[1:3]
    places = methods.places(found, h, w, subject.tokens)
    places = [p for p in places if p.split('/')[-1] not in _HEADS]
    # Of a plain ViT: relative positions are in the scores of others, too.
    plain = subject.tokens == 'patches'
    blocks = [p for p in found if plain and p.endswith(_PROJECTIONS)]
    return {'layer': places, 'attention': blocks}

  def fitting(self, subject: Subject) -> list[str]:
    """The methods that can explain it."""
    has = self.has(subject)
    return methods.fitting(['gradient', *(k for k, v in has.items() if v)])

  def check(
    self,
    subject: Subject,
    names: Sequence[str],
    baselines: Sequence[str],
    layer: str | None,
  ) -> None:
    """Raises a UserError unless the model has what is asked for."""
    for name in names:
      if name not in METHODS:
        raise unknown_name('--method', name, METHODS)
    fitting = self.fitting(subject)
    if wrong := [name for name in names if name not in fitting]:
      raise UserError(
        f'--method={wrong[0]} does not fit this model, which has no '
        f'{METHODS[wrong[0]].needs} that it could look at: take '
        f'{", ".join(fitting)}'
      )
    for name in baselines:
      if name not in subject.baselines:
        raise unknown_name('--baseline', name, subject.baselines)
    places = self.has(subject)['layer']
    if layer is not None and layer not in places:
      near = unknown_name('layer', layer, places)
      if len(places) > 30:
        raise UserError(
          f"unknown layer '{layer}': those that are maps are "
          f'{listed(places[::-1], 30)}'
        ) from near
      raise near

  def layer_of(self, subject: Subject) -> str:
    """The layer of Grad-CAM where none was named."""
    key = subject.score_of, subject.x.shape
    if key not in self._layers:
      places = self.has(subject)['layer']
      x = jnp.asarray(subject.x)
      self._layers[key] = methods.last_that_matters(
        self._score(subject), x, places, subject.tokens
      )
    return self._layers[key]

  def explain(
    self,
    subject: Subject,
    name: str,
    baseline: str | None = None,
    layer: str | None = None,
    variables: Any = None,
  ) -> Explanation:
    """The map of a subject.

    Args:
      subject: see there.
      name: of a method that fits.
      baseline: of the subject's; None: its first.
      layer: of Grad-CAM; None: the last that matters.
      variables: others than the model's.
    """
    method = METHODS[name]
    baseline = baseline or next(iter(subject.baselines))
    if method.needs == 'layer':
      layer = layer or self.layer_of(subject)
    else:
      layer = None
    program = self._program(subject, name, method, layer)
    # A stream of its own for each method, so that none depends on the others.
    key = jax.random.key(zlib.crc32(name.encode()) ^ self._seed)
    maps, numbers = program(
      self._variables if variables is None else variables,
      jnp.asarray(subject.x),
      dict(subject.what),
      jnp.asarray(subject.baselines[baseline]),
      key,
    )
    return Explanation(
      method=name,
      baseline=baseline if method.baseline else None,
      layer=layer,
      map=np.asarray(maps[0], np.float32),
      signed=method.signed,
      numbers={k: float(v[0]) for k, v in numbers.items()},
    )

  def _score(self, subject: Subject) -> Callable[[jax.Array], jax.Array]:
    return lambda x: subject.score_of(self._variables, x, subject.what)

  def _program(
    self, subject: Subject, name: str, method: Method, layer: str | None
  ) -> Callable[..., Any]:
    options = dataclasses.replace(
      self._options, layer=layer, tokens=subject.tokens
    )
    if method.needs == 'attention':
      blocks = tuple(self.has(subject)['attention'])
      options = dataclasses.replace(options, blocks=blocks)
    key = name, layer, subject.score_of
    if key not in self._programs:

      def run(variables, x, what, baseline, key):
        def score(x):
          return subject.score_of(variables, x, what)

        return method.explain(score, x, baseline, key, options)

      self._programs[key] = jax.jit(run)
    return self._programs[key]

  # -- whether maps can be believed -------------------------------------------

  def faithfulness(
    self, subject: Subject, found: Explanation, fill: str
  ) -> dict[str, float]:
    """How a map does beside maps that know nothing of the model.

    Args:
      subject: see there.
      found: its explanation.
      fill: the baseline that stands where something is deleted.

    Returns:
      `deletion` and `insertion`, areas under the probability of the answer, or
      under its score, while places are taken away or put in; the same of
      `_random` and `_edges`; `randomised`, the rank correlation with the map of
      mixed weights; `stability`.
    """
    x = np.asarray(subject.x)
    heats = {
      '': found.map[None],
      '_random': faithfulness.random_heat(x.shape[:3], self._seed),
      '_edges': faithfulness.edges(x),
    }
    numbers: dict[str, float] = {}
    curve = self._curve(subject)
    base = jnp.asarray(subject.baselines[fill])
    for end, heat in heats.items():
      for insert, kind in ((False, 'deletion'), (True, 'insertion')):
        values = curve(
          self._variables,
          jnp.asarray(x),
          dict(subject.what),
          jnp.asarray(heat, jnp.float32),
          base,
          insert,
        )
        numbers[kind + end] = float(faithfulness.area(values)[0])
    numbers['randomised'] = self.randomised(subject, found)
    return {**numbers, 'stability': self.stability(subject, found)}

  def _curve(self, subject: Subject) -> Callable[..., Any]:
    key = 'curve', subject.score_of, subject.odds
    if key not in self._programs:

      def run(variables, x, what, heat, base, insert):
        def score(x):
          value = subject.score_of(variables, x, what)
          return scores.probability(value) if subject.odds else value

        return faithfulness.curves(score, x, heat, base, insert=insert)

      self._programs[key] = jax.jit(run, static_argnums=5)
    return self._programs[key]

  @functools.cached_property
  def _untrained(self) -> Any:
    params = faithfulness.randomised(self._variables['params'], self._seed)
    return {**self._variables, 'params': params}

  def randomised(self, subject: Subject, found: Explanation) -> float:
    """Rank correlation of a map with that of the weights in another order."""
    other = self.mixed(subject, found)
    return float(faithfulness.rank_correlation(found.map[None], other[None])[0])

  def mixed(self, subject: Subject, found: Explanation) -> np.ndarray:
    """The same map of weights in another order."""
    return self._again(subject, found, variables=self._untrained)

  def _again(
    self, subject: Subject, found: Explanation, **options: Any
  ) -> np.ndarray:
    where = found.baseline, found.layer
    return self.explain(subject, found.method, *where, **options).map

  def stability(self, subject: Subject, found: Explanation) -> float:
    """See `faithfulness.stability`; of four inputs that are a little noisy."""

    def explain(x: jax.Array) -> Any:
      moved = dataclasses.replace(subject, x=np.asarray(x))
      return self._again(moved, found)[None]

    x, key = jnp.asarray(subject.x), jax.random.key(self._seed)
    return float(faithfulness.stability(explain, x, key, samples=4)[0])
