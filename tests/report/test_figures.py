"""Pictures are written, of the size of their content, and not blank."""

import math

import cv2
import numpy as np
import pytest

from recog_jax.report import figures


def _read(path):
  image = cv2.imread(str(path))
  assert image is not None
  assert image.std() > 5
  return image


@pytest.mark.parametrize('v', [2, 10, 43, 150])
def test_confusion_matrix(tmp_path, v):
  rng = np.random.default_rng(0)
  counts = np.diag(rng.integers(0, 100, v)) + (rng.random((v, v)) < 0.1) * 5
  names = [f'$ class number {i} of {v} $' for i in range(v)]
  figures.confusion_matrix(tmp_path / 'a.png', counts, names)
  figures.confusion_matrix(tmp_path / 'b.png', np.zeros_like(counts), names)
  assert (_read(tmp_path / 'a.png') != _read(tmp_path / 'b.png')).any()


def test_contact_sheet_takes_any_number_of_any_size(tmp_path):
  rng = np.random.default_rng(0)
  sizes = [(8, 8, 1), (32, 32, 3), (40, 90, 3)]
  images = [rng.integers(0, 256, s).astype(np.uint8) for s in sizes]
  captions = [
    '#1\ntrue cat',
    '$#2$ $\\x',
    'a caption that is much too long ' * 3,
  ]
  figures.contact_sheet(tmp_path / 'a.png', images, captions, 'Three')
  three = _read(tmp_path / 'a.png')
  figures.contact_sheet(tmp_path / 'b.png', images * 3, captions * 3, 'Nine')
  assert _read(tmp_path / 'b.png').shape[0] > three.shape[0]
  figures.contact_sheet(tmp_path / 'c.png', [], [], 'No mistakes')
  _read(tmp_path / 'c.png')
  with pytest.raises(ValueError, match='zip'):
    figures.contact_sheet(tmp_path / 'd.png', images, captions[:1], 'Odd')


@pytest.mark.smoke
def test_curves_draw_what_there_is(tmp_path):
  rows = [
    {'step': s, 'kind': 'train', 'loss': 1 / s, 'learning_rate': s / 100}
    for s in range(1, 90)
  ]
  rows += [{'step': 40, 'kind': 'val', 'loss': 0.2, 'wer': 0.5, 'note': 'x'}]
  rows += [{'step': 80, 'kind': 'val', 'loss': math.nan, 'wer': 0.4}]
  figures.curves(tmp_path / 'a.png', rows, title='A run')
  all_panels = _read(tmp_path / 'a.png')
  figures.curves(tmp_path / 'b.png', rows, panels=['wer', 'absent'])
  assert _read(tmp_path / 'b.png').size < all_panels.size
  figures.curves(tmp_path / 'c.png', [])
  assert (tmp_path / 'c.png').stat().st_size


def _run(seconds_a_step, last):
  rows = [
    {'step': s, 'kind': 'train', 'time/seconds': seconds_a_step * s}
    for s in range(20, 420, 20)
  ]
  rows += [
    {'step': s, 'kind': 'val', 'wer': last + 10 / s, 'cer': last / 2}
    for s in range(50, 401, 50)
  ]
  return rows


def test_wer_curves_put_validations_at_their_minute(tmp_path, monkeypatch):
  drawn = []
  monkeypatch.setattr(figures, 'save', lambda figure, _: drawn.append(figure))
  runs = {'fast': _run(0.6, 0.3), 'slow': _run(6, 0.2)}
  figures.wer_curves(tmp_path / 'a.png', runs)
  panels = drawn[0].axes
  assert [p.get_ylabel() for p in panels] == ['WER in %', '', 'CER in %', '']
  fast, slow = panels[0].get_lines()
  np.testing.assert_allclose(fast.get_xdata(), np.arange(50, 401, 50) / 100)
  np.testing.assert_allclose(slow.get_xdata(), np.arange(50, 401, 50) / 10)
  assert slow.get_ydata()[-1] == pytest.approx(22.5)
  labels = [text.get_text() for text in panels[1].get_legend().get_texts()]
  assert labels == ['fast: 32.5 %', 'slow: 22.5 %']


def test_wer_curves_draw_what_there_is(tmp_path):
  figures.wer_curves(tmp_path / 'a.png', {'$a$': _run(1, 0.5)}, title='A run')
  both = _read(tmp_path / 'a.png')
  without_time = [row for row in _run(1, 0.5) if row['kind'] == 'val']
  figures.wer_curves(
    tmp_path / 'b.png', {'a': without_time, 'b': []}, metrics=['wer', 'per']
  )
  assert _read(tmp_path / 'b.png').shape[0] < both.shape[0]
  figures.wer_curves(tmp_path / 'c.png', {'a': []})
  assert (tmp_path / 'c.png').stat().st_size
