"""Folders of DICOM files, or of NIfTI volumes, as sources.

  {'name': 'dicom_folder', 'root': 'XRAYS'}
  {'name': 'nifti_folder', 'root': 'BRAINS', 'axis_share': (0.3, 0.7)}

Files lie as split/class/.../file or class/.../file. Who a file is of is said by
its header (of a volume by its path), and no patient is in two splits: splits
that are folders are refused where one is, and others are divided by patient.
Patients are told by a keyed hash of their identifier, and no name or date of a
header leaves this module.
"""

import collections
import hashlib
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from recog_jax.data import files
from recog_jax.data.image import medical
from recog_jax.data.sources import by_patient, pictures
from recog_jax.errors import UserError, warn
from recog_jax.ranges import NotNegative, Seed, Share, Size

# Fields and the tags that they are of; none names or dates a person.
_TAGS = {
  'sex': 'PatientSex',
  'view': 'ViewPosition',
  'modality': 'Modality',
  'site': 'InstitutionName',
  'body_part': 'BodyPartExamined',
  'laterality': 'Laterality',
  'manufacturer': 'Manufacturer',
}
_HEADER = 1 << 20  # Bytes that hold a header, mostly.
_FRAMES = ('all', 'first', 'middle')
_SUBJECT = re.compile(r'(?:^|[/_])(sub-[A-Za-z0-9]+)')
_YEARS = {'Y': 1.0, 'M': 1 / 12, 'W': 7 / 365.25, 'D': 1 / 365.25}


def dicom_folder(
  *,
  root: str | os.PathLike | None = None,
  channels: int = 1,
  shape: tuple[int, int] | None = None,
  frames: str = 'all',
  shares: Mapping[str, NotNegative] | None = None,
  split_seed: Seed = 0,
  patient_key: str = '',
  leave_out_burnt_in: bool = False,
  max_bad_share: Share = 0.0,
  data_dir: str | os.PathLike | None = None,
) -> pictures.PictureSource:
  """DICOM files below root/split/class/ or root/class/ (extra `dicom`).

  Fields are `patient`, `sex`, `age` in years, `age_group` in decades, `view`,
  `modality`, `site`, `body_part`, `laterality` and `manufacturer`.

  Args:
    root: the folder; `data_dir` if left out.
    channels: 1, or 3.
    shape: (h, w), if all pictures have it, see `image_folder`.
    frames: of files with several: 'all', 'first' or 'middle'.
    shares: of the patients in each split, where there are no folders of splits;
      by default {'train': 0.8, 'val': 0.1, 'test': 0.1}.
    split_seed: another one is another division.
    patient_key: mixed into the hash that stands for a patient: who does not
      know it cannot find an identifier by trying all.
    leave_out_burnt_in: leave out files that say that text is in the picture.
    max_bad_share: see `image_folder`; of files without a readable header too.
    data_dir: stands for a missing `root`.

  Raises:
    UserError: no such folder or file, or a patient in two splits.
  """
  place = by_patient.folder(root, data_dir)
  if frames not in _FRAMES:
    raise UserError(f"source.frames is '{frames}': take {', '.join(_FRAMES)}")
  _installed(medical.pydicom)

  def read(name: str) -> dict[str, Any]:
    return _of_dicom(place / name, frames, patient_key)

  found = by_patient.read_all(
    place,
    by_patient.in_class_folders(place, _is_dicom),
    read,
    max_bad_share,
    'DICOM files',
  )
  found = _burnt_in(place, found, leave_out_burnt_in)
  return by_patient.make_source(
    place, found, channels, shape, shares, split_seed, max_bad_share
  )


def nifti_folder(
  *,
  root: str | os.PathLike | None = None,
  channels: int = 1,
  shape: tuple[int, int] | None = None,
  axis_share: tuple[Share, Share] = (0.25, 0.75),
  every: Size = 1,
  shares: Mapping[str, NotNegative] | None = None,
  split_seed: Seed = 0,
  max_bad_share: Share = 0.0,
  data_dir: str | os.PathLike | None = None,
) -> pictures.PictureSource:
  """Axial slices of NIfTI volumes, root/split/class/ or root/class/.

  The fields are `patient`, which is `sub-...` of the path where it has one
  (BIDS) and else the file's name, and `slice`.

  Args:
    root: the folder; `data_dir` if left out.
    channels: 1, or 3.
    shape: see `dicom_folder`.
    axis_share: the part of the axis from below to above that slices are taken
      from: at its ends a brain has little to see.
    every: take every second slice with 2, and so on.
    shares: see `dicom_folder`.
    split_seed: see there.
    max_bad_share: see there.
    data_dir: stands for a missing `root`.

  Raises:
    UserError: as `dicom_folder`.
  """
  place = by_patient.folder(root, data_dir)
  low, high = axis_share
  if not 0 <= low < high <= 1:
    raise UserError(
      'source.axis_share is a part of 0..1, from below to above, and not '
      f'{tuple(axis_share)}'
    )

  def read(name: str) -> dict[str, Any]:
    count = medical.slices_of(files.read_bytes(place / name))
    first, last = round(low * count), max(round(high * count), 1)
    subject = _SUBJECT.search(name)
    patient = subject[1] if subject else Path(name).name.partition('.')[0]
    taken = range(min(first, last - 1), last, every)
    return {'frames': taken, 'patient': patient, 'fields': {}}

  names = by_patient.in_class_folders(
    place,
    lambda path: (
      path.name.lower().endswith('.gz') or path.suffix.lower() == '.nii'
    ),
  )
  found = by_patient.read_all(
    place, names, read, max_bad_share, 'NIfTI volumes'
  )
  return by_patient.make_source(
    place, found, channels, shape, shares, split_seed, max_bad_share
  )


# -- files --------------------------------------------------------------------


def _installed(take: Callable[[], Any]) -> None:
  try:
    take()
  except ValueError as error:
    raise UserError(str(error)) from error


def _is_dicom(path: Path) -> bool:
  """By its name, or, as many have none, by its first bytes."""
  if path.suffix.lower() in medical.DICOM_SUFFIXES:
    return True
  if (
    path.name.upper() == 'DICOMDIR'
    or len(path.suffix) > 1
    and not (path.suffix[1:].isdigit())
  ):
    return False
  with path.open('rb') as file:
    return medical.is_dicom(file.read(132))


def _of_dicom(path: Path, frames: str, key: str) -> dict[str, Any]:
  """What the header of a file says."""
  files.check_regular(path)
  with path.open('rb') as file:
    start = file.read(_HEADER)
    if not medical.is_dicom(start):
      raise ValueError('it is no DICOM file')
    header = medical.read_dicom(start, pixels=False)
    if header.get('Rows') is None:  # A longer header, or no picture.
      header = medical.read_dicom(start + file.read(), pixels=False)
  if header.get('Rows') is None:
    raise ValueError('the DICOM file holds no pixels')
  count = medical.frames_of(header)
  taken = {'all': range(count), 'first': (0,), 'middle': (count // 2,)}[frames]
  who = str(header.get('PatientID') or '').strip()
  patient = who or str(header.get('StudyInstanceUID') or path)
  digest = hashlib.blake2b(
    patient.encode(errors='surrogateescape'),
    key=hashlib.sha256(key.encode()).digest(),
    digest_size=6,
  )
  fields = {k: str(header.get(tag) or '') for k, tag in _TAGS.items()}
  age = _years(str(header.get('PatientAge') or ''))
  fields['age'] = '' if age is None else str(age)
  decade = None if age is None else age // 10 * 10
  fields['age_group'] = '' if decade is None else f'{decade}-{decade + 9}'
  said = str(header.get('BurnedInAnnotation') or '').upper()
  burnt = {'YES': 'yes', 'NO': 'no'}.get(said, 'unknown')
  return {
    'frames': taken,
    'patient': digest.hexdigest(),
    'fields': fields,
    'burnt_in': burnt,
  }


def _years(text: str) -> int | None:
  """Whole years of an age such as 041Y; None of what is none."""
  if len(text) < 2 or not text[:-1].isdigit() or text[-1] not in _YEARS:
    return None
  return int(int(text[:-1]) * _YEARS[text[-1]] + 1e-9)


def _burnt_in(
  place: Path, found: list[by_patient.File], leave_out: bool
) -> list[by_patient.File]:
  """Says which pictures hold text, which may name people or the disease."""
  counts = collections.Counter(one.burnt_in for one in found)
  if counts['yes']:
    first = next(one.name for one in found if one.burnt_in == 'yes')
    what = 'are left out' if leave_out else 'are kept'
    warn(
      f'{place}: {counts["yes"]} of {len(found)} files say that text is burnt '
      f'into the picture and {what} ({first}, for example): it may name '
      'people, and a model may read it in place of the disease'
      + ('' if leave_out else '; see source.leave_out_burnt_in')
    )
  if counts['unknown']:
    warn(
      f'{place}: {counts["unknown"]} of {len(found)} files do not say whether '
      'text is burnt into the picture: look at some'
    )
  if not leave_out:
    return found
  return [one for one in found if one.burnt_in != 'yes']
