"""What README and notebook show of the Python side, run as it stands."""

import contextlib
import io
import json
import re
from pathlib import Path

import matplotlib
import pytest

import recog_jax

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / 'experiments' / 'quickstart.ipynb'
# A block of Python, and what it prints.
SHOWN = re.compile(r'```python\n(.*?)```\n\n```text\n(.*?)```', re.DOTALL)


@pytest.fixture
def runs(tmp_path, monkeypatch):
  """A folder with runs/digits_resnet8, trained for six epochs."""
  monkeypatch.chdir(tmp_path)
  session = recog_jax.experiment(
    f'{ROOT}/configs/digits_resnet8.py', overrides={'total_epochs': 6.0}
  )
  session.train('runs/digits_resnet8')


def printed(source, names):
  out = io.StringIO()
  with contextlib.redirect_stdout(out):
    exec(source, names)
  return out.getvalue()


@pytest.mark.slow
def test_the_readme(runs):
  text = (ROOT / 'recog_jax' / 'README.md').read_text()
  blocks = SHOWN.findall(text)
  assert len(blocks) == 2
  names = {}
  for source, wanted in blocks:
    assert printed(source, names) == wanted


@pytest.mark.slow
def test_the_notebook(tmp_path, monkeypatch):
  matplotlib.use('Agg')
  monkeypatch.chdir(tmp_path)
  found = json.loads(NOTEBOOK.read_text())
  code = [c for c in found['cells'] if c['cell_type'] == 'code']
  assert len(code) > 10 and all(
    c['outputs'] or ' = ' in c['source'][0] for c in code
  )
  names = {}
  for cell in code:
    exec(''.join(cell['source']), names)
  assert names['answers'][0].label in names['model'].labels
  assert names['losses'][-1] < names['losses'][0]
  right = [int(a.label) for a in names['answers']] == names['test']['label']
  assert right.mean() > 0.7
