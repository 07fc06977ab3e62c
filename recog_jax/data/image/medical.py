"""From DICOM files and NIfTI volumes to pictures of 8 bits.

DICOM: what is stored is decoded by pydicom (extra `dicom`), put through the
modality look-up (Hounsfield units, for example) and the look-up or the first
window for values of interest that the file names, scaled to 0..255, and, where
low values are bright (MONOCHROME1), inverted last of all. pydicom leaves that
inversion to its users (part 3 of the standard, C.7.6.3.1.2). A file without
window is scaled from its lowest to its highest value.

NIfTI: slices of one axis of a volume in its canonical orientation; all are
scaled by the 0.5 and the 99.5 percentile of the volume, since MRI has no unit.

A frame is a frame of a DICOM file, or a slice. What is wrong with a file is
told without any of its values: they may be a patient's name.
"""

import functools
import gzip
import hashlib
import importlib
import io
import logging
import zlib
from typing import Any

import numpy as np

EXTRA = 'dicom'
DICOM_SUFFIXES = ('.dcm', '.dicom', '.ima')
NIFTI_SUFFIXES = ('.nii', '.nii.gz')
SUFFIXES = (*DICOM_SUFFIXES, *NIFTI_SUFFIXES)
# What reads the compressions that the extra leaves out, by the decoder's name.
_PACKAGES = {
  'JPEGLS': 'pyjpegls',
  'JPEG2000': 'pylibjpeg-openjpeg',
  'HTJ2K': 'pylibjpeg-openjpeg',
  'RLE': 'pylibjpeg-rle',
  # Under the GPL, version 3.
  'JPEG': 'pylibjpeg-libjpeg (licence: GPL-3)',
}
_COLOUR = ('RGB', 'YBR_FULL', 'YBR_FULL_422', 'YBR_ICT', 'YBR_RCT')
_LOW, _HIGH = 0.5, 99.5  # Percentiles that become black and white.
_GZIP = b'\x1f\x8b'
# Of a NIfTI header: where its magic is, and what it may be.
_MAGIC_AT, _MAGICS = 344, (b'n+1\0', b'ni1\0')


def is_dicom(data: bytes) -> bool:
  return data[128:132] == b'DICM'


def is_nifti(data: bytes) -> bool:
  """Whether it is a volume, also a compressed one."""
  if data.startswith(_GZIP):
    try:
      data = zlib.decompressobj(31).decompress(data, _MAGIC_AT + 4)
    except zlib.error:
      return False
  return data[_MAGIC_AT : _MAGIC_AT + 4] in _MAGICS


def decode(data: bytes, channels: int, frame: int = 0) -> np.ndarray | None:
  """A frame as uint8 `h w channels`; None of what is neither of both.

  Args:
    data: the whole file.
    channels: 1, or 3, into which grey is repeated.
    frame: its number from 0.

  Raises:
    ValueError: says in one clause what is wrong with the file.
  """
  if is_dicom(data):
    image = _eight_bits_of_dicom(read_dicom(data), frame)
  elif is_nifti(data):
    volume = _volume(data)
    if not frame < volume.shape[-1]:
      raise ValueError(f'the volume has no slice {frame}')
    image = volume[..., frame]
  else:
    return None
  if image.ndim == 2:
    return np.repeat(image[..., None], channels, 2)
  if channels == 1:
    weights = np.array([0.299, 0.587, 0.114])
    return np.rint(image @ weights).astype(np.uint8)[..., None]
  return image


# -- DICOM --------------------------------------------------------------------


def pydicom() -> Any:
  """The package, which then says nothing of values by itself.

  Raises:
    ValueError: it is not installed.
  """
  found = _taken('pydicom', 'a DICOM file')
  logging.getLogger('pydicom').setLevel(logging.CRITICAL)
  mode = found.config.IGNORE
  found.config.settings.reading_validation_mode = mode
  return found


def read_dicom(data: bytes, *, pixels: bool = True) -> Any:
  """A data set of pydicom.

  Args:
    data: the whole file; of a header its beginning may do.
    pixels: read them as well.

  Raises:
    ValueError: it is no whole DICOM file.
  """
  dicom = pydicom()
  try:
    return dicom.dcmread(io.BytesIO(data), stop_before_pixels=not pixels)
  except Exception as error:  # Whatever a damaged file makes it raise.
    raise ValueError('the DICOM file is truncated or damaged') from error


def frames_of(dataset: Any) -> int:
  try:
    return max(1, int(dataset.get('NumberOfFrames') or 1))
  except (TypeError, ValueError):
    return 1


def values(dataset: Any, frame: int = 0) -> np.ndarray:
  """A frame after both look-ups: float or int `h w`, or uint `h w 3` in RGB.

  MONOCHROME1 is as it is stored: low values are bright.

  Raises:
    ValueError: there are no pixels, or what is stored cannot be decoded.
  """
  pydicom()
  from pydicom import pixels

  _check_pixels(dataset, frame)
  try:
    index = frame if frames_of(dataset) > 1 else None
    found = pixels.pixel_array(dataset, index=index)
    if found.ndim == 3 and index is None and found.shape[0] == 1:
      found = found[0]
    kind = str(dataset.PhotometricInterpretation)
    if kind == 'PALETTE COLOR':
      return pixels.apply_color_lut(found, dataset)
    if kind in _COLOUR:
      return found
    found = pixels.apply_modality_lut(found, dataset)
    return pixels.apply_voi_lut(found, dataset, index=0)
  except Exception as error:  # See `read_dicom`.
    raise ValueError(
      'its pixels cannot be decoded, since they are not as long or not of the '
      'bits that its header says'
    ) from error


def _check_pixels(dataset: Any, frame: int) -> None:
  """Raises ValueError where there is nothing that could be decoded."""
  names = ('PixelData', 'FloatPixelData', 'DoubleFloatPixelData')
  if not any(name in dataset for name in names):
    raise ValueError(
      'the DICOM file holds no pixels (a report or a structure, for example)'
    )
  wanted = ('Rows', 'Columns', 'BitsAllocated', 'PhotometricInterpretation')
  missing = [n for n in wanted if dataset.get(n) in (None, '')]
  if missing:
    raise ValueError(f'the DICOM header lacks {", ".join(missing)}')
  if not frame < frames_of(dataset):
    raise ValueError(f'the DICOM file has no frame {frame}')
  allocated = int(dataset.BitsAllocated)
  stored = int(dataset.get('BitsStored') or allocated)
  high = int(dataset.get('HighBit', stored - 1))
  if stored > allocated or high != stored - 1:
    raise ValueError(
      f'the DICOM header has wrong bits: {stored} stored of {allocated}, the '
      f'highest is number {high}'
    )
  syntax = getattr(dataset, 'file_meta', {}).get('TransferSyntaxUID')
  if syntax is None:
    raise ValueError('the DICOM header does not say how pixels are stored')
  from pydicom.pixels import get_decoder

  try:
    if not syntax.is_compressed or syntax.is_deflated:
      return
    decoder = get_decoder(syntax)
  except (NotImplementedError, ValueError) as error:
    raise ValueError(
      'its pixels are compressed in a way that pydicom does not know (transfer '
      f'syntax {syntax}): convert the file to another one'
    ) from error
  if not decoder.is_available:
    start = syntax.keyword.upper().replace('-', '')
    package = next((p for k, p in _PACKAGES.items() if start.startswith(k)), '')
    raise ValueError(
      f'its pixels are compressed as {syntax.name}, which needs a package that '
      f'is not installed: pip install {package or "pylibjpeg"}'
    )


def _eight_bits_of_dicom(dataset: Any, frame: int) -> np.ndarray:
  """uint8 `h w` or `h w 3`."""
  found = values(dataset, frame)
  if found.ndim == 3:
    if found.dtype == np.uint8:
      return found
    bits = 16 if found.dtype == np.uint16 else int(dataset.BitsStored)
    if str(dataset.PhotometricInterpretation) != 'PALETTE COLOR':
      bits = int(dataset.get('BitsStored') or bits)
    return _scaled(found, 0, 2**bits - 1)
  low, high = _range(dataset) or (found.min(), found.max())
  image = _scaled(found, float(low), float(high))
  inverted = str(dataset.PhotometricInterpretation) == 'MONOCHROME1'
  return 255 - image if inverted else image


def _range(dataset: Any) -> tuple[float, float] | None:
  """What the look-up of values of interest can give; None where none is."""
  if dataset.get('VOILUTSequence'):
    bits = int(dataset.VOILUTSequence[0].LUTDescriptor[2])
    return 0, 2**bits - 1
  if dataset.get('WindowCenter') is None or dataset.get('WindowWidth') is None:
    return None
  # The range of stored values, as pydicom's `apply_windowing` has it.
  bits = int(dataset.get('BitsStored') or dataset.BitsAllocated)
  if dataset.get('ModalityLUTSequence'):
    bits = int(dataset.ModalityLUTSequence[0].LUTDescriptor[2])
    return 0, 2**bits - 1
  low, high = 0, 2**bits - 1
  if int(dataset.get('PixelRepresentation') or 0):
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
  slope = float(dataset.get('RescaleSlope') or 1)
  intercept = float(dataset.get('RescaleIntercept') or 0)
  return low * slope + intercept, high * slope + intercept


def _scaled(image: np.ndarray, low: float, high: float) -> np.ndarray:
  """uint8 of what lies between two values; all 0 where there is no between."""
  if not high > low:
    return np.zeros(image.shape, np.uint8)
  unit = (np.asarray(image, np.float64) - low) / (high - low)
  return np.rint(np.clip(unit, 0, 1) * 255).astype(np.uint8)


# -- NIfTI --------------------------------------------------------------------


def slices_of(data: bytes) -> int:
  """Slices along the last axis of the volume in canonical orientation."""
  return _volume(data).shape[-1]


def _volume(data: bytes) -> np.ndarray:
  """uint8 `h w n`; the last volume is kept, since slices come one by one."""
  return _volume_once(hashlib.blake2b(data).digest(), _Bytes(data))


class _Bytes:
  """Bytes that are equal to all others: the digest tells them apart."""

  def __init__(self, data: bytes):
    self.data = data

  def __eq__(self, other: object) -> bool:
    return isinstance(other, _Bytes)

  def __hash__(self) -> int:
    return 0


@functools.lru_cache(maxsize=2)
def _volume_once(_: bytes, held: _Bytes) -> np.ndarray:
  nibabel = _taken('nibabel', 'a NIfTI volume')
  data = held.data
  held.data = b''  # The cache keeps the volume alone.
  try:
    if data.startswith(_GZIP):
      data = gzip.decompress(data)
    image = nibabel.as_closest_canonical(nibabel.Nifti1Image.from_bytes(data))
    found = np.asarray(image.dataobj, np.float32)
  except Exception as error:  # Whatever a damaged file makes it raise.
    raise ValueError('the NIfTI volume is truncated or damaged') from error
  while found.ndim > 3:  # Of a series over time the first.
    found = found[..., 0]
  if found.ndim != 3 or not found.size:
    raise ValueError('the NIfTI volume has no three axes')
  found = np.nan_to_num(found)
  low, high = np.percentile(found, (_LOW, _HIGH))
  # Axes go to the right, front and up: rows begin in front, columns at left.
  return _scaled(np.flip(found.transpose(1, 0, 2), 0), low, high)


def _taken(module: str, what: str) -> Any:
  try:
    return importlib.import_module(module)
  except ImportError as error:
    raise ValueError(
      f'{what} needs {module}, which is not installed: pip install '
      f"'recog_jax[{EXTRA}]'"
    ) from error
