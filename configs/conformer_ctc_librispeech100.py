r"""Conformer-CTC on LibriSpeech's 100 clean hours: a cheap comparison.

  python -m recog_jax.main --config=configs/conformer_ctc_librispeech100.py

ESPnet's egs2/librispeech_100 recipe (12 blocks of 256, warmup of 15,000 steps,
five time masks, speeds 0.9 / 1.0 / 1.1) without its attention decoder, with
intermediate CTC in the middle (Lee and Watanabe, 2021). Needs `librispeech` in
array_record and a tokenizer of its transcripts:
  python -m recog_jax.prepare --config=configs/conformer_ctc_librispeech100.py \
      --tokenizer=sentencepiece --vocab_size=300

Target from the literature, not yet reproduced: 6.5 / 17.3 % WER on test-clean /
test-other with an attention decoder; E-Branchformer, CTC alone, greedy, 9.6 /
23.1 (ESPnet's egs2/librispeech_100).
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on generated tones."""
  tiny = arg == 'tiny'
  config = inherit(__file__, 'lstm_ctc_librispeech.py', arg)
  config.model = {
    'name': 'conformer_ctc',
    'dtype': 'float32' if tiny else 'bfloat16',
    'layers': 2 if tiny else 12,
    'dim': 16 if tiny else 256,
    'heads': 2 if tiny else 4,
    'kernel': 31,
    'dropout': 0.1,
    'subsample': {'name': 'conv2d', 'factor': 4},
    'intermediate': (1,) if tiny else (6,),
  }
  config.task.intermediate_weight = 0.3
  config.optimizer = {
    'name': 'adam',
    'learning_rate': 2e-3,
    'weight_decay': 1e-6,
    'weight_decay_form': 'coupled',
    'clip_norm': 5.0,
  }
  config.schedule = {'name': 'noam', 'warmup_steps': 15_000}
  if not tiny:
    config.data.source.merge = {}
    config.data.splits.train = 'train_clean100'
    config.data.tokenizer.model = 'librispeech/unigram-300.model'
    config.data.augment[0]['time_masks'] = 5
    config.data.speeds = (0.9, 1.0, 1.1)
    config.total_steps = 60_000
    config.checkpoint.keep_best = 10
  return config
