r"""A Transformer with CTC on strings of digits with privacy: epsilon 8.

  pip install -e '.[privacy,synth]' -c .ci/constraints.txt
  python -m recog_jax.main --config=configs/private_spoken_digits.py:public \
      --workdir=runs/public
  python -m recog_jax.main --config=configs/private_spoken_digits.py \
      --data_dir=DATA --config.init_from.path=runs/public
  python -m recog_jax.main --config=configs/private_spoken_digits.py:whisper \
      --data_dir=DATA --config.init_from.path=WHISPER

Data of `lstm_ctc_spoken_digits`, of which the unit is a string of up to three
recordings; each recording is in one. From nothing, the noise leaves a network
that writes blanks alone. So it begins with speech that is nobody's, as private
training does from public data (De et al., 2022, arXiv:2204.13650): `:public`
trains the same network on the digits of eSpeak's voices. Biases, norms and the
head are trained privately, as noise grows with the number of parameters (Bu et
al., "Differentially private bias-term fine-tuning of foundation models", ICML
2024). `:whisper` trains a head alone on Whisper's encoder (tiny.en in WHISPER,
see `whisper_ctc_sentences`). Layer normalisation alone, batches padded to one
length, Adam on the noised gradients and an average of the weights.

Reached: WER 93.9 % in 5 minutes on one core, with `:whisper`, which was still
learning, 95.8 % in 11 (experiments/RESULTS.md).
"""

from ml_collections import ConfigDict, config_dict

from recog_jax.engine.config import inherit


def _public(config: ConfigDict) -> ConfigDict:
  """The same network, on generated speech, with what private steps forbid."""
  words = config.data.source.label_texts
  with config.unlocked():
    config.data.source = {
      'name': 'synth',
      'language': 'en',
      'sentences': tuple({'text': word} for word in words),
      'sizes': {'train': 4000, 'val': 400, 'test': 400},
      'sample_rate': 8000,
      'seed': 0,
    }
  config.data.join.sizes = {'val': 200, 'test': 200}
  config.model.dropout = 0.1
  config.total_steps = 1500
  config.schedule.warmup_steps = 150
  config.evaluation.every_steps = 500
  config.checkpoint.every_steps = 500
  return config


def get_config(arg: str = '') -> ConfigDict:
  """The experiment.

  Args:
    arg: `public` for the training on generated speech before, `whisper` for
      Whisper's encoder in its place; `tiny` for a few steps on generated tones.
  """
  tiny = arg if arg == 'tiny' else ''
  config = inherit(__file__, 'transformer_ctc_spoken_digits.py', tiny)
  config.task.intermediate_weight = 0.0
  config.model.update({'layers': 2, 'dropout': 0.0, 'intermediate': ()})
  if not tiny:
    config.model.update({'dim': 64, 'heads': 4})
    config.data.join.high = 3
  if arg == 'public':
    return _public(config)
  config.privacy = {'epsilon': 8.0, 'clip': 1.0, 'microbatch': 32}
  config.data.augment = []
  config.checkpoint.keep_best = 0
  config.ema_decay = 0.98
  config.optimizer.weight_decay = 0.0
  if tiny:
    return config
  config.init_from = {'path': config_dict.placeholder(str)}
  config.freeze = ('(?!.*(bias|scale|head)).*',)
  config.data.buckets = {'count': 1, 'batch_size': 128}
  config.optimizer.learning_rate = 3e-3
  config.total_steps = 150
  config.schedule.warmup_steps = 20
  config.evaluation.every_steps = 75
  config.checkpoint.every_steps = 75
  if arg == 'whisper':
    pretrained = inherit(__file__, 'whisper_ctc_sentences.py')
    config.data.source.update(sample_rate=16000, stored_rate=8000)
    config.data.features = pretrained.data.features
    config.model = {**pretrained.model, 'dropout': 0.0}
    config.init_from = pretrained.init_from
    config.freeze = ('encoder/.*',)
    # A step costs ten times that of the small network: few, and long ones.
    config.optimizer.learning_rate = 1e-2
    config.ema_decay = 0.9
    config.total_steps = 45
    config.schedule.warmup_steps = 5
    config.evaluation.every_steps = 45
    config.checkpoint.every_steps = 45
  return config
