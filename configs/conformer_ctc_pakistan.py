r"""One Conformer with CTC for five languages of Pakistan, from Common Voice.

  python -m recog_jax.main --config=configs/conformer_ctc_pakistan.py \
      --data_dir=CV
  python -m recog_jax.main --config=configs/conformer_ctc_pakistan.py:fleurs \
      --data_dir=FLEURS

CV holds the locales ur, ps, sd, pa-IN and bgp (see
`conformer_ctc_common_voice_ur`), FLEURS the languages ur_pk, ps_af, sd_in and
pa_in. All share the encoder and an alphabet of all their letters; the language
is a symbol in front of each text, which is recognised beside it (Watanabe, Hori
and Hershey, ASRU 2017). Evaluation tells error rates of each (field `lang`),
how often the language was recognised, and in which script was answered. A
language is shown in proportion to the square root of its utterances, so that
Pashto is most of it and Sindhi still some.

No number is claimed.
"""

from ml_collections import ConfigDict

from recog_jax.engine.config import inherit

# Locales of Common Voice and FLEURS, and the language whose letters they have.
_COMMON_VOICE = {
  'ur': 'ur',
  'ps': 'ps',
  'sd': 'sd',
  'pa-IN': 'pa',
  'bgp': 'bal',
}
_FLEURS = {'ur_pk': 'ur', 'ps_af': 'ps', 'sd_in': 'sd', 'pa_in': 'pa'}
# The dev split of Sindhi is empty.
_CUT = {'sd': {'train': 'train[:90%]', 'dev': 'train[90%:]', 'test': 'test'}}


def get_config(arg: str = '') -> ConfigDict:
  """The experiment.

  Args:
    arg: `fleurs` for its sets instead; `tiny` for a few steps on generated
      tones.
  """
  of = 'fleurs_ur' if arg == 'fleurs' else 'common_voice_ur'
  base = inherit(
    __file__, f'conformer_ctc_{of}.py', arg if arg == 'tiny' else ''
  )
  if arg == 'tiny':
    return base
  own = base.data.source.to_dict()
  codes, key = (
    (_FLEURS, 'language') if arg == 'fleurs' else (_COMMON_VOICE, 'locale')
  )
  base.data.source = {
    'name': 'mix',
    'sample_rate': 16000,
    'sources': tuple(
      {'source': {**own, key: code}, 'label': code, 'lang': lang}
      | ({'splits': _CUT[code]} if code in _CUT else {})
      for code, lang in codes.items()
    ),
  }
  base.data.lang = 'field'
  languages = tuple(codes.values())
  base.data.tokenizer = {
    'name': 'characters',
    'language': languages,
    'language_tokens': True,
  }
  base.data.sampling = {'field': 'lang', 'power': 0.5}
  base.total_steps = 100_000
  return base
