"""Plans of tiny configs on simulated devices, from config to report."""

import json

import pytest

from recog_jax.engine import config as config_lib
from recog_jax.errors import UserError
from recog_jax.planning import compiled, hlo, planner
from recog_jax.planning.stand_in import stand_in


def request(root, spec, **keys):
  config = config_lib.load(str(root / 'configs' / spec)).unlock()
  overrides = keys.pop('overrides', {})
  config.update_from_flattened_dict(overrides)
  return planner.Request(config=config, name=spec.split('.')[0], **keys)


def test_a_plan_from_config_to_report(root, tmp_path):
  asked = request(
    root,
    'mlp_mnist.py:tiny',
    save=tmp_path,
    overrides={'optimizer.name': 'adam'},
    batch_per_chip=256,
  )
  text = '\n'.join(planner.plan(asked, 'cpu:8'))
  assert 'cpu:8, 8 devices; batch 2048x28x28x1, 256 rows a device' in text
  assert 'no estimate of time' in text
  (program,) = tmp_path.glob('*.json')
  kept = compiled.load(tmp_path, program.stem)
  # Adam has two moments of each parameter, in float32, and a few counts.
  assert kept.param_bytes == 4 * kept.parameters
  extra = kept.optimizer_bytes - 2 * kept.param_bytes
  assert 0 <= extra <= 64
  # Data parallelism: what is added up over all devices are the gradients, once,
  # and a few scalars (loss terms).
  sums = [c for c in hlo.Module(kept.hlo).collectives() if c.group == 8]
  assert {c.kind for c in sums} == {'all-reduce'}
  assert 0 <= sum(c.times * c.bytes for c in sums) - kept.param_bytes <= 256
  assert json.loads(program.read_text())['derived']['collectives']
  # Products forwards and those of the gradients.
  assert kept.compiler_flops == pytest.approx(kept.flops, rel=0.1)


def test_speech_is_planned_without_its_data(root, tmp_path):
  keys = {
    'model.layers': 1,
    'model.hidden': 8,
    'model.subsample': {'name': 'stack', 'factor': 4},
    'data.buckets.count': 2,
    'data.buckets.batch_seconds': 1.0,
  }
  asked = request(root, 'lstm_ctc_librispeech.py', data_dir=str(tmp_path))
  config, notes = stand_in(asked.config, str(tmp_path))
  assert 'librispeech is not here' in notes[0]
  assert '1024 pieces' in notes[1]
  assert config.data.tokenizer.name == 'characters'
  assert asked.config.data.tokenizer.name == 'sentencepiece'  # Not changed.
  config.data.splits.train = 'dev_clean[:200]'
  config.data.splits.val = 'dev_other'
  config.update_from_flattened_dict(keys)
  small = planner.Request(config=config, name='x', batch_per_chip=1)
  text = '\n'.join(planner.plan(small, 'cpu:2'))
  assert 'of 2 batch shapes' in text
  # A row of 20 s is three of the longest here.
  assert 'batch 6x528x80, 3 rows a device' in text


def test_a_set_of_which_nothing_is_published(root, tmp_path):
  asked = request(root, 'resnet18_pneumonia_mnist.py', data_dir=str(tmp_path))
  with pytest.raises(UserError, match='Planning needs no data for imagenet'):
    stand_in(asked.config, str(tmp_path))


def test_a_batch_that_does_not_divide(root):
  asked = request(root, 'mlp_mnist.py:tiny', overrides={'data.batch_size': 12})
  with pytest.raises(UserError, match='12 rows does not divide over 8') as e:
    next(planner.plan(asked, 'cpu:8'))
  assert '--batch_per_chip' in str(e.value)


@pytest.mark.slow
def test_a_sweep_finds_the_largest_that_fits(root):
  asked = request(root, 'mlp_mnist.py:tiny', hbm=20e6, batch_per_chip=64)
  lines = list(planner.sweep(asked, 'cpu:2'))
  assert 'does not fit' in ''.join(lines)
  assert 'largest batch that fits cpu:2' in lines[-1]
  with pytest.raises(UserError, match='--hbm_gb'):
    list(planner.sweep(request(root, 'mlp_mnist.py:tiny'), 'cpu:2'))


@pytest.mark.parametrize('limit', [0, 1, 7, 100, 1000])
@pytest.mark.parametrize('begin', [1, 6, 300])
def test_doubling_and_bisection(limit, begin):
  tried = []

  def fits(number):
    assert number >= 1
    tried.append(number)
    return number <= limit

  *_, found = planner.largest(fits, begin)
  assert found <= limit
  assert limit - found <= max(0, found // 8)
  assert len(tried) <= 20
  assert len(set(tried)) == len(tried)


def test_memory_that_does_not_suffice_is_said_in_a_sentence(monkeypatch, root):
  import jax

  def full(*args, **kwargs):
    raise jax.errors.JaxRuntimeError(
      'RESOURCE_EXHAUSTED: Ran out of memory on HBM, the total memory required '
      'for HLO temporaries (20.00G) exceeds available HBM (15.75G).'
    )

  monkeypatch.setattr(jax.stages.Lowered, 'compile', full)
  asked = request(root, 'mlp_mnist.py:tiny')
  with pytest.raises(UserError, match='20.00GiB of 15.75GiB') as error:
    list(planner.plan(asked, 'cpu:8'))
  assert '--sweep=batch' in str(error.value)
