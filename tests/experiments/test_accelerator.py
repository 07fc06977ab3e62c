"""A day with an accelerator: its time, lines, parity, sizes and report."""

import itertools
import json
import sys

import numpy as np
import pytest

from experiments.accelerator import day, parity, peaks, plan, report, units
from experiments.accelerator.cases import GROUPS, Case, cases
from experiments.accelerator.lines import Lines
from experiments.accelerator.models import MODELS, Job
from recog_jax.errors import UserError

CPU = {
  'platform': 'cpu',
  'count': 1,
  'memory': None,
  'platform_version': 'cpu',
  'host': 'a processor',
  'cores': 2,
  'versions': {'jax': '0.10.2'},
  'code': '0.1.0',
}


def _unit(name, code, *, guess=0.1, **options):
  command = [sys.executable, '-c', code]
  return day.Unit(name, command, like=name, guess=guess, **options)


def _run(tmp_path, work, minutes=1.0):
  lines = Lines(tmp_path)
  said = []
  left = day.run(
    work, lines, day.Clock(minutes), tmp_path / 'logs', said.append
  )
  return lines, left, said


def test_what_fails_is_a_line_and_the_day_goes_on(tmp_path):
  count = tmp_path / 'count'
  ok = f'open({str(count)!r}, "a").write("x"); print(\'{{"name": "a"}}\')'
  work = [
    _unit('parity/bad', 'import sys; sys.exit("no such device")'),
    _unit('parity/killed', 'import os; os.kill(os.getpid(), 9)'),
    _unit('parity/good', ok + '; print("some words")'),
  ]
  lines, left, said = _run(tmp_path, work)
  assert left == []
  reasons = {d['unit']: d['reason'] for d in lines.of('failed')}
  assert reasons == {
    'parity/bad': 'no such device',
    'parity/killed': 'signal 9',
  }
  assert [row['name'] for row in lines.rows('parity')] == ['a']
  assert '  some words' in said
  # What is done is not done again; what failed is, after what is new.
  new = _unit('parity/new', 'print(1)')
  lines, _, said = _run(tmp_path, [*work, new])
  assert count.read_text() == 'x'
  begun = [s.partition(':')[0] for s in said if ': about' in s]
  assert begun == ['parity/new', 'parity/bad', 'parity/killed']


def test_a_day_ends_in_time(tmp_path):
  """A unit that is too long is not begun; one that hangs is ended."""
  hangs = 'import time; print(\'{"name": "first"}\', flush=True); '
  work = [
    _unit('steps/long', 'print(1)', guess=100.0),
    _unit('steps/hangs', hangs + 'time.sleep(60)'),
    _unit('steps/after', 'print(1)'),
  ]
  lines, left, _ = _run(tmp_path, work, minutes=3 / 60)
  assert left == ['steps/long', 'steps/hangs', 'steps/after']
  assert [r['name'] for r in lines.rows('steps')] == ['first']
  assert not lines.of('failed') and not lines.of('done')


def test_estimates_follow_what_units_took(tmp_path):
  lines = Lines(tmp_path)
  unit = _unit('steps/a', '', guess=50.0)
  assert day.estimate(unit, lines) == 50.0
  lines.add('done', 'steps/b', seconds=10.0, like='steps/a')
  lines.add('done', 'steps/c', seconds=20.0, like='steps/a')
  assert day.estimate(unit, lines) == 15.0
  lines.add('done', 'steps/a', seconds=3.0, like='steps/a')
  assert day.estimate(unit, Lines(tmp_path)) == 3.0


def test_a_line_that_was_cut_off_is_left_out(tmp_path):
  lines = Lines(tmp_path)
  lines.add('row', 'steps/a', name='x', value=1)
  lines.add('row', 'steps/a', name='x', value=float('nan'))
  with lines.path.open('a') as file:
    file.write('{"kind": "row", "un')
  again = Lines(tmp_path)
  assert [r['value'] for r in again.rows('steps')] == [None]
  again.add('done', 'steps/a')
  assert [json.loads(t)['kind'] for t in again.path.read_text().splitlines()]
  assert len(list(Lines(tmp_path))) == 3
  lines.path.write_text('no json\n{}\n')
  with pytest.raises(UserError, match='line 1'):
    Lines(tmp_path)


def test_peaks_by_device_kind():
  assert peaks.of('NVIDIA H100 80GB HBM3').bfloat16 == 989.4e12
  assert peaks.of('NVIDIA H100 PCIe').bfloat16 == 756e12
  assert peaks.of('NVIDIA A100-SXM4-80GB').tf32 == 156e12
  assert peaks.of('NVIDIA A10G') != peaks.of('NVIDIA A10')
  assert peaks.of('NVIDIA L40S') != peaks.of('NVIDIA L4')
  assert peaks.of('TPU v5 lite').bfloat16 == 197e12
  assert peaks.of('TPU v5').bfloat16 == 459e12
  assert peaks.of('cpu') is None and peaks.of('NVIDIA A1000') is None
  assert peaks.share('NVIDIA L4', 'bfloat16', 60.5e12) == 0.5
  assert peaks.share('TPU v4', 'float32', 1e12) is None


@pytest.mark.parametrize('group', ['convolutions', 'losses'])
def test_a_cpu_computes_what_it_computes_in_float64(group):
  case = next(cases(group))
  rows = list(parity.compare(group, case, 'cpu'))
  assert [r['type'] for r in rows] == ['float32', *case.types]
  assert all(row['ok'] for row in rows)
  assert 0 < rows[0]['error'] < 2e-6


def test_a_wrong_gradient_is_beyond_its_bound():
  import jax

  def make(dtype):
    wrong = dtype == np.float32

    def run(x):
      y = x * x
      return y - jax.lax.stop_gradient(x * x) + x if wrong else y

    return run

  case = Case('square', make, (np.linspace(1, 2, 7),), types=())
  [row] = parity.compare('norms', case, 'cpu')
  assert not row['ok'] and row['error'] > 0.1


def test_cases_have_names_of_their_own():
  for group in GROUPS:
    for factor in (1, 16):
      names = [case.name for case in cases(group, factor)]
      assert len(set(names)) == len(names) > 2


def test_lengths_fill_the_time():
  found = plan.lengths(3000, [10.0] * 6, [100.0] * 5)
  images = 45 * 6 + 1.15 * found['epochs'] * 60
  speech = 45 * 5 + 1.15 * found['share'] * 500
  assert 1900 < images <= 2000 and found['share'] == 1.0 and speech < 1000
  assert plan.lengths(30, [10.0], [])['epochs'] == 1.0
  assert plan.lengths(1e6, [1.0], [])['epochs'] == 200


@pytest.mark.slow
def test_a_config_is_timed(root):
  seconds, ex = plan.step_seconds(f'{root}/configs/mlp_mnist.py:tiny', None)
  assert 0 < seconds < 10 and ex.data.steps_per_epoch > 0


@pytest.mark.parametrize('model', MODELS)
def test_jobs_say_what_torch_is_to_build(model):
  job = Job(model, 'bfloat16', memory=80 * 10**9)
  small = Job(model, 'bfloat16', memory=16 * 10**9)
  assert job.batch == 4 * small.batch
  peer = job.peer()
  if model == 'conformer_transducer':
    assert peer is None and not job.has_inference
  else:
    assert f'--batch_size={job.batch}' in peer and '--dtype=bfloat16' in peer


def test_a_step_is_built_and_counted():
  step = Job('blstm_ctc', 'float32', scale='tiny').build()
  step(1)
  # A bidirectional layer of 8 units: 32 outputs of four gates over 80 + 8
  # inputs, twice, and its biases; the head of 29 from 16.
  assert step.parameters == 2 * (32 * 88 + 32) + 16 * 29 + 29
  facts = step.facts()
  # 32 frames of two rows: forwards once, backwards twice, less the gradient at
  # the features, and a little for the loss.
  layer, head = 2 * 32 * 88, 16 * 29
  whole = 2 * 3 * 2 * 32 * (layer + head)
  assert 0.7 * whole < facts['flops'] < 1.1 * whole
  assert facts['memory'] is None


def _setting(tmp_path, scale):
  return units.Setting(scale, CPU, tmp_path, None, None)


@pytest.mark.parametrize('scale', ['tiny', 'full'])
def test_units_come_in_order_of_worth(tmp_path, scale):
  lines = Lines(tmp_path)
  setting = _setting(tmp_path, scale)
  work = list(units.units(units.PARTS, setting, lines, day.Clock(1)))
  names = [unit.name for unit in work]
  assert len(set(names)) == len(names)
  parts = [part for part, _ in itertools.groupby(unit.part for unit in work)]
  assert parts == ['parity', 'steps', 'figures']
  assert ('figures/plan' in names) == (scale == 'full')
  assert [u.name for u in work if u.continues] == names[-3:]


def test_figures_are_as_long_as_planned(tmp_path):
  lines = Lines(tmp_path)
  lines.add('plan', 'figures/plan', epochs=7.0, share=0.25)
  setting = _setting(tmp_path, 'full')
  work = list(units.units(('figures',), setting, lines, day.Clock(1)))
  assert [unit.name for unit in work] == [
    'figures/accuracy',
    'figures/wer',
    'figures/tradeoff',
  ]
  assert {'--epochs=7.0', '--share=0.25'} <= set(work[0].command)


def _step_row(model, **more):
  return {
    'name': model,
    'model': model,
    'type': 'bfloat16',
    'mode': 'train',
    'batch': 128,
    'per': 'images',
    'side': 224,
    'ours': 1000.0,
    'flops': 128e12,
    'ours_memory': 2**33,
    **more,
  }


def test_report_says_what_was_found(tmp_path):
  lines = Lines(tmp_path)
  lines.add(
    'device',
    'day',
    **{**CPU, 'platform': 'gpu', 'kind_of': 'NVIDIA A100-SXM4-40GB'},
    scale='full',
  )
  bounds = {'group': 'norms', 'case': 'x', 'bound': 1e-3}
  for name, error, ok in (('a', 1e-4, True), ('b', 1e-1, False)):
    row = {**bounds, 'name': name, 'type': 'float32', 'error': error, 'ok': ok}
    lines.add('row', 'parity/norms', **row)
  torch = {'torch': 800.0, 'torch_memory': 2**32, 'ratio': 1.25}
  lines.add('row', 'steps/a', **_step_row('resnet50', **torch, compiled=True))
  lines.add(
    'row', 'steps/b', **_step_row('vgg16', ours=900.0, peer='no torch here')
  )
  photos = {'name': 'photos', 'what': 'JPEG', 'rate': 500.0, 'per': 'images'}
  lines.add('row', 'steps/input', **photos)
  lines.add('done', 'steps/a', seconds=60.0)
  lines.add('failed', 'steps/c', seconds=60.0, reason='out of memory')
  text = report.write(lines, tmp_path).read_text()
  assert '# 1 x NVIDIA A100-SXM4-40GB' in text and 'Tiny' not in text
  assert '1 of 2 within' in text and '- b: 1.0e-01 > 1e-03' in text
  # 1000 images a second of 1 TFLOP each: more than the peak of 312.
  assert '| 1000 images | 800 (compiled) | 1.25 | 1e+03 | 320.5 % |' in text
  assert '| 8.00 | 4.00 |' in text and 'no torch here' in text
  assert '| JPEG | 500 images | 1000 (resnet50) |' in text
  assert '- steps/c: out of memory' in text
  for name in ('parity.png', 'steps.png'):
    assert (tmp_path / name).stat().st_size > 10_000
    assert f'({name})' in text


def test_a_report_of_nothing(tmp_path):
  assert (
    'Nothing has run yet' in report.write(Lines(tmp_path), tmp_path).read_text()
  )


@pytest.mark.slow
def test_a_whole_day_on_this_machine(tmp_path, root):
  from experiments.accelerator.__main__ import main

  words = ['--only=parity,steps', f'--output={tmp_path}']
  assert main(['--minutes=20', *words]) == 0
  lines = Lines(tmp_path)
  assert not lines.of('failed')
  assert all(row['ok'] for row in lines.rows('parity'))
  found = {row['model'] for row in lines.rows('steps') if 'ours' in row}
  assert found == set(MODELS)
  assert 'Tiny scale' in (tmp_path / 'report.md').read_text()
  before = len(list(lines))
  assert main(['--minutes=1', *words]) == 0
  assert len(list(Lines(tmp_path))) == before + 1  # That of the device.


@pytest.mark.parametrize(
  ('words', 'message'),
  [
    (['--only=speed'], "'speed'"),
    ([], 'how many minutes'),
    (['--minutes=0'], 'how many minutes'),
  ],
)
def test_mistakes_are_told_in_a_sentence(words, message, tmp_path, capsys):
  from experiments.accelerator.__main__ import main

  assert main([f'--output={tmp_path}', *words]) == 1
  assert message in capsys.readouterr().err
