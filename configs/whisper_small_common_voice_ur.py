r"""Whisper small, fine-tuned on Common Voice's Urdu.

  pip install -e '.[whisper,weights]' -c .ci/constraints.txt
  python -m recog_jax.main --config=configs/whisper_small_common_voice_ur.py \
      --data_dir=COMMON_VOICE_UR --config.init_from.path=FOLDER \
      --config.data.tokenizer.model=FOLDER

Radford et al., 2022, arXiv:2212.04356. FOLDER has `openai/whisper-small`:
`model.safetensors` and `tokenizer.json`. COMMON_VOICE_UR holds train.tsv,
dev.tsv, test.tsv and clips/. Batch, rate and steps are those of the model card
below. Fewer parameters: `--config.adapt.name=lora`.

Target from the literature, not reproduced here: WER 32.7 % on Common Voice 11's
test (model card anuragshas/whisper-small-ur); 33.7 % before any training
(arXiv:2508.09865, other sentences).
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps of a small model."""
  config = inherit(__file__, 'whisper_tiny_sentences.py', arg)
  config.model.name = 'whisper_small'
  config.model.decoder.language = 'ur'
  config.optimizer.clip_norm = 1.0
  if arg == 'tiny':
    return config
  size = {'layers': 12, 'dim': 768, 'heads': 12}
  config.model.decoder.update(size)
  config.model.update({**size, 'dtype': 'bfloat16', 'remat': 'full'})
  config.task = {
    'name': 'speech',
    'losses': {'attention': 1.0},
    'decoder': {'name': 'whisper'},
  }
  config.data.source = {'name': 'common_voice', 'sample_rate': 16000}
  config.data.splits = {'train': 'train', 'val': 'dev', 'test': 'test'}
  config.data.lang = 'ur'
  config.data.buckets = {'count': 1, 'batch_size': 128}
  config.data.eval_batch_size = 32
  config.total_steps = 1000
  config.schedule.warmup_steps = 100
  config.evaluation.every_steps = 200
  config.checkpoint.every_steps = 200
  return config
