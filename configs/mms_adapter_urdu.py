r"""MMS's adapter of a language, trained on Urdu: 2.2 of 965 million parameters.

  pip install -e '.[weights]' -c .ci/constraints.txt
  python -m recog_jax.main --config=configs/mms_adapter_urdu.py \
      --data_dir=COMMON_VOICE_UR --config.init_from.path=FOLDER \
      --config.data.tokenizer.model=FOLDER

Pratap et al., "Scaling speech technology to 1,000+ languages", 2023,
arXiv:2305.13516. FOLDER has `facebook/mms-1b-all`: `model.safetensors` and
`vocab.json`. Its adapter and head of Urdu go on from
`--config.init_from.also="('FOLDER/adapter.urd-script_arabic.safetensors',)"`;
with `config.init_from.skip=('.*language_adapter.*', 'ctc_head/.*')` they begin
anew. All else is held, so that checkpoints are small. COMMON_VOICE_UR holds
train.tsv, dev.tsv, test.tsv and clips/. LoRA in its place: `config.freeze=()`
and `config.adapt`.

Target from the literature, not reproduced here: WER 38.3 % on Common Voice 13's
test (XLSR-53, all of it trained; model card syedmuhammad/Wav2Vec2-Urdu-300M).
Of MMS's adapter no number of this test was found.
"""

from ml_collections import ConfigDict, config_dict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps of a small model."""
  config = inherit(__file__, 'wav2vec2_base_librispeech100.py', arg)
  config.model.name = 'mms_1b'
  config.model.mask_time = 0.05
  config.model.mask_channels = 0.0
  config.model.stochastic_depth = 0.0
  config.freeze = (r'encoder/(?!block\d+/language_adapter/).*',)
  if arg == 'tiny':
    config.model.language_adapter = 4
    return config
  config.data.source = {'name': 'common_voice', 'sample_rate': 16000}
  config.data.splits = {'train': 'train', 'val': 'dev', 'test': 'test'}
  config.data.lang = 'ur'
  config.data.case = config_dict.placeholder(str)
  config.data.tokenizer = {
    'name': 'wav2vec2',
    'model': 'vocab.json',
    'language': 'urd-script_arabic',
  }
  config.data.buckets.batch_seconds = 320.0
  config.init_from = {'path': config_dict.placeholder(str), 'also': ()}
  config.optimizer.learning_rate = 1e-3
  config.schedule.warmup_steps = 100
  config.total_steps = 4000
  config.evaluation.every_steps = 500
  config.checkpoint.every_steps = 500
  return config
