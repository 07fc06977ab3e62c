"""Which of Whisper's symbols mean what; its number of symbols says it all.

After the pieces of text come the end, the start, the languages, the tasks, and
the time stamps (openai/whisper, tokenizer.py). The end has our number 0 in an
attention decoder, so the piece with Whisper's number 0 has the end's: the two
change places, all others keep theirs.
"""

import dataclasses

from recog_jax.errors import UserError, unknown_name

_LANGUAGES = (
  'en zh de es ru ko fr ja pt tr pl ca nl ar sv it id hi fi vi he uk el ms '
  'cs ro da hu ta no th ur hr bg lt la mi ml cy sk te fa lv bn sr az sl kn '
  'et mk br eu is hy ne mn bs kk sq sw gl mr pa si km sn yo so af oc ka be '
  'tg sd gu am yi lo uz fo ht ps tk nn mt sa lb my bo tl mg as tt haw ln ha '
  'ba jw su yue'
)
# Pieces that stand for no speech: brackets, notes, speakers' marks (OpenAI's
# `non_speech_tokens`), of the English vocabulary and of the others.
_NO_SPEECH_ENGLISH = (
  '1 2 7 8 9 10 14 25 26 27 28 29 31 58 59 60 61 62 63 90 91 92 93 357 366 '
  '438 532 685 705 796 930 1058 1220 1267 1279 1303 1343 1377 1391 1635 '
  '1782 1875 2162 2361 2488 3467 4008 4211 4600 4808 5299 5855 6329 7203 '
  '9609 9959 10563 10786 11420 11709 11907 13163 13697 13700 14808 15306 '
  '16410 16791 17992 19203 19510 20724 22305 22935 27007 30109 30420 33409 '
  '34949 40283 40493 40549 47282 49146'
)
_NO_SPEECH = (
  '1 2 7 8 9 10 14 25 26 27 28 29 31 58 59 60 61 62 63 90 91 92 93 359 503 '
  '522 542 873 893 902 918 922 931 1350 1853 1982 2460 2627 3246 3253 3268 '
  '3536 3846 3961 4183 4667 6585 6647 7273 9061 9383 10428 10929 11938 '
  '12033 12331 12562 13793 14157 14635 15265 15618 16553 16604 18362 18956 '
  '20075 21675 22520 26130 26161 26435 28279 29464 31650 32302 32470 36865 '
  '42863 47425 49870 50254'
)
# A space alone.
_SPACE = 220
TASKS = ('transcribe', 'translate')
_TIMES = 1501  # 0.00 to 30.00 s.


@dataclasses.dataclass(frozen=True)
class Vocabulary:
  """Numbers of Whisper's special symbols.

  Attributes:
    end: the first that is no piece of text.
    languages: their codes, in the order of their symbols.
    english: whether it is the vocabulary of the models for English alone.
  """

  end: int
  languages: tuple[str, ...]
  english: bool

  @property
  def size(self) -> int:
    """Number of symbols."""
    return self.first_time + _TIMES

  @property
  def start(self) -> int:
    return self.end + 1

  @property
  def of_languages(self) -> range:
    """Of each of `languages`, in their order."""
    return range(self.start + 1, self.start + 1 + len(self.languages))

  @property
  def previous(self) -> int:
    """Stands before what was said earlier, in a prompt."""
    return self.no_times - 2

  @property
  def no_speech(self) -> int:
    """As probable behind the start as nobody speaks."""
    return self.no_times - 1

  @property
  def no_times(self) -> int:
    """Says in a prompt that no time stamps are wanted."""
    # After translate, transcribe, startoflm, startofprev and nospeech.
    return self.start + len(self.languages) + 6

  @property
  def first_time(self) -> int:
    return self.no_times + 1

  def prompt(self, language: str, task: str, times: bool) -> tuple[int, ...]:
    """What stands before every text; `times`: with time stamps.

    Raises:
      UserError: a language or task that the vocabulary lacks.
    """
    if task not in TASKS:
      raise UserError(
        f"config.model.decoder.task '{task}': known: {', '.join(TASKS)}"
      )
    if self.english:
      if (language, task) != ('en', 'transcribe'):
        raise UserError(
          'the vocabulary is of a Whisper that transcribes English alone, and '
          f"asked is task '{task}' of language '{language}': take weights and "
          'tokenizer of a model without .en'
        )
      return (self.start, self.no_times)[: 1 if times else 2]
    if language not in self.languages:
      kind = "language of this Whisper's vocabulary"
      raise unknown_name(kind, language, self.languages)
    place = self.of_languages[self.languages.index(language)]
    tasks = self.start + len(self.languages) + 1
    prompt = self.start, place, tasks + (task == 'transcribe'), self.no_times
    return prompt[: 3 if times else 4]

  def never(self, times: bool) -> tuple[int, ...]:
    """What a text with or without time stamps does not have."""
    pieces = _NO_SPEECH_ENGLISH if self.english else _NO_SPEECH
    stop = self.first_time if times else self.size
    return (*map(int, pieces.split()), *range(self.start, stop))

  @property
  def not_first(self) -> tuple[int, ...]:
    """With what no text begins."""
    return 0, _SPACE  # 0: the end, see above.


def vocabulary_of(num_outputs: int) -> Vocabulary | None:
  """The vocabulary with so many symbols; None: it is none of Whisper's."""
  known = _LANGUAGES.split()
  for english, end, languages in (
    (True, 50256, known[:99]),
    (False, 50257, known[:99]),
    (False, 50257, known),  # large-v3
  ):
    found = Vocabulary(end, tuple(languages), english)
    if found.size == num_outputs:
      return found
  return None
