"""Pictures whose names say what they show, as those of many published sets.

{'name': 'named_folder', 'root': 'CXR',
 'pattern': '(?P<site>[A-Z]+)_(?P<patient>[0-9]+)_(?P<label>[01])',
 'label_names': {'0': 'normal', '1': 'tuberculosis'}}
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from recog_jax.data import files
from recog_jax.data.image import medical
from recog_jax.data.sources import by_patient, pictures
from recog_jax.errors import UserError, listed, warn
from recog_jax.ranges import NotNegative, Seed, Share


def named_folder(
  *,
  pattern: str,
  root: str | os.PathLike | None = None,
  label_names: Mapping[str, str] | None = None,
  channels: int = 3,
  shape: tuple[int, int] | None = None,
  shares: Mapping[str, NotNegative] | None = None,
  split_seed: Seed = 0,
  max_bad_share: Share = 0.0,
  data_dir: str | os.PathLike | None = None,
) -> pictures.PictureSource:
  """Pictures in a folder and deeper ones, read by their names.

  Args:
    pattern: a regular expression that is looked for in each path below the
      folder. What its group `label` matches is the class, and `split`, if there
      is one, the split; the other named groups are fields. Pictures with one
      `patient` (of one `site`, where that is a group too) are in one split;
      without such a group each picture is a patient.
    root: the folder, absolute or below `data_dir`; `data_dir` if left out.
    label_names: what `label` matches, and the class that it stands for; others
      are left out. None: classes are named as they are matched.
    channels: 3, or 1 for grey.
    shape: (h, w), if all pictures have it, see `image_folder`.
    shares: of the patients in each split, where the pattern has no `split`; by
      default {'train': 0.8, 'val': 0.1, 'test': 0.1}.
    split_seed: another one is another division.
    max_bad_share: see `image_folder`.
    data_dir: where `root` lies.

  Raises:
    UserError: no such folder, no picture whose name fits, or a patient in two
      splits.
  """
  place = Path(data_dir or '.').expanduser() / Path(root or '').expanduser()
  place = place.absolute()
  if not place.is_dir():
    raise UserError(f'{place} is no folder: set source.root or --data_dir')
  try:
    search = re.compile(pattern).search
    groups = re.compile(pattern).groupindex
  except re.error as error:
    raise UserError(
      f'source.pattern is no regular expression: {error}'
    ) from error
  if 'label' not in groups:
    raise UserError(
      'source.pattern needs a group (?P<label>...) that matches the class, and '
      f'it has {listed(groups) or "none"}'
    )
  suffixes = (*pictures.SUFFIXES, *medical.DICOM_SUFFIXES)
  found, other = [], []
  for path in sorted(files.below(place, suffixes)):
    name = path.relative_to(place).as_posix()
    match = search(name)
    label = match and match['label']
    if label and label_names is not None:
      label = label_names.get(label)
    if not match or not label:
      other.append(name)
      continue
    fields = {k: v or '' for k, v in match.groupdict().items()}
    split = fields.pop('split', '')
    fields.pop('label')
    patient = fields.pop('patient', '') or name
    if fields.get('site'):
      patient = f'{fields["site"]}/{patient}'
    size = path.stat().st_size
    found.append(
      by_patient.File(name, split, label, size, None, patient, fields)
    )
  if not found:
    raise UserError(
      f'{place} holds no picture whose name fits source.pattern'
      + (f', for example {listed(other, 3)}' if other else '')
    )
  if other:
    warn(
      f'{place}: {len(other)} pictures whose names do not fit are left out '
      f'({listed(other, 2)})'
    )
  return by_patient.make_source(
    place, found, channels, shape, shares, split_seed, max_bad_share
  )
