r"""wav2vec 2.0 base, fine-tuned with CTC on LibriSpeech's 100 clean hours.

  pip install -e '.[weights]' -c .ci/constraints.txt
  python -m recog_jax.main --config=configs/wav2vec2_base_librispeech100.py \
      --config.init_from.path=FOLDER

Baevski et al., "wav2vec 2.0: a framework for self-supervised learning of speech
representations", 2020, arXiv:2006.11477, with the settings of its program
for 100 hours: letters, spans of frames and channels masked, convolutions held,
the rate warmed up over a tenth of the steps. FOLDER has `facebook/
wav2vec2-base`, pretrained without texts; `hf:facebook/wav2vec2-base` fetches
it. HuBERT's: `--config.model.name=hubert_base`. With the weights of
`facebook/wav2vec2-base-960h`, which has a head, `config.init_from.skip=()`,
`config.data.tokenizer={'name': 'wav2vec2', 'model': FOLDER}` and
`config.data.case=upper`, `--config.stop_step=0` makes a workdir of it.

Target from the literature, not reproduced here: WER test-clean / test-other 6.1
/ 13.3 %, greedy (the paper, base, 100 hours, no language model).
"""

from ml_collections import ConfigDict, config_dict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps of a small model."""
  tiny = arg == 'tiny'
  config = inherit(__file__, 'lstm_ctc_librispeech.py', arg)
  config.data.features = {'name': 'waveform', 'normalise': 'mean_variance'}
  config.data.augment = ()
  config.model = {
    'name': 'wav2vec2_base',
    'dtype': 'float32' if tiny else 'bfloat16',
    'mask_time': 0.65,
    'mask_time_length': 10,
    'mask_channels': 0.5,
    'mask_channels_length': 8 if tiny else 64,
    'dropout': 0.1,
    'stochastic_depth': 0.1,
    'remat': 'none',
  }
  config.optimizer = {
    'name': 'adam',
    'learning_rate': 3e-5,
    'b2': 0.98,
    'eps': 1e-8,
    'clip_norm': 5.0,
  }
  config.schedule = {'name': 'cosine', 'warmup_steps': 8000}
  if tiny:
    config.model.update({'layers': 1, 'dim': 16, 'heads': 2, 'conv_dim': 8})
    config.model.update({'position_window': 8, 'position_groups': 2})
    config.data.buckets.frames_multiple = 800
    return config
  config.data.source.merge = {}
  config.data.splits.train = 'train_clean100'
  config.data.tokenizer = {
    'name': 'characters',
    'alphabet': " 'abcdefghijklmnopqrstuvwxyz",
  }
  config.data.buckets = {
    'count': 8,
    'batch_seconds': 1600.0,
    'rows_multiple': 8,
    'frames_multiple': 3200,
  }
  config.init_from = {
    'path': config_dict.placeholder(str),
    'skip': ('ctc_head/.*',),
  }
  config.total_steps = 80_000
  return config
