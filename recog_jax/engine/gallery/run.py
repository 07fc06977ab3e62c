"""What `recog_jax.gallery` does with a model, a gallery's file and its key."""

import dataclasses
import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from recog_jax.answers import Outputs
from recog_jax.data.image import codecs, exif, faces
from recog_jax.data.image.faces import Detector
from recog_jax.engine.export import signature as signature_lib
from recog_jax.engine.gallery import store, templates
from recog_jax.engine.gallery.store import Gallery, Person
from recog_jax.engine.gallery.templates import Key
from recog_jax.engine.model import Model
from recog_jax.errors import UserError, warn
from recog_jax.metrics.identification import best_of_person
from recog_jax.metrics.verification import all_pairs
from recog_jax.storage import path_of

# False accept rates of a comparison for which thresholds are kept.
FARS = (0.1, 0.03, 0.01, 0.003, 0.001, 1e-4, 1e-5, 1e-6)
# Lengths of embeddings below which a picture says nothing.
_TINY = 1e-6
# Where a new key waits until the gallery is written.
_NEXT = '.new'


@dataclasses.dataclass(frozen=True)
class Place:
  """A gallery and its key.

  Attributes:
    gallery: the file.
    key: the file of the key.
  """

  gallery: Path
  key: Path

  def opened(self) -> tuple[Gallery, Key]:
    """Both, which belong together.

    Raises:
      UserError: one is not there, or they do not.
    """
    found = store.read(self.gallery)
    key = templates.read_key(self.key)
    waiting = self.key.with_name(self.key.name + _NEXT)
    if key.name != found.key and waiting.exists():
      # A renewal was ended between its two files.
      key = templates.read_key(waiting)
      if key.name == found.key:
        waiting.replace(self.key)
    if key.name != found.key:
      raise UserError(
        f'{self.key} is not the key of {self.gallery}: templates of another '
        'key fit nobody'
      )
    return found, key


@dataclasses.dataclass(frozen=True)
class Found:
  """What a probe is most like.

  Attributes:
    source: its file.
    name: of the best person; None where nobody is near enough.
    score: of the best person.
    threshold: that was asked for.
    best: (name, score) of people, the nearest first.
  """

  source: str
  name: str | None
  score: float
  threshold: float
  best: tuple[tuple[str, float], ...]


def fingerprint(model: Model) -> str:
  """Tells the weights of models apart.

  Raises:
    UserError: the model gives no embeddings.
  """
  check_open(model)
  state = hashlib.sha256()
  if model.variables is None:  # Of an export: the digests of its files.
    digests = signature_lib.read(path_of(model.origin)).sha256
    for name in sorted({*digests} - {'parity.json'}):
      state.update(f'{name} {digests[name]}\n'.encode())
  for leaf in jax.tree.leaves(model.variables):
    state.update(np.ascontiguousarray(leaf).tobytes())
  return state.hexdigest()[:32]


def check_open(model: Model) -> None:
  """Raises a UserError for a model that gives no embeddings."""
  if not getattr(model.task, 'open_set', False):
    raise UserError(
      f'{model.origin} gives no embeddings: a gallery needs a model of '
      'config.task.name=embedding'
    )


def embeddings(
  model: Model, files: Sequence[str], detector: Detector | None = None
) -> np.ndarray:
  """float64 `n d` of length 1.

  Args:
    model: gives embeddings.
    files: pictures or recordings.
    detector: finds the face that is cut out of a picture; None: all of it.

  Raises:
    UserError: a file that cannot be read, one without a face or with several,
      or whose embedding is zero.
  """
  things: list[Any] = list(files)
  if detector is not None:
    if model.reader.modality != 'images':
      raise UserError('--detector finds faces in pictures: leave it out')
    things = [_face_in(file, detector) for file in files]
  found = []
  for file, answer in zip(files, model.predict(things), strict=True):
    assert isinstance(answer, Outputs)
    vector = np.array(answer.outputs, np.float64)
    length = np.linalg.norm(vector)
    if not np.isfinite(length) or length < _TINY:
      raise UserError(
        f'{file}: its embedding is zero or no number, so that it is like '
        'everything: take another picture'
      )
    found.append(vector / length)
  return np.stack(found)


def _face_in(file: str, detector: Detector) -> np.ndarray:
  """uint8 `h w 3`: the one face of a picture."""
  try:
    data = Path(file).read_bytes()
    image = codecs.decode_image(data, 3)
  except (OSError, ValueError) as error:
    raise UserError(f'{file} cannot be read: {error}') from error
  image = exif.turned(image, exif.orientation(data))
  return faces.cut_out(image, faces.only_face(image, detector, file))


def begin(model: Model, key: Key, workdir: str, split: str = 'val') -> Gallery:
  """An empty gallery, with thresholds of a split of the model's training.

  Raises:
    UserError: no evaluation of the model has left its embeddings.
  """
  folder = path_of(workdir) / 'results'
  name = f'{split}-{model.step}'
  file = folder / f'{name}-embeddings.npz'
  try:
    kept = np.load(io.BytesIO(file.read_bytes()))
  except FileNotFoundError:
    raise UserError(
      f'{file} is not there, which thresholds are chosen on: python -m '
      f'recog_jax.evaluate --workdir={workdir} --split={split} '
      f'--checkpoint={model.step} writes it'
    ) from None
  embedding, person = kept['embedding'], kept['person']
  # As a probe meets a template: masks cancel out.
  bits = templates.bits_of(key, embedding)
  pairs, rows = all_pairs(embedding, person)
  score = templates.similarity(bits[rows[:, 0]], bits[rows[:, 1]])
  thresholds = store.thresholds_of(score, pairs.same, FARS)
  return Gallery(
    model=fingerprint(model),
    key=key.name,
    dim=embedding.shape[1],
    thresholds=thresholds,
    chosen_on=(
      f'{len(np.unique(person))} people of {split} at step {model.step}, '
      f'{int((~pairs.same).sum())} pairs of two people'
    ),
  )


def enrol(
  place: Place,
  model: Model,
  workdir: str,
  files: Sequence[str],
  *,
  name: str | None,
  consent: store.Consent,
  more: bool,
  far: float,
  split: str = 'val',
  detector: Detector | None = None,
) -> list[str]:
  """Adds somebody, or with `more` pictures of somebody who is there.

  Returns:
    Lines that say what was done.

  Raises:
    UserError: a name that is taken, a picture that is of somebody else, a
      gallery of another model or key.
  """
  name = store.check_name(name)
  if place.gallery.exists():
    gallery, key = place.opened()
    _check_model(place, gallery, model)
  else:
    if place.key.exists():
      key = templates.read_key(place.key)
    else:
      key = Key.new()
    gallery = begin(model, key, workdir, split)
  if gallery.has(name) and not more:
    raise UserError(
      f"'{gallery.find(name).name}' is enrolled already: for more pictures of "
      'the same person add --more; another person of that name needs another '
      'one, with a birthday or a number'
    )
  if more:
    enrolled = gallery.find(name)
    name = enrolled.name
    if enrolled.consent.purpose != consent.purpose:
      raise UserError(
        f"'{name}' has agreed to '{enrolled.consent.purpose}', and these "
        f"pictures are for '{consent.purpose}': keep another --gallery for that"
      )
  probes = embeddings(model, files, detector)
  threshold, rate = gallery.threshold(far)
  own = gallery.find(name).templates if gallery.has(name) else ()
  _check_alike(key, probes, files, own, name, threshold)
  _warn_of_others(gallery, key, probes, name, threshold)
  told = []
  made = store.make_templates(key, probes)
  gallery = gallery.with_person(Person(name, consent, (*own, *made)))
  if not place.key.exists():
    templates.write_key(place.key, key)
    told.append(
      f'{place.key} is the key: keep it elsewhere than the gallery; without it '
      'nobody is found'
    )
  store.write(place.gallery, gallery)
  count = len(own) + len(made)
  return [
    *told,
    f"'{name}' is enrolled with {count} pictures in {place.gallery}, for "
    f"'{consent.purpose}' since {consent.date} (threshold {threshold:.3f} at a "
    f'false accept rate of {rate:g})',
  ]


def _check_model(place: Place, gallery: Gallery, model: Model) -> None:
  if gallery.model != fingerprint(model):
    raise UserError(
      f'{place.gallery} was made with another model than {model.origin}: its '
      'templates mean nothing to this one; enrol people anew'
    )


def _check_alike(
  key: Key,
  probes: np.ndarray,
  files: Sequence[str],
  own: Sequence[store.Template],
  name: str,
  threshold: float,
) -> None:
  """Refuses pictures that are like none of the others of the person."""
  bits = templates.bits_of(key, probes)
  score = templates.similarity(bits[:, None], bits[None])
  np.fill_diagonal(score, -2)
  if own:
    kept = np.stack([np.frombuffer(t.bits, np.uint8) for t in own])
    names = [bytes.fromhex(t.name) for t in own]
    score = np.concatenate(
      [score, templates.scores(key, probes, kept, names)], 1
    )
  if score.shape[1] < 2:
    return
  best = score.max(1)
  if (best < threshold).any():
    worst = int(best.argmin())
    raise UserError(
      f"{files[worst]} is like no other picture of '{name}' (score "
      f'{best[worst]:.3f}, threshold {threshold:.3f}): is it of another person '
      'of that name? Leave it out'
    )


def _warn_of_others(
  gallery: Gallery, key: Key, probes: np.ndarray, name: str, threshold: float
) -> None:
  """A warning where somebody else who is enrolled looks the same."""
  others = gallery.without(name) if gallery.has(name) else gallery
  if not others.people:
    return
  score = person_scores(others, key, probes).max(0)
  best = int(score.argmax())
  if score[best] >= threshold:
    warn(
      f"'{name}' looks like '{others.people[best].name}', who is enrolled too "
      f'(score {score[best]:.3f}): is it one person under two names?'
    )


def person_scores(gallery: Gallery, key: Key, probes: np.ndarray) -> np.ndarray:
  """float64 `n p`: of each probe with the best template of each person."""
  bits, names, whose = gallery.templates()
  score = templates.scores(key, probes, bits, names)
  return best_of_person(score, whose)[0]


def identify(
  place: Place,
  model: Model,
  files: Sequence[str],
  *,
  far: float,
  top: int,
  detector: Detector | None = None,
) -> Iterator[Found]:
  """Who is in each picture, if anybody.

  Args:
    place: gallery and key.
    model: that it was made with.
    files: pictures or recordings.
    far: share of strangers that may find somebody: each comparison has that
      rate over the number of people.
    top: people that are listed.
    detector: see `embeddings`.
  """
  gallery, key = place.opened()
  _check_model(place, gallery, model)
  if not gallery.people:
    raise UserError(f'nobody is enrolled in {place.gallery}')
  threshold, _ = gallery.threshold(far / len(gallery.people))
  probes = embeddings(model, files, detector)
  for file, row in zip(files, person_scores(gallery, key, probes), strict=True):
    order = np.argsort(-row, kind='stable')[:top]
    best = tuple((gallery.people[i].name, float(row[i])) for i in order)
    name = best[0][0] if best[0][1] >= threshold else None
    yield Found(file, name, best[0][1], threshold, best)


def verify(
  place: Place,
  model: Model,
  files: Sequence[str],
  *,
  name: str | None,
  far: float,
  detector: Detector | None = None,
) -> Iterator[Found]:
  """Whether each picture is of somebody."""
  gallery, key = place.opened()
  _check_model(place, gallery, model)
  person = gallery.find(store.check_name(name))
  threshold, _ = gallery.threshold(far)
  alone = dataclasses.replace(gallery, people=(person,))
  probes = embeddings(model, files, detector)
  score = person_scores(alone, key, probes)[:, 0]
  for file, value in zip(files, score.tolist(), strict=True):
    said = person.name if value >= threshold else None
    yield Found(file, said, value, threshold, ((person.name, value),))


def delete(place: Place, name: str | None) -> str:
  """Removes somebody from the file, which is written anew."""
  gallery = store.read(place.gallery)
  gone = gallery.find(store.check_name(name))
  store.write(place.gallery, gallery.without(gone.name))
  return (
    f"'{gone.name}' and {len(gone.templates)} templates are deleted from "
    f'{place.gallery}; copies of the file elsewhere are not'
  )


def renew(place: Place) -> str:
  """Exchanges the key: what was copied of the gallery before is worthless."""
  gallery, old = place.opened()
  new = old.renewed()
  waiting = place.key.with_name(place.key.name + _NEXT)
  templates.write_key(waiting, new)
  store.write(place.gallery, gallery.renewed(old, new))
  waiting.replace(place.key)
  count = sum(len(p.templates) for p in gallery.people)
  return (
    f'{count} templates of {len(gallery.people)} people have another key: '
    'earlier copies of the gallery fit it no more'
  )


def listing(place: Place) -> list[str]:
  """Lines of who is enrolled, and for what; needs no key."""
  gallery = store.read(place.gallery)
  lines = [
    f'{p.name}  {len(p.templates)} pictures  {p.consent.date}  '
    f'{p.consent.purpose}'
    for p in gallery.people
  ]
  shown = ', '.join(f'{k:g}: {v:.3f}' for k, v in gallery.thresholds.items())
  return [
    *lines,
    f'{len(gallery.people)} people; thresholds by false accept rate: {shown} '
    f'({gallery.chosen_on})',
  ]


def tell_found(found: Iterable[Found], say: Callable[[str], None]) -> int:
  """Says what was found, a line a file; 1 where some probe is nobody."""
  code = 0
  for each in found:
    others = ', '.join(f'{name} {score:.3f}' for name, score in each.best)
    said = each.name or 'nobody'
    say(f'{each.source}  {said}  {others}  (threshold {each.threshold:.3f})')
    code |= each.name is None
  return int(code)
