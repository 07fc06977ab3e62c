"""Folders of DICOM files: fields, frames, patients, text in pictures."""

import gzip

import numpy as np
import pytest

from recog_jax.errors import UserError

pytest.importorskip('pydicom', reason='needs the extra dicom')

from recog_jax.data.sources import medical_folder as lib  # noqa: E402
from tests.data import dicom_files as made  # noqa: E402


def _write(root, patient, label, number=0, split='', **tags):
  pixels = made.ramp(8) // (number + 1)
  found = made.dataset(pixels, 8, PatientID=patient, **tags)
  name = f'{patient}-{number}'
  made.write(root.joinpath(*filter(None, (split, label, name))), found)


@pytest.fixture
def patients(tmp_path):
  """Thirty patients with two files each, without suffixes."""
  for k in range(30):
    for number in range(2):
      label = 'ill' if k % 2 else 'normal'
      _write(tmp_path, f'p{k}', label, number, PatientAge=f'0{k + 20}Y')
  return tmp_path


def test_patients_are_never_parted(patients, capsys):
  source = lib.dicom_folder(root=patients, shape=(made.SIDE, made.SIDE))
  assert sum(source.sizes().values()) == 60
  assert source.info.label_names == ('ill', 'normal') and source.info.grouped
  seen = {}
  for split, size in source.sizes().items():
    records = source.records(split)
    fields = records.fields(np.arange(size))
    for who in fields['patient']:
      assert seen.setdefault(who, split) == split
    assert set(fields['sex']) == {'F'} and set(fields['view']) == {'PA'}
    assert fields['age_group'][0] == f'{int(fields["age"][0]) // 10 * 10}-' + (
      str(int(fields['age'][0]) // 10 * 10 + 9)
    )
    taken = records.take(np.arange(2))
    assert taken['image'].shape == (2, made.SIDE, made.SIDE, 1)
  assert len(seen) == 30
  said = ''.join(capsys.readouterr()) + str(seen)
  assert 'Doe' not in said
  assert not any(f'p{k}' in seen for k in range(30))
  again = lib.dicom_folder(root=patients, shape=(made.SIDE, made.SIDE))
  assert again.fingerprint() == source.fingerprint()
  keyed = lib.dicom_folder(root=patients, patient_key='secret')
  ids = np.arange(keyed.sizes()['train'])
  assert not seen.keys() & set(keyed.records('train').fields(ids)['patient'])


def test_a_patient_in_two_splits_is_refused(tmp_path):
  for split in ('train', 'test'):
    for k in range(3):
      _write(tmp_path, f'{split}{k}', 'ill', split=split)
      _write(tmp_path, f'{split}{k}n', 'normal', split=split)
  assert lib.dicom_folder(root=tmp_path).sizes() == {'train': 6, 'test': 6}
  with pytest.raises(UserError, match='has a folder train'):
    lib.dicom_folder(root=tmp_path, shares={'train': 1.0})
  _write(tmp_path, 'train1', 'ill', 1, split='test')
  with pytest.raises(UserError, match='1 of 12 patients are in two') as caught:
    lib.dicom_folder(root=tmp_path)
  assert 'Doe' not in str(caught.value) and 'train1' not in str(caught.value)


def test_frames_of_a_file(tmp_path):
  eight = made.ramp(8)
  movie = made.dataset(np.stack([eight, eight.T, 255 - eight]), 8)
  made.write(tmp_path / 'train' / 'ill' / 'movie.dcm', movie)
  source = lib.dicom_folder(root=tmp_path, shape=(made.SIDE, made.SIDE))
  records = source.records('train')
  assert len(records) == 3
  assert sorted(records.names(np.arange(3))) == [
    f'train/ill/movie.dcm#{i}' for i in range(3)
  ]
  frames = np.argsort([int(n[-1]) for n in records.names(np.arange(3))])
  images = records.take(frames)['image'][..., 0]
  np.testing.assert_array_equal(images[1], images[0].T)
  np.testing.assert_array_equal(images[2], 255 - images[0])
  for frames, count in (('first', 1), ('middle', 1), ('all', 3)):
    assert lib.dicom_folder(root=tmp_path, frames=frames).sizes() == {
      'train': count
    }
  with pytest.raises(UserError, match='take all, first, middle'):
    lib.dicom_folder(root=tmp_path, frames='last')


def test_text_in_pictures_is_warned_of(tmp_path, capsys):
  for k, said in enumerate(('YES', 'NO', None, 'NO')):
    found = made.dataset(made.ramp(8), 8, PatientID=f'p{k}')
    if said is None:
      del found.BurnedInAnnotation
    else:
      found.BurnedInAnnotation = said
    made.write(tmp_path / 'train' / f'class{k % 2}' / f'{k}.dcm', found)
  assert lib.dicom_folder(root=tmp_path).sizes() == {'train': 4}
  said = ''.join(capsys.readouterr())
  assert '1 of 4 files say that text is burnt' in said and 'are kept' in said
  assert '1 of 4 files do not say' in said
  without = lib.dicom_folder(root=tmp_path, leave_out_burnt_in=True)
  assert without.sizes() == {'train': 3}


def test_files_without_pixels_stop_or_are_left_out(tmp_path, capsys):
  for k in range(9):
    _write(tmp_path, f'p{k}', 'ill', split='train')
  report = made.dataset(made.ramp(8), 8)
  for tag in ('Rows', 'Columns', 'PixelData'):
    delattr(report, tag)
  made.write(tmp_path / 'train' / 'ill' / 'report.dcm', report)
  with pytest.raises(UserError, match=r'1 of 10 DICOM .* no pixels'):
    lib.dicom_folder(root=tmp_path)
  source = lib.dicom_folder(root=tmp_path, max_bad_share=0.2)
  assert source.sizes() == {'train': 9}
  assert '1 of 10 DICOM files are left out' in ''.join(capsys.readouterr())


def test_no_files(tmp_path):
  with pytest.raises(UserError, match='holds no files of this kind'):
    lib.dicom_folder(root=tmp_path)
  with pytest.raises(UserError, match='is no folder'):
    lib.dicom_folder(root=tmp_path / 'nowhere')
  with pytest.raises(UserError, match='is not named'):
    lib.dicom_folder()


def test_slices_of_volumes(tmp_path):
  nibabel = pytest.importorskip('nibabel')
  rng = np.random.default_rng(0)
  for k in range(4):
    folder = tmp_path / 'train' / ('tumour' if k % 2 else 'none')
    folder.mkdir(parents=True, exist_ok=True)
    volume = rng.normal(size=(8, 9, 12)).astype(np.float32)
    data = nibabel.Nifti1Image(volume, np.eye(4)).to_bytes()
    file = folder / f'sub-{k}_T1w.nii.gz'
    file.write_bytes(gzip.compress(data))
  source = lib.nifti_folder(root=tmp_path, axis_share=(0.25, 0.75), every=2)
  assert source.sizes() == {'train': 12}  # Slices 3, 5 and 7 of each.
  records = source.records('train')
  fields = records.fields(np.arange(12))
  assert set(fields['patient']) == {f'sub-{k}' for k in range(4)}
  assert set(fields['frame']) == {'3', '5', '7'}
  assert records.take(np.array([0]))['image'][0].shape == (9, 8, 1)
  with pytest.raises(UserError, match='axis_share'):
    lib.nifti_folder(root=tmp_path, axis_share=(0.7, 0.3))
