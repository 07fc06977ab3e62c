"""Windows of a recording, by a scripted decoder and by a small Whisper."""

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from recog_jax.answers import Span
from recog_jax.decode import attention
from recog_jax.decode.decoder import make_decoder
from recog_jax.decode.heard import Heard
from recog_jax.errors import UserError
from recog_jax.models.speech.whisper_vocabulary import vocabulary_of
from recog_jax.tasks import base
from recog_jax.tasks.speech import long_form
from recog_jax.tasks.speech.heads import head_of
from tests.models.speech.whisper_models import build

RATE, WINDOW_S = 100, 3.0
FIRST, START, PREVIOUS, QUIET = 100, 90, 95, 96
SYMBOLS = long_form.Symbols((START, 91, 94), PREVIOUS, QUIET, {}, 'ur')


def decoder_of(vocab=200, first=FIRST, **keys):
  names = [str(i) for i in range(vocab)]
  names[first] = '<|0.00|>'
  keys = {'name': 'whisper', 'best_of': 2, **keys}
  return make_decoder(keys, blank_id=0, vocab=names)


@dataclasses.dataclass
class Script:
  """Programs that say what stands in a list; they note what they are asked.

  Attributes:
    texts: of each call of `find` and `draw`: symbols, mean log probability.
    quiet: probability that nobody speaks, of each window.
    heard: samples of each window, first and number.
    prompts: of each window.
    drawn: seeds and temperatures.
  """

  texts: list
  quiet: float = 0.0
  languages: tuple = ()
  heard: list = dataclasses.field(default_factory=list)
  prompts: list = dataclasses.field(default_factory=list)
  drawn: list = dataclasses.field(default_factory=list)

  def programs(self):
    return long_form.Programs(self.encode, self.begin, self.find, self.draw)

  def encode(self, wave):
    self.heard.append((int(wave[0]), len(wave)))
    return 'memory'

  def begin(self, memory, prompt):
    assert memory == 'memory'
    self.prompts.append(prompt)
    found = np.full(200, -9.0)
    found[QUIET] = np.log(max(self.quiet, 1e-9))
    for i, value in self.languages:
      found[i] = value
    return found, 'state'

  def find(self, memory, state, prompt):
    assert (memory, state) == ('memory', 'state')
    ids, log_prob = self.texts.pop(0)
    return {
      'ids': np.array([[*ids, 0, 0]]),
      'num': np.array([len(ids)]),
      'score': np.array([log_prob * (len(ids) + 1)]),
      'unfinished': np.array([False]),
    }

  def draw(self, memory, state, prompt, seeds, temperature):
    self.drawn.append((seeds.tolist(), temperature))
    return self.find(memory, state, prompt)


def spell(ids):
  return ' '.join(chr(96 + i) for i in ids if i < START)


def follow(script, seconds, symbols=SYMBOLS, blocks=7, **keys):
  """Rows and spans of a recording whose samples are their own numbers."""
  following = long_form.Following(
    script.programs(), decoder_of(**keys), symbols, 24, WINDOW_S, spell
  )
  wave = np.arange(round(seconds * RATE), dtype=np.float32)
  return following(iter(np.array_split(wave, blocks)), lambda x: x, RATE)


def stamp(seconds):
  return FIRST + round(seconds / 0.02)


def test_windows_begin_where_the_last_piece_ended():
  script = Script(
    [
      # Two pieces, and one that has not ended.
      ([stamp(0.2), 1, stamp(1), stamp(1), 2, stamp(1.8), stamp(1.8), 3], -0.2),
      ([stamp(0), 3, 4, stamp(1.2)], -0.4),  # Closed: all is heard.
      ([stamp(0.1), 5], -0.4),
    ]
  )
  rows, spans = follow(script, 5.5)
  assert script.heard == [(0, 300), (180, 300), (480, 70)]
  assert [tuple(np.round(s[:2], 6)) for s in spans] == [
    (0.2, 1.0),
    (1.0, 1.8),
    (1.8, 3.0),
    (4.8, 4.9),
  ]
  assert [spell(r['ids']) for r in rows] == ['a', 'b', 'c d', 'e']
  # By symbol, as the report reads it.
  means = [r['score'] / (r['num'] + 1) for r in rows]
  np.testing.assert_allclose(means, [-0.2, -0.2, -0.4, -0.4])
  assert {r['language'] for r in rows} == {'ur'}


def test_blocks_do_not_matter():
  texts = [([stamp(0), 1, stamp(1), stamp(1), 2], -0.2)] * 9
  wanted = follow(Script([*texts]), 4.0, blocks=1)
  assert follow(Script([*texts]), 4.0, blocks=50)[1] == wanted[1]


def test_what_was_said_is_told_from_its_end():
  long = [stamp(0), *range(1, 13), stamp(3)]
  script = Script([(long, -0.1), ([stamp(0), 20, stamp(1)], -0.1)])
  follow(script, 4.0)
  first, second = script.prompts
  assert first.symbols[0, : first.count].tolist() == [START, 91, 94]
  assert first.start == 0
  told = second.symbols[0, : second.count].tolist()
  # 12 places: the mark, the last 8 of them, and the base.
  assert told == [PREVIOUS, *long[-8:], START, 91, 94]
  assert second.start == 9


@pytest.mark.parametrize('keys', [{'previous': False}, {}])
def test_what_was_guessed_or_not_wanted_is_not_told(keys):
  bad = ([stamp(0), 1, stamp(3)], -3.0)
  texts = [bad] * (1 if keys else 6) + [([stamp(0), 2, stamp(1)], -0.1)]
  more = {**keys, 'temperatures': (0.0,)} if keys else {}
  script = Script(texts)
  follow(script, 4.0, **more)
  assert script.prompts[-1].count == 3


def test_bad_texts_are_drawn_again_with_seeds_of_their_place():
  bad, good = ([stamp(0), 1, stamp(3)], -3.0), ([stamp(0), 2, stamp(3)], -0.3)
  script = Script([good, bad, bad, good])
  rows, _ = follow(script, 6.0, seed=7)
  assert script.drawn == [([7, 300, 1], 0.2), ([7, 300, 2], 0.4)]
  assert [spell(r['ids']) for r in rows] == ['b', 'b']


def test_where_nobody_speaks_nothing_is_said():
  script = Script([([stamp(0), 1, stamp(1)], -2.0)] * 2, quiet=0.9)
  rows, spans = follow(script, 6.0)
  assert script.heard == [(0, 300), (300, 300)] and not script.drawn
  assert [r['num'] for r in rows] == [0] and spans == [Span(0.0, 6.0)]


def test_a_rest_that_is_no_word_is_left_out():
  text = [([stamp(0), 1, stamp(2.9), stamp(2.9)], -0.1)]
  script = Script([*text])
  follow(script, 2.95)
  assert script.heard == [(0, 295)]
  script = Script([*text])
  follow(script, 0.05, blocks=1)
  assert script.heard == [(0, 5)]  # Of all there is, something is heard.


def test_the_language_is_found_in_the_first_window():
  symbols = SYMBOLS._replace(languages={'de': 92, 'ps': 93}, language=None)
  texts = [([stamp(0), 1, stamp(3)], -0.1)] * 2
  script = Script(texts, languages=((92, -3.0), (93, -1.0), (5, 0.0)))
  rows, _ = follow(script, 6.0, symbols)
  assert {r['language'] for r in rows} == {'ps'}
  found, *others = script.prompts
  assert found.symbols[0, : found.count].tolist() == [START]
  assert len(others) == 2
  for prompt in others:
    base = prompt.symbols[0, prompt.start : prompt.count]
    assert base.tolist() == [START, 93, 94]


# -- of a vocabulary -----------------------------------------------------------


def test_symbols_of_a_vocabulary():
  words = vocabulary_of(51865)
  prompt = words.prompt('ur', 'translate', False)
  own = long_form.symbols_of(words, prompt, None)
  assert own.base == words.prompt('ur', 'translate', True)
  assert (own.language, own.languages) == ('ur', {})
  assert (own.previous, own.no_speech) == (50361, 50362)
  other = long_form.symbols_of(words, prompt, 'ps')
  assert other.base == words.prompt('ps', 'translate', True)
  assert other.language == 'ps'
  found = long_form.symbols_of(words, prompt, 'auto')
  assert found.language is None
  assert found.languages['ur'] == own.base[1] and len(found.languages) == 99
  with pytest.raises(UserError, match='did you mean ur'):
    long_form.symbols_of(words, prompt, 'urdu')


def test_english_alone_has_no_language_to_find():
  words = vocabulary_of(51864)
  prompt = words.prompt('en', 'transcribe', False)
  for language in (None, 'en', 'auto'):
    found = long_form.symbols_of(words, prompt, language)
    assert found[:2] == ((50257,), 50360)
    assert (found.language, found.languages) == ('en', {})
  with pytest.raises(UserError, match='English alone'):
    long_form.symbols_of(words, prompt, 'ur')


def test_a_language_is_only_asked_of_models_that_are_told_it():
  assert base.BaseTask().follower(None, None, None) is None
  with pytest.raises(UserError, match='is not told what it hears'):
    base.BaseTask().follower(None, None, 'ur')


# -- of a small Whisper --------------------------------------------------------


class Plain:
  """What `programs` needs of a task."""

  features = types.SimpleNamespace(longest_s=0.2)
  spec = types.SimpleNamespace(tokenizer=types.SimpleNamespace(decode=spell))

  def preprocess(self, batch, key, *, train):
    return batch

  def forward(self, module, variables, batch, *, rngs, train):
    lens = jnp.full(len(batch['inputs']), batch['inputs'].shape[1])
    _, out_len, taps = module.apply(
      variables, batch['inputs'], lens, train=train
    )
    return {'taps': taps, 'out_len': out_len}, {}


@pytest.fixture(scope='module')
def small():
  module = build(vocab=51865)
  frames = np.random.default_rng(0).normal(size=(1, 20, 8)).astype(np.float32)
  lens, one = jnp.array([20]), jnp.ones((1, 1), jnp.int32)
  variables = jax.jit(
    lambda: module.init(
      jax.random.key(0), frames, lens, one, one[0], train=False
    )
  )()
  # So that texts are no single symbol again and again.
  variables = jax.tree.map(lambda x: 6 * x, variables)
  decoder = decoder_of(51865, vocabulary_of(51865).first_time)
  return module, variables, decoder, frames


def test_a_prompt_that_is_data_is_as_one_of_the_config(small):
  module, variables, decoder, frames = small
  words = module.attention_head.words
  following = long_form.follower(Plain(), decoder, module, variables, 'ur')
  said = [5, 6, 7]
  prompt = following._prompt(said, following.symbols.base)
  memory = following.programs.encode({'inputs': frames})
  log_probs, state = following.programs.begin(memory, prompt)
  row = following.programs.find(memory, state, prompt)
  # The same text by the model whose config has this prompt.
  symbols = (words.previous, *said, *words.prompt('ur', 'transcribe', True))
  head = module.attention_head.clone(
    prompt=symbols,
    never=words.never(True),
    not_first=words.not_first,
    times=(words.end, words.first_time),
  )
  static = module.clone(attention_head=head)
  hidden, out_len, _ = memory
  heads = {'attention': head_of(static, variables, 'attention')}
  most = head.places - len(symbols)
  heard = Heard(None, out_len, hidden, heads, most)
  found = jax.jit(lambda: attention.search(heard, blank_id=0, width=1))()
  num = int(row['num'][0])
  assert num > 2
  np.testing.assert_array_equal(row['ids'][0, :num], found.ids[0, 0, :num])
  # Behind the start stands what the whole text has there.
  logits = jax.jit(
    lambda v: module.clone(attention_head=head.clone(prompt=symbols[:5])).apply(
      v,
      frames,
      jnp.array([20]),
      jnp.ones((1, 1), jnp.int32),
      jnp.array([1]),
      train=False,
    )[2]['attention']
  )(variables)
  wanted = jax.nn.log_softmax(logits[0, 0])
  np.testing.assert_allclose(log_probs, wanted, atol=1e-3)


def test_another_recording_changes_no_seed(small):
  module, variables, decoder, frames = small
  hot = dataclasses.replace(decoder.keys, temperatures=(0.8,), log_prob=-99.0)
  decoder = dataclasses.replace(decoder, keys=hot)
  following = long_form.follower(Plain(), decoder, module, variables, 'ur')
  wave = np.zeros(2, np.float32)
  rows = [
    following(iter([wave]), lambda _: {'inputs': frames}, 10)[0]
    for _ in range(2)
  ]
  ids = [[r['ids'].tolist() for r in found] for found in rows]
  assert ids[0] == ids[1]
