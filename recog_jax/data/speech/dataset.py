"""Speech data of an experiment: text, orders, features and augmentation."""

import contextlib
import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from recog_jax import registry
from recog_jax.data import pipeline
from recog_jax.data.base import Batch, Kept, LocalRows
from recog_jax.data.consent import consented
from recog_jax.data.poisson import Units
from recog_jax.data.sources import published
from recog_jax.data.speech import augment as audio
from recog_jax.data.speech import reader
from recog_jax.data.speech.batch import (
  Encoded,
  MakeSpeechBatch,
  Normaliser,
  check_delivered,
)
from recog_jax.data.speech.buckets import Bucketing
from recog_jax.data.speech.items import (
  USUAL_S,
  Corpus,
  Excluded,
  Items,
  check_excluded,
  check_longest,
  eval_items,
  exclude,
  most_frames,
  row_counts,
)
from recog_jax.data.speech.joining import Join, joined_by
from recog_jax.data.speech.labels import Labels, labels_of
from recog_jax.data.speech.order import SpeechEvalOrder, SpeechTrainOrder
from recog_jax.data.speech.poisson import SpeechPoissonOrder, speech_units
from recog_jax.data.speech.records import SpeechSource, SpeechTaskInfo
from recog_jax.data.speech.sampling import Sampler, Sampling
from recog_jax.data.speech.split import Split, described
from recog_jax.data.speech.texts import texts_as, with_language
from recog_jax.data.speech.told import ToldLanguage, languages_of, told
from recog_jax.data.splits import Subset, check_splits, split_bounds
from recog_jax.errors import UserError, unknown_name
from recog_jax.features import extract
from recog_jax.ranges import Positive, Range, Share, Size, Workers
from recog_jax.signatures import FREE, Part
from recog_jax.text.tokenizer import make_tokenizer


class SpeechData:
  """See `data.base.Data`."""

  def __init__(
    self,
    *,
    source: Annotated[SpeechSource, Part('source')],
    seed: int,
    splits: Mapping[str, str],
    tokenizer: Annotated[Mapping[str, Any], Part('tokenizer')],
    features: Annotated[Mapping[str, Any], Part('features')],
    buckets: Annotated[
      Mapping[str, Any],
      Part(factory='recog_jax.data.speech.buckets:Bucketing'),
    ],
    eval_batch_size: Annotated[Size, FREE],
    text_field: str | None = None,
    labels: Mapping[str, Sequence[str]] | None = None,
    lang: str = 'none',
    case: str | None = None,
    numbers: str = 'keep',
    augment: Annotated[
      Sequence[Mapping[str, Any]], Part('speech augmentation', many=True)
    ] = (),
    speeds: Sequence[Positive] = (1.0,),
    join: Annotated[
      Mapping[str, Any] | None,
      Part(factory='recog_jax.data.speech.joining:Join'),
    ] = None,
    sampling: Annotated[
      Mapping[str, Any] | None,
      Part(factory='recog_jax.data.speech.sampling:Sampling'),
    ] = None,
    told_language: Annotated[
      Mapping[str, Any] | None,
      Part(factory='recog_jax.data.speech.told:ToldLanguage'),
    ] = None,
    max_seconds: Positive | None = None,
    max_excluded_share: Share = 0.05,
    max_other_script: Share = 1.0,
    cmvn: str | None = None,
    deliver: str = 'features',
    views: Annotated[int, Range(1, 2)] = 1,
    workers: Annotated[Workers, FREE] = 0,
    consent: str | None = None,
    data_dir: Any = None,
  ):
    """The keys of `config.data`, with the source built.

    Args:
      source: where the recordings come from.
      seed: of order and augmentation.
      splits: TFDS notation for `train`, `val` and `test`.
      tokenizer: keys of `text.tokenizer.make_tokenizer`.
      features: keys of `features.extract.make_features`.
      buckets: keys of `buckets.Bucketing`.
      eval_batch_size: global rows of an evaluation batch.
      text_field: the field that is the target, `speaker` for example.
      labels: fields that are classes beside the text, each with its classes.
      lang: of the text's normaliser, one of `text.languages`; `none` leaves
        text alone, `field` takes each utterance's field `lang`.
      case: `lower`, `upper` or `keep` instead of the language's own.
      numbers: `words` reads them aloud, in `ur` and `en`; or `keep`.
      augment: ops of training, in order, on waveforms and then on features.
      speeds: factors of speed perturbation, equally probable (Ko et al. 2015).
      join: keys of `speech.joining.Join`.
      sampling: keys of `speech.sampling.Sampling`: how often languages or
        sources are shown in training.
      told_language: keys of `speech.told.ToldLanguage`, for a model with
        `language_embedding`.
      max_seconds: longer utterances are left out of training.
      max_excluded_share: of training utterances that may be left out.
      max_other_script: utterances with more than this share of letters in
        another script than their language's are left out of training.
      cmvn: file with the mean and standard deviation of each feature over the
        training split, as `prepare --cmvn` writes it.
      deliver: `features`, or `waveform`: then the task computes features.
      views: 2 delivers two augmentations of each utterance of training, of one
        speed and warp, for `task.consistency_weight`; a batch has twice the
        frames then.
      workers: processes that decode, where the set does not fit into memory.
      consent: file of a register whose withdrawn records are left out.
      data_dir: where relative file names of tokenizer and cmvn begin.

    Raises:
      UserError: a bad value; a split that is not there or overlaps train.
    """
    self._source = source = consented(source, consent)
    self._seed, self._splits = seed, dict(splits)
    self._sizes = source.sizes()
    check_splits(self._splits, self._sizes, grouped=source.info.grouped)
    self.eval_batch_size = eval_batch_size
    try:
      self._tokenizer = make_tokenizer(
        registry.resolved('tokenizer', tokenizer), data_dir
      )
      self._features = extract.make_features(
        sample_rate=source.info.sample_rate,
        **registry.resolved('features', features),
      )
    except ValueError as error:
      raise UserError(f'config.data: {error}') from error
    self._lang, self._max_other_script = lang, max_other_script
    self._labels = Labels.of(labels)
    self._texts_of = texts_as(lang, case, numbers, text_field)
    self._buckets = registry.call(Bucketing, buckets, 'config.data.buckets')
    self._join = self._sampling = self._told = None
    if join is not None:
      self._join = registry.call(Join, join, 'config.data.join')
    if sampling is not None:
      self._sampling = registry.call(Sampling, sampling, 'config.data.sampling')
    if (keys := told_language) is not None:
      self._told = registry.call(
        ToldLanguage, keys, 'config.data.told_language'
      )
    self._augment = audio.make_audio_augment(
      augment, source.info.sample_rate, data_dir
    )
    self._speeds = tuple(float(s) for s in speeds)
    if not self._speeds:
      raise UserError('config.data.speeds is empty: give (1.0,) for no change')
    self._max_frames = most_frames(self._features, max_seconds)
    self._max_excluded_share = max_excluded_share
    self._normaliser = Normaliser.read(cmvn, data_dir)
    check_delivered(deliver, bool(self._augment.frame_ops or cmvn is not None))
    self._deliver, self._views, self._workers = deliver, views, workers
    self.info = SpeechTaskInfo(
      source.info.name,
      self._tokenizer,
      self._features,
      self._features.hop_s,
      self._labels_of_splits,
      self._labels.classes if self._labels else {},
    )
    self._frames_out: Callable[[Any], Any] = lambda frames: frames
    self._languages: tuple[str, ...] = ()  # That a model is told.

  # What a plan for devices takes where the data set is not here.
  stand_in = staticmethod(published.stand_in_speech)
  # What reads recordings where the data set is not here.
  reader = staticmethod(reader.make_reader)

  def for_model(self, module: Any) -> 'SpeechData':
    """The same data for a model that gives `module.out_len(frames)` outputs."""
    if not hasattr(module, 'out_len'):
      raise UserError(
        "config.data.name='speech' needs a speech model, one with out_len: "
        'choose another config.model.name'
      )
    self = _copy(self)
    self._frames_out = module.out_len
    self._languages = languages_of(module, self._told)
    return self

  @property
  def splits(self) -> list[str]:
    return list(self._splits)

  def _bounds(self, split: str) -> tuple[str, int, int]:
    if split not in self._splits:
      raise unknown_name('split', split, self._splits)
    return split_bounds(self._splits[split], self._sizes)

  @functools.lru_cache(maxsize=4)  # noqa: B019 an experiment has few of these
  def _opened(self, split: str) -> Split:
    name, start, stop = self._bounds(split)
    records = self._source.records(name)
    utterances = records.utterances.take(np.arange(start, stop))
    utterances = with_language(utterances, self._lang)
    found = self._texts_of(utterances)
    texts = found.texts
    fields = utterances.fields
    encoded = Encoded.of(texts, self._tokenizer, fields)
    group, language = joined_by(self._join, fields, len(texts), split)
    corpus = Corpus(
      num_samples=utterances.num_samples,
      tokens=encoded.lengths,
      group=group,
      separator=encoded.separator_lengths,
      frames_of=self._features.num_frames,
      length_at=audio.perturbed_len,
      language=language,
      rate=self._source.info.sample_rate,
    )
    limit = self._max_frames if split == 'train' else None
    check_longest(corpus, self._features, limit, split, fields)
    labels = labels_of(self._labels, fields)
    return Split(records, start, utterances, found, encoded, corpus, labels)

  @functools.cached_property
  def excluded(self) -> Excluded:
    """Training records that are left out.

    Raises:
      UserError: they are more than `max_excluded_share`, or all.
    """
    opened = self._opened('train')
    found = exclude(
      opened.corpus,
      speeds=self._speeds,
      max_frames=self._max_frames,
      frames_out=self._frames_out,
      repeats=opened.encoded.repeats,
      other_script=opened.transcripts.other_script > self._max_other_script,
    )
    check_excluded(
      found, len(opened.transcripts.texts), self._max_excluded_share
    )
    return found

  @functools.cached_property
  def _order(self) -> SpeechTrainOrder | SpeechPoissonOrder:
    opened, sampler = self._opened('train'), None
    records = self.excluded.usable(len(opened.corpus.num_samples))
    if self._sampling is not None:
      fields = opened.utterances.fields
      sampler = Sampler.of(self._sampling, fields, records)
    return SpeechTrainOrder(
      corpus=opened.corpus,
      records=records,
      bucketing=self._buckets,
      seed=self._seed,
      frames_per_second=1 / self._features.hop_s,
      speeds=self._speeds,
      join=self._join,
      max_frames=self._max_frames,
      sampler=sampler,
    )

  def units(self, unit: str) -> Units:
    """What a private training draws from; see `engine.privacy`."""
    fields = self._opened('train').utterances.fields
    draw = functools.partial(_copy, self)
    return speech_units(unit, self._order, fields, draw)

  @functools.lru_cache(maxsize=4)  # noqa: B019
  def _items(self, split: str) -> Items:
    return eval_items(self._opened(split).corpus, self._join, split)

  # -- what the engine asks ---------------------------------------------------

  def size(self, split: str) -> int:
    """Number of examples of a split in evaluation."""
    return len(self._items(split))

  @property
  def batch_size(self) -> float:
    """Mean rows of a training batch."""
    return self._order.batch_size

  @property
  def batch_sizes(self) -> tuple[int, ...]:
    return tuple(sorted({b.rows for b in self._order.buckets}))

  @property
  def steps_per_epoch(self) -> float:
    return self._order.steps_per_epoch

  def batch_kinds(self) -> list[tuple[int, int, float]]:
    """For each batch shape a step that has it, its rows, its steps an epoch."""
    return self._order.kinds()

  def fingerprint(self) -> dict[str, Any]:
    """What the order of training batches depends on; JSON."""
    return {
      'plan': self._order.fingerprint(),
      'source': self._source.fingerprint(),
      'splits': self._splits,
      'tokenizer': self._tokenizer.fingerprint(),
    }

  def interface(self) -> dict[str, Any]:
    """What a model's inputs and outputs mean; see `base.Data`."""
    kind = self._features
    found: dict[str, Any] = {
      'tokens': self._tokenizer.tokens,
      'tokenizer': self._tokenizer.fingerprint(),
      'sample_rate': self._source.info.sample_rate,
      'features': {'kind': type(kind).__name__, **dataclasses.asdict(kind)},
    }
    if (norm := self._normaliser) is not None:
      found['cmvn'] = [norm.mean.tolist(), norm.std.tolist()]
    return found

  def kept(self) -> Kept:
    """What `reader` needs to know; see `base.Data`."""
    return reader.kept(self, self._tokenizer)

  def training_waves(self, most: int = 64) -> list[np.ndarray]:
    """Waveforms of the first utterances that training sees, float32 `n`."""
    make = self._make('train', self._order, self.batch_sizes, np.arange)
    rows = (self._order.rows(step, np.arange) for step in range(most))
    waves = itertools.chain.from_iterable(map(make.waves, rows))
    return list(itertools.islice(waves, most))

  def longest_s(self) -> float:
    """Seconds of the longest batch of training."""
    return max(b.frames for b in self._order.buckets) * self._features.hop_s

  def describe(self, workdir: Path) -> list[str]:
    """Lines that say what training sees; lists what it does not in a file."""
    opened, excluded = self._opened('train'), self.excluded
    return [
      *self._order.describe(self._source.info.sample_rate),
      *described(opened, excluded, self._tokenizer, workdir),
    ]

  @contextlib.contextmanager
  def train(
    self,
    local_rows: LocalRows,
    *,
    start_step: int,
    stop_step: int,
    total_steps: int,
  ) -> Iterator[Iterator[Batch]]:
    """Local training batches of steps [start_step, stop_step)."""
    make = dataclasses.replace(
      self._make('train', self._order, self.batch_sizes, local_rows, True),
      augment=self._augment,
      views=self._views,
      start_step=start_step,
      total_steps=total_steps,
      seed=self._seed,
    )
    with pipeline.batches(make, stop_step, self._workers) as iterator:
      yield iterator

  @contextlib.contextmanager
  def evaluation(
    self, split: str, local_rows: LocalRows, batch_size: int
  ) -> Iterator[Iterator[Batch]]:
    """Local batches that cover a split once, by length."""
    counts = row_counts(batch_size, local_rows)
    most = round(batch_size * USUAL_S / self._features.hop_s)
    order = SpeechEvalOrder(self._items(split), counts, self._buckets, most)
    make = self._make(split, order, counts, local_rows)
    with pipeline.batches(make, order.num_batches, self._workers) as iterator:
      yield iterator

  def _make(
    self,
    split: str,
    order: Any,
    sizes: Sequence[int],
    local_rows: LocalRows,
    train: bool = False,
  ) -> MakeSpeechBatch:
    opened = self._opened(split)
    return MakeSpeechBatch(
      records=opened.records,
      first=opened.start,
      order=order,
      encoded=opened.encoded,
      features=self._features,
      normaliser=self._normaliser,
      rows={b: local_rows(b) for b in sizes},
      deliver=self._deliver,
      labels=opened.labels,
      told=told(self._languages, opened, self._told, train=train),
    )

  def lookup(self, split: str) -> Callable[[np.ndarray], dict[str, Any]]:
    """ids -> `text` (normalised) and `fields`, lists; for metrics."""
    opened, items = self._opened(split), self._items(split)
    texts, fields = opened.transcripts.texts, opened.utterances.fields
    return lambda ids: items.known(np.asarray(ids), texts, fields)

  def _labels_of_splits(self) -> dict[str, list[str]]:
    """The distinct texts of each split; see `SpeechTaskInfo`."""
    return {
      spec: sorted({*self._opened(name).transcripts.texts})
      for name, spec in self._splits.items()
    }

  def training_records(self) -> Any:
    """The records of the training split, with those that are too long."""
    opened = self._opened('train')
    numbers = np.arange(len(opened.transcripts.texts))
    return Subset(opened.records, opened.start + numbers)

  def training_texts(self) -> list[str]:
    """Transcripts of the training split, normalised."""
    return list(self._opened('train').transcripts.texts)


def _copy(data: SpeechData, **changes: Any) -> SpeechData:
  new = object.__new__(SpeechData)
  cached = {'_order', 'excluded'}
  kept = {k: v for k, v in data.__dict__.items() if k not in cached}
  new.__dict__ = {**kept, **changes}
  return new
