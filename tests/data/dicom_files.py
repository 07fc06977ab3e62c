"""Makes DICOM files of the kinds that hospitals have."""

import io
from pathlib import Path

import cv2
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
  ExplicitVRLittleEndian,
  JPEG2000Lossless,
  JPEGBaseline8Bit,
  RLELossless,
  generate_uid,
)

SIDE = 32  # OpenJPEG encodes nothing smaller.
NAME = 'Doe^Jane'


def ramp(bits: int, signed: bool = False) -> np.ndarray:
  """Values from the lowest to the highest, in an order of their own."""
  n = SIDE * SIDE
  values = np.arange(n) * (2**bits - 1) // (n - 1)
  values = values - 2 ** (bits - 1) if signed else values
  dtype = np.int16 if signed else np.uint16 if bits > 8 else np.uint8
  order = np.random.default_rng(bits).permutation(n)
  return values[order].reshape(SIDE, SIDE).astype(dtype)


def dataset(pixels: np.ndarray, bits: int, **tags) -> FileDataset:
  """A data set with these pixels `h w`, `n h w` or `h w 3`."""
  meta = FileMetaDataset()
  meta.TransferSyntaxUID = ExplicitVRLittleEndian
  meta.MediaStorageSOPClassUID = '1.2.840.10008.5.1.4.1.1.1'
  meta.MediaStorageSOPInstanceUID = generate_uid()
  found = FileDataset('x', {}, file_meta=meta, preamble=b'\0' * 128)
  found.SOPClassUID = meta.MediaStorageSOPClassUID
  found.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
  colour = pixels.shape[-1] == 3
  found.Rows, found.Columns = SIDE, SIDE
  found.SamplesPerPixel = 3 if colour else 1
  if colour:
    found.PlanarConfiguration = 0
  found.PhotometricInterpretation = 'RGB' if colour else 'MONOCHROME2'
  found.BitsAllocated = 8 * pixels.dtype.itemsize
  found.BitsStored, found.HighBit = bits, bits - 1
  found.PixelRepresentation = int(pixels.dtype.kind == 'i')
  found.PatientName, found.PatientID = NAME, 'MRN-1234'
  found.PatientSex, found.PatientAge = 'F', '041Y'
  found.ViewPosition, found.BurnedInAnnotation = 'PA', 'NO'
  if not colour and pixels.ndim == 3:
    found.NumberOfFrames = len(pixels)
  for name, value in tags.items():
    setattr(found, name, value)
  found.PixelData = pixels.tobytes()
  return found


def _table(first: int, bits: int, values: np.ndarray, keyword: str) -> Dataset:
  """A look-up table."""
  found = Dataset()
  found.LUTDescriptor = [len(values), first, bits]
  found['LUTDescriptor'].VR = 'US'
  found.LUTData = values.astype(np.uint16).tobytes()
  found['LUTData'].VR = 'OW'
  if keyword == 'modality':
    found.ModalityLUTType = 'US'
  return found


def twelve() -> dict[str, FileDataset]:
  """The kinds, by name."""
  window = {'WindowCenter': 2000, 'WindowWidth': 3000}
  twelve_bits, eight = ramp(12), ramp(8)
  found = {
    'window': dataset(twelve_bits, 12, **window),
    'monochrome1': dataset(
      twelve_bits, 12, PhotometricInterpretation='MONOCHROME1', **window
    ),
    'signed_ct': dataset(
      ramp(12, signed=True),
      12,
      RescaleSlope=2,
      RescaleIntercept=-100,
      WindowCenter=40,
      WindowWidth=400,
    ),
    'no_window': dataset(eight, 8),
    'sixteen_bits': dataset(ramp(16), 16),
    'rle': dataset(twelve_bits, 12, **window),
    'jpeg_2000': dataset(twelve_bits, 12, **window),
    'frames': dataset(np.stack([eight, eight.T, 255 - eight]), 8),
    'rgb': dataset(np.stack([eight, eight.T, 255 - eight], -1), 8),
  }
  found['rle'].compress(RLELossless)
  found['jpeg_2000'].compress(JPEG2000Lossless)
  curve = np.round(np.linspace(0, 1, 4096) ** 2 * 1023)
  found['voi_table'] = dataset(twelve_bits, 12)
  found['voi_table'].VOILUTSequence = [_table(0, 10, curve, 'voi')]
  found['modality_table'] = dataset(
    twelve_bits, 12, WindowCenter=30000, WindowWidth=40000
  )
  found['modality_table'].ModalityLUTSequence = [
    _table(0, 16, 64 * curve, 'modality')
  ]
  jpeg = dataset(eight, 8)
  jpeg.PixelData = encapsulate([cv2.imencode('.jpg', eight)[1].tobytes()])
  jpeg['PixelData'].VR = 'OB'
  jpeg['PixelData'].is_undefined_length = True
  jpeg.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
  found['jpeg'] = jpeg
  return found


def content(found: FileDataset) -> bytes:
  file = io.BytesIO()
  found.save_as(file, enforce_file_format=True)
  return file.getvalue()


def write(path: Path, found: FileDataset) -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(content(found))


def read(data: bytes) -> pydicom.Dataset:
  return pydicom.dcmread(io.BytesIO(data))
