"""The models whose steps a day times: their sizes, and who else has them."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from experiments.bench import step as bench_step
from experiments.tables.model_rows import ROWS
from recog_jax.errors import unknown_name

SCALES = ('tiny', 'full')
# What the batches of `full` fit into, in bytes; below it they are a quarter.
_ROOMY = 30e9


@dataclasses.dataclass(frozen=True)
class Image:
  """A row of the model table at its own size.

  Attributes:
    batch: images of a step.
    tiny: keys of a narrow model.
    tiny_side: of its images.
  """

  batch: int
  tiny: Mapping[str, Any]
  tiny_side: int = 32


@dataclasses.dataclass(frozen=True)
class Speech:
  """A model of frames of 40 log-mels, with full utterances of one length.

  Attributes:
    batch: utterances of a step.
    task: keys of `config.task`.
    keys: of `config.model`.
    size: those that make it small or large.
    tiny: the same of a small one.
    peer: what torch's model calls `size`; None: torch has none.
  """

  batch: int
  task: Mapping[str, Any]
  keys: Mapping[str, Any]
  size: Mapping[str, Any]
  tiny: Mapping[str, Any]
  peer: Mapping[str, str] | None = None


_CTC = {'name': 'ctc'}
_CONV = {'name': 'conv2d', 'factor': 4}
_ENCODER = {'dim': 'dim', 'layers': 'layers', 'heads': 'heads'}
_NARROW = {'layers': 1, 'dim': 16, 'heads': 2, 'kernel': 3}
_CONFORMER = {'layers': 16, 'dim': 256, 'heads': 4, 'kernel': 31}
MODELS: dict[str, Image | Speech] = {
  'resnet50': Image(128, {'width': 4}),
  'vgg16': Image(64, {'width': 4, 'pool_size': 1, 'hidden': (16,)}),
  'mobilenet_v2': Image(128, {'width': 0.1}),
  'inception_v3': Image(64, {'width': 0.1}, 112),
  'vit_s_16': Image(128, {'layers': 1, 'dim': 32, 'heads': 2}),
  'blstm_ctc': Speech(
    32,
    _CTC,
    {'name': 'lstm_ctc', 'subsample': {'name': 'stack', 'factor': 2}},
    {'layers': 5, 'hidden': 512},
    {'layers': 1, 'hidden': 8},
    {'layers': 'layers', 'hidden': 'hidden'},
  ),
  'conformer_ctc': Speech(
    32,
    _CTC,
    {'name': 'conformer_ctc', 'subsample': _CONV},
    _CONFORMER,
    _NARROW,
    {**_ENCODER, 'kernel': 'taps'},
  ),
  'conformer_transducer': Speech(
    16,
    {'name': 'speech', 'losses': {'transducer': 1.0}},
    {
      'name': 'conformer_transducer',
      'subsample': _CONV,
      'predictor': 'lstm',
      'ctc': False,
    },
    {**_CONFORMER, 'predictor_size': 512, 'joiner_size': 512},
    {**_NARROW, 'predictor_size': 8, 'joiner_size': 16},
  ),
}
_FRAMES = {'full': (1000, 120), 'tiny': (64, 5)}
_TINY_BATCH = 2
_TINY_CLASSES = 10


@dataclasses.dataclass(frozen=True)
class Job:
  """One step that is timed.

  Attributes:
    model: a name of `MODELS`.
    dtype: of the computation.
    inference: outputs in evaluation in the place of a train step.
    scale: `full`, or `tiny`, which shows that it runs and nothing else.
    memory: of the device, in bytes; 0: not known.
  """

  model: str
  dtype: str
  inference: bool = False
  scale: str = 'full'
  memory: int = 0

  def __post_init__(self):
    if self.model not in MODELS:
      raise unknown_name('model', self.model, MODELS)

  @property
  def name(self) -> str:
    mode = 'inference' if self.inference else 'train'
    return f'{self.model}, {mode}, {self.dtype}'

  @property
  def batch(self) -> int:
    if self.scale == 'tiny':
      return _TINY_BATCH
    batch = MODELS[self.model].batch
    return batch if self.memory >= _ROOMY else batch // 4

  @property
  def unit(self) -> str:
    is_image = isinstance(MODELS[self.model], Image)
    return 'images' if is_image else 'utterances'

  @property
  def has_inference(self) -> bool:
    """Whether the model's outputs are those that a recogniser decodes."""
    return self.model != 'conformer_transducer'

  def size(self) -> dict[str, Any]:
    """What the step's inputs are."""
    model = MODELS[self.model]
    if isinstance(model, Speech):
      frames, tokens = _FRAMES[self.scale]
      return {'frames': frames, 'tokens': tokens}
    tiny = self.scale == 'tiny'
    return {'side': model.tiny_side if tiny else ROWS[self.model].side}

  def build(self) -> Any:
    """The compiled step; see `experiments.bench.one_batch`."""
    model = MODELS[self.model]
    if isinstance(model, Speech):
      size = model.tiny if self.scale == 'tiny' else model.size
      keys = {**model.keys, **size, 'dropout': 0.0, 'dtype': self.dtype}
      return bench_step.speech_step(
        keys,
        self.batch,
        task=model.task,
        inference=self.inference,
        **self.size(),
      )
    config = bench_step.image_config(
      self.model,
      dtype=self.dtype,
      size=self.size()['side'],
      auxiliary=not self.inference,
    )
    if self.scale == 'tiny':
      with config.unlocked():
        config.model.update(model.tiny)
        config.data.source.num_classes = _TINY_CLASSES
    return bench_step.image_step(config, self.batch, inference=self.inference)

  def peer(self) -> list[str] | None:
    """Script and options of torch's program; None: there is none."""
    model = MODELS[self.model]
    same = [f'--dtype={self.dtype}', f'--batch_size={self.batch}']
    same += ['--inference'] * self.inference
    if isinstance(model, Speech):
      if model.peer is None:
        return None
      size = model.tiny if self.scale == 'tiny' else model.size
      options = {model.peer[k]: v for k, v in size.items()}
      name = model.keys['name']
      inputs = [f'--{k}={v}' for k, v in self.size().items()]
      command = ['torch_speech_step', f'--model={name}', *inputs]
      return [*command, f'--options={json.dumps(options)}', *same]
    if self.scale == 'tiny':  # torch has no narrow one.
      return None
    side = self.size()['side']
    peer = bench_step.image_peer(ROWS[self.model], side)
    return [*peer, f'--size={side}', *same]
