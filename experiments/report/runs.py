"""One training as the report sees it: everything is read from its workdir."""

import contextlib
import dataclasses
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from etils import epath

from launch import store
from launch.workdirs import ERRORS, summary_metric
from recog_jax import storage
from recog_jax.data.base import OUTPUTS
from recog_jax.engine import config as config_lib
from recog_jax.errors import UserError

# What is not in percent.
_NO_SHARES = (
  'loss',
  'mae',
  'rmse',
  'auc',
  'quadratic_kappa',
  'kappa',
  'r2',
)


@dataclasses.dataclass(frozen=True)
class Run:
  """A workdir, read.

  Attributes:
    name: of the folder.
    workdir: the folder.
    config: as it was trained.
    summary: what the training ended with; None if it has not ended.
    results: name of a result -> what evaluation wrote.
    rows: the log.
    version: of the code, as the last checkpoint has it; '' without one.
    data: what that checkpoint says of the data: order, sizes, fingerprint.
    privacy: what it says of epsilon; None: trained without privacy.
    described: what the data set's own description says, empty if not found.
  """

  name: str
  workdir: epath.Path
  config: Mapping[str, Any]
  summary: Mapping[str, Any] | None
  results: Mapping[str, Mapping[str, Any]]
  rows: list[dict[str, Any]]
  version: str
  data: Mapping[str, Any]
  described: Mapping[str, Any]
  privacy: Mapping[str, Any] | None = None

  @property
  def outputs(self) -> tuple[str, ...]:
    """What the model's outputs are: classes, tokens; () if it is not kept."""
    kept = storage.read_json(self.workdir / 'interface.json') or {}
    names = next((kept[k] for k in OUTPUTS if k in kept), ())
    return tuple(map(str, names)) if isinstance(names, list) else ()

  @property
  def is_speech(self) -> bool:
    return self.config['data']['name'] == 'speech'

  @property
  def unit(self) -> str:
    """Of what errors are counted."""
    return 'phone' if self.config['task'].get('unit') == 'phone' else 'word'

  @property
  def data_set(self) -> str:
    source = self.config['data']['source']
    return source.get('dataset') or source['name']

  @property
  def headline(self) -> tuple[str, float] | None:
    """`test accuracy` and its value."""
    if not self.summary:
      return None
    return summary_metric(self.summary, 'test', 'val')

  @property
  def headline_name(self) -> str:
    """`accuracy`, `wer`, ...: the metric that decides."""
    if self.headline:
      return self.headline[0].split()[-1]
    return 'wer' if self.is_speech else 'accuracy'

  def result(self, split: str = 'test') -> tuple[str, Mapping[str, Any]] | None:
    """The last greedy result of a split, else of another: name and content."""
    for wanted in (split, 'val'):
      found = [
        (result['step'], name)
        for name, result in self.results.items()
        if name == f'{wanted}-{result["step"]}'
      ]
      if found:
        name = max(found)[1]
        return name, self.results[name]
    return None

  def metrics(self, split: str = 'test') -> Mapping[str, Any]:
    found = self.result(split)
    return found[1]['metrics'] if found else {}


def read(text: str, data_dir: str | None = None) -> Run:
  """Reads a workdir, local or on a bucket.

  Args:
    text: its path.
    data_dir: where the data set's own description is looked for.

  Raises:
    UserError: it is none.
  """
  workdir = store.root(text.rstrip('/'))
  store.check_access(workdir)
  with readable(workdir):
    return _read(workdir, text, data_dir)


@contextlib.contextmanager
def readable(workdir: epath.Path) -> Iterator[None]:
  """Raises UserError where a workdir's files are not those of a training."""
  try:
    yield
  except (LookupError, TypeError, ValueError, AttributeError) as error:
    reason = f'{type(error).__name__}: {error}'
    raise UserError(
      f'{workdir} holds files that no training has written ({reason}): restore '
      'them'
    ) from error


def _read(workdir: epath.Path, text: str, data_dir: str | None) -> Run:
  config = config_lib.kept_keys(workdir)
  results = {}
  if (workdir / 'results').exists():
    for path in sorted((workdir / 'results').glob('*.json')):
      found = store.read_json(path)
      if found and 'metrics' in found:
        found['metrics'] = _with_nan(found['metrics'])
        results[path.name.removesuffix('.json')] = found
  meta = _last_meta(workdir)
  return Run(
    name=workdir.name or Path(text).resolve().name,
    workdir=workdir,
    config=config,
    summary=store.read_json(workdir / 'summary.json'),
    results=results,
    rows=store.read_metrics(workdir),
    version=meta.get('version', ''),
    data=meta.get('data', {}),
    described=_described(config['data']['source'], data_dir),
    privacy=meta.get('privacy'),
  )


def _with_nan(value: Any) -> Any:
  """Numbers that were not finite, which JSON has as null, are NaN again."""
  if isinstance(value, dict):
    return {k: _with_nan(v) for k, v in value.items()}
  if isinstance(value, list):
    return [_with_nan(v) for v in value]
  return math.nan if value is None else value


def _last_meta(workdir: epath.Path) -> dict[str, Any]:
  """What the newest checkpoint says of itself."""
  folder = workdir / 'checkpoints'
  for step in reversed(storage.step_folders(folder)):
    sealed = store.read_json(folder / str(step) / 'meta' / 'metadata')
    with contextlib.suppress(ValueError, TypeError, RecursionError):
      meta = json.loads((sealed or {}).get('body', ''))
      if isinstance(meta, dict):
        return meta
  return {}


def _described(
  source: Mapping[str, Any], data_dir: str | None
) -> dict[str, Any]:
  """TFDS's dataset_info.json of the newest version that is found."""
  from recog_jax.data.sources.tfds_layout import default_data_dir

  name = (source.get('dataset') or '').split(':')[0].split('/')[0]
  if not name:
    return {}
  root = epath.Path(default_data_dir(data_dir)) / name
  found: list[epath.Path] = []
  for pattern in ('*/dataset_info.json', '*/*/dataset_info.json'):
    found += root.glob(pattern) if root.exists() else []
  newest = max(found, key=lambda p: _version(p.parent.name), default=None)
  return store.read_json(newest) or {} if newest else {}


def _version(name: str) -> list[int]:
  return [int(part) for part in name.split('.') if part.isdigit()]


def shown(metric: str, value: float) -> str:
  """A share in percent, any other number as it is."""
  if metric.split()[-1] in _NO_SHARES:
    return f'{value:.4g}'
  return f'{100 * value:.2f} %'


def is_better_low(metric: str) -> bool:
  """Whether less of a metric is better: `test wer`, `loss`."""
  return metric.split()[-1] in ERRORS


def with_own_names(runs: list[Run]) -> list[Run]:
  """Runs whose folders have the same name, numbered."""
  count: dict[str, int] = {}
  found = []
  for run in runs:
    number = count[run.name] = count.get(run.name, 0) + 1
    name = run.name if number == 1 else f'{run.name} ({number})'
    found.append(dataclasses.replace(run, name=name))
  return found
