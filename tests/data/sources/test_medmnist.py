"""Files in MedMNIST's form, and pictures whose names say what they show."""

import cv2
import numpy as np
import pytest

from recog_jax.data.sources.medmnist import medmnist
from recog_jax.data.sources.named_folder import named_folder
from recog_jax.errors import UserError


def _save(path, shape=(28, 28), labels=1, classes=2):
  rng = np.random.default_rng(0)
  arrays = {}
  for split, n in {'train': 20, 'val': 5, 'test': 6}.items():
    images = rng.integers(0, 256, (n, *shape)).astype(np.uint8)
    arrays[f'{split}_images'] = images
    found = rng.integers(0, classes, (n, labels))
    found[:2] = [[0] * labels, [classes - 1] * labels]
    arrays[f'{split}_labels'] = found
  np.savez(path, **arrays)
  return arrays


def test_grey_pictures_of_a_known_set(tmp_path):
  arrays = _save(tmp_path / 'pneumoniamnist_64.npz', (64, 64))
  source = medmnist(file='pneumoniamnist_64.npz', data_dir=tmp_path)
  assert source.info.label_names == ('normal', 'pneumonia')
  assert source.info.shape == (64, 64, 1)
  assert source.sizes() == {'train': 20, 'val': 5, 'test': 6}
  taken = source.records('val').take(np.array([3, 0]))
  np.testing.assert_array_equal(
    taken['image'][..., 0], arrays['val_images'][[3, 0]]
  )
  assert taken['label'].dtype == np.int32
  np.testing.assert_array_equal(taken['label'], arrays['val_labels'][[3, 0], 0])
  with pytest.raises(UserError, match='split'):
    source.records('dev')


def test_several_labels_and_other_sets(tmp_path):
  _save(tmp_path / 'chestmnist.npz', labels=14)
  chest = medmnist(file='chestmnist.npz', data_dir=tmp_path)
  assert chest.info.label_names[-1] == 'hernia'
  assert chest.records('test').labels().shape == (6, 14)
  assert chest.records('test').labels().dtype == np.float32
  _save(tmp_path / 'own.npz', (8, 8, 3), classes=4)
  own = medmnist(file='own.npz', data_dir=tmp_path)
  assert own.info.label_names == tuple('0123')
  assert own.info.shape == (8, 8, 3)
  named = medmnist(
    file='own.npz', data_dir=tmp_path, label_names=('a', 'b', 'c', 'd')
  )
  assert named.fingerprint() != own.fingerprint()
  with pytest.raises(UserError, match='has 4 classes'):
    medmnist(file='own.npz', data_dir=tmp_path, label_names=('a', 'b'))


def test_other_files_are_told_of(tmp_path):
  with pytest.raises(UserError, match='there is no file'):
    medmnist(file='pathmnist.npz', data_dir=tmp_path)
  (tmp_path / 'torn.npz').write_bytes(b'PK\3\4 torn')
  with pytest.raises(UserError, match=r'no whole \.npz'):
    medmnist(file='torn.npz', data_dir=tmp_path)
  np.savez(tmp_path / 'other.npz', x=np.zeros(3))
  with pytest.raises(UserError, match='train_images'):
    medmnist(file='other.npz', data_dir=tmp_path)
  _save(tmp_path / 'organmnist3d.npz', (8, 8, 8))
  with pytest.raises(UserError, match='volumes'):
    medmnist(file='organmnist3d.npz', data_dir=tmp_path)


PATTERN = '(?P<site>CHNCXR|MCUCXR)_(?P<patient>[0-9]+)_(?P<label>[01])'
NAMES = {'0': 'normal', '1': 'tuberculosis'}


def _pictures(folder, names):
  image = cv2.imencode('.png', np.zeros((4, 4), np.uint8))[1].tobytes()
  for name in names:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(image)


def test_names_that_carry_the_label(tmp_path, capsys):
  names = [
    f'{site}/{site}_{k:04}_{k % 2}.png'
    for site in ('CHNCXR', 'MCUCXR')
    for k in range(40)
  ]
  names += [n.replace('.png', '_again.png') for n in names[:10]]
  _pictures(tmp_path, [*names, 'thumbnail.png'])
  options = {'pattern': PATTERN, 'label_names': NAMES, 'channels': 1}
  source = named_folder(root=tmp_path, **options)
  assert source.info.label_names == ('normal', 'tuberculosis')
  assert source.info.grouped
  assert sum(source.sizes().values()) == 90
  assert '1 pictures whose names do not fit' in ''.join(capsys.readouterr())
  seen = {}
  for split, n in source.sizes().items():
    records = source.records(split)
    ids = np.arange(n)
    fields = records.fields(ids)
    assert set(fields['site']) <= {'CHNCXR', 'MCUCXR'}
    for who, name, label in zip(
      fields['patient'], records.names(ids), records.labels(), strict=True
    ):
      assert seen.setdefault(who, split) == split
      assert name.split('_')[2][0] == str(label)
  assert len(seen) == 80  # Number 3 of one site is not number 3 of the other.
  with pytest.raises(UserError, match='label'):
    named_folder(root=tmp_path, pattern='(?P<site>X)')
  with pytest.raises(UserError, match='no regular expression'):
    named_folder(root=tmp_path, pattern='(')
  with pytest.raises(UserError, match='no picture whose name fits'):
    named_folder(root=tmp_path, pattern='(?P<label>nothing)')


def test_splits_by_name_refuse_a_leaking_patient(tmp_path):
  _pictures(tmp_path, ['train/p1_1.png', 'train/p2_0.png', 'test/p3_1.png'])
  pattern = '^(?P<split>train|test)/(?P<patient>p[0-9])_(?P<label>[01])'
  source = named_folder(root=tmp_path, pattern=pattern)
  assert source.sizes() == {'test': 1, 'train': 2}
  _pictures(tmp_path, ['test/p2_1.png'])
  with pytest.raises(UserError, match='1 of 3 patients are in two splits'):
    named_folder(root=tmp_path, pattern=pattern)
