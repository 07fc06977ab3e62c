"""What is carried to a bare machine is whole, and small enough."""

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from experiments.accelerator import carry


def _wheel(folder):
  files = {
    'toy_thing/__init__.py': b'ANSWER = 42\n' * 500,
    'toy_thing/tests/test_it.py': b'1\n',
    'toy_thing-1.0.dist-info/METADATA': (
      b'Metadata-Version: 2.1\nName: toy-thing\nVersion: 1.0\n'
    ),
    'toy_thing-1.0.dist-info/WHEEL': (
      b'Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n'
    ),
  }
  record = 'toy_thing-1.0.dist-info/RECORD'
  files[record] = ''.join(f'{name},,\n' for name in (*files, record)).encode()
  path = folder / 'toy_thing-1.0-py3-none-any.whl'
  with zipfile.ZipFile(path, 'w', zipfile.ZIP_STORED) as file:
    for name, content in files.items():
      file.writestr(name, content)
  return path


def test_pip_installs_a_packed_wheel(tmp_path):
  wheel = _wheel(tmp_path)
  before = wheel.stat().st_size
  carry.pack(wheel)
  assert wheel.stat().st_size < before / 2
  with zipfile.ZipFile(wheel) as file:
    names = file.namelist()
    record = file.read('toy_thing-1.0.dist-info/RECORD').decode()
  assert not any('tests' in name for name in names)
  assert sorted(names) == sorted(line.split(',')[0] for line in record.split())
  target = tmp_path / 'there'
  command = [sys.executable, '-m', 'pip', 'install', '--no-index', '--no-deps']
  command += [f'--find-links={tmp_path}', f'--target={target}', 'toy-thing']
  subprocess.run(command, check=True, capture_output=True)
  assert (target / 'toy_thing' / '__init__.py').exists()


def test_wheels_that_are_too_large_are_told(tmp_path, monkeypatch, capsys):
  def pip(python, *words):
    _wheel(Path(words[words.index('-w') + 1]))

  monkeypatch.setattr(carry, '_pip', pip)
  words = ['wheels', f'--output={tmp_path / "wheels"}']
  assert carry.main(words) == 0
  assert '1 wheels, 0.0 MiB' in capsys.readouterr().out
  pins = (tmp_path / 'wheels' / 'requirements.txt').read_text()
  assert pins == 'toy_thing==1.0\n'
  assert carry.main(words) == 1
  assert 'is not empty' in capsys.readouterr().err
  monkeypatch.setattr(carry, 'MOST_BYTES', 100)
  assert carry.main(['wheels', f'--output={tmp_path / "other"}']) == 1


def test_parts_of_data_are_small_and_whole(tmp_path, monkeypatch, capsys):
  monkeypatch.setattr(carry, '_PART_BYTES', 10_000)
  folder = tmp_path / 'data' / 'toy' / '1.0.0'
  folder.mkdir(parents=True)
  content = np.random.default_rng(0).bytes(35_000)
  (folder / 'records').write_bytes(content)
  out = tmp_path / 'parts'
  words = [f'--data_dir={tmp_path / "data"}', f'--output={out}']
  assert carry.main(['data', '--sets=toy', *words]) == 0
  parts = sorted(out.iterdir())
  assert len(parts) > 3 and all(p.stat().st_size <= 10_000 for p in parts)
  there = tmp_path / 'there'
  there.mkdir()
  command = f'cat {out}/data.tar.* | tar -x -C {there}'
  subprocess.run(command, shell=True, check=True)
  assert (there / 'toy' / '1.0.0' / 'records').read_bytes() == content
  assert carry.main(['data', '--sets=other', *words]) == 1
  assert 'no folder other' in capsys.readouterr().err
  assert carry.main(['data', f'--output={out}']) == 1


@pytest.mark.parametrize(
  ('name', 'kept'),
  [
    ('sklearn/tests/test_base.py', False),
    ('sklearn/testing.py', True),
    ('cv2/data/eye.xml', False),
    ('tensorflow_datasets/url_checksums/x.txt', False),
    ('tensorflow_datasets/core/dataset_builder.py', True),
    ('matplotlib/mpl-data/fonts/ttf/DejaVuSans.ttf', True),
  ],
)
def test_what_is_left_out(name, kept):
  assert (carry._UNREAD.fullmatch(name) is None) == kept
