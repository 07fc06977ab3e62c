"""`python -m recog_jax.gallery` with a model of some steps, start to end."""

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

from recog_jax import registry
from recog_jax.engine import config as config_lib
from tests.commands import runs

_CONSENT = ('--purpose=a test', '--consent_date=2026-01-31')


@pytest.mark.slow
def test_people_are_enrolled_found_deleted_and_renewed(tmp_path, cached):
  work, gallery, key = tmp_path / 'w', tmp_path / 'g.json', tmp_path / 'g.key'

  def command(module, *words):
    done = subprocess.run(
      [sys.executable, '-m', f'recog_jax.{module}', *map(str, words)],
      capture_output=True,
      text=True,
      timeout=600,
      env=cached,
      cwd=runs.ROOT,
    )
    assert 'Traceback' not in done.stderr, done.stderr
    return done.returncode, done.stdout + done.stderr

  def ask(action, *words, model=True):
    flags = [f'--gallery={gallery}', f'--key={key}']
    flags += [f'--workdir={work}', '--checkpoint=latest'] if model else []
    return command('gallery', action, *flags, *words)

  # A few steps of this are enough: people are patterns with a little noise.
  config = 'configs/faces_orl.py:tiny'
  code, told = command(
    'main', f'--config={config}', f'--workdir={work}', '--config.total_steps=40'
  )
  assert code == 0, told
  keys = config_lib.load(str(runs.ROOT / config)).data.source.to_dict()
  source = registry.build('source', keys, data_dir=None)
  records = source.records('test')
  taken = records.take(np.arange(len(records)))
  people = np.unique(taken['label']).tolist()
  for row, label in enumerate(taken['label'].tolist()):
    folder = tmp_path / f'p{people.index(label)}'
    folder.mkdir(exist_ok=True)
    cv2.imwrite(str(folder / f'{row}.png'), taken['image'][row])
  first, second = (sorted((tmp_path / p).iterdir()) for p in ('p0', 'p1'))

  code, told = ask('enrol', '--name=Ada', *first[:3])
  assert code == 1 and 'nobody is enrolled without consent' in told
  code, told = ask('enrol', '--name=Ada', *_CONSENT, *first[:3])
  assert code == 0 and "'Ada' is enrolled with 3 pictures" in told, told
  # One in ten strangers may pass.
  strangers = [tmp_path / f'p{i}' for i in range(1, len(people))]
  strangers = [sorted(folder.iterdir())[4] for folder in strangers]
  code, told = ask('identify', '--far=0.1', first[4], *strangers)
  assert code == 1, told
  found = [
    row.split('  ')[1] for row in told.splitlines()[: 1 + len(strangers)]
  ]
  assert found[0] == 'Ada' and found.count('nobody') > len(strangers) / 2, told
  code, told = ask('enrol', '--name=Grace', *_CONSENT, *second[:3])
  assert code == 0, told
  before = gallery.read_bytes()
  code, told = ask('renew', model=False)
  assert code == 0 and '6 templates of 2 people' in told
  assert before != gallery.read_bytes()
  code, told = ask('verify', '--name=grace', '--far=0.1', second[5])
  assert code == 0, told
  code, told = ask('delete', '--name=Ada', model=False)
  assert code == 0, told
  code, told = ask('list', model=False)
  assert code == 0 and 'Ada' not in told and 'Grace  3 pictures' in told
  assert b'Ada' not in gallery.read_bytes()
  assert len(json.loads(gallery.read_text())['people']) == 1
  gallery.write_bytes(before)
  code, told = ask('identify', first[4])
  assert code == 1 and 'is not the key of' in told
  code, told = ask('enroll', model=False)
  assert code == 1 and 'enrol' in told
