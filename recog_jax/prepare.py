"""Makes a data set that recog_jax (and TFDS) can read, and what it trains with.

Download CIFAR-10 or MNIST and convert it (--archive: from files that are here):
  python -m recog_jax.prepare --dataset=cifar10 [--data_dir=DIR]
  python -m recog_jax.prepare --dataset=mnist --archive=FOLDER

Pictures in DIR/split/class/, or recordings; what was stopped continues:
  python -m recog_jax.prepare --image_folder=DIR --dataset=NAME
  python -m recog_jax.prepare --speech_folder=DIR --dataset=NAME \\
      --sample_rate=16000 --max_bad_share=0.01

Any other data set of TFDS, with TensorFlow (extra `prepare`):
  python -m recog_jax.prepare --dataset=oxford_flowers102

Near-duplicates and patients in two splits of an experiment's pictures:
  python -m recog_jax.prepare --config=configs/my_images.py --check_leaks

From the speech that an experiment trains on (or --text_from) a tokenizer, an
n-gram language model, statistics of features, in --output or beside the data:
  python -m recog_jax.prepare --config=configs/lstm_ctc_librispeech.py \\
      --tokenizer=sentencepiece --vocab_size=1024 --kind=bpe --lm_order=4 --cmvn
"""

from pathlib import Path

from absl import flags

from recog_jax import cli
from recog_jax.data import prepare
from recog_jax.data.sources.tfds_layout import default_data_dir
from recog_jax.errors import UserError, say

cli.define_config()
cli.define_data_dir()
_DATASET = flags.DEFINE_string('dataset', '', "The data set's name.")
_ARCHIVE = flags.DEFINE_multi_string('archive', [], 'Archive, or their folder.')
_URL = flags.DEFINE_multi_string('url', [], 'A mirror of the archives.')
_IMAGE_FOLDER = flags.DEFINE_string('image_folder', '', 'split/class/picture.')
_CHANNELS = flags.DEFINE_integer('channels', 3, 'Of pictures: 3, or 1 (grey).')
_SPEECH_FOLDER = flags.DEFINE_string('speech_folder', '', 'A corpus of speech.')
_LAYOUT = flags.DEFINE_string(
  'layout', 'manifest', f'Of --speech_folder: {", ".join(prepare.LAYOUTS)}.'
)
_SAMPLE_RATE = flags.DEFINE_integer('sample_rate', 16000, 'Of speech, in Hz.')
_MAX_BAD_SHARE = flags.DEFINE_float(
  'max_bad_share', 0.0, 'Leave out bad pictures or recordings, up to so many.'
)
_TOKENIZER = flags.DEFINE_enum(
  'tokenizer', None, ['sentencepiece'], 'Train a tokenizer.'
)
_VOCAB_SIZE = flags.DEFINE_integer('vocab_size', 0, 'Tokens of --tokenizer.')
_KIND = flags.DEFINE_enum('kind', 'unigram', ['unigram', 'bpe'], 'Its model.')
_LM_ORDER = flags.DEFINE_integer('lm_order', 0, 'Train a model of n-grams.')
_LM_UNIT = flags.DEFINE_enum('lm_unit', 'word', ['word', 'token'], 'Its unit.')
_CMVN = flags.DEFINE_bool('cmvn', False, "Take statistics of --config's data.")
_CHECK_LEAKS = flags.DEFINE_bool('check_leaks', False, 'Compare the splits.')
_OUTPUT = flags.DEFINE_string('output', None, 'Folder for what these make.')
_TEXT_FROM = flags.DEFINE_string(
  'text_from', '', 'Text, manifest or DATASET/SPLIT, in place of --config.'
)


def _make_data_set(data_dir: Path) -> Path:
  cli.only_one(_IMAGE_FOLDER, _SPEECH_FOLDER, _ARCHIVE)
  name, share = _DATASET.value, _MAX_BAD_SHARE.value
  if _IMAGE_FOLDER.value:
    root, channels = Path(_IMAGE_FOLDER.value).expanduser(), _CHANNELS.value
    return prepare.prepare_folder(
      root, name, data_dir, channels=channels, max_bad_share=share
    )
  if _SPEECH_FOLDER.value:
    root, rate = Path(_SPEECH_FOLDER.value).expanduser(), _SAMPLE_RATE.value
    return prepare.prepare_speech(
      root, _LAYOUT.value, name, data_dir, sample_rate=rate, max_bad_share=share
    )
  files, urls = [Path(f).expanduser() for f in _ARCHIVE.value], _URL.value
  return prepare.prepare_named(name, data_dir, files=files, urls=urls)


def _train_on_speech() -> None:
  from recog_jax import registry

  material = prepare.open_material(
    cli.given.config,
    lambda keys, **context: registry.build('source', keys, **context),
    flags.FLAGS.data_dir,
    _TEXT_FROM.value,
    _OUTPUT.value,
  )
  if _CMVN.value:
    say(f'config.data.cmvn is {material.write_cmvn()}')
  if _TOKENIZER.value:
    made = material.write_tokenizers(_VOCAB_SIZE.value, _KIND.value)
    say('\n'.join(f'config.data.tokenizer.{k} is {made[k]}' for k in made))
  if order := _LM_ORDER.value:
    from recog_jax.decode import arpa, fusion, ngram_train

    sentences = material.sentences(_LM_UNIT.value, fusion.lm_token)
    file = material.lm_file(order, _LM_UNIT.value)
    try:
      arpa.write_arpa(ngram_train.train(sentences, order=order), file)
    except ValueError as error:
      raise UserError(f'{error}.') from error
    say(f'evaluate --lm is {file}')


def main() -> int | None:
  if _CHECK_LEAKS.value:
    config, data_dir = cli.given.config, flags.FLAGS.data_dir
    return prepare.check_leaks(config, data_dir, _OUTPUT.value)
  if _TOKENIZER.value or _LM_ORDER.value or _CMVN.value:
    return _train_on_speech()
  folder = _make_data_set(default_data_dir(flags.FLAGS.data_dir))
  say(f'{_DATASET.value} is in {folder}')
  return None


if __name__ == '__main__':
  cli.run(main)
