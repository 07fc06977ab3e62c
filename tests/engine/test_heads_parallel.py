"""Recognisers with an attention decoder on eight devices, as on one."""

import numpy as np
import pytest

from experiments.tables import partition_parity as parity

_SMALL = {'dropout': 0.0, 'subsample': {'name': 'stack', 'factor': 4}}
MODELS = {
  'Conformer-AED': (
    'configs/conformer_aed_sentences.py:tiny',
    {
      'name': 'conformer_aed',
      'layers': 1,
      'dim': 96,
      'heads': 4,
      'kernel': 7,
      'decoder': {
        'name': 'transformer',
        'layers': 1,
        'dim': 96,
        'heads': 4,
        'ffn_multiplier': 2,
        'dropout': 0.0,
      },
      **_SMALL,
    },
  ),
  'LAS': (
    'configs/lstm_las_spoken_digits.py:tiny',
    {
      'name': 'lstm_las',
      'layers': 1,
      'hidden': 64,
      'decoder': {
        'name': 'lstm',
        'hidden': 64,
        'embedding': 8,
        'attention': 16,
        'dropout': 0.0,
      },
      **_SMALL,
    },
  ),
}


@pytest.mark.slow
@pytest.mark.parametrize('model', list(MODELS))
def test_losses_are_those_of_one_device(root, monkeypatch, model):
  monkeypatch.chdir(root)
  file, keys = MODELS[model]
  monkeypatch.setitem(parity.MODELS, model, (file, keys))

  def losses(layout):
    ex = parity.make_experiment(model, layout, 'float32')
    # Intermediate CTC needs more layers.
    object.__setattr__(ex.task, 'intermediate_weight', 0.0)
    return parity.losses(ex, 3)

  wanted = losses('1 device, pjit')
  for layout in ('2 data x 2 fsdp x 2 tensor, pjit', '8 data, pmap'):
    np.testing.assert_allclose(losses(layout), wanted, rtol=1e-4)
