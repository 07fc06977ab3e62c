"""Every config builds, and its `:tiny` form trains, evaluates and reports."""

import json
from pathlib import Path

import pytest

from recog_jax import registry
from recog_jax.engine import config as config_lib
from recog_jax.engine import experiment, train
from recog_jax.engine.settings import Settings

CONFIGS = sorted((Path(__file__).parent.parent / 'configs').glob('*.py'))
# Their compilation takes half a minute and more on a busy machine, or they
# differ little from another one.
_SLOW = (
  'resnet50_cifar10',
  'resnet50_imagenet',
  'resnet50_chest_xray_folder',
  'resnet50_tuberculosis_cxr',
  'resnet18_brain_mri_folder',
  'resnet18_chest_mnist',
  'resnet18_path_mnist',
  'resnet18_patch_camelyon',
  'resnet18_retina_grades',
  'resnet18_cifar10',
  'resnet50_imagenet_rsb_a3',
  'inception_v3_cifar10',
  'mobilenet_v2_cifar10',
  'mobilenet_v3_large_imagenet',
  'squeezenet_cifar10',
  'transfer_resnet50_cifar10',
  'transfer_resnet50_folder',
  'vgg16_imagenet',
  'vit_s16_imagenet',
  'conformer_ctc_librispeech',
  'conformer_ctc_librispeech100',
  'transformer_ctc_librispeech',
  'transformer_ctc_sentences',
  'gru_ctc_spoken_digits',
  'conformer_ctc_spoken_digits',
  'lstm_ctc_spoken_digits',
  'resnet20_cifar10_vehicles',
  'vgg16_bn_cifar10',
  'conformer_ctc_sentences',
  'resnet18_retina_mnist',
  'resnet18_pneumonia_mnist',
  'transformer_ctc_spoken_digits',
  'timit_blstm_ctc',
  'lstm_transducer_timit',
  'lstm_transducer_spoken_digits',
  'conformer_transducer_librispeech100',
  'conformer_transducer_spoken_digits',
  'lstm_ctc_librispeech',
  'lstm_ctc_sentences',
  'transfer_cifar10_animals',
  'short_cifar10',
  # Becomes nan without LLVM's optimisations, which the quick tests leave out.
  'cifar10_cpu',
  'conformer_streaming_librispeech',
  'conformer_streaming_spoken_digits',
  'lstm_streaming_spoken_digits',
  'whisper_tiny_sentences',
  'whisper_small_common_voice_ur',
  'wav2vec2_base_librispeech100',
  'mms_adapter_urdu',
  'resnet20_cifar10',
  'lstm_las_librispeech',
  'lstm_las_spoken_digits',
  'transformer_aed_librispeech',
  'transformer_aed_spoken_digits',
  *(f'conformer_ctc_fleurs_{lang}' for lang in ('ur', 'pa', 'sd', 'ps')),
  *('conformer_ctc_common_voice_ur', 'conformer_ctc_common_voice_ps'),
  *('conformer_ctc_common_voice_pa', 'conformer_ctc_common_voice_sd'),
  *('conformer_ctc_common_voice_bgp', 'hindi_sentences', 'arabic_digits'),
  'conformer_aed_librispeech100',
  'conformer_aed_sentences',
  'vit_cifar10',
  'lenet_mnist',
  'digits_resnet8',  # Trained in many tests.
  'faces_orl',
  'speakers_spoken_digits',
  # Trained in tests/data/sources/test_own.py.
  'my_speech',
  'my_images',
)
# An image recogniser and a speech recogniser.
_SMOKE = ('mlp_mnist', 'lstm_ctc_synth')


def _marks(name):
  if name in _SMOKE:
    return [pytest.mark.smoke]
  return [pytest.mark.slow] if name in _SLOW else []


def test_there_are_configs():
  assert len(CONFIGS) >= 8


@pytest.mark.parametrize('path', CONFIGS, ids=lambda p: p.stem)
def test_a_config_is_short_and_says_how_it_is_run(path):
  text = path.read_text()
  assert len(text.splitlines()) < 100
  assert f'--config=configs/{path.name}' in text


@pytest.mark.parametrize('path', CONFIGS, ids=lambda p: p.stem)
def test_a_config_names_only_what_exists_and_survives_json(path):
  config = config_lib.load(str(path))
  assert config_lib.canonical(config) == config_lib.canonical(
    json.loads(json.dumps(config_lib.canonical(config)))
  )
  settings = registry.call(Settings, config.to_dict(), path.name)
  for kind, keys in (
    ('task', settings.task),
    ('model', settings.model),
    ('source', settings.data['source']),
  ):
    assert keys['name'] in registry.TABLES[kind]


@pytest.mark.parametrize(
  'path',
  [pytest.param(p, marks=_marks(p.stem)) for p in CONFIGS],
  ids=lambda p: p.stem,
)
def test_tiny_trains_and_uses_every_key(path, tmp_path):
  config = config_lib.load(f'{path}:tiny')
  # An unknown or unread key of any sub-dict is an error here.
  ex = experiment.build(config)
  summary = train.train(ex, tmp_path)
  assert summary['step'] == 4
  result = json.loads((tmp_path / 'results' / 'test-4.json').read_text())
  assert result['examples'] == 16
  headline = ex.task.headline
  low, high = result['metrics'][f'{headline}_ci95']
  assert low <= result['metrics'][headline] <= high
  assert low >= (-1 if headline == 'quadratic_kappa' else 0)
  assert high <= 1 or not ex.task.higher_is_better  # Insertions have no limit.
