r"""A bottleneck adapter for Sindhi in a recogniser of its neighbours.

  python -m recog_jax.main --config=configs/conformer_ctc_pakistan.py \
      --data_dir=CV --workdir=runs/pakistan
  python -m recog_jax.main --config=configs/adapter_sindhi.py --data_dir=CV \
      --config.init_from.path=runs/pakistan

The half hour of Sindhi of `conformer_ctc_common_voice_sd`. All of the encoder
is held; a bottleneck behind each attention and position-wise network and a head
for Sindhi's letters are trained (Houlsby et al., "Parameter-efficient transfer
learning for NLP", ICML 2019). Rows of letters that both alphabets have are
those of the workdir. Beside it stand full fine-tuning (`config.adapt=None`) and
LoRA (`config.adapt={'name': 'lora', 'rank': 8}`).

No number is claimed.
"""

from ml_collections import ConfigDict, config_dict

from recog_jax.engine.config import inherit


def get_config(arg: str = '') -> ConfigDict:
  """The experiment; `:tiny` is a few steps on generated tones."""
  config = inherit(__file__, 'conformer_ctc_common_voice_sd.py', arg)
  config.adapt = {'name': 'adapter', 'size': 8 if arg == 'tiny' else 64}
  if arg != 'tiny':
    config.init_from = {'path': config_dict.placeholder(str)}
    config.total_steps = 2_000
    config.schedule.warmup_steps = 200
    config.evaluation.every_steps = 250
    config.checkpoint.every_steps = 250
  return config
